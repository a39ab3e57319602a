"""Would the tests notice? Changes one place of a module at a time, and runs the module's own tests on each change.

    python benchmarks/mutants.py [--only MODULE …] [--every 1] [--seconds 60] [--markdown FILE]

A change (a mutant) is a number that is another, a comparison or an operation that is the opposite or includes the
boundary, a sign or a `not` that is gone, a condition turned round, two arguments that are swapped, or a statement that
is dropped. Texts, types and errors are left alone. For each mutant and test file a process is forked from one that has
imported what is slow to import, and pytest runs in it, with `-x`. What survives is printed; docs/mutants.md says which
of that may.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import gc
import importlib
import importlib.machinery
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def naming(word: str, folder: str) -> tuple[str, ...]:
    """The test files of a folder in which a word stands."""
    found = [path for path in sorted((ROOT / folder).glob("test_*.py")) if word in path.read_text(encoding="utf-8")]
    return tuple(str(path.relative_to(ROOT)) for path in found)


def metric(*names: str) -> tuple[str, ...]:
    """The test files of a metric: those of all metrics, and its own."""
    return tuple(f"tests/metrics/test_{name}.py" for name in ("metrics_by_hand", "published_metrics", *names))


TARGETS: dict[str, tuple[str, ...]] = {
    "analysis/statistics": ("tests/analysis/test_statistics_by_hand.py", "tests/analysis/test_statistics.py"),
    "zoo/objectives": ("tests/zoo/test_objectives.py",),
    "zoo/penalties": ("tests/zoo/test_penalties.py",),
    **{
        f"zoo/tricks/{path.stem}": naming(path.stem, "tests/zoo/tricks")
        for path in sorted((ROOT / "harness/zoo/tricks").glob("*.py"))
        if path.stem not in ("__init__", "base", "game", "zero_centred")
    },
    "zoo/tricks/zero_centred": naming('"r1"', "tests/zoo/tricks"),
    "metrics/classification_error": metric("asking_the_model"),
    "metrics/code_accuracy": metric("asking_the_model"),
    "metrics/conditional_accuracy": metric("asking_the_model"),
    "metrics/coverage": metric("coverage"),
    "metrics/density_coverage": metric("density_coverage"),
    "metrics/fidelity": metric("fidelity"),
    "metrics/images": (*metric(), "tests/trial/test_evaluation.py"),
    "metrics/memorisation": metric("memorisation"),
    "metrics/mode_score": metric("mode_score"),
    "metrics/modes_2d": metric("modes_2d"),
    "metrics/neighbours": metric("density_coverage", "memorisation"),
    "metrics/optimal_discriminator": metric("optimal_discriminator"),
    "metrics/reconstruction": metric("reconstruction"),
    "metrics/sharpness": metric("sharpness"),
    "metrics/stacked_modes": metric("stacked_modes"),
    "metrics/translation": metric("translation"),
    "metrics/two_sample": metric("two_sample"),
    # What is left out starts processes of its own, in which nothing is changed.
    "suite/fingerprint": (
        *("tests/suite/test_fingerprint_by_hand.py", "tests/suite/test_fingerprint.py"),
        "--deselect=tests/suite/test_fingerprint.py::test_edits_that_cannot_change_a_number_make_nothing_stale",
    ),
    "suite/plan": (
        *("tests/suite/test_keys_by_hand.py", "tests/suite/test_plan.py"),
        "--deselect=tests/suite/test_plan.py::test_planning_the_shipped_suites_needs_no_torch",
    ),
}
"""Module -> the tests that must notice, as pytest takes them."""

SLOW_TO_IMPORT = (
    *(
        "pytest",
        "hypothesis.internal.conjecture.engine",
        "anyio.pytest_plugin",
        "scipy.stats",
        "scipy.optimize",
        "pandas",
    ),
    *("sklearn.cluster", "sklearn.datasets", "sklearn.ensemble", "sklearn.neural_network", "torch._dynamo"),
    *("optuna", "torch_fidelity", "torchvision", "harness.testing"),
)

_PAIRS = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.BitAnd, ast.BitOr)),
)
OPPOSITE: dict[type[ast.AST], type[ast.AST]] = dict(_PAIRS) | {other: one for one, other in _PAIRS}
OPPOSITE |= dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult), ast.Mult)


@dataclass(frozen=True)
class Mutant:
    """A changed module: where, what was there, what is there now."""

    line: int
    before: str
    after: str
    tree: ast.Module
    inside: bool
    """Whether it is inside of a function, and not a default, a constant or a setting."""


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(source)
    counted = _counted(tree)
    inside = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for part in node.body
        for inner in ast.walk(part)
    }
    for number, node in enumerate(ast.walk(tree)):
        for change in changes(node) if number in counted else ():
            changed = copy.deepcopy(tree)
            place = next(other for i, other in enumerate(ast.walk(changed)) if i == number)
            before = ast.unparse(place)
            change(place)
            where = (getattr(node, "lineno", 0), before, ast.unparse(place))
            yield Mutant(*where, ast.fix_missing_locations(changed), node in inside)


def _counted(tree: ast.Module) -> set[int]:
    """The numbers of the nodes that can change a result: no types, texts, errors, imports, or tables of texts."""
    left_out: set[ast.AST] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ):
            parts = [node]
        elif isinstance(node, ast.FunctionDef):
            parts = [node.returns, *node.decorator_list]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.ClassDef):
            parts = [*node.bases, *node.decorator_list]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("Value", "Preset", "TypeVar"):
            parts = [node]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Field":  # its default alone
            parts = list(node.keywords)
        left_out |= {inner for part in parts if part is not None for inner in ast.walk(part)}
    return {number for number, node in enumerate(ast.walk(tree)) if node not in left_out}


def changes(node: ast.AST) -> Iterator[Callable[[ast.AST], None]]:
    """What can be done to a node, each in a copy of it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda place: setattr(place, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda place: setattr(place, "value", node.value + 1)
        if isinstance(node.value, float) and abs(node.value) > 1e-6:  # a smaller one keeps a division from zero
            yield lambda place: setattr(place, "value", node.value * 1.1)
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            if type(operator) in OPPOSITE:
                other = OPPOSITE[type(operator)]()
                yield functools.partial(_compare, i, other)
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPPOSITE:
        yield lambda place: setattr(place, "op", OPPOSITE[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield lambda place: setattr(place, "op", ast.UAdd()) if isinstance(node.op, ast.USub) else _identity(place)
    elif isinstance(node, ast.If | ast.IfExp):
        yield lambda place: setattr(place, "test", ast.UnaryOp(ast.Not(), place.test))
    elif isinstance(node, ast.Call) and len(node.args) >= 2 and not _alike(node):
        yield lambda place: place.args.__setitem__(slice(0, 2), place.args[1::-1])
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield lambda place: setattr(place, "value", ast.Constant(None))


def _compare(place: int, operator: ast.AST, node: ast.AST) -> None:
    """Put another comparison at a place of a chain of them."""
    node.ops[place] = operator  # type: ignore[attr-defined]


def _alike(call: ast.Call) -> bool:
    """Whether the first two arguments may change places: texts, or those of a function for which both are alike."""
    texts = all(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in call.args[:2])
    starred = any(isinstance(each, ast.Starred) for each in call.args)
    return texts or starred or ast.unparse(call.func) in ("min", "max", "torch.equal", "isinstance")


def _identity(place: ast.AST) -> None:
    """`not x` as `bool(x)`: turned round, in place."""
    place.op = ast.Not()  # type: ignore[attr-defined]
    place.operand = ast.UnaryOp(ast.Not(), place.operand)  # type: ignore[attr-defined]


def survives(module: str, mutant: Mutant | None, tests: tuple[str, ...], seconds: int) -> bool:
    """Whether the tests pass with a changed module (None: as it is): file by file."""
    options = [each for each in tests if each.startswith("-")]
    return all(_passes(module, mutant, [each, *options], seconds) for each in tests if each not in options)


def _passes(module: str, mutant: Mutant | None, tests: list[str], seconds: int) -> bool:
    """Whether these pass in a forked process in which the module is changed."""
    process = os.fork()
    if process == 0:
        _child(module, mutant, tests, seconds)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _child(module: str, mutant: Mutant | None, tests: list[str], seconds: int) -> None:
    try:
        os.setsid()
        signal.setitimer(signal.ITIMER_PROF, seconds)  # what does not end is noticed, and what does nothing, too
        signal.alarm(20 * seconds)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        if mutant is not None:
            _change("harness." + module.replace("/", "."), mutant)
        import pytest

        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])))
    finally:
        os._exit(1)


def _change(name: str, mutant: Mutant) -> None:
    code = compile(mutant.tree, name, "exec")
    if mutant.inside:  # its functions get other code where they are: whoever has imported them has that
        module = importlib.import_module(name)
        fresh = {"__name__": name, "__file__": module.__file__, "__package__": module.__package__}
        exec(code, fresh)
        _take_over(vars(module), fresh, name)
        return
    for loaded in [other for other in sys.modules if other.partition(".")[0] == "harness"]:
        del sys.modules[loaded]  # all of it is imported again
    original = importlib.machinery.SourceFileLoader.get_code

    def get_code(loader: importlib.machinery.SourceFileLoader, fullname: str) -> CodeType | None:
        return code if fullname == name else original(loader, fullname)

    importlib.machinery.SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def _take_over(old: Mapping[str, Any], new: Mapping[str, Any], module: str) -> None:
    """Give functions, and those of classes, the code of their namesakes."""
    for name, fresh in new.items():
        function = fresh if isinstance(fresh, type) else _function(fresh)
        if function is None or function.__module__ != module or name not in old:
            continue
        if isinstance(fresh, type):
            _take_over(vars(old[name]), vars(fresh), module)
        else:
            _function(old[name]).__code__ = function.__code__


def _function(value: Any) -> Any:
    """The function inside of a property, a method of a class, or something that keeps results; None in others."""
    for attribute in ("fget", "func", "__func__", "__wrapped__"):
        value = getattr(value, attribute, None) or value
    return value if isinstance(value, FunctionType) else None


def _warm() -> None:
    """Import all that takes time to import, here or in a test: forked processes have it."""
    for slow in SLOW_TO_IMPORT:
        importlib.import_module(slow)
    registry = importlib.import_module("harness.zoo.registry")
    for kind in ("models", "networks", "tricks", "classifiers", "metrics", "data"):
        registry.names(kind)
    gc.collect()
    gc.freeze()


def tried(module: str, tests: tuple[str, ...], every: int, seconds: int) -> tuple[int, list[Mutant]]:
    """How many mutants there were, and those that survived."""
    path = ROOT / "harness" / f"{module}.py"
    if not survives(module, None, tests, 600):
        sys.exit(f"the tests of {module} do not pass as it is: they prove nothing")
    found = list(mutants(path.read_text(encoding="utf-8")))[::every]
    kept = []
    for one in found:
        if survives(module, one, tests, seconds):
            kept.append(one)
            print(f"  {module}, line {one.line}: `{one.before}` → `{one.after}`", flush=True)
    return len(found), kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="modules, such as zoo/penalties, or the beginnings of their names")
    parser.add_argument("--every", type=int, default=1, help="try each so many-th mutant")
    parser.add_argument(
        "--seconds",
        type=int,
        default=60,
        help="of processor time for a mutant and a file; what takes longer counts as noticed",
    )
    parser.add_argument("--markdown", type=Path, help="where the list goes, too")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.insert(0, str(ROOT))
    _warm()
    lines: list[str] = []
    for module, tests in TARGETS.items():
        if chosen.only and not module.startswith(tuple(chosen.only)):
            continue
        started = time.monotonic()
        n, kept = tried(module, tests, chosen.every, chosen.seconds)
        lines.append(f"{module}: {n} mutants, {len(kept)} survived, {time.monotonic() - started:.0f} s")
        lines += [f"- line {one.line}: `{one.before}` → `{one.after}`" for one in kept]
        print(lines[-1 - len(kept)], flush=True)
    if chosen.markdown:
        chosen.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

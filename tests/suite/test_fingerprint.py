"""The fingerprint of code: what changes it, what does not, and that nothing is run for it."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base.errors import HarnessError
from harness.suite import fingerprint as module
from harness.suite.fingerprint import CANNOT_CHANGE_NUMBERS, Code, fingerprint
from harness.zoo import registry

ROOT = Path(__file__).parents[2]

PACKAGE = {
    "__init__": "raise RuntimeError('imported')",
    "model": '''
        """A model."""
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from . import layers
        from .kinds import register
        from .settings import Settings
        if TYPE_CHECKING:
            from toy.report import Page
        # how wide
        WIDTH = 3
        UNUSED = 1
        def build(n: int) -> object:
            """Build it."""
            from toy.deep.inner import depth
            if n < 0:
                raise ValueError(f"expected {n} to be positive")
            return layers.layer(n, depth()) * WIDTH
        @register
        def kept():
            return 5
        class Model:
            summary = "a model"
            paper = "Doe 2014"
            order: int
            scale: float = 2.0
            Settings = Settings
            def refusal(self):
                return "too small"
            def draw(self, settings):
                note("drawing")
                return build(settings.double()) * self.scale
        ''',
    "settings": """
        class Settings(BaseSettings):
            width: int = Field(7, ge=1, description="how wide")
            def double(self):
                return 2 * self.width
        """,
    "kinds": "KEPT = []\ndef register(f):\n    KEPT.append(f)\n    return f",
    "layers": "import toy.numbers\nfrom numpy import prod\ndef layer(n, d): return prod([n] * d * toy.numbers.TWO)",
    "numbers": "TWO = 2\nTHREE = 3",
    "others": "TWO = 2",
    "deep/__init__": "import toy.effects",
    "effects": "X = 1",
    "deep/inner": "from ..numbers import TWO\ndef depth():\n    return TWO",
    "report": "class Page: ...",
    "other": "X = 1",
}


CACHES = (
    *(module._fingerprint, module._reached, module._definition, module._text, module._effects),
    *(module._module, module._locations),
)


def forget() -> None:
    """Files are read once per process; here they change."""
    for function in CACHES:
        function.cache_clear()


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    forget()
    yield
    forget()


def of(folder: Path, **changes: str) -> str:
    """The fingerprint of ``toy.model:Model`` with these files changed. The package is not imported: it could not be."""
    for name, text in {**PACKAGE, **changes}.items():
        path = folder / "toy" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return fingerprint(["toy.model:Model"]).digest


def changed(name: str, old: str, new: str) -> dict[str, str]:
    assert old in PACKAGE[name]
    return {name: PACKAGE[name].replace(old, new)}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed("model", "A model.", "The model, explained better."), id="docstring"),
        pytest.param(changed("model", '"""Build it."""', '"""Build it, at length."""'), id="function docstring"),
        pytest.param(changed("model", "# how wide", "# the width (it was measured)"), id="comment"),
        pytest.param(changed("model", "WIDTH = 3", "WIDTH   =   (3)"), id="formatting"),
        pytest.param(changed("model", "from toy.report import Page", "from toy.other import X"), id="type checking"),
        pytest.param(changed("report", "class Page: ...", "class Page:\n    size = 3"), id="type only"),
        pytest.param(changed("other", "1", "2"), id="unrelated"),
        pytest.param(changed("model", "expected {n} to be positive", "{n} is not positive"), id="message"),
        pytest.param(changed("model", "n: int) -> object", "n: float) -> int"), id="annotations"),
        pytest.param(changed("model", "scale: float", "scale: int"), id="annotation of an attribute"),
        pytest.param(changed("model", '"a model"', '"the model"'), id="summary"),
        pytest.param(changed("model", "Doe 2014", "Doe 2015"), id="paper"),
        pytest.param(changed("model", "too small", "too little"), id="refusal"),
        pytest.param(changed("model", 'note("drawing")', 'note("drawing now")'), id="note"),
        pytest.param(changed("model", "UNUSED = 1", "UNUSED = 2"), id="what nobody uses"),
        pytest.param(changed("numbers", "THREE = 3", "THREE = 4"), id="what nobody uses elsewhere"),
        pytest.param(changed("settings", "Field(7, ge=1", "Field(8, ge=2"), id="a default, which is in the key"),
        pytest.param(changed("settings", "how wide", "its width"), id="description"),
        pytest.param(changed("layers", "import toy.numbers", "import os\nimport toy.numbers"), id="an import more"),
        pytest.param(
            changed(
                "deep/inner", "from ..numbers import TWO\ndef depth():", "def depth():\n    from toy.numbers import TWO"
            ),
            id="an import elsewhere",
        ),
        pytest.param(
            changed("model", "from . import layers", "from toy import strata as layers")
            | {"strata": PACKAGE["layers"]},
            id="a renamed file",
        ),
        pytest.param(
            changed("numbers", "TWO = 2\n", "from toy.others import TWO\n"), id="a definition moved, and handed on"
        ),
    ],
)
def test_what_cannot_change_numbers_keeps_the_fingerprint(tmp_path: Path, change: dict[str, str]) -> None:
    assert of(tmp_path) == of(tmp_path, **change)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed("model", "WIDTH = 3", "WIDTH = 4"), id="itself"),
        pytest.param(changed("layers", "[n] * d", "[n] + d"), id="relative import"),
        pytest.param(changed("numbers", "TWO = 2", "TWO = 2.0"), id="import of an import"),
        pytest.param(changed("deep/inner", "return TWO", "return TWO + 1"), id="import in a function"),
        pytest.param(changed("deep/__init__", "import toy.effects", "torch.manual_seed(1)"), id="package of an import"),
        pytest.param(changed("effects", "X = 1", "torch.manual_seed(1)"), id="an import for its effect"),
        pytest.param(changed("model", "return 5", "return 6"), id="a decorator that keeps what it decorates"),
        pytest.param(changed("model", "n < 0", "n < 1"), id="a condition"),
        pytest.param(changed("model", "raise ValueError", "raise TypeError"), id="another kind of error"),
        pytest.param(changed("model", "order: int\n", "size: int\n"), id="a field's name"),
        pytest.param(changed("model", "= 2.0", "= 2.5"), id="an attribute"),
        pytest.param(changed("settings", "2 * self", "3 * self"), id="a method of the settings"),
        pytest.param(changed("layers", "from numpy import prod", "from math import prod"), id="another library"),
        pytest.param(changed("deep/inner", "import TWO", "import THREE as TWO"), id="another definition of that name"),
        pytest.param(changed("model", "return build(", "self.refusal()\n                return build("), id="a call"),
    ],
)
def test_what_can_change_numbers_changes_the_fingerprint(tmp_path: Path, change: dict[str, str]) -> None:
    assert of(tmp_path) != of(tmp_path, **change)


def test_a_text_that_the_class_itself_uses_is_code(tmp_path: Path) -> None:
    used = changed("model", "return build(settings.double())", "return len(self.summary)")
    other = {"model": used["model"].replace('"a model"', '"the model"')}
    assert of(tmp_path, **used) != of(tmp_path, **other)


@pytest.mark.parametrize("root", ["harness.no_such_loop", "nowhere", "harness.zoo.objectives:no_such_loss"])
def test_a_root_that_is_not_there_is_an_error(root: str) -> None:
    with pytest.raises(HarnessError, match=root):
        fingerprint([root])


@pytest.mark.parametrize("name", sorted(CANNOT_CHANGE_NUMBERS))
def test_every_module_that_is_left_out_is_there(name: str) -> None:
    assert importlib.util.find_spec(name)


def modules(code: Code) -> set[str]:
    """The modules that a code uses."""
    return {part.partition(":")[0] for part in code.parts}


def test_what_is_left_out_is_not_followed() -> None:
    used = modules(fingerprint(["harness.trial.run:run"]))
    assert {"harness.trial.run", "harness.trial.loop", "harness.trial.evaluation"} <= used
    assert not used & CANNOT_CHANGE_NUMBERS


def test_the_order_of_the_roots_does_not_count() -> None:
    roots = ["harness.trial.run:run", "harness.zoo.models.gan:GAN", "harness.zoo.networks.dcgan"]
    assert fingerprint(roots) == fingerprint(reversed(roots))


def test_a_plug_in_that_inherits_from_the_harness_is_known_by_what_it_inherits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a change of the game would leave the results of its subclasses in place."""
    (tmp_path / "mine.py").write_text("from harness.zoo.models.gan import GAN\nimport numpy\n\nclass Mine(GAN): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    used = modules(fingerprint(["mine:Mine"]))
    assert {"mine", "harness.zoo.models.gan", "harness.zoo.objectives"} <= used
    assert "numpy" not in used


# --- every built-in plug-in ------------------------------------------------------------------------------


def built_in() -> dict[str, str]:
    """Root -> module of every built-in plug-in, but the engines: where a trial runs is not part of its key."""
    found = {}
    for kind in (kind for kind in registry.KINDS if kind != "engines"):
        for entry in registry.entries(kind):
            plugin = entry.plugin
            assert plugin is not None, entry
            found[f"{plugin.__module__}:{plugin.__qualname__}"] = plugin.__module__
    return found


def with_source(monkeypatch: pytest.MonkeyPatch, name: str, source: str, folder: Path, root: str) -> Code:
    """The fingerprint of a root with another source of one module."""
    path = folder / "changed.py"
    path.write_text(source)
    real = module._file
    with monkeypatch.context() as patch:
        patch.setattr(module, "_file", lambda asked: path if asked == name else real(asked))
        forget()
        return fingerprint([root])


class Reworded(ast.NodeTransformer):
    """Other words everywhere: docstrings, messages, summaries; other annotations."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = "Other words."
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc.args = [ast.Constant("other words")]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = ast.Name("Other")
        return self.generic_visit(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node  # its arguments have no annotations

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = ast.Name("Other")
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = {target.id for target in node.targets if isinstance(target, ast.Name)}
        if names & {"summary", "paper"}:
            node.value = ast.Constant("other words")
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        if node.arg == "description":
            node.value = ast.Constant("other words")
        return node


def mutants(tree: ast.Module, used: set[str]) -> Iterator[str]:
    """Sources with one other number in the mathematics of these definitions; where they hold none, with another name
    that is asked for."""
    functions = [
        function
        for definition in tree.body
        if module._bound(definition) & used
        for function in ast.walk(definition)
        if isinstance(function, ast.FunctionDef) and function.name not in module.ASIDE
    ]
    inside = [node for function in functions for line in function.body for node in ast.walk(line)]
    messages = {id(node) for line in inside if isinstance(line, ast.Raise) for node in ast.walk(line)}
    nodes = [node for node in inside if id(node) not in messages]
    numbers = [node for node in nodes if isinstance(node, ast.Constant) and type(node.value) in (int, float)]
    for number in numbers[:3]:
        number.value += 1
        yield ast.unparse(tree)
        number.value -= 1
    for name in [node for node in nodes if isinstance(node, ast.Attribute)][: 0 if numbers else 1]:
        name.attr += "_"
        yield ast.unparse(tree)


SETTINGS_ALONE = {"harness.zoo.tricks.r1:R1", "harness.zoo.tricks.r2:R2"}
"""They choose by an attribute what their base class does."""


@pytest.mark.parametrize("root", sorted(built_in()))
def test_of_every_plug_in_words_count_nothing_and_numbers_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    name = built_in()[root]
    file = module._file(name)
    assert file is not None
    text = file.read_text()
    before = fingerprint([root])
    reworded = ast.unparse(ast.fix_missing_locations(Reworded().visit(ast.parse(text))))
    assert reworded != ast.unparse(ast.parse(text))
    assert with_source(monkeypatch, name, reworded, tmp_path, root).digest == before.digest

    used = {place.name for place in module._reached(root) if place.module == name}
    sources = list(mutants(ast.parse(text), used))
    assert sources or root in SETTINGS_ALONE
    for source in sources:
        mutated = with_source(monkeypatch, name, source, tmp_path, root)
        assert mutated.digest != before.digest, source
        changed = {part for part, digest in mutated.parts.items() if before.parts.get(part) != digest}
        assert {part.partition(":")[0] for part in changed} == {name}


# --- real edits ------------------------------------------------------------------------------------------

EDITS = {
    "a grey level of a picture": ("trial/pictures.py", "shade = 255 *", "shade = 250 *"),
    "the wording of a downloader's message": ("zoo/data/mnist.py", "is not on this machine", "cannot be found here"),
    "an annotation in the trial's file": ("trial/run.py", "recorder: Recorder", "recorder: object"),
    "the summary of a trick": ("zoo/tricks/ema.py", 'summary = "', 'summary = "really: '),
    "the wording of divergence": ("trial/loop.py", "is NaN or infinite at step", "not finite by step"),
}


def planned(folder: Path, suite: Path) -> list[str]:
    """The keys of the trials that the copy of the harness in a folder plans."""
    command = [sys.executable, "-m", "harness", "plan", str(suite), "--json", "--results", str(folder / "results")]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return [trial["key"] for trial in json.loads(run.stdout)["trials"]]


def edited(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / "harness" / file
    text = path.read_text()
    assert old in text, file
    path.write_text(text.replace(old, new, 1))


def test_edits_that_cannot_change_a_number_make_nothing_stale(tmp_path: Path) -> None:
    """All in one copy, one after the other; then one that can."""
    shutil.copytree(ROOT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "suite: s\nquestion: q\ndata: digits\nbase: {model: dcgan}\nmatrix: {tricks: [[], [ema]]}\n"
        "evaluate: {metrics: [fid]}\ncompare: {baseline: {tricks: []}, metric: fid}\n"
    )
    before = planned(tmp_path, suite)
    for file, old, new in EDITS.values():
        edited(tmp_path, file, old, new)
    assert planned(tmp_path, suite) == before

    # A file with another name.
    (tmp_path / "harness/zoo/objectives.py").rename(tmp_path / "harness/zoo/losses.py")
    for path in (tmp_path / "harness").rglob("*.py"):
        text = path.read_text()
        text = text.replace("zoo.objectives", "zoo.losses").replace(
            "from harness.zoo import objectives", "from harness.zoo import losses as objectives"
        )
        path.write_text(text)
    assert planned(tmp_path, suite) == before

    edited(tmp_path, "zoo/tricks/ema.py", "self.steps + 9", "self.steps + 8")
    after = planned(tmp_path, suite)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True] * 3 + [False] * 3

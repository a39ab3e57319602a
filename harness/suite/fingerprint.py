"""The fingerprint of code: a hash of the part of the program that can change a trial's numbers.

It is part of every trial's key, so that results of other code are never mistaken for results of this code. It covers
definitions, not files: it starts from the given roots (a module, or a class in a module) and follows every name that
their code uses, inside their own top-level package and inside the harness. Each definition is hashed as a syntax
tree, without everything that cannot change a number (``_Stripped``). The place of a definition and the way it is
imported do not count. No code is imported or executed for it.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.base import digests
from harness.base.errors import HarnessError

CANNOT_CHANGE_NUMBERS = frozenset(
    {
        *("harness.cli", "harness.report", "harness.analysis"),  # they only read the results of trials
        *("harness.execution", "harness.store"),  # they decide where and when a trial runs, and store its numbers
        # Their result is in the key itself: the settings with all defaults filled in, and the digests of the data.
        *("harness.suite", "harness.zoo.registry", "harness.zoo.compatibility", "harness.zoo.capabilities"),
        "harness.zoo.importing",
        *("harness.zoo.data.downloads", "harness.zoo.data.published", "harness.zoo.data.digests"),
        # Files, messages, pictures, descriptions of the machine.
        *("harness.base.files", "harness.base.errors", "harness.base.messages", "harness.base.version"),
        *("harness.base.diagnosis", "harness.base.validation", "harness.base.interrupts"),
        *("harness.base.states", "harness.base.digests", "harness.base.terminal"),
        *("harness.trial.task", "harness.trial.artifacts", "harness.trial.pictures", "harness.trial.environment"),
        "harness.trial.visits",
        *("harness.trial.outcomes", "harness.zoo.models.paths", "harness.judge.catalogue", "harness.testing"),
    }
)
"""Modules, with their submodules, that are neither hashed nor followed."""

DESCRIPTIONS = frozenset(
    {
        *("summary", "paper", "description", "presets", "takes_tricks", "rates_from", "offers", "noise_is_not_worse"),
        *("scores_only", "__all__"),
    }
)
"""Attributes that describe a plug-in. The settings of a preset are in the key of the arms that use it."""
ASIDE = frozenset({"refusal", "defect", "guard", "pictures", "fetch", "present", "sources"})
"""Methods of plug-ins that decide whether a trial runs, draw pictures, or bring data whose digest is in the key."""
MESSAGES = ("note", "print", "keep_traceback")
"""Functions that tell somebody something."""


@dataclass(frozen=True)
class Code:
    """The code that can change a trial's numbers.

    Attributes:
        digest: SHA-256 (hex) of all definitions; independent of the names and places of modules.
        parts: ``module:name`` -> the first 8 digits of the digest of that definition, to find what differs.
    """

    digest: str
    parts: Mapping[str, str]


def fingerprint(roots: Iterable[str]) -> Code:
    """The code that these roots use: ``package.module``, or ``package.module:name`` for one definition in it.

    Files are read once per process: the code that runs is the code on the disk when the process started.

    Raises:
        HarnessError: a root does not exist, or its file cannot be parsed.
    """
    return _fingerprint(frozenset(roots))


@functools.cache
def _fingerprint(roots: frozenset[str]) -> Code:
    reached: set[_Place] = set()
    for root in sorted(roots):
        reached |= _reached(root)
    digests = {_definition(place).digest for place in reached}
    # A part is the definition's own text. The definitions that it uses are parts of their own.
    parts = {f"{place.module}:{place.name}": _text(place)[:8] for place in sorted(reached)}
    return Code(_hash(sorted(digests)), parts)


class _Place(NamedTuple):
    """A definition: its module, and its name in it (or a number, for a statement that binds no name)."""

    module: str
    name: str


@dataclass(frozen=True)
class _Definition:
    """The digest of a definition, and the definitions that its code uses."""

    digest: str
    uses: frozenset[_Place]


@dataclass(frozen=True)
class _Module:
    """The source of a module, split into statements and imports.

    Attributes:
        statements: name -> the top-level statements that bind it. Statements that bind no name have numbers as keys.
        imports: name -> the full names that it can stand for, from all imports of the module.
        exports: the same, with the imports for type checkers only.
    """

    name: str
    statements: Mapping[str, list[ast.stmt]]
    imports: Mapping[str, set[str]]
    exports: Mapping[str, set[str]]

    @property
    def imported(self) -> set[str]:
        """The full names of everything that it imports."""
        return {name for several in self.imports.values() for name in several}


# --- from roots to definitions --------------------------------------------------------------------------------


@functools.cache
def _reached(root: str) -> frozenset[_Place]:
    """All definitions that a root uses, the root included."""
    name, _, attribute = root.partition(":")
    module = _module(name)
    if module is None or (attribute and attribute.partition(".")[0] not in module.statements):
        raise HarnessError(f"the source of {root} was not found: expected a module of this name with a source file")
    wanted = [attribute.partition(".")[0]] if attribute else list(module.statements)
    todo, found = [_Place(name, each) for each in wanted], set[_Place]()
    while todo:
        place = todo.pop()
        if place not in found:
            found.add(place)
            todo += _definition(place).uses
    return frozenset(found)


@functools.cache
def _definition(place: _Place) -> _Definition:
    module = _module(place.module)
    assert module is not None
    uses, external = set[_Place](), set[tuple[str, str]]()
    for used, path in _names(module.statements[place.name]):
        for target in _resolved(module, used, path):
            if isinstance(target, _Place):
                uses.add(target)
            else:
                external.add((used, target))
    uses |= _effects(place.module)
    # Include what its names stand for: another definition imported under the same name then changes the digest.
    meant = {_text(use) for use in uses if use != place}
    return _Definition(_hash([_text(place), sorted(meant), sorted(external)]), frozenset(uses))


@functools.cache
def _text(place: _Place) -> str:
    module = _module(place.module)
    assert module is not None
    return _hash([_plain(statement) for statement in module.statements[place.name]])


@functools.cache
def _effects(module: str) -> frozenset[_Place]:
    """The statements without a name that importing a module runs: its own, its parents', and those of its imports."""
    todo, seen, found = _with_parents(module), set[str](), set[_Place]()
    while todo:
        name = todo.pop()
        source = _module(name) if name not in seen else None
        seen.add(name)
        if source is not None:
            found |= {_Place(name, statement) for statement in source.statements if statement.isdigit()}
            own = {module.partition(".")[0], "harness"}
            inside = [target for target in source.imported if target.partition(".")[0] in own]
            todo += [above for target in inside for above in _with_parents(target)]
    return frozenset(found)


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _names(statements: list[ast.stmt]) -> Iterator[tuple[str, list[str]]]:
    """The names that code reads, each with the attributes read from it: ``a.b.c`` is ("a", ["b", "c"])."""
    inner: set[int] = set()
    for statement in statements:
        for node in ast.walk(statement):
            path, at = list[str](), node
            while isinstance(at, ast.Attribute):
                path.insert(0, at.attr)
                at = at.value
            if isinstance(at, ast.Name) and id(at) not in inner:
                inner.add(id(at))  # ast.walk visits the longest path first
                yield at.id, path


def _resolved(module: _Module, name: str, path: list[str]) -> Iterator[_Place | str]:
    """What a name in a module stands for: definitions, or the full name in another package."""
    if name in module.statements:
        yield _Place(module.name, name)
    for target in module.imports.get(name, ()):
        yield from _imported(target, path, module.name)


def _imported(target: str, path: list[str], asking: str) -> Iterator[_Place | str]:
    """What ``target`` (a dotted name) with these attributes stands for."""
    if _skipped(target):
        return
    if target.partition(".")[0] not in {asking.partition(".")[0], "harness"}:
        yield target
        return
    found = _module(target)
    if found is not None:
        if not path:  # the module is used as a value: any of its definitions may be used
            yield from (_Place(target, name) for name in found.statements)
        elif _module(f"{target}.{path[0]}") is not None or _skipped(f"{target}.{path[0]}"):
            yield from _imported(f"{target}.{path[0]}", path[1:], asking)
        else:
            yield from _attribute(found, path[0], path[1:], asking)
        return
    above, _, attribute = target.rpartition(".")
    package = _module(above) if above else None
    if package is not None:
        yield from _attribute(package, attribute, path, asking)


def _attribute(module: _Module, name: str, path: list[str], asking: str) -> Iterator[_Place | str]:
    """A name that another module imports from this one: defined here, or imported here from elsewhere."""
    if name in module.statements:
        yield _Place(module.name, name)
    for target in module.exports.get(name, ()):
        yield from _imported(target, path, asking)


def _skipped(module: str) -> bool:
    return any(above in CANNOT_CHANGE_NUMBERS for above in _with_parents(module))


# --- from source to definitions -------------------------------------------------------------------------------


@functools.cache
def _module(name: str) -> _Module | None:
    """A module, split into statements; None if it is skipped or has no source file."""
    source = None if _skipped(name) else _file(name)
    if source is None:
        return None
    try:
        tree = ast.parse(source.read_bytes())
    except SyntaxError as error:
        raise HarnessError(f"{source}:{error.lineno}: {error.msg}: the code of a trial must be valid Python") from error
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    exports = _imports(tree, package)
    tree = _Stripped().visit(tree)
    imports = _imports(tree, package)
    own = {name.partition(".")[0], "harness"}
    borrowed = {local for local, targets in imports.items() if any(t.partition(".")[0] in own for t in targets)}
    statements: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            names = _bound(statement)
            # A decorator of the same package may store the definition somewhere: ``@register``.
            if not names or _decorators(statement) & (borrowed | statements.keys()):
                names.add(str(sum(name.isdigit() for name in statements)))
            for bound in names:
                statements.setdefault(bound, []).append(statement)
    return _Module(name, statements, imports, exports)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds; empty if it binds none."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        return {node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        return {node.id for node in ast.walk(statement.target) if isinstance(node, ast.Name)}
    # ``if``, ``try`` and so on: the names that the statements inside bind.
    below = [each for each in ast.iter_child_nodes(statement) if isinstance(each, ast.stmt)]
    below += [each for handler in getattr(statement, "handlers", ()) for each in handler.body]
    return {name for each in below for name in _bound(each)}


def _decorators(statement: ast.stmt) -> set[str]:
    """The names in the decorators: ``a`` and ``c`` for ``@a.b(c)``. Any of them may be what keeps the definition."""
    found = getattr(statement, "decorator_list", [])
    return {node.id for each in found for node in ast.walk(each) if isinstance(node, ast.Name)}


def _imports(tree: ast.AST, package: str) -> dict[str, set[str]]:
    """Name that an import binds -> the full names that it can stand for."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found.setdefault(alias.asname or top, set()).add(alias.name if alias.asname else top)
                # The dotted name is never a name in code; it records that importing the module has effects.
                found.setdefault(alias.name, set()).add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, set()).add(f"{module}.{alias.name}")
    return found


def _file(module: str) -> Path | None:
    """The source file of a module, found without importing its parents; None if there is no such module."""
    top, *below = module.split(".")
    for folder in _locations(top):
        at = folder.joinpath(*below)
        for candidate in (at / "__init__.py", at.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


@functools.cache
def _locations(top: str) -> tuple[Path, ...]:
    """The folders of a top-level package; for a single-file module its path without the suffix."""
    loaded = sys.modules.get(top)
    try:
        spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(top)
    except ValueError:  # __main__ has no spec
        spec = None
    if spec is not None and spec.submodule_search_locations:
        return tuple(Path(folder) for folder in spec.submodule_search_locations)
    origin = spec.origin if spec is not None else getattr(loaded, "__file__", None)
    return (Path(origin).with_suffix(""),) if origin else ()


# --- what cannot change a number ------------------------------------------------------------------------------


class _Stripped(ast.NodeTransformer):
    """Removes what cannot change a number: docstrings, messages, types, and the methods in ``ASIDE``."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Remove docstrings (of attributes too) and messages."""
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        call = node.value.func if isinstance(node.value, ast.Call) else None
        if isinstance(call, ast.Name) and call.id in MESSAGES:
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        """Remove code for type checkers."""
        self.generic_visit(node)
        typing_only = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        return node.orelse if typing_only else node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Keep the type of an exception (it decides between diverged and failed), remove its message."""
        kind = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(exc=kind, cause=None)

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        self.generic_visit(node)
        return ast.Assert(test=node.test, msg=None)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(arg=node.arg, annotation=None)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._filled(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:  # a field of a dataclass: keep the name, because the order of fields counts
            return ast.Expr(ast.Constant(ast.unparse(node.target)))
        return ast.Assign(targets=[node.target], value=node.value)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Remove descriptions, and the texts of a metric's values."""
        self.generic_visit(node)
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in DESCRIPTIONS]
        if isinstance(node.func, ast.Name) and node.func.id == "Value":
            node.args = [argument for argument in node.args if not isinstance(argument, ast.Constant)]
            node.keywords = []
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if any(base.endswith("Settings") for base in map(ast.unparse, node.bases)):
            # The values of the fields are in the key: keep only the methods that compute.
            node.body = [each for each in node.body if isinstance(each, ast.FunctionDef) and not _validates(each)]
        asked = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
        aside = (DESCRIPTIONS | ASIDE) - asked  # unless the class's own code uses them
        node.body = [each for each in node.body if not aside & _bound(each)]
        return self._filled(node)

    def _filled(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node  # type: ignore[no-any-return]


def _validates(method: ast.FunctionDef) -> bool:
    return any("validator" in ast.unparse(decorator) for decorator in method.decorator_list)


def _plain(node: Any) -> Any:
    """A syntax tree as plain values, without imports and empty fields (these differ between Python versions)."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.AST):
        fields = {name: _plain(value) for name, value in ast.iter_fields(node) if value is not None and value != []}
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_plain(item) for item in node if not isinstance(item, ast.Import | ast.ImportFrom)]
    return repr(node)


def _hash(value: Any) -> str:
    return digests.of_text(json.dumps(value, sort_keys=True))

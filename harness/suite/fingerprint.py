"""A fingerprint of code: what of the program can change a trial's numbers, as a hash.

Part of every trial's key, so that a result is never taken for that of other code. It covers the modules named
and all that they import from their own top-level package, as syntax trees: comments, docstrings, formatting
and imports for type checkers do not count. Nothing is imported or executed for it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CANNOT_CHANGE_NUMBERS = frozenset(
    {
        "harness",  # the version: a release alone makes no result stale
        *("harness.cli", "harness.report", "harness.analysis"),  # after the trial
        "harness.execution",  # which trial runs where and when
        # write down what a trial gives, byte for byte
        *("harness.store", "harness.base.files"),
        # What these make of a suite is in the key itself: the settings with all defaults filled in.
        *("harness.suite", "harness.zoo.registry"),
        # no result comes of these
        *("harness.base.errors", "harness.base.messages", "harness.testing", "harness.trial.task"),
    }
)
"""Modules (with all below them) that are neither hashed nor followed, and why."""


def fingerprint(modules: Iterable[str]) -> str:
    """SHA-256 (hex) of these modules and of what they import within their own top-level packages.

    Files are read once per process: what they hold when it starts is, as good as always, what it runs.
    """
    return _fingerprint(frozenset(modules))


@functools.cache
def _fingerprint(modules: frozenset[str]) -> str:
    todo, digests = set(modules), dict[str, str]()
    while todo:
        module = todo.pop()
        source = None if not module or module in digests or _skipped(module) else _file(module)
        if source is None:
            continue
        digests[module], imported = _examined(module, source)
        todo |= imported | {module.rpartition(".")[0]}  # importing a module runs its packages too
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def _skipped(module: str) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:n]) in CANNOT_CHANGE_NUMBERS for n in range(2, len(parts) + 1)) or module == "harness"


def _file(module: str) -> Path | None:
    """The source of a module, found without importing its parents; None where there is no such module."""
    top, *below = module.split(".")
    for folder in _locations(top):
        at = folder.joinpath(*below)
        for candidate in (at / "__init__.py", at.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


@functools.cache
def _locations(top: str) -> tuple[Path, ...]:
    """The folders of a top-level package; of a lone module its path without the suffix."""
    loaded = sys.modules.get(top)
    try:
        spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(top)
    except ValueError:  # __main__ has no spec
        spec = None
    if spec is not None and spec.submodule_search_locations:
        return tuple(Path(folder) for folder in spec.submodule_search_locations)
    origin = spec.origin if spec is not None else getattr(loaded, "__file__", None)
    return (Path(origin).with_suffix(""),) if origin else ()


@functools.cache
def _examined(module: str, source: Path) -> tuple[str, frozenset[str]]:
    """The digest of a module's code, and the modules of its own package and of the harness that it may import."""
    tree = _Stripped().visit(ast.parse(source.read_bytes()))
    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
    followed = {module.partition(".")[0], "harness"}  # a plug-in of another package inherits from the harness
    imported = {name for name in _imports(tree, package) if name.partition(".")[0] in followed}
    return hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest(), frozenset(imported)


class _Stripped(ast.NodeTransformer):
    """Takes out what cannot change what the code does."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Docstrings, those of attributes included."""
        lone_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if lone_text else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        """What only type checkers see."""
        self.generic_visit(node)
        typing_only = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        return node.orelse if typing_only else node


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that the tree imports, and every name from a module: it may be a module too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _plain(node: Any) -> Any:
    """A syntax tree as plain values, without empty fields: those differ between versions of Python."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.AST):
        fields = {name: _plain(value) for name, value in ast.iter_fields(node) if value is not None and value != []}
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return repr(node)

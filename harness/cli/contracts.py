"""`harness test`: the contract of every plug-in in a file, each failure in the words of the field.

The contracts are the tests of ``harness.testing``. pytest runs them, and says nothing itself.
"""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.base.errors import HarnessError
from harness.base.messages import visible
from harness.zoo import registry
from harness.zoo.registry import Entry

CONTRACTS = {
    "tricks": "TrickContract",
    "models": "ModelContract",
    "networks": "ArchitectureContract",
    "classifiers": "ClassifierContract",
    "metrics": "MetricContract",
    "data": "DataContract",
}
"""Kind -> its contract in ``harness.testing``. An engine is tested in a package: its contract needs to kill workers."""
QUIET = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-o", "addopts=", "-c", os.devnull]


@dataclass
class Clause:
    """A test of a contract, over all shapes that it is tried with.

    Attributes:
        words: what must hold.
        why: why it must, and what to do.
        failures: what was found instead.
        skipped: why it could not be tried, if it was not tried at all.
    """

    words: str
    why: str
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    passed: int = 0


def check(path: Path) -> Iterator[tuple[bool, str]]:
    """Try all plug-ins of a file. Yields (good, line): the lines to print, and whether nothing is wrong there.

    Raises:
        HarnessError: pytest is not installed, or the file cannot be used.
    """
    try:
        import pytest  # noqa: F401
    except ImportError as error:
        raise HarnessError("harness test needs pytest: pip install pytest") from error
    registry.add_files([path])
    found = _entries(path)
    clauses = _tried([entry for entry in found if entry.broken is None])
    for entry in found:
        yield True, f"{entry.name} ({entry.kind})"
        if entry.broken is not None:
            yield False, f"  FAIL  it {entry.broken}"
        for clause in clauses.get((entry.kind, entry.name), ()):
            yield from _lines(clause)


def _entries(path: Path) -> list[Entry]:
    """The plug-ins of a file, without the presets of its classes."""
    found = [entry for kind in CONTRACTS for entry in registry.entries(kind) if entry.module == path.stem]
    if not found:
        raise HarnessError(
            f"{path}: there is nothing to test in it: the contract of an engine needs a test of your own"
        )
    return found


def _lines(clause: Clause) -> Iterator[tuple[bool, str]]:
    if not clause.failures:
        skipped = f": {visible(clause.skipped[0])}" if clause.skipped and not clause.passed else ""
        yield True, f"  {'skip' if skipped else 'ok  '}  {clause.words}{skipped}"
        return
    yield False, f"  FAIL  {clause.words}"
    yield from ((False, f"        {visible(line)}") for line in [*clause.why.splitlines(), *clause.failures])


def _tried(entries: Sequence[Entry]) -> dict[tuple[str, str], list[Clause]]:
    """Kind and name of each plug-in -> the clauses of its contract, in their order."""
    import pytest

    reporter = _Reporter()
    text = "from harness import testing\n"
    for number, entry in enumerate(entries):
        text += f"\n\nclass Test{number}(testing.{CONTRACTS[entry.kind]}):\n    names = [{entry.name!r}]\n"
    with tempfile.TemporaryDirectory() as folder, _environment():
        test = Path(folder) / "test_contracts.py"
        test.write_text(text, "utf-8")
        code = pytest.main([str(test), "--rootdir", folder, *QUIET], plugins=[reporter])
    found = {each: list(clauses.values()) for each, clauses in reporter.clauses.items()}
    if len(found) < len(entries):
        raise HarnessError(f"pytest could not run the contracts ({code!r}): pip install --upgrade pytest")
    return found


@contextmanager
def _environment() -> Iterator[None]:
    """The user's own options and plug-ins of pytest have no say here."""
    changes = {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Reporter:
    """Collects what pytest finds out."""

    def __init__(self) -> None:
        self.clauses: dict[tuple[str, str], dict[str, Clause]] = {}

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Take the outcome of a test, and of what it is prepared with if that fails."""
        if call.when != "call" and call.excinfo is None:
            return
        import pytest

        words = item.originalname.removeprefix("test_").replace("_s_", "'s ").replace("_", " ")
        clauses = self.clauses.setdefault((item.cls.kind, item.callspec.params["name"]), {})
        clause = clauses.setdefault(words, Clause(words, inspect.getdoc(item.function) or ""))
        if call.excinfo is None:
            clause.passed += 1
        elif isinstance(call.excinfo.value, pytest.skip.Exception):
            clause.skipped.append(str(call.excinfo.value))
        else:
            clause.failures.append(_found(call.excinfo.value, _shape(item)))


def _shape(item: Any) -> Sequence[str]:
    """What a test was tried with, beside the name of the plug-in."""
    return [f"{name} {value}" for name, value in item.callspec.params.items() if name != "name"]


def _found(error: BaseException, given: Sequence[str]) -> str:
    """What was found, and with what."""
    text = str(error) or type(error).__name__
    if not isinstance(error, AssertionError | HarnessError):
        text = f"{type(error).__name__}: {error} ({registry.place(error)})"
    if isinstance(error, AssertionError) and not str(error):
        text = "this does not hold"
    return f"found: {text}" + (f" (with {', '.join(given)})" if given else "")

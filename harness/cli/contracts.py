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
QUIET = [word for name in ("terminal", "cacheprovider", "faulthandler") for word in ("-p", f"no:{name}")]
ALONE = ["-o", "addopts=", "-c", os.devnull, "--import-mode=importlib"]
"""No settings of a file, and no two modules that are taken for one."""


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
        raise HarnessError("harness test needs pytest: pip install 'gan-harness[test]'") from error
    registry.add_files([path])
    for entry in _entries(path):
        yield True, f"{entry.name} ({entry.kind})"
        if entry.broken is not None:
            yield False, f"  FAIL  it {entry.broken}"
            continue
        for clause in _tried(entry):
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


def _tried(entry: Entry) -> list[Clause]:
    """The clauses of the contract of a plug-in, in their order."""
    import pytest

    reporter = _Reporter()
    with tempfile.TemporaryDirectory() as folder, _environment():
        test = Path(folder) / "test_contract.py"
        contract = CONTRACTS[entry.kind]
        test.write_text(
            f"from harness import testing\n\n\nclass TestIt(testing.{contract}):\n    names = [{entry.name!r}]\n",
            "utf-8",
        )
        code = pytest.main([str(test), "--rootdir", folder, *QUIET, *ALONE], plugins=[reporter])
    if not reporter.clauses:
        raise HarnessError(
            f"pytest could not run the contract of {entry.name} ({code!r}): pip install --upgrade pytest"
        )
    return list(reporter.clauses.values())


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
        self.clauses: dict[str, Clause] = {}

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Take the outcome of a test, and of what it is prepared with if that fails."""
        if call.when != "call" and call.excinfo is None:
            return
        import pytest

        words = item.originalname.removeprefix("test_").replace("_s_", "'s ").replace("_", " ")
        clause = self.clauses.setdefault(words, Clause(words, inspect.getdoc(item.function) or ""))
        if call.excinfo is None:
            clause.passed += 1
        elif isinstance(call.excinfo.value, pytest.skip.Exception):
            clause.skipped.append(str(call.excinfo.value))
        else:
            clause.failures.append(_found(call.excinfo.value, _shape(item)))


def _shape(item: Any) -> Sequence[str]:
    """What a test was tried with, beside the name of the plug-in."""
    given = getattr(item, "callspec", None)
    return [f"{name} {value}" for name, value in given.params.items() if name != "name"] if given is not None else []


def _found(error: BaseException, given: Sequence[str]) -> str:
    """What was found, and with what."""
    text = str(error) or type(error).__name__
    if not isinstance(error, AssertionError | HarnessError):
        text = f"{type(error).__name__}: {error} ({registry.place(error)})"
    if isinstance(error, AssertionError) and not str(error):
        text = "this does not hold"
    return f"found: {text}" + (f" (with {', '.join(given)})" if given else "")

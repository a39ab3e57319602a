"""What the shell proposes for a word: suites, arms, and names of plug-ins. A mistake in a suite proposes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError

if TYPE_CHECKING:
    from click import Context, Parameter


def suites(context: Context, parameter: Parameter, begun: str) -> list[str]:
    """The names of suites, and files and folders here."""
    from harness.suite import shipped

    head, _, _ = begun.rpartition("/")
    folder = Path(head) if head or not begun.startswith("/") else Path("/")
    here = [f"{path}/" if path.is_dir() else str(path) for path in sorted(folder.glob("*")) if _is_suite(path)]
    return _beginning([*shipped.names(), *here], begun)


def _is_suite(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or path.suffix in (".yaml", ".yml"))


def arms(context: Context, parameter: Parameter, begun: str) -> list[str]:
    """The arms of the suites that the command line has so far."""
    from harness.suite import read_suite
    from harness.suite.naming import cell_names

    # An option whose value is being typed ends click's reading: it leaves the suites among the words.
    words = [*(context.params.get("suites") or ()), context.params.get("suite"), *context.args]
    names: list[str] = []
    for path in map(Path, filter(None, words)):
        with contextlib.suppress(HarnessError):
            suite = read_suite(path, context.params.get("sets") or ())
            each = zip(suite.combinations, cell_names(suite.combinations, suite.names), strict=True)
            names += [name for combination, name in each if combination.excluded is None]
    return _beginning(names, begun)


def stored(context: Context, parameter: Parameter, begun: str) -> list[str]:
    """The arms of the store, and the keys of its trials once a word has begun."""
    from harness.store.runs import Store

    with contextlib.suppress(HarnessError):
        store = Store(context.params.get("results") or Path("results"))
        tags = [run.data.tags for run in (store.runs() if store.exists and store.local else ())]
        return _beginning([each["arm"] for each in tags] + [each["key"] for each in tags if begun], begun)
    return []


def plugins(context: Context, parameter: Parameter, begun: str) -> list[str]:
    """All names that a suite can use."""
    from harness.zoo import registry

    return _beginning(sorted({name for kind in registry.KINDS for name in registry.names(kind)}), begun)


def pages(context: Context, parameter: Parameter, begun: str) -> list[str]:
    """The names of the pages of the documentation."""
    from harness.cli import pages

    return _beginning(pages.pages(), begun)


def _beginning(words: Iterable[str], begun: str) -> list[str]:
    return [word for word in dict.fromkeys(words) if word.startswith(begun)]

"""The descriptions of plug-ins for the page: summary, paper, and the module docstring with the equations.

The equations of models and tricks are in the docstrings of their modules and nowhere else.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.report import words

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.zoo.registry import Entry


@dataclass(frozen=True)
class Block:
    """A part of a module docstring.

    Attributes:
        kind: "text", "list", or "equation" for indented lines.
        lines: the paragraph in one line, the items of the list, or the lines of the equation with their spaces.
    """

    kind: Literal["text", "list", "equation"]
    lines: list[str]


@dataclass(frozen=True)
class Explained:
    """The docstring of a model's or trick's module; ``names`` are the presets in it that the suite uses."""

    kind: str
    names: list[str]
    papers: list[str]
    blocks: list[Block]


def sources(results: Results) -> list[tuple[str, str, str, str]]:
    """Kind, name, summary and paper of every model, trick, data set and metric."""
    found = []
    for kind, name in _used(results):
        entry = _entry(kind, name)
        summary, paper = (entry.summary, entry.paper) if entry else ("no plug-in of this name is installed now", "")
        found.append((kind.removesuffix("s"), name, summary, paper))
    return found


def explained(results: Results) -> list[Explained]:
    """The explanations of all models and tricks, with the equations; one per module."""
    found: dict[str, Explained] = {}
    for kind, name in _used(results):
        entry = _entry(kind, name) if kind in ("models", "tricks") else None
        module = inspect.getmodule(entry.plugin) if entry else None
        text = inspect.cleandoc(module.__doc__ or "") if module else ""
        if entry is None or module is None or not text:
            continue
        own = found.setdefault(module.__name__, Explained(kind.removesuffix("s"), [], [], list(blocks(text))))
        own.names.append(name)
        if entry.paper and entry.paper not in own.papers:
            own.papers.append(entry.paper)
    return list(found.values())


def blocks(text: str) -> Iterator[Block]:
    """The paragraphs of a text. Prose is joined into one line; indented lines and list items are kept apart."""
    for paragraph in re.split(r"\n[ \t]*\n", text.strip("\n")):
        for indented, lines in _runs(paragraph.splitlines()):
            if indented:
                yield Block("equation", inspect.cleandoc("\n" + "\n".join(lines)).splitlines())
            elif re.match(r"(-|\d+\.) ", lines[0]):
                yield Block("list", _items(lines))
            else:
                yield Block("text", [" ".join(line.strip() for line in lines)])


def code_and_prose(text: str) -> list[tuple[bool, str]]:
    """The pieces of a text as (is code, piece): code is between double backticks."""
    return [(number % 2 == 1, piece) for number, piece in enumerate(text.split("``")) if piece]


def _used(results: Results) -> list[tuple[str, str]]:
    """Kind and name of every model, trick, data set and metric, each once."""
    names = {
        "models": [record.model for record in results.records],
        "tricks": [name for record in results.records for name in record.tricks.split(" + ") if name],
        "data": [record.data for record in results.records],
        "metrics": [metric.name for metric in results.plan.suite.evaluate.metrics],
    }
    return [(kind, name) for kind, found in names.items() for name in words.unique(found)]


def _entry(kind: str, name: str) -> Entry | None:
    """The plug-in of this name; None if it is not installed now (an old trial may have used it)."""
    from harness.base.errors import HarnessError
    from harness.zoo import registry

    try:
        return registry.find(kind, name)
    except HarnessError:
        return None


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Groups of neighbouring lines, as (indented by four spaces or more, lines)."""
    run: list[str] = []
    for line in lines:
        if run and line.startswith("    ") != run[0].startswith("    "):
            yield run[0].startswith("    "), run
            run = []
        run.append(line)
    if run:
        yield run[0].startswith("    "), run


def _items(lines: list[str]) -> list[str]:
    """The items of a list, each in one line; numbers are kept, dashes removed."""
    items: list[str] = []
    for line in lines:
        if items and not re.match(r"(-|\d+\.) ", line):
            items[-1] += " " + line.strip()
        else:
            items.append(line.removeprefix("- "))
    return items

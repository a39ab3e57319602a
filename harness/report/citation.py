"""How to cite the harness and a report, as BibTeX, with what makes the numbers of a report comparable."""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING

from harness.analysis import protocol
from harness.base import digests, version
from harness.report import words

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.store.record import Record

DIGITS = 12
"""Digits of a digest."""


def bibtex(results: Results) -> str:
    """Two entries: the harness, and this report of a suite (today's, with the digests of protocol and code)."""
    today = datetime.datetime.now(datetime.UTC).date()
    suite = results.plan.suite
    trials = words.count(len(results.records), "trial")
    facts = [f"suite {suite.name}", trials, *_protocol(results), *_code(results), f"written {today}"]
    title = suite.question.splitlines()[0] if suite.question else suite.name
    harness = {
        "title": "{GAN} harness: a benchmark harness for generative adversarial networks",
        "author": "{The GAN harness authors}",
        "year": str(today.year),
        "version": version.__version__,
    }
    report = {
        "title": _escaped(title),
        "year": str(today.year),
        "howpublished": "Report of the {GAN} harness",
        "note": _escaped("; ".join(facts)),
    }
    name = re.sub(r"[^A-Za-z0-9]+", "-", suite.name).strip("-").lower() or "suite"
    return f"{_entry('software', 'gan-harness', harness)}\n\n{_entry('misc', f'{name}-{today}', report)}"


def _protocol(results: Results) -> list[str]:
    """The digest of how the values were measured; of several protocols, their number."""
    found = {digests.of_value(protocol.of(record)) for record in _distinct(results) if protocol.of(record)}
    if len(found) > 1:
        return [f"{len(found)} protocols"]
    return [f"protocol {digest[:DIGITS]}" for digest in found]


def _distinct(results: Results) -> list[Record]:
    """A trial of each arm: the page warns on top where the trials of an arm differ."""
    return [next((one for one in results.of(arm) if one.done), results.of(arm)[0]) for arm in results.arms]


def _code(results: Results) -> list[str]:
    """The digest of all definitions that computed the values, and the commit."""
    each = {id(record.parts): record.parts for record in results.records}  # trials of one arm share them
    parts = {name: digest for own in each.values() for name, digest in own.items()}
    commits = words.unique(record.commit for record in results.records)
    code = [f"code {digests.of_value(sorted(parts.items()))[:DIGITS]}"] if parts else []
    return code + ([f"commit {commits[0][:DIGITS]}"] if len(commits) == 1 and commits[0] != "unknown" else [])


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _escaped(text: str) -> str:
    """A text for LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\~^&%$#_{}]", lambda found: special.get(found[0], f"\\{found[0]}"), text)

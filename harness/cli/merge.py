"""`harness merge`: what was taken from each store, and what was not, in lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.words import count, first, listed

if TYPE_CHECKING:
    from harness.analysis.merging import Merged


def told(merged: Merged, results: Path) -> Iterator[str]:
    """The lines for one store."""
    arms = Counter(record.arm for record in merged.taken)
    of = f" ({listed(first([f'{arm}: {n}' for arm, n in arms.items()]))})" if arms else ""
    here = f"; {count(merged.present, 'trial')} there already, with the same values" if merged.present else ""
    yield f"{merged.source}: {count(len(merged.taken), 'trial')} taken{of}{here}"
    if merged.left:
        states = ", ".join(f"{n} {state}" for state, n in sorted(merged.left.items()))
        yield f"  left, because they have no outcome that would be the same again: {states}"
    if merged.differing:
        yield (
            f"  {count(len(merged.differing), 'trial')} there already, with other values. Those in {results} are kept: "
            "verdicts that were shown may rest on them"
        )
        yield from (f"    {line}" for line in merged.differing)
    for arm, differences in merged.apart.items():
        yield (
            f"  {arm}: left, because its trials in {results} have another protocol, and an arm has one "
            f"({'; '.join(differences)})"
        )

"""What every file of benchmark rows uses: a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A row: two measurements that are made in pairs, and the ratio that is wanted of them.

    Attributes:
        name: unique over all rows.
        what: what is measured, for the page.
        wanted: the wanted value, in ``unit``.
        ours: one measurement; returns processor seconds, those of child processes included.
        other: the same for what it is compared with; None if that is not at hand.
        unit: of ``wanted``: "×" (other / ours), or "CPU-s" (ours).
    """

    name: str
    what: str
    wanted: float
    ours: Callable[[], float]
    other: Callable[[], float] | None = None
    unit: str = "×"

"""What a row of the benchmark suite is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A comparison: ``ours`` and ``other`` each do one measurement and return processor seconds."""

    name: str
    what: str
    wanted: float
    ours: Callable[[], float]
    other: Callable[[], float]
    unit: str = "×"

"""Made-up response surfaces whose tuning curves are known: for tests and measurements of harness/analysis/tuning.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.analysis import tuning
from harness.analysis.tuning import CellSearch


@dataclass(frozen=True)
class Surface:
    """An arm's value (lower is better) by how far a configuration is from the best one.

    A configuration is a point u, uniform in [0, 1); its value is ``best`` + ``slope`` · u^``shape``. A flat arm has a
    small slope: it needs no tuning. Values are a known function of u, and so is the median of the best of n.
    """

    best: float
    slope: float
    shape: float = 1.0

    def values(self, n: int, rng: np.random.Generator) -> list[float]:
        """The values of n random configurations."""
        return [float(value) for value in self.best + self.slope * rng.random(n) ** self.shape]

    def search(self, cell: str, n: int, seed: int) -> CellSearch:
        """A search of n random configurations."""
        return CellSearch(cell, tuple(self.values(n, np.random.default_rng(seed))), True, 1.0, None, math.nan)

    def median_of_best(self, n: int) -> float:
        """The median of the best of n: the least of n uniform numbers is below 1 − 2^(−1/n) with chance one half."""
        return float(self.best + self.slope * (1 - 0.5 ** (1 / n)) ** self.shape)

    @staticmethod
    def turn(one: Surface, other: Surface) -> int:
        """The last budget at which the first surface is better."""
        return next(n for n in range(1, 10_000) if other.median_of_best(n + 1) < one.median_of_best(n + 1))


ONE = Surface(best=10.0, slope=1.0)
"""Better untuned: its values lie close together."""
OTHER = Surface(best=0.0, slope=200.0, shape=2.25)
"""Better tuned."""


@dataclass
class Coverage:
    """What happened in simulated pairs of searches.

    Attributes:
        covered: pairs whose two bands hold both true curves at every budget.
        wrong: pairs in which a verdict at any budget names the worse surface.
        turned: pairs in which the verdict turns from the one to the other.
    """

    covered: int = 0
    wrong: int = 0
    turned: int = 0


def coverage(one: Surface, other: Surface, configurations: int, repetitions: int, seed: int) -> Coverage:
    """Simulate pairs of searches, and count whose bands hold and whose verdicts are right."""
    budgets = range(1, configurations + 1)
    truths = [np.array([surface.median_of_best(n) for n in budgets]) for surface in (one, other)]
    found = Coverage()
    for repetition in range(repetitions):
        searches = [one.search("one", configurations, seed=2 * repetition + seed * 1_000_003)]
        searches.append(other.search("other", configurations, seed=2 * repetition + 1 + seed * 1_000_003))
        curves = tuning.curves(searches, "minimize")
        inside = [
            bool(((curve.low <= truth) & (truth <= curve.high)).all())
            for curve, truth in zip(curves, truths, strict=True)
        ]
        found.covered += all(inside)
        stretches = tuning.stretches(curves[0], curves[1], "minimize")
        better = [stretch.better for stretch in stretches for _ in range(stretch.first, stretch.last + 1)]
        right = ["one" if truths[0][n - 1] < truths[1][n - 1] else "other" for n in budgets]
        found.wrong += any(said not in ("undecided", true) for said, true in zip(better, right, strict=True))
        found.turned += "one" in better and "other" in better
    return found

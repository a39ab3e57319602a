"""The levels of repeated looks: every look at growing data is paid for, so that all of them together err at most α.

Group-sequential levels (Jennison and Turnbull 2000): under "no difference", the statistics of looks at n₁ < n₂ < …
seeds are a random walk with independent increments. The chance that a look crosses its bound, and that none before it
did, is computed by integration over that walk (Armitage, McPherson and Rowe 1969). The sum of these chances is the
error that has been spent.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.analysis import distributions

Array = NDArray[np.float64]

GRID = 201
"""Points of the grid on which the walk's density is kept; odd, for Simpson's rule."""
DIVISORS = tuple(4.0**i for i in range(6))
"""Holm's procedure tests at α / j; levels are computed for these j, and interpolated between them."""
RESERVE = 0.05
"""The share of α that planned looks leave for looks that are planned later."""


def spent(seeds: Sequence[float], levels: Sequence[float]) -> list[float]:
    """The chance that each look is the first whose two-sided p-value is at most its level, without a difference."""
    bounds = distributions.normal_bound(np.asarray(levels, dtype=float) / 2)
    chances, density, grid = [], None, np.zeros(0)
    for look, bound in enumerate(bounds):
        if density is None:
            chances.append(float(levels[0]))
        else:
            chances.append(_crossing(seeds[look - 1], seeds[look], grid, density, bound))
        if look + 1 < len(bounds):
            grid, density = _carried(seeds, look, grid, density, bound)
    return chances


def _carried(
    seeds: Sequence[float], look: int, grid: Array, density: Array | None, bound: float
) -> tuple[Array, Array]:
    """The density of the statistic at a look, between its bounds, where no bound was crossed before."""
    new = np.linspace(-bound, bound, GRID)
    if density is None:
        return new, distributions.normal_density(new)
    before, now = seeds[look - 1], seeds[look]
    ratio, step = np.sqrt(before / now), np.sqrt(1 - before / now)
    kernel = distributions.normal_density((new[:, None] - ratio * grid[None, :]) / step) / step
    return new, kernel @ (density * _simpson(grid))


def _crossing(before: float, now: float, grid: Array, density: Array, bound: float) -> float:
    ratio, step = np.sqrt(before / now), np.sqrt(1 - before / now)
    beyond = distributions.normal_above((bound - ratio * grid) / step)
    beyond += distributions.normal_above((bound + ratio * grid) / step)
    return float(np.sum(beyond * density * _simpson(grid)))


def _simpson(grid: Array) -> Array:
    weights = np.full(len(grid), 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return np.asarray(weights * (grid[1] - grid[0]) / 3)


@functools.cache
def constant(seeds: tuple[int, ...], taken: tuple[float, ...], alpha: float) -> float:
    """The one level of all looks that are not taken yet, so that all looks together err with chance ``alpha``.

    Args:
        seeds: seeds an arm has at each look, rising.
        taken: the levels of the first looks, which were taken already.
        alpha: the error rate.
    """
    rest = len(seeds) - len(taken)

    def excess(level: float) -> float:
        return sum(spent(seeds, [*taken, *[level] * rest])) - alpha

    lowest = alpha * 1e-6
    return lowest if excess(lowest) >= 0 else _root(excess, lowest, alpha)


class Levels:
    """The level of one look, for every number of questions that Holm's procedure divides α by.

    Args:
        alpha: the error rate over all looks.
        points: the level of this look for each of ``DIVISORS``; None for a single look, at α / j.
        look: which look it is, from 1.
    """

    def __init__(self, alpha: float = 0.05, points: Sequence[float] | None = None, look: int = 1) -> None:
        self.alpha = alpha
        self.look = look
        self.points = None if points is None else tuple(points)

    def at(self, questions: int) -> float:
        """The level at which a p-value is tested if so many questions are left."""
        if self.points is None:
            return self.alpha / questions
        place = np.log(min(max(questions, 1), DIVISORS[-1])) / np.log(DIVISORS[1])
        own = float(np.exp(np.interp(place, range(len(DIVISORS)), np.log(self.points))))
        return own * min(1.0, DIVISORS[-1] / questions)


ONE = Levels()
"""A single look at the full level."""


def planned(schedule: Sequence[int], look: int, before: Sequence[Levels], alpha: float) -> Levels:
    """The levels of a look of a plan: one constant level for all planned looks.

    Args:
        schedule: seeds an arm has at each look.
        look: which look this is, from 1.
        before: the levels of the looks that were taken.
        alpha: the error rate.
    """
    points = []
    for divisor in DIVISORS:
        own = alpha / divisor
        taken = tuple(one.at(int(divisor)) for one in before)
        gone = sum(spent(schedule[: len(taken)], taken)) if taken else 0.0
        # Looks that are added when the plan is spent have half of what it left.
        share = max(own * (1 - RESERVE), gone + (own - gone) / 2) if len(schedule) > 1 else own
        points.append(max(constant(tuple(schedule), taken, share), 1e-12))
    return Levels(alpha, points, look)


def unplanned(seeds: Sequence[int], before: Sequence[Levels], alpha: float) -> Levels:
    """The levels of one more look that nobody planned: it spends half of what the looks before it left.

    Args:
        seeds: seeds an arm had at each look, this one last.
        before: the levels of the looks that were taken.
        alpha: the error rate.
    """
    rising = [float(n) for n in itertools.accumulate(seeds, lambda a, b: max(b, a * 1.001))]
    points = []
    for divisor in DIVISORS:
        taken = [one.at(int(divisor)) for one in before]
        rest = alpha / divisor - sum(spent(rising[: len(taken)], taken)) if taken else alpha / divisor
        points.append(max(_level(rising, taken, max(rest, 0.0) / 2), 1e-12))
    return Levels(alpha, points, len(seeds))


def _level(seeds: Sequence[float], taken: Sequence[float], chance: float) -> float:
    """The level of the last look at which it spends this much."""
    if not taken or chance <= 0:
        return chance
    lowest = chance * 1e-3
    return _root(lambda level: spent(seeds, [*taken, level])[-1] - chance, lowest, 1.0)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy import optimize  # slow to import; only suites with several looks need it

    return float(optimize.brentq(function, low, high, rtol=1e-4))

"""What searches of equal budget say: tuning curves with bands, where they part, and how far the winners' values hold.

A tuning curve is the best value that a search of n configurations finds, as a function of n. If configurations are
drawn independently (``sampler: random``), it follows from the distribution of the values of single configurations: the
median of the best of n is the quantile 1 − 2^(−1/n) of that distribution, counted from the good end. Every such curve
is a monotone function of the distribution, so a band that holds the whole distribution with 95 % confidence gives a
band that holds the whole curve, at every n at once (Lourie et al. 2023, "Show Your Work with Confidence"). Their
package ``opda`` computes the band of the distribution from the order statistics, by the beta distribution.

A failed configuration is an outcome: it counts as worse than every value.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.statistics import ALPHA

Direction = Literal["minimize", "maximize"]
Better = Literal["one", "other", "undecided"]
Array = NDArray[np.float64]

UNEQUAL = 1.25
"""Searches whose training took times that differ by more than this factor had no equal budget."""


MOST_SIMULATED = 100
"""Of more configurations than this the band is that of Kolmogorov and Smirnov, which is wider at the ends: that of the
order statistics is found by simulation, with memory and time in proportion to the configurations."""
LONGEST = 1000
"""The largest number of configurations on a curve."""


@dataclass(frozen=True)
class CellSearch:
    """What the search in one cell has tried, and what it chose.

    Attributes:
        cell: the cell's name.
        values: the value of each configuration, in the order of the search; NaN if it failed.
        independent: whether the configurations were drawn independently, and none was pruned.
        seconds: the training time of all its trials that the store has.
        winner: the arm that it chose; None before its end, and if no configuration has a value.
        chosen_by: the value that the winner was chosen by; NaN without a winner.
    """

    cell: str
    values: tuple[float, ...]
    independent: bool
    seconds: float
    winner: str | None
    chosen_by: float


@dataclass(frozen=True)
class Curve:
    """A tuning curve at n = 1, 2, … configurations.

    Attributes:
        cell: the cell's name.
        best: the median of the best of n; for dependent configurations the best of the first n of this one search.
        mean: the mean of the best of n (infinite where a failed configuration can be the best); NaN as for ``low``.
        low: lower bound of the band (NaN for dependent configurations: there is no band).
        high: upper bound.
        confidence: of all bands of the suite together: with this chance every curve lies in its band, at every n.
    """

    cell: str
    best: Array
    mean: Array
    low: Array
    high: Array
    confidence: float

    @property
    def banded(self) -> bool:
        """Whether it has a band."""
        return not np.isnan(self.low).any()


def curves(
    searches: Sequence[CellSearch], direction: Direction, scale: tuple[float, float] = (-math.inf, math.inf)
) -> list[Curve]:
    """The tuning curve of every search that has tried a configuration; their bands hold together."""
    tried = [search for search in searches if search.values]
    level = 1 - ALPHA / max(1, len(tried))
    return [_curve(search, direction, scale, level) for search in tried]


def _curve(search: CellSearch, direction: Direction, scale: tuple[float, float], level: float) -> Curve:
    minimise = direction == "minimize"
    worst = scale[1] if minimise else scale[0]
    values = np.nan_to_num(np.asarray(search.values, dtype=float), nan=worst)
    if not search.independent:
        best = (np.minimum if minimise else np.maximum).accumulate(values)[:LONGEST]
        nothing = np.full(len(best), np.nan)
        return Curve(search.cell, best, nothing, nothing, nothing, 1 - ALPHA)
    n = np.arange(1, min(len(values), LONGEST) + 1)
    lowest, highest = min(scale[0], values.min()), max(scale[1], values.max())
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # Equal values: the band is wider than it need be, and still holds.
        warnings.filterwarnings("ignore", "Duplicates detected", RuntimeWarning)
        from opda.nonparametric import EmpiricalDistribution

        bands = EmpiricalDistribution.confidence_bands(
            values,
            level,
            a=lowest,
            b=highest,
            generator=_generator(len(values), level),
            method="ld_equal_tailed" if len(values) <= MOST_SIMULATED else "ks",
            n_jobs=1,
        )
        # The lower band of the distribution function has the larger values: it is the upper band of the curve.
        high, best, low = (band.quantile_tuning_curve(n, minimize=minimise) for band in bands)
    mean = np.array([_mean_of_best(np.sort(values if minimise else -values), int(size)) for size in n])
    return Curve(search.cell, best, mean if minimise else -mean, low, high, 1 - ALPHA)


@functools.cache
def _generator(n: int, level: float) -> np.random.Generator:
    """The random numbers of a band's critical value: the same in every report. opda computes it once for each."""
    return np.random.default_rng([n, round(level * 1e9)])


def _mean_of_best(ascending: Array, size: int) -> float:
    """The mean over all subsets of this size of their lowest value: the unbiased estimate."""
    n = len(ascending)
    # The value of rank r is the lowest of C(n − r, size − 1) of the C(n, size) subsets; here by ratios of neighbours.
    rank = np.arange(1, n - size + 1)
    shares = size / n * np.cumprod(np.concatenate([[1.0], (n - rank - size + 1) / (n - rank)]))
    return float(shares @ ascending[: len(shares)])


@dataclass(frozen=True)
class Stretch:
    """Budgets from ``first`` to ``last`` configurations at which one of two cells is better, or neither is."""

    first: int
    last: int
    better: Better


def stretches(one: Curve, other: Curve, direction: Direction) -> list[Stretch]:
    """Where one curve is better than the other: where their bands do not touch. Empty without bands."""
    if not (one.banded and other.banded):
        return []
    n = min(len(one.best), len(other.best))
    below, above = one.high[:n] < other.low[:n], one.low[:n] > other.high[:n]
    wins, loses = (below, above) if direction == "minimize" else (above, below)
    kinds: list[Better] = ["one" if w else "other" if l_ else "undecided" for w, l_ in zip(wins, loses, strict=True)]
    found, first = [], 1
    for kind, group in groupby(kinds):
        last = first + len(list(group)) - 1
        found.append(Stretch(first, last, kind))
        first = last + 1
    return found


def unequal_trials(searches: Sequence[CellSearch]) -> bool:
    """Whether the searches have tried different numbers of configurations."""
    return len({len(search.values) for search in searches}) > 1


def unequal_seconds(searches: Sequence[CellSearch]) -> tuple[CellSearch, CellSearch] | None:
    """The searches with the shortest and the longest training, if that differs by more than ``UNEQUAL``."""
    timed = sorted((search for search in searches if search.seconds > 0), key=lambda search: search.seconds)
    if not timed or timed[-1].seconds <= UNEQUAL * timed[0].seconds:
        return None
    return timed[0], timed[-1]


def table(found: Sequence[Curve]) -> pd.DataFrame:
    """One row per cell and budget, as in tuning.csv; a bound or mean that is infinite is empty."""
    rows = [
        (curve.cell, n + 1, curve.best[n], curve.low[n], curve.high[n], curve.mean[n])
        for curve in found
        for n in range(len(curve.best))
    ]
    frame = pd.DataFrame(rows, columns=["cell", "configurations", "best", "low", "high", "expected_best"])
    return frame.replace([np.inf, -np.inf], np.nan)

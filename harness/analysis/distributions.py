"""The distributions of the tests, by scipy.special.

scipy.stats has them all, but importing it takes a third of a second, at every command. Arguments broadcast; NaN where
a parameter is out of its range. tests/analysis/test_distributions.py holds every function equal to that of scipy.stats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import special


def t_above(x: ArrayLike, freedom: ArrayLike) -> Any:
    """The chance that Student's t exceeds x."""
    return special.stdtr(freedom, np.negative(x))


def t_bound(chance: ArrayLike, freedom: ArrayLike) -> Any:
    """What Student's t exceeds with this chance."""
    return -special.stdtrit(freedom, chance)


def noncentral_t_above(x: ArrayLike, freedom: ArrayLike, shift: ArrayLike) -> Any:
    """The chance that the t of a normal mean ``shift`` standard errors away from 0 exceeds x."""
    return 1 - special.nctdtr(freedom, shift, x)


def normal_above(x: ArrayLike) -> Any:
    """The chance that a standard normal number exceeds x."""
    return special.ndtr(np.negative(x))


def normal_bound(chance: ArrayLike) -> Any:
    """What a standard normal number exceeds with this chance."""
    return -special.ndtri(chance)


def normal_density(x: ArrayLike) -> Any:
    """The density of the standard normal distribution."""
    return np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi)


def f_above(x: ArrayLike, freedom: ArrayLike, freedom_below: ArrayLike) -> Any:
    """The chance that F exceeds x; the degrees of freedom of its numerator and of its denominator."""
    return special.fdtrc(freedom, freedom_below, x)


def hypergeometric(k: ArrayLike, total: int, marked: int, drawn: int) -> Any:
    """The chance of k marked ones among ``drawn`` of ``total``, of which ``marked`` are marked."""
    k = np.asarray(k)
    ways = _log_choose(marked, k) + _log_choose(total - marked, drawn - k) - _log_choose(total, drawn)
    return np.exp(ways)


def _log_choose(n: ArrayLike, k: ArrayLike) -> Any:
    return special.gammaln(np.add(n, 1)) - special.gammaln(np.add(k, 1)) - special.gammaln(np.subtract(n, k) + 1)


def fisher_above(table: tuple[tuple[int, int], tuple[int, int]]) -> float:
    """One-sided p-value of Fisher's exact test: the chance of so large a first number, or a larger one, by chance."""
    (a, b), (c, d) = table
    possible = np.arange(a, min(a + b, a + c) + 1)
    return min(1.0, float(hypergeometric(possible, a + b + c + d, a + c, a + b).sum()))


def wilson(successes: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share (Wilson 1927, equation 6)."""
    z = float(normal_bound((1 - confidence) / 2))
    share, shrunk = successes / n, 1 + z**2 / n
    centre = (share + z**2 / (2 * n)) / shrunk
    half = z / shrunk * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if successes == 0 else centre - half
    return float(low), float(1.0 if successes == n else centre + half)

"""How uncertain the difference of two arms is: spread shared between the arms of a suite (moderated variance).

Few seeds say little about the spread of one arm, but a suite has many arms. Smyth (2004, "Linear models and empirical
Bayes methods", limma) therefore mixes the variance of each arm with a common one: s̃² = (d₀ s₀² + d s²) / (d₀ + d),
where d₀ says how alike the variances of the arms are. Three changes keep the error rate where his assumptions fail
(``docs/statistics.md`` has the simulations):

- d₀ is at most a quarter of the degrees of freedom of the arms that are not compared: two arms share nothing.
- s₀² moves to the mean of all variances where these are very unlike (small d₀), for example because arms collapsed.
- An arm whose variance stands out upwards shares less (as limma's robust form does), and the baseline soonest: it is
  in every comparison.

All functions take arrays whose last axis is the arms and whose first axes, if any, are independent repetitions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis import distributions

Array = NDArray[np.float64]

SHARED = 0.25
"""The largest d₀, as a share of the degrees of freedom of the other arms."""
UNLIKE = 2.5
"""The d₀ at which s₀² lies half-way (in logarithms) between Smyth's and the mean of all variances."""
OUTLYING, OUTLYING_BASELINE = 0.2, 0.7
"""An arm with a variance whose upper tail probability p is below this shares only p / this of d₀."""
TRUSTED = 8.0
"""Degrees of freedom of the other arms at which Satterthwaite's approximation is believed half."""
DOUBTED = 3.5
"""The d₀ at which it is believed half as much again: where variances are very unlike, it promises too much."""
OUTLYING_SUM = 3.0
"""As ``OUTLYING``, for each arm of a sum of four or more: each of them can decide the sum's error."""
BELIEVED = 0.5
"""How far Satterthwaite's approximation is believed in such a sum."""
PAIRED = 0.01
"""Arms are paired by seed if the test of "seeds have no common effect" has a p-value below this."""
EQUAL = 1e-12
"""A variance below this share of the squared values is rounding, and counts as 0."""


@dataclass(frozen=True)
class Spread:
    """The moderated variance of each arm (of one value), its degrees of freedom, and d₀ before it is limited."""

    variance: Array
    freedom: Array
    alike: Array


def variances(groups: Array) -> tuple[Array, Array, Array]:
    """Mean, variance and number of the values of each arm; groups: (…, arms, seeds), NaN where there is none.

    The variance of fewer than two values is NaN; that of values that differ by rounding alone is 0.
    """
    n = np.isfinite(groups).sum(-1)
    values = np.where(np.isfinite(groups), groups, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.sum(-1) / n
        squares = np.where(np.isfinite(groups), (groups - mean[..., None]) ** 2, 0.0).sum(-1)
        variance = squares / np.where(n > 1, n - 1, np.nan)
        size = (values**2).sum(-1) / n
    return mean, np.where(variance <= EQUAL * size, 0.0, variance), n


def moderated(variance: Array, n: Array, baseline: int | None = 0, weights: Array | None = None) -> Spread:
    """The moderated variances; NaN for arms with fewer than two values.

    Args:
        variance: (…, arms) the variance of each arm's values.
        n: (…, arms) their number.
        baseline: the position of the arm that all others are compared with; None if there is none.
        weights: (arms,) the weights of a sum of four arms or more (``combined``), 0 for an arm that is not in it.
    """
    d = np.where(n > 1, n - 1.0, np.nan)
    arms = np.isfinite(d).sum(-1)
    compared = 2 if weights is None else np.count_nonzero(weights)
    others = np.nansum(d, -1) * np.clip(arms - compared, 0, None) / np.maximum(arms, 1)
    prior, common, alike = _prior(variance, d, others)
    prior = prior[..., None] * np.ones_like(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = distributions.f_above(variance / common[..., None], d, np.maximum(prior, 1e-6))
    threshold = np.full(variance.shape[-1], OUTLYING)
    if baseline is not None:
        threshold[baseline] = OUTLYING_BASELINE
    if weights is not None:
        threshold[weights != 0] = OUTLYING_SUM
    prior = prior * np.minimum(1.0, np.nan_to_num(tail, nan=1.0) / threshold)
    return Spread((prior * common[..., None] + d * variance) / (prior + d), prior + d, alike)


def _prior(variance: Array, d: Array, others: Array) -> tuple[Array, Array, Array]:
    """d₀, s₀² and Smyth's own d₀ (2004, section 6.2) of each repetition, with the first two changes of this module."""
    mean = np.nansum(d * variance, -1) / np.maximum(np.nansum(d, -1), 1.0)
    known = np.isfinite(variance)
    count = np.maximum(known.sum(-1), 1)
    # A variance of 0 (all seeds agree) has no logarithm. It counts as very small, so that the arms share little.
    safe = np.maximum(variance, np.maximum(1e-8 * mean[..., None], 1e-300))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(safe) - special.digamma(d / 2) + np.log(d / 2)
    centre = np.nansum(np.where(known, logs, 0.0), -1) / count
    squares = np.where(known, (logs - centre[..., None]) ** 2, 0.0).sum(-1)
    sampling = np.where(known, special.polygamma(1, d / 2), 0.0).sum(-1) / count
    excess = squares / np.maximum(count - 1, 1) - sampling
    alike = np.where(excess > 1e-4, 2 * _inverse_trigamma(np.maximum(excess, 1e-4)), 1e6)
    prior = np.minimum(alike, np.maximum(SHARED * others, 1e-6))
    weight = 1 / (1 + (alike / UNLIKE) ** 2)
    with np.errstate(divide="ignore"):
        smyth = centre + special.digamma(prior / 2) - np.log(prior / 2)
        common = np.exp(weight * np.log(np.maximum(mean, 1e-300)) + (1 - weight) * smyth)
    return prior, np.where(others > 0, common, mean), alike


def _inverse_trigamma(x: Array) -> Array:
    """y with trigamma(y) = x, by Newton's iteration on 1 / trigamma (Smyth 2004, appendix)."""
    y = 0.5 + 1 / x
    for _ in range(20):
        trigamma = special.polygamma(1, y)
        y = y + trigamma * (1 - trigamma / x) / special.polygamma(2, y)
    return np.asarray(y)


def compared(spread: Spread, n: Array, baseline: int = 0) -> tuple[Array, Array]:
    """Standard error of (mean of each arm − mean of the baseline), and its degrees of freedom; (…, arms).

    The degrees of freedom lie between the smaller of the two arms', which is safe at any variances, and
    Satterthwaite's, which is right for large ones: the more other arms there are, the nearer to the latter.
    """
    share = spread.variance / n
    own = share[..., baseline, None]
    df = spread.freedom[..., baseline, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        satterthwaite = (share + own) ** 2 / (share**2 / spread.freedom + own**2 / df)
    smaller = np.minimum(spread.freedom, df)
    d = np.where(n > 1, n - 1.0, 0.0)
    arms = np.maximum((d > 0).sum(-1), 1)
    others = d.sum(-1) * np.clip(arms - 2, 0, None) / arms
    trust = (others / (others + TRUSTED) * spread.alike**2 / (spread.alike**2 + DOUBTED**2))[..., None]
    satterthwaite = np.where(np.isfinite(satterthwaite), satterthwaite, smaller)
    return np.sqrt(share + own), smaller ** (1 - trust) * satterthwaite**trust


def combined(spread: Spread, n: Array, weights: Array) -> tuple[Array, Array]:
    """Standard error of a weighted sum of the arms' means, and its degrees of freedom; (…,).

    The degrees of freedom are the geometric mean of the smallest of its arms' and Satterthwaite's: the first is too
    careful for a sum of four arms or more, and the second promises too much where one arm has most of the variance.

    Args:
        spread: the variances, moderated with these weights.
        n: (…, arms) the number of values.
        weights: (arms,) 0 for an arm that is not in the sum.
    """
    inside = weights != 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(inside, weights**2 * spread.variance / n, 0.0)
        total = share.sum(-1)
        satterthwaite = total**2 / np.where(inside, share**2 / spread.freedom, 0.0).sum(-1)
    smallest = np.where(inside, spread.freedom, np.inf).min(-1)
    satterthwaite = np.where(np.isfinite(satterthwaite), satterthwaite, smallest)
    return np.sqrt(total), smallest ** (1 - BELIEVED) * satterthwaite**BELIEVED


def seeds_matter(groups: Array) -> Array:
    """p-value of "the seeds have no effect that all arms share", by the F test of a two-way layout; (…,).

    groups: (…, arms, seeds) without gaps. 1 with fewer than two arms or three seeds.
    """
    arms, seeds = groups.shape[-2:]
    if arms < 2 or seeds < 3:
        return np.ones(groups.shape[:-2])
    centred = groups - groups.mean(-1, keepdims=True)
    shared = centred.mean(-2)
    between = arms * (shared**2).sum(-1) / (seeds - 1)
    within = ((centred - shared[..., None, :]) ** 2).sum((-1, -2)) / ((arms - 1) * (seeds - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        p = distributions.f_above(between / within, seeds - 1, (arms - 1) * (seeds - 1))
    return np.asarray(np.nan_to_num(p, nan=1.0))

"""Intervals, tests and verdicts over seeds: arrays in, numbers out.

All rests on Student's t, because suites have few seeds. A percentile bootstrap over three seeds covers the true mean
in 76 % of cases instead of the nominal 95 %: it can only resample three values. The t interval has its nominal
coverage at any n for normal values, and comes near it for skewed ones (``docs/statistics.md`` has the measured
figures). Arms are paired by seed, so a verdict is the t interval of the differences; Holm's procedure corrects for
the number of arms.

A failed trial is an outcome too. Its value is NaN; it can prevent a verdict (see ``verdicts``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Better = Literal["lower", "higher"]
VerdictKind = Literal["better", "worse", "no difference larger than δ", "inconclusive"]
Limit = Literal["lowest", "highest", "constant"]
"""Why values cannot tell arms apart: all are the lowest or the highest possible, or one fraction to the last digit."""
Scale = tuple[float, float]
"""The lowest and the highest possible value of a metric."""
UNBOUNDED: Scale = (-math.inf, math.inf)

ALPHA = 0.05
"""The largest chance that a suite calls any arm different that is not (family-wise error rate)."""
POWER = 0.8
"""The chance that the estimated number of further seeds settles the question."""
MOST_SEEDS = 1000
"""The largest number of seeds that ``seeds_needed`` tries."""


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval, in the unit of the values; NaN if there is none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """The verdict on an arm against the baseline, by paired seeds.

    Attributes:
        kind: the verdict.
        effect: mean over the paired seeds of arm − baseline, in the unit of the metric (NaN without a pair).
        low: lower bound of the interval of the effect (NaN with fewer than two pairs).
        high: upper bound.
        confidence: the confidence of that interval: the level at which Holm's procedure tested the arm.
        n: pairs, that is, seeds on which both arms gave a value.
        p: p-value of no difference, corrected for the number of arms (Holm).
        improvement: probability of improvement, in [0, 1].
        delta: the difference below which two arms count as equal.
        further: the estimated number of further seeds that settle an inconclusive verdict; None if it is settled, or
            if there is no estimate (fewer than two pairs, or more than ``MOST_SEEDS``).
        held: whether only failed trials prevent a verdict: the finished pairs alone would settle it at the levels of
            Holm's procedure.
        limit: where the values of both arms are at a limit of the metric; None if they are not. There is no verdict of
            equality there: beyond its limit the metric sees no difference.
        failed: trials of the arm without a value.
        trials: all trials of the arm.
        baseline_failed: trials of the baseline without a value.
        baseline_trials: all trials of the baseline.
    """

    kind: VerdictKind
    effect: float
    low: float
    high: float
    confidence: float
    n: int
    p: float
    improvement: float
    delta: float
    further: int | None
    held: bool
    limit: Limit | None
    failed: int
    trials: int
    baseline_failed: int
    baseline_trials: int


def interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of n values and its Student-t interval: mean ± t(n − 1) · sd / √n.

    Not a bootstrap: over three seeds a percentile bootstrap covers far less than its nominal level. Values that
    are not finite are left out. One value has no interval (NaN bounds); without values the mean is NaN too.
    """
    x = _finite(values)
    if len(x) == 0:
        return Interval(np.nan, np.nan, np.nan)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, np.nan, np.nan)
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) * _standard_error(x)
    return Interval(mean, mean - half, mean + half)


def limit(values: ArrayLike, scale: Scale = UNBOUNDED) -> Limit | None:
    """The limit at which all values are; None if they are not at one, or if there is none.

    Two or more equal values that are no whole numbers are at an unknown limit: seeds do not agree to the last digit.
    """
    x = _finite(values)
    if len(x) == 0 or np.ptp(x) != 0:
        return None
    lowest, highest = (math.isclose(x[0], end, rel_tol=1e-6, abs_tol=1e-9) for end in scale)
    if lowest or highest:
        return "lowest" if lowest else "highest"
    return "constant" if len(x) > 1 and not float(x[0]).is_integer() else None


def interquartile_mean(values: ArrayLike) -> float:
    """The mean without the lowest and the highest quarter (25 % trimmed mean; Agarwal et al. 2021).

    A quarter is rounded down: for three values or fewer it is the plain mean.
    """
    x = _finite(values)
    return float(stats.trim_mean(x, 0.25)) if len(x) else np.nan


def probability_of_improvement(arm: ArrayLike, baseline: ArrayLike, better: Better) -> float:
    """The chance that a trial of the arm beats a trial of the baseline, over all pairs of trials.

    Agarwal et al. 2021: the Mann-Whitney U statistic (a tie counts half) divided by the number of pairs, in [0, 1].
    """
    difference = _finite(arm)[:, None] - _finite(baseline)[None, :]
    if difference.size == 0:
        return np.nan
    wins = difference < 0 if better == "lower" else difference > 0
    return float(np.mean(wins + 0.5 * (difference == 0)))


def failure_rate(failed: int, trials: int, confidence: float = 0.95) -> Interval:
    """The share of failed trials, with Wilson's interval, in [0, 1]; NaN without trials."""
    if trials == 0:
        return Interval(np.nan, np.nan, np.nan)
    bounds = stats.binomtest(failed, trials).proportion_ci(confidence, method="wilson")
    return Interval(failed / trials, float(bounds.low), float(bounds.high))


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's procedure, in the order given; NaN counts as 1."""
    raw = np.nan_to_num(np.asarray(p, dtype=float), nan=1.0)
    order = np.argsort(raw, kind="stable")
    factors = np.arange(len(raw), 0, -1)
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(np.maximum.accumulate(raw[order] * factors), 1.0)
    return [float(value) for value in corrected]


def verdict(
    arm: Mapping[int, float],
    baseline: Mapping[int, float],
    better: Better,
    delta: float,
    alpha: float = ALPHA,
) -> Verdict:
    """The verdict on a single arm; see ``verdicts``."""
    return verdicts({"arm": arm}, baseline, better, delta, alpha)["arm"]


def verdicts(
    arms: Mapping[str, Mapping[int, float]],
    baseline: Mapping[int, float],
    better: Better,
    delta: float,
    alpha: float = ALPHA,
    scale: Scale = UNBOUNDED,
) -> dict[str, Verdict]:
    """A verdict on every arm against the baseline.

    Each arm is one paired t test. Over all arms, the chance of calling an arm better or worse that equals the
    baseline is at most ``alpha``; so is the chance of calling an arm equal that differs by ``delta``.

    - ``no difference larger than δ``: equality is shown, by two one-sided tests against ±δ under their own Holm
      procedure (also if the interval excludes 0: a difference below δ does not matter to the user). Not if all values
      of both arms are at a limit of the metric (``limit``).
    - ``better``, ``worse``: equality is not shown, and the interval excludes 0.
    - ``inconclusive``: neither.

    If trials failed, the verdict must hold twice: on the finished pairs, and with every failed trial counted as the
    worst value of any finished trial. So an arm that fails on most seeds is not called better or equal for the few
    seeds that it survived. Effect and interval are those of the finished pairs.

    Args:
        arms: value by seed of each arm; NaN for a failed trial.
        baseline: value by seed of the baseline; NaN for a failed trial.
        better: which direction is better.
        delta: the difference below which two arms count as equal, in the unit of the values.
        alpha: the error rate.
        scale: the lowest and the highest possible value.
    """
    fill = worst([value for arm in (*arms.values(), baseline) for value in arm.values()], better)
    return answers({name: Question(arm, baseline, better, delta, fill, scale) for name, arm in arms.items()}, alpha)


@dataclass(frozen=True)
class Question:
    """The question whether one arm differs from another on one metric.

    Attributes:
        arm: value by seed of the one; NaN for a failed trial.
        baseline: value by seed of the other; NaN for a failed trial.
        better: which direction is better.
        delta: the difference below which the two count as equal, in the unit of the values.
        fill: the value that a failed trial counts as.
        scale: the lowest and the highest possible value.
    """

    arm: Mapping[int, float]
    baseline: Mapping[int, float]
    better: Better
    delta: float
    fill: float
    scale: Scale = UNBOUNDED


def answers(questions: Mapping[str, Question], alpha: float = ALPHA) -> dict[str, Verdict]:
    """A verdict on every question, corrected for their number as in ``verdicts``. Questions may differ in metric."""
    asked = list(questions.values())
    finished = [_paired(q.arm, q.baseline) for q in asked]
    filled = [_paired(_filled(q.arm, q.fill), _filled(q.baseline, q.fill)) for q in asked]
    raw = [_p_both(one, other) for one, other in zip(finished, filled, strict=True)]
    raw_equal = [
        max(_p_equivalence(one, q.delta), _p_equivalence(other, q.delta))
        for q, one, other in zip(asked, finished, filled, strict=True)
    ]
    different = [Tested(*both) for both in zip(holm(raw), _holm_levels(raw, alpha), strict=True)]
    equal = [Tested(*both) for both in zip(holm(raw_equal), _holm_levels(raw_equal, alpha), strict=True)]
    return {
        name: _verdict(question, alpha, finished[i], different[i], equal[i])
        for i, (name, question) in enumerate(questions.items())
    }


class Tested(NamedTuple):
    """A test under Holm's procedure: its corrected p-value, and the level at which it was tested."""

    p: float
    level: float


def _verdict(
    question: Question, alpha: float, differences: NDArray[np.float64], different: Tested, equal: Tested
) -> Verdict:
    """The verdict that follows from the tests of a difference and of equality."""
    arm, baseline, better, delta = question.arm, question.baseline, question.better, question.delta
    effect, low, high = interval(differences, 1 - different.level)
    kind: VerdictKind = "inconclusive"
    at_limit = limit([*arm.values(), *baseline.values()], question.scale)
    if equal.p <= alpha:
        kind = "inconclusive" if at_limit else "no difference larger than δ"
    elif different.p <= alpha:
        kind = "better" if (effect < 0) == (better == "lower") else "worse"
    # Only failed trials prevent a verdict that the finished pairs alone would give.
    settled = _p_difference(differences) <= different.level or _p_equivalence(differences, delta) <= equal.level
    failed, baseline_failed = (len(side) - len(_finite(list(side.values()))) for side in (arm, baseline))
    held = kind == "inconclusive" and settled and at_limit is None
    return Verdict(
        kind,
        effect,
        low,
        high,
        confidence=1 - different.level,
        n=len(differences),
        p=different.p,
        improvement=probability_of_improvement(list(arm.values()), list(baseline.values()), better),
        delta=delta,
        further=None
        if held or at_limit or kind != "inconclusive"
        else _further(differences, delta, different.level, equal.level),
        held=held,
        limit=at_limit,
        failed=failed,
        trials=len(arm),
        baseline_failed=baseline_failed,
        baseline_trials=len(baseline),
    )


def worst(values: ArrayLike, better: Better) -> float:
    """The worst of the values: failed trials count as it in verdicts and rankings. NaN without values."""
    x = _finite(values)
    if len(x) == 0:
        return np.nan
    return float(x.max() if better == "lower" else x.min())


def seeds_needed(
    effect: float,
    spread: float,
    delta: float,
    alpha: float = ALPHA,
    power: float = POWER,
    alpha_equal: float | None = None,
) -> int | None:
    """The number of paired seeds that settle a question with chance ``power``, by the power of the paired t test.

    Assumes normal differences with exactly this mean and standard deviation. Both are estimates from the seeds so
    far, so from few seeds the answer is right in order of magnitude only.

    Args:
        effect: the true mean difference.
        spread: the standard deviation of the differences over seeds.
        delta: the difference below which two arms count as equal.
        alpha: the two-sided level of the test.
        power: the chance.
        alpha_equal: the level of the test of equality, if it is not ``alpha``.

    Returns:
        The smallest number from 2 to ``MOST_SEEDS`` that shows a difference, or that shows that none is as large as
        ``delta``; None if there is no such number.
    """
    if not np.isfinite([effect, spread]).all() or spread <= 0:
        return None
    n = np.arange(2, MOST_SEEDS + 1)
    enough = _power_difference(effect, spread, n, alpha) >= power
    enough |= _power_equivalence(effect, spread, delta, n, alpha_equal or alpha) >= power
    return int(n[np.argmax(enough)]) if enough.any() else None


def _power_difference(effect: float, spread: float, n: NDArray[Any], alpha: float) -> NDArray[np.float64]:
    """The chance that the two-sided paired t test of n differences finds the effect."""
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    shift = abs(effect) / spread * np.sqrt(n)
    # Only the tail on the effect's side: a significant difference of the wrong sign settles nothing.
    found: NDArray[np.float64] = np.nan_to_num(stats.nct.sf(critical, n - 1, shift))
    return found


def _power_equivalence(
    effect: float, spread: float, delta: float, n: NDArray[Any], alpha: float
) -> NDArray[np.float64]:
    """The chance that the 1 − alpha interval of n differences lies within ±delta (two one-sided t tests).

    The usual approximation: the sum of the powers of the two tests, minus 1. It can be below 0 for small n.
    """
    if abs(effect) >= delta:
        return np.zeros(len(n))
    critical = stats.t.ppf(1 - alpha / 2, n - 1)
    error = spread / np.sqrt(n)
    # Normal in place of noncentral t, which is slow and numerically unsafe at such large shifts.
    above = stats.norm.sf(critical - (effect + delta) / error)
    below = stats.norm.sf(critical - (delta - effect) / error)
    return np.asarray(above + below - 1)


def _further(differences: NDArray[np.float64], delta: float, alpha: float, alpha_equal: float) -> int | None:
    """The number of seeds to add, at least one, if the true effect and spread are those measured so far."""
    if len(differences) < 2:
        return None
    spread = float(differences.std(ddof=1))
    needed = seeds_needed(float(differences.mean()), spread, delta, alpha, alpha_equal=alpha_equal)
    return None if needed is None else max(needed - len(differences), 1)


def _p_difference(differences: NDArray[np.float64]) -> float:
    """Two-sided p-value of a mean difference of 0; NaN with fewer than two differences.

    If all differences are equal (counts, for example), there is no spread, and t would be infinite from two seeds
    on. The sign test replaces it: 2 · ½ⁿ, or 1 if all differences are 0.
    """
    n = len(differences)
    if n < 2:
        return np.nan
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else min(1.0, 2 * 0.5**n)
    return float(2 * stats.t.sf(abs(differences.mean()) / _standard_error(differences), n - 1))


def _p_both(finished: NDArray[np.float64], filled: NDArray[np.float64]) -> float:
    """The larger p-value of a difference, without and with failed trials; 1 if their means differ in sign."""
    if len(finished) < 2 or finished.mean() * filled.mean() < 0:
        return 1.0
    return max(_p_difference(finished), _p_difference(filled))


def _p_equivalence(differences: NDArray[np.float64], delta: float) -> float:
    """p-value of the two one-sided tests against ±delta; NaN with fewer than two differences.

    It is the smallest level whose two-sided interval lies within ±delta.
    """
    n = len(differences)
    if n < 2:
        return np.nan
    room = delta - abs(float(differences.mean()))
    if np.ptp(differences) == 0:
        return min(1.0, 2 * 0.5**n) if room > 0 else 1.0
    return float(min(1.0, 2 * stats.t.sf(room / _standard_error(differences), n - 1)))


def _holm_levels(p: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure tested each of m p-values.

    The smallest is tested at alpha / m, the next at alpha / (m − 1), and so on. From the first that is not rejected,
    all have the level of that one. So an interval of confidence 1 − level excludes 0 exactly if Holm's procedure
    rejects.
    """
    raw = np.nan_to_num(np.asarray(p, dtype=float), nan=1.0)
    levels = np.empty_like(raw)
    level, rejecting = alpha, True
    for step, position in enumerate(np.argsort(raw, kind="stable")):
        if rejecting:
            level = alpha / (len(raw) - step)
            rejecting = bool(raw[position] <= level)
        levels[position] = level
    return [float(value) for value in levels]


def _paired(arm: Mapping[int, float], baseline: Mapping[int, float]) -> NDArray[np.float64]:
    """arm − baseline on each seed on which both have a value, in the order of the seeds."""
    return _finite([arm[seed] - baseline[seed] for seed in sorted(arm.keys() & baseline.keys())])


def _filled(arm: Mapping[int, float], value: float) -> dict[int, float]:
    """The arm's values, with ``value`` in place of those that are not finite."""
    return {seed: own if np.isfinite(own) else value for seed, own in arm.items()}


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=float)
    finite: NDArray[np.float64] = x[np.isfinite(x)]
    return finite


def _standard_error(x: NDArray[np.float64]) -> float:
    return float(x.std(ddof=1) / np.sqrt(len(x)))


# --- two independent samples of seeds ---------------------------------------------------------------------


def welch_worse(values: ArrayLike, before: ArrayLike, better: Better) -> float:
    """One-sided p-value of "not worse than before", by Welch's t on two independent samples.

    NaN with fewer than two values on either side. If neither sample has a spread, t would be infinite: the
    permutation test replaces it, 1 / C(n + m, n) if all values are worse, and 1 otherwise.
    """
    x, y = _finite(values), _finite(before)
    if min(len(x), len(y)) < 2:
        return np.nan
    loss = float(x.mean() - y.mean()) * (1 if better == "lower" else -1)
    error, freedom = _welch(x, y)
    if error == 0:
        return 1 / math.comb(len(x) + len(y), len(x)) if loss > 0 else 1.0
    return float(stats.t.sf(loss / error, freedom))


def welch_detectable(values: ArrayLike, before: ArrayLike, level: float, power: float = POWER) -> float:
    """The smallest loss that ``welch_worse`` finds at this level with chance ``power``, given these spreads.

    (t(1 − level) + t(power)) · standard error, the usual approximation; infinite with fewer than two values on
    either side.
    """
    x, y = _finite(values), _finite(before)
    if min(len(x), len(y)) < 2:
        return np.inf
    error, freedom = _welch(x, y)
    if error == 0:
        return 0.0 if 1 / math.comb(len(x) + len(y), len(x)) <= level else np.inf
    return float((stats.t.isf(level, freedom) + stats.t.ppf(power, freedom)) * error)


def more_failures(failed: int, trials: int, failed_before: int, trials_before: int) -> float:
    """One-sided p-value of "no more failures than before", by Fisher's exact test."""
    table = [[failed, trials - failed], [failed_before, trials_before - failed_before]]
    return float(stats.fisher_exact(table, alternative="greater")[1])


def _welch(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch-Satterthwaite)."""
    # The variance of equal values may not be exactly 0 in floating point, because their mean is rounded.
    one, other = (0.0 if np.ptp(s) == 0 else float(s.var(ddof=1)) / len(s) for s in (x, y))
    if one + other == 0:
        return 0.0, 1.0
    return math.sqrt(one + other), (one + other) ** 2 / (one**2 / (len(x) - 1) + other**2 / (len(y) - 1))

"""One verdict over several data sets, made of the differences within each.

A suite with an axis ``data`` and ``compare.against`` has, for every arm, a comparison on each data set. The verdict
over them is on the mean of these differences, on the scale of the metric (of a ratio: the geometric mean of the
factors). Protocols differ between data sets, so their values are never ranked together: every score is taken relative
to the baseline's mean on the same data set, and divided by nothing.

Beside the verdict stands what rliable reports (Agarwal et al. 2021, "Deep reinforcement learning at the edge of the
statistical precipice"): the difference of interquartile means over runs × data sets, with an interval by the bootstrap
that is stratified by data set. With few seeds such an interval is too narrow (docs/comparing.md has its coverage): it
is widened, and no verdict rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis import distributions, family
from harness.analysis.family import Group
from harness.analysis.statistics import Interval, Sample

if TYPE_CHECKING:
    from harness.analysis.results import ArmVerdict, Results
    from harness.analysis.scales import Measure

Array = NDArray[np.float64]
REPETITIONS = 2000
"""Resamples of the bootstrap."""
COLUMNS = [
    *("arm", "data_sets", "metric", "verdict", "effect", "low", "high", "confidence", "p", "improvement", "delta"),
    *("iqm_effect", "iqm_low", "iqm_high", "n", "paired", "trials", "failed", "collapsed"),
    *("baseline_trials", "baseline_failed", "baseline_collapsed", "p_share", "look"),
]


# --- numbers ---------------------------------------------------------------------------------------------


def interquartile_mean(strata: Sequence[Array]) -> float:
    """The mean of all values of all strata without the lowest and the highest quarter (rliable's IQM)."""
    return float(_trimmed(np.concatenate(strata)[None])[0])


def _trimmed(values: Array) -> Array:
    """The 25 % trimmed mean of each row."""
    cut = values.shape[-1] // 4
    return np.asarray(np.sort(values, -1)[:, cut : values.shape[-1] - cut].mean(-1))


def bootstrap(
    arm: Sequence[Array], baseline: Sequence[Array], confidence: float = 0.95, repetitions: int = REPETITIONS
) -> Interval:
    """The difference of interquartile means, and its percentile interval by the stratified bootstrap (as rliable).

    Trials are drawn again with replacement within each stratum, for arm and baseline apart. The random numbers are
    the same for every call. Strata without a value make everything NaN.
    """
    if not all(len(stratum) for stratum in (*arm, *baseline)):
        return Interval(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(0)
    own, other = (
        _trimmed(
            np.concatenate([stratum[rng.integers(0, len(stratum), (repetitions, len(stratum)))] for stratum in side], 1)
        )
        for side in (arm, baseline)
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(own - other, [tail, 1 - tail])
    return Interval(interquartile_mean(arm) - interquartile_mean(baseline), float(low), float(high))


def widened(found: Interval, seeds: int, strata: int, confidence: float = 0.95) -> Interval:
    """An interval of the bootstrap, widened for few seeds.

    A resample of n trials has (n − 1) / n of their variance, and its quantiles are normal where those of an estimated
    variance are Student's: so both halves are multiplied by √(n / (n − 1)) · t / z, with 2 · strata · (n − 1) degrees
    of freedom. NaN bounds with fewer than two seeds.
    """
    if seeds < 2:
        return Interval(found.mean, np.nan, np.nan)
    tail = (1 - confidence) / 2
    ratio = float(distributions.t_bound(tail, 2 * strata * (seeds - 1)) / distributions.normal_bound(tail))
    factor = math.sqrt(seeds / (seeds - 1)) * ratio
    return Interval(found.mean, *(found.mean + factor * (bound - found.mean) for bound in (found.low, found.high)))


def normalised(arm: Sequence[Sample], baseline: Sequence[Sample], measure: Measure) -> tuple[list[Array], list[Array]]:
    """Scores of both by data set: values on the metric's scale minus the baseline's mean on that data set.

    A failed trial has the worst value of any finished one on its data set; collapsed trials have their own values. A
    data set without a finished trial of the baseline has no score.
    """
    scores: tuple[list[Array], list[Array]] = [], []
    for sides in zip(arm, baseline, strict=True):
        values = [np.array(list(side.values.values()), dtype=float) for side in sides]
        finished = np.concatenate(values)
        finished = finished[np.isfinite(finished)]
        if len(finished):
            worst = finished[int(np.argmax(measure.cost(finished)))]
            values = [np.where(np.isfinite(own), own, worst) for own in values]
        transformed = [measure.transformed(own) for own in values]
        centre = float(transformed[1].mean()) if len(finished) and len(transformed[1]) else math.nan
        for which, own in enumerate(transformed):
            scores[which].append(own - centre)
    return scores


# --- verdicts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """The verdict over several data sets.

    Attributes:
        of: the comparisons.
        verdict: the verdict on the mean of their differences.
        iqm: the difference of interquartile means as the scale tells it, with the widened interval of the bootstrap.
        kinds: the number of data sets with each kind of verdict of their own.
    """

    of: Group
    verdict: ArmVerdict
    iqm: Interval
    kinds: Mapping[str, int]


def found(results: Results) -> list[Found]:
    """The verdicts over several data sets, in the order of the arms."""
    answered = results.answered()
    return [_found(results, group) for group in family.groups(results.plan) if group.key in answered]


def _found(results: Results, group: Group) -> Found:
    measure = results.measure(results.metric)
    arm, baseline = ([Sample(results.by_seed(pair[side], results.metric)) for pair in group.pairs] for side in (0, 1))
    seeds = min(len(side.values) for side in (*arm, *baseline))
    iqm = widened(bootstrap(*normalised(arm, baseline, measure)), seeds, len(group.pairs))
    # Told as the effect of the verdict: for the mean of the baselines' means.
    means = [float(np.nanmean(measure.transformed(list(side.values.values())))) for side in baseline if side.rest]
    centre = float(np.mean(means)) if means else math.nan
    own = {(verdict.arm, verdict.baseline): verdict.kind for verdict in results.verdicts()}
    kinds = [own[pair] for pair in group.pairs]
    return Found(
        group,
        results.answered()[group.key],
        Interval(*(measure.effect(value, centre) for value in iqm)),
        {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
    )


def table(results: Results) -> pd.DataFrame:
    """One row per arm, as in across.csv. ``effect`` is on the scale of the metric, as in verdicts.csv."""
    numbers = ("effect", "low", "high", "confidence", "p", "improvement", "delta", "n", "paired", "trials", "failed")
    more = ("collapsed", "baseline_trials", "baseline_failed", "baseline_collapsed")
    rows = [
        {
            "arm": one.of.arm,
            "data_sets": ", ".join(one.of.data),
            "metric": results.metric,
            "verdict": one.verdict.kind,
            **{name: getattr(one.verdict, name) for name in (*numbers, *more)},
            "iqm_effect": one.iqm.mean,
            "iqm_low": one.iqm.low,
            "iqm_high": one.iqm.high,
            "p_share": one.verdict.share.p if one.verdict.share else np.nan,
            "look": one.verdict.settled or one.verdict.look,
        }
        for one in found(results)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)

"""Compares results with figures of the literature: consistent, contradicted, or cannot tell.

A figure of a paper is a mean over some runs, with an uncertainty of its own. So "our mean differs from 17.3" says
nothing as such; the question is whether it differs by more than both uncertainties allow. All figures and orders of a
suite are corrected together (Holm).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis import distributions, protocol, statistics
from harness.analysis.statistics import Question, Sample, Verdict
from harness.suite.cells import matches

if TYPE_CHECKING:
    from harness.analysis.questions import Outcomes
    from harness.suite import Expectation

Outcome = Literal["consistent", "contradicted", "cannot tell", "open"]


@dataclass(frozen=True)
class ArmMean:
    """The mean of an arm over n values of a metric, with its 95 % interval; NaN if there is none."""

    arm: str
    mean: float
    low: float
    high: float
    n: int
    failed: int
    """Trials that gave no value."""


@dataclass(frozen=True)
class Step:
    """One comparison of an expected order: is an arm better than another?

    Attributes:
        arm: the arm that is expected to be better.
        other: the arm that is expected to be worse.
        effect: the difference, as the metric's scale tells it (NaN without values).
        low: lower bound of the effect's interval (NaN without one).
        high: upper bound.
        n: seeds of the arm.
        p: p-value of no difference, corrected for all tests of the suite's expectations (Holm).
        outcome: consistent if the expected difference is found, contradicted if the opposite one is.
    """

    arm: str
    other: str
    effect: float
    low: float
    high: float
    n: int
    p: float
    outcome: Outcome


@dataclass(frozen=True)
class Finding:
    """An expectation and its result.

    Attributes:
        number: its position in the suite, from 1.
        expectation: the figure or order of the literature.
        places: the arms that it is about: one arm, or the arms at each place of an order, the best first.
        measured: the mean of each of these arms.
        steps: for an order: each arm at a place against each arm at the next place.
        p: of a figure: the p-value of "the same true mean", or of the bound; corrected for all tests of the suite's
            expectations. NaN for an order, and without a test.
        outcome: open while values are missing or protocols differ. Of a figure: contradicted if the difference cannot
            be chance; consistent if the interval of the difference lies within the expectation's bounds; else it
            cannot be told. Of an order: contradicted if a step is, consistent if all steps are. An arm whose trials
            all failed contradicts every figure.
    """

    number: int
    expectation: Expectation
    places: tuple[tuple[str, ...], ...]
    measured: tuple[ArmMean, ...]
    steps: tuple[Step, ...]
    p: float
    outcome: Outcome


@dataclass(frozen=True)
class _Test:
    """The tests of a figure for one arm: that it is contradicted, that it is consistent; p-values, uncorrected."""

    p_contradicted: float
    p_consistent: float


def findings(results: Outcomes) -> list[Finding]:
    """The result of each expectation of the suite: one per arm of an expected value, and one per order."""
    figures: list[tuple[Finding, _Test | None]] = []
    orders: list[tuple[Finding, list[Question | None]]] = []
    for number, expectation in enumerate(results.plan.suite.expect, start=1):
        places = tuple(_meant(results, where) for where in expectation.groups)
        if expectation.order is None:
            figures += [_figure(results, number, expectation, arm) for arm in places[0]]
        else:
            orders.append(_order(results, number, expectation, places))
    asked = {(i, j): q for i, (_, questions) in enumerate(orders) for j, q in enumerate(questions) if q is not None}
    answers = {key: statistics.verdict_alone(question) for key, question in asked.items()}
    tests = [test for _, test in figures if test is not None]
    corrected = iter(statistics.holm([*(test.p_contradicted for test in tests), *map(_p, answers.values())]))
    equal = iter(statistics.holm([test.p_consistent for test in tests]))
    found = [_decided(finding, test, corrected, equal) for finding, test in figures]
    for i, (finding, questions) in enumerate(orders):
        steps = tuple(
            _step(finding, j, answers.get((i, j)), next(corrected) if (i, j) in answers else math.nan, results)
            for j in range(len(questions))
        )
        found.append(replace(finding, steps=steps, outcome=_together(steps)))
    return sorted(found, key=lambda finding: finding.number)


def _meant(results: Outcomes, where: Mapping[str, object]) -> tuple[str, ...]:
    """The names of the arms that have these values on these axes; excluded arms are left out."""
    return tuple(cell.name for cell in results.plan.cells if not cell.excluded and matches(cell.combination, where))


def _measured(results: Outcomes, arm: str, column: str) -> ArmMean:
    alike = not protocol.among(results.of(arm), results.metric_of(column))
    values = np.asarray(list(results.by_seed(arm, column).values()) if alike else [], dtype=float)
    n = int(np.isfinite(values).sum())
    found = statistics.interval(values, measure=results.measure(column))
    return ArmMean(arm, *found, n=n, failed=len(values) - n)


def _hopeless(results: Outcomes, measured: ArmMean) -> bool:
    """Whether the arm has a trial for every seed, and all failed."""
    return measured.n == 0 and measured.failed >= len(results.plan.suite.seeds)


# --- figures ---------------------------------------------------------------------------------------------


def _figure(results: Outcomes, number: int, expectation: Expectation, arm: str) -> tuple[Finding, _Test | None]:
    """The figure for one arm; no test if its outcome is known without one."""
    measured = _measured(results, arm, expectation.metric)
    outcome: Outcome = "contradicted" if _hopeless(results, measured) else "open"
    if measured.n == 1:
        outcome = "cannot tell"
    finding = Finding(number, expectation, ((arm,),), (measured,), (), math.nan, outcome)
    values = [v for v in results.by_seed(arm, expectation.metric).values() if math.isfinite(v)]
    return finding, _tested(expectation, np.asarray(values)) if measured.n > 1 else None


def _tested(expectation: Expectation, values: NDArray[np.float64]) -> _Test:
    """Welch's t of our mean against the source's, and the two one-sided tests against the expectation's bounds.

    Without an uncertainty of the source, a mean beyond the bounds is what contradicts it.
    """
    n, mean = len(values), float(values.mean())
    own, theirs = float(values.var(ddof=1)) / n, expectation.error**2
    error = math.sqrt(own + theirs)
    freedom = (own + theirs) ** 2 / (own**2 / (n - 1) + theirs**2 / ((expectation.n or 2) - 1)) if error else n - 1.0
    low, high = expectation.bounds
    inside = max(_one_sided(mean - low, error, freedom), _one_sided(high - mean, error, freedom))
    if expectation.value is not None and theirs:
        return _Test(2 * _one_sided(abs(mean - expectation.value), error, freedom), inside)
    outside = min(_one_sided(low - mean, error, freedom), _one_sided(mean - high, error, freedom))
    return _Test(min(1.0, 2 * outside) if math.isfinite(low) and math.isfinite(high) else outside, inside)


def _one_sided(room: float, error: float, freedom: float) -> float:
    """p-value of "room is at most 0"; without any spread, 0 or 1."""
    if error == 0:
        return 0.0 if room >= 0 else 1.0
    return float(distributions.t_above(room / error, freedom))


def _decided(finding: Finding, test: _Test | None, corrected: Iterator[float], equal: Iterator[float]) -> Finding:
    """The finding with its outcome, by the next corrected p-values."""
    if test is None:
        return finding
    p, p_consistent = next(corrected), next(equal)
    outcome: Outcome = "cannot tell"
    if p_consistent <= statistics.ALPHA:
        outcome = "consistent"
    elif p <= statistics.ALPHA:
        outcome = "contradicted"
    return replace(finding, p=p, outcome=outcome)


# --- orders ----------------------------------------------------------------------------------------------


def _order(
    results: Outcomes, number: int, expectation: Expectation, places: tuple[tuple[str, ...], ...]
) -> tuple[Finding, list[Question | None]]:
    """An expected order and the question of each of its steps; None where two arms cannot be compared."""
    column = expectation.metric
    measured = {arm: _measured(results, arm, column) for place in places for arm in place}
    samples = {arm: Sample(results.by_seed(arm, column)) for arm in measured}
    questions: list[Question | None] = []
    for arm, other in _pairs(places):
        alike = not results.differing(arm, other, results.metric_of(column))
        known = alike and all(samples[one].values for one in (arm, other))
        questions.append(Question(arm, other, samples, results.measure(column), 0.0) if known else None)
    return Finding(number, expectation, places, tuple(measured.values()), (), math.nan, "open"), questions


def _pairs(places: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    return [pair for place, after in itertools.pairwise(places) for pair in itertools.product(place, after)]


def _step(finding: Finding, number: int, verdict: Verdict | None, p: float, results: Outcomes) -> Step:
    arm, other = _pairs(finding.places)[number]
    if verdict is None:
        return Step(arm, other, math.nan, math.nan, math.nan, 0, math.nan, "open")
    outcome: Outcome = "cannot tell"
    if p <= statistics.ALPHA:
        measure = results.measure(finding.expectation.metric)
        lower = (verdict.effect < measure.neutral) == (measure.better == "lower")
        better = verdict.kind == "better" or (verdict.kind != "worse" and lower)
        outcome = "consistent" if better else "contradicted"
    return Step(arm, other, verdict.effect, verdict.low, verdict.high, verdict.n, p, outcome)


def _p(verdict: Verdict) -> float:
    """p of a step: of the means, or of the shares of failed trials."""
    return min(verdict.p, verdict.share.p if verdict.share else 1.0)


def _together(steps: Sequence[Step]) -> Outcome:
    """The outcome of an order: contradicted if a step is; else open, or cannot be told, if a step is."""
    outcomes = {step.outcome for step in steps}
    kinds: tuple[Outcome, ...] = ("contradicted", "open", "cannot tell")
    return next((kind for kind in kinds if kind in outcomes), "consistent")


# --- as a table ------------------------------------------------------------------------------------------

COLUMNS = [
    *("expectation", "metric", "arm", "other", "value", "sd", "se", "source_n", "tolerance", "at_least", "at_most"),
    *("mean", "low", "high", "n", "failed"),
    *("other_mean", "other_low", "other_high", "other_n", "other_failed"),
    *("effect", "effect_low", "effect_high", "p", "outcome", "source", "note"),
]


def table(results: Outcomes) -> pd.DataFrame:
    """One row per arm of an expected value and per step of an order, as in expectations.csv."""
    rows: list[dict[str, object]] = []
    for finding in findings(results):
        expected = finding.expectation
        fields = ("metric", "value", "sd", "se", "tolerance", "at_least", "at_most", "source", "note")
        common = {"expectation": finding.number, "source_n": expected.n}
        common |= {name: getattr(expected, name) for name in fields}
        of = {measured.arm: vars(measured) for measured in finding.measured}
        if not finding.steps:
            rows += [common | measured | {"p": finding.p, "outcome": finding.outcome} for measured in of.values()]
        for step in finding.steps:
            other = {f"other_{name}": value for name, value in of[step.other].items() if name != "arm"}
            effect = {"effect": step.effect, "effect_low": step.low, "effect_high": step.high}
            tested = {"outcome": step.outcome, "other": step.other, "p": step.p}
            rows.append(common | of[step.arm] | other | effect | tested)
    return pd.DataFrame(rows, columns=COLUMNS)

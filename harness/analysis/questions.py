"""The questions that a suite asks: which arms are compared, on which value, with which δ, and what is a collapse."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from harness.analysis.scales import Measure
from harness.analysis.statistics import Question, Sample

if TYPE_CHECKING:
    from harness.analysis.protocol import Difference
    from harness.metrics.base import Value
    from harness.store.record import Record
    from harness.suite import Suite
    from harness.suite.plan import Plan

NEGLIGIBLE = 0.05
"""The δ of verdicts if a suite states none, as a share of the baseline's mean (of a target: of the target)."""
COVERED = 0.5
"""Without a rule of its own, a suite's trial has collapsed if it covers less than this share of the classes."""


class Outcomes(Protocol):
    """What is asked of the results of a suite; ``results.Results`` has these members, with their meaning."""

    @property
    def plan(self) -> Plan: ...
    @property
    def values(self) -> dict[str, Value]: ...
    @property
    def metric(self) -> str: ...
    @property
    def pairs(self) -> list[tuple[str, str]]: ...
    @property
    def arms(self) -> tuple[str, ...]: ...
    def of(self, arm: str) -> list[Record]: ...
    def offers(self, arm: str, column: str) -> bool: ...
    def by_seed(self, arm: str, column: str) -> dict[int, float]: ...
    def differing(self, arm: str, other: str, metric: str | None = None) -> list[Difference]: ...
    def metric_of(self, column: str) -> str: ...
    def measure(self, column: str) -> Measure: ...


Rule = Callable[[str], frozenset[int]]
"""Arm -> the seeds whose trials collapsed."""


def questions(results: Outcomes) -> dict[tuple[str, str], Question]:
    """The questions that the suite declares and its results can answer: (arm, baseline) -> the question.

    Left out are arms without an outcome, arms whose models cannot give the value, and pairs of different protocols.
    """
    column = results.metric
    pairs = [pair for pair in results.pairs if all(arm in results.arms for arm in pair)]
    pairs = [pair for pair in pairs if all(results.offers(arm, column) for arm in pair)]
    pairs = [pair for pair in pairs if not results.differing(*pair, results.metric_of(column))]
    samples = {arm: sample(results, arm, column) for pair in pairs for arm in pair}
    return {pair: question(results, pair, column, samples) for pair in pairs}


def question(results: Outcomes, pair: tuple[str, str], column: str, samples: Mapping[str, Sample]) -> Question:
    """The question whether the first of two arms differs from the second on a value."""
    arm, baseline = pair
    return Question(arm, baseline, samples, results.measure(column), delta(results, baseline, column))


def sample(results: Outcomes, arm: str, column: str) -> Sample:
    """The trials of an arm on a value; which of them collapsed is seen where the arms are compared on it."""
    collapsed = rule(results)(arm) if column == results.metric else frozenset[int]()
    return Sample(results.by_seed(arm, column), collapsed)


def delta(results: Outcomes, baseline: str, column: str) -> float:
    """The difference below which two arms count as equal, in the unit of the values.

    It is the suite's ``compare.delta`` for its compare metric, else ``NEGLIGIBLE`` times the baseline's mean.
    """
    stated = results.plan.suite.compare.delta
    if stated is not None and column == results.metric:
        return stated
    return negligible(results.by_seed(baseline, column), results.measure(column))


def negligible(baseline: Mapping[int, float], measure: Measure) -> float:
    """The δ if a suite states none: a share of the baseline's mean; of a target, of the target."""
    values = [value for value in baseline.values() if math.isfinite(value)]
    if not values:
        return math.nan
    if measure.kind == "target" and measure.target != 0:
        return NEGLIGIBLE * abs(measure.target)
    if measure.kind == "ratio":
        return NEGLIGIBLE * measure.original(float(np.mean(measure.transformed(values))))
    return NEGLIGIBLE * abs(float(np.mean(values)))


# --- collapse --------------------------------------------------------------------------------------------


def counted(suite: Suite) -> str | None:
    """The first column that counts the classes or modes that a trial covers; None if the suite has none."""
    return next((column for column, value in suite.columns.items() if value.counts_classes), None)


def rule(results: Outcomes) -> Rule:
    """The suite's rule of collapse."""
    suite = results.plan.suite
    stated = suite.compare.collapse
    if stated is False:
        return lambda arm: frozenset()
    if stated is None:
        counts = counted(suite)
        if counts is None:
            return lambda arm: frozenset()
        least = COVERED * results.measure(counts).most
        return lambda arm: _which(results, arm, counts, lambda value: value < least)
    column = stated.metric or results.metric
    if (times := stated.beyond) is not None:
        return lambda arm: _beyond(results, arm, column, times)
    if stated.below is not None:
        bound = stated.below
        return lambda arm: _which(results, arm, column, lambda value: value < bound)
    bound = stated.above if stated.above is not None else math.inf
    return lambda arm: _which(results, arm, column, lambda value: value > bound)


def _which(results: Outcomes, arm: str, column: str, collapsed: Callable[[float], bool]) -> frozenset[int]:
    values = results.by_seed(arm, column)
    return frozenset(seed for seed, value in values.items() if math.isfinite(value) and collapsed(value))


def _beyond(results: Outcomes, arm: str, column: str, times: float) -> frozenset[int]:
    """The seeds whose value is so many times the arm's median, to the worse side."""
    values = [value for value in results.by_seed(arm, column).values() if math.isfinite(value)]
    if not values:
        return frozenset()
    median = float(np.median(values))
    if results.measure(column).better == "lower":
        return _which(results, arm, column, lambda value: value > times * median)
    return _which(results, arm, column, lambda value: value < median / times)


def in_words(results: Outcomes) -> str:
    """The rule of collapse as text; empty if there is none."""
    suite = results.plan.suite
    stated = suite.compare.collapse
    column = counted(suite) if stated is None else (stated and (stated.metric or results.metric)) or None
    if column is None or stated is False:
        return ""
    label = results.values[column].label
    if stated is None:
        return f"{label} below half"
    if stated.beyond is not None:
        return f"{label} {stated.beyond:g} times the arm's median, to the worse side"
    return f"{label} below {stated.below:g}" if stated.below is not None else f"{label} above {stated.above:g}"

"""The results of a suite as pandas tables: trials, curves, leaderboard, verdicts and expectations.

``loading.load`` fills ``Results`` from the store; the report, the console and notebooks read it. Needs neither torch
nor MLflow.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from harness.analysis import protocol, statistics
from harness.analysis.protocol import Difference
from harness.analysis.statistics import Verdict
from harness.analysis.tuning import CellSearch
from harness.store.record import Record
from harness.suite.cells import matches

if TYPE_CHECKING:
    from harness.metrics.base import Value
    from harness.suite import Expectation
    from harness.suite.plan import Plan

ExpectationOutcome = Literal["met", "missed", "open"]
Support = Literal["supported", "contradicted", "undecided"]

NEGLIGIBLE = 0.05
"""The δ of verdicts if a suite states none, as a share of the baseline's mean."""


@dataclass(frozen=True)
class ArmVerdict(Verdict):
    """The verdict on one arm, on one metric."""

    arm: str
    metric: str


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
        outcome: met if the means are in this order.
        effect: mean over the paired seeds of arm − other (NaN without a pair).
        low: lower bound of the effect's 95 % interval (NaN with fewer than two pairs).
        high: upper bound.
        n: the number of pairs.
        p: p-value of no difference, corrected for the number of steps (Holm).
        support: whether the test finds the expected difference, the opposite one, or none.
    """

    arm: str
    other: str
    outcome: ExpectationOutcome
    effect: float
    low: float
    high: float
    n: int
    p: float
    support: Support


@dataclass(frozen=True)
class Finding:
    """An expectation and its result.

    Attributes:
        number: its position in the suite, from 1.
        expectation: the figure or order of the literature.
        places: the arms that it is about: one arm, or the arms at each place of an order, the best first.
        measured: the mean of each of these arms.
        steps: for an order: each arm at a place against each arm at the next place.
        outcome: met, missed, or open. It is open while values are missing or protocols differ. An arm whose trials
            all failed misses every value and is worse than any other arm.
    """

    number: int
    expectation: Expectation
    places: tuple[tuple[str, ...], ...]
    measured: tuple[ArmMean, ...]
    steps: tuple[Step, ...]
    outcome: ExpectationOutcome


@dataclass(frozen=True)
class Results:
    """All outcomes of a suite so far.

    Attributes:
        plan: the cells and trials that the suite asks for.
        records: the trials that reached an outcome.
        missing: the number of trials of the plan without an outcome.
        store: the MLflow tracking URI.
        experiment: the MLflow experiment.
        altered: trials whose MLflow runs somebody changed after they ended. They have no values here, count as missing,
            and are in no verdict and no table except ``trials``.
        searches: of a suite with a search: what was tried and chosen in each cell. ``records`` are its trials.
        confirmed: of a search with ``confirm``: the trials of the winners on new seeds, as the results of a suite
            whose arms are the winners.
    """

    plan: Plan
    records: tuple[Record, ...]
    missing: int
    store: str
    experiment: str
    altered: tuple[Record, ...] = ()
    searches: tuple[CellSearch, ...] = ()
    confirmed: Results | None = None

    @property
    def judged(self) -> Results | None:
        """The results that verdicts and expectations are about: those of a search are on new seeds only, or nowhere."""
        return self if self.plan.suite.search is None else self.confirmed

    @property
    def failures(self) -> list[Record]:
        """The trials without values."""
        own = [record for record in self.listed if not record.done]
        return own + (self.confirmed.failures if self.confirmed else [])

    @property
    def values(self) -> dict[str, Value]:
        """Column -> its meaning, in the order of the suite's metrics."""
        return self.plan.suite.columns

    @property
    def metric(self) -> str:
        """The value column that arms are compared on."""
        return self.plan.suite.metric

    @property
    def baseline(self) -> str:
        """The name of the arm that the others are compared with."""
        return self.plan.baseline.name

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """The arms that have an outcome: those of the matrix in its order, then those that a search added."""
        recorded = {record.arm: None for record in self.records}
        planned = {cell.name: None for cell in self.plan.cells if cell.name in recorded}
        return tuple(planned | recorded)

    @cached_property
    def _by_arm(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for record in sorted(self.records, key=lambda r: r.seed):
            found.setdefault(record.arm, []).append(record)
        return found

    def of(self, arm: str) -> list[Record]:
        """The records of an arm, by seed."""
        return list(self._by_arm.get(arm, ()))

    @cached_property
    def listed(self) -> list[Record]:
        """The records of all arms and the altered trials, by arm and seed."""
        arms = dict.fromkeys([*self.arms, *(record.arm for record in self.altered)])
        order = {arm: place for place, arm in enumerate(arms)}
        return sorted([*self.records, *self.altered], key=lambda record: (order[record.arm], record.seed))

    def offers(self, arm: str, column: str) -> bool:
        """Whether the arm's model can give this value: a finished trial lacks the values that its model cannot give."""
        return all(column in record.values for record in self.of(arm) if record.done)

    def by_seed(self, arm: str, column: str) -> dict[int, float]:
        """An arm's values by seed: NaN for a failed trial; empty if its model cannot give this value."""
        if not self.offers(arm, column):
            return {}
        return {record.seed: record.values.get(column, np.nan) for record in self.of(arm)}

    def comparable(self, arm: str, column: str) -> dict[int, float]:
        """An arm's values by seed; empty if their protocol is not the baseline's."""
        return {} if self._odd(arm, column) else self.by_seed(arm, column)

    def differing(self, arm: str, other: str, metric: str | None = None) -> list[Difference]:
        """The fields in which protocols of the trials of both arms differ, each once; of one metric, or of all."""
        return protocol.among([*self.of(arm), *self.of(other)], metric)

    @cached_property
    def mismatched(self) -> dict[str, list[Difference]]:
        """The arms whose protocol of the compare metric differs from the baseline's: they get no verdict.

        The baseline itself is one of them if the protocols of its own trials differ.
        """
        return {arm: found for arm in self.arms if (found := self._odd(arm, self.metric))}

    def _odd(self, arm: str, column: str) -> list[Difference]:
        """The differences of an arm's protocol of this column from the baseline's, and among its own trials."""
        metric = self.metric_of(column)
        return [found for found in self._from_baseline[arm] if found.metric in (metric, protocol.EVERY)]

    @cached_property
    def _from_baseline(self) -> dict[str, list[Difference]]:
        # A search creates its own arms; the baseline need not be one of them.
        reference = self.baseline if self.baseline in self.arms else next(iter(self.arms), "")
        return {arm: self.differing(arm, reference) for arm in self.arms}

    @cached_property
    def of_other_code(self) -> list[Record]:
        """The trials whose results are of other code than the current one."""
        return [record for record in self.records if record.other_code]

    @cached_property
    def vouched(self) -> list[Record]:
        """The trials of other code that a user accepted: the change since changes no number."""
        return [record for record in self.records if record.vouched]

    @cached_property
    def unchecked(self) -> list[Record]:
        """The trials whose protocol cannot be read: whether it equals that of the others is unknown."""
        return protocol.unknown(self.records)

    def metric_of(self, column: str) -> str:
        """The name of the metric that gives this column."""
        metrics = self.plan.suite.evaluate.metrics
        return next(str(choice.name) for choice in metrics if column in choice.plugin.values)

    def trials(self) -> pd.DataFrame:
        """One row per trial, as in trials.csv: ordered by arm, then seed."""
        rows = [
            {
                "key": record.key,
                "arm": record.arm,
                "model": record.model,
                "tricks": record.tricks,
                "data": record.data,
                "seed": record.seed,
                "state": record.state,
                "reason": record.reason,
                "seconds_train": record.seconds_train,
                "seconds_evaluate": record.seconds_evaluate,
                **{column: record.values.get(column, np.nan) for column in self.values},
                "mlflow_run_id": record.run_id,
                "other_code": " ".join(record.other_code),
            }
            for record in self.listed
        ]
        outcome = ["key", "arm", "model", "tricks", "data", "seed", "state", "reason"]
        seconds = ["seconds_train", "seconds_evaluate"]
        return pd.DataFrame(rows, columns=[*outcome, *seconds, *self.values, "mlflow_run_id", "other_code"])

    def curves(self) -> pd.DataFrame:
        """One row per point of a training curve: key, arm, seed, name, step, value."""
        rows = [
            (record.key, arm, record.seed, *point)
            for arm in self.arms
            for record in self.of(arm)
            for point in record.curves
        ]
        return pd.DataFrame(rows, columns=["key", "arm", "seed", "name", "step", "value"])

    def leaderboard(self) -> pd.DataFrame:
        """One row per arm, best first: arm, n, failed, then mean, low and high of each value column.

        n is the number of finished trials, failed the number of all others. low and high are the bounds of a 95 % t
        interval over the seeds (NaN for one seed). mean, low and high are NaN if the arm's protocol is not the
        baseline's, or if its own trials differ in protocol (``trials`` has their values). Arms are ranked by the mean
        of the compare metric, where a failed trial counts as the worst value of any finished trial of the suite. Arms
        without a finished trial, or of another protocol, come last.
        """
        rows = []
        for arm in self.arms:
            records = self.of(arm)
            done = sum(record.done for record in records)
            row: dict[str, object] = {"arm": arm, "n": done, "failed": len(records) - done}
            for column in self.values:
                found = statistics.interval(list(self.comparable(arm, column).values()))
                row |= {f"{column}_{name}": value for name, value in found._asdict().items()}
            rows.append(row)
        bounds = [f"{column}_{name}" for column in self.values for name in ("mean", "low", "high")]
        table = pd.DataFrame(rows, columns=["arm", "n", "failed", *bounds])
        return table.iloc[self._ranking()].reset_index(drop=True)

    def verdicts(self) -> list[ArmVerdict]:
        """Each arm against the baseline on the compare metric, in the order of the leaderboard.

        Empty if the baseline has no outcome or there is no other arm. Arms whose models cannot give the value are
        left out, and so are arms of another protocol (``mismatched``).
        """
        others = [
            arm
            for arm in self.leaderboard()["arm"]
            if arm != self.baseline and arm not in self.mismatched and self.offers(arm, self.metric)
        ]
        if self.baseline not in self.arms or not self.offers(self.baseline, self.metric):
            return []
        found = statistics.verdicts(
            {arm: self.by_seed(arm, self.metric) for arm in others},
            self.by_seed(self.baseline, self.metric),
            self.values[self.metric].better,
            self.delta(),
            scale=self.scale(self.metric),
        )
        return [ArmVerdict(**vars(verdict), arm=arm, metric=self.metric) for arm, verdict in found.items()]

    def scale(self, column: str) -> statistics.Scale:
        """The lowest and the highest possible value of a column."""
        return self.values[column].scale(self._classes)

    @cached_property
    def _classes(self) -> int:
        """The number of classes of the baseline's data; the arms that are compared have the same."""
        built = self.plan.baseline.built
        return built.data.make().shape.classes if built else 0

    def limit(self, arm: str, column: str) -> statistics.Limit | None:
        """The limit of the metric at which all values of the arm are; None if they are not at one."""
        return statistics.limit(list(self.comparable(arm, column).values()), self.scale(column))

    def delta(self) -> float:
        """The difference on the compare metric below which two arms count as equal.

        It is the suite's ``compare.delta``, else ``NEGLIGIBLE`` times the baseline's mean.
        """
        if (stated := self.plan.suite.compare.delta) is not None:
            return stated
        return negligible(self.by_seed(self.baseline, self.metric))

    def expectations(self) -> list[Finding]:
        """The result of each expectation of the suite: one per arm of an expected value, and one per order."""
        found = []
        for number, expectation in enumerate(self.plan.suite.expect, start=1):
            places = tuple(self._meant(where) for where in expectation.groups)
            if expectation.order is not None:
                found.append(self._order(number, expectation, places))
            else:
                found += [self._value(number, expectation, arm) for arm in places[0]]
        return found

    def expectations_table(self) -> pd.DataFrame:
        """One row per arm of an expected value and per step of an order, as in expectations.csv."""
        rows = []
        for finding in self.expectations():
            expected = finding.expectation
            fields = ("metric", "value", "tolerance", "at_least", "at_most")
            common = {"expectation": finding.number} | {name: getattr(expected, name) for name in fields}
            of = {measured.arm: vars(measured) for measured in finding.measured}
            origin = {"source": expected.source, "note": expected.note}
            if not finding.steps:
                rows += [common | measured | {"outcome": finding.outcome} | origin for measured in of.values()]
            for step in finding.steps:
                other = {f"other_{name}": value for name, value in of[step.other].items() if name != "arm"}
                effect = {"difference": step.effect, "difference_low": step.low, "difference_high": step.high}
                tested = {"outcome": step.outcome, "other": step.other, "pairs": step.n, "p": step.p}
                rows.append(common | of[step.arm] | other | effect | tested | {"support": step.support} | origin)
        return pd.DataFrame(rows, columns=EXPECTATION_COLUMNS)

    def _meant(self, where: Mapping[str, object]) -> tuple[str, ...]:
        """The names of the arms that have these values on these axes; excluded arms are left out."""
        return tuple(cell.name for cell in self.plan.cells if not cell.excluded and matches(cell.combination, where))

    def _measured(self, arm: str, column: str) -> ArmMean:
        alike = not protocol.among(self.of(arm), self.metric_of(column))
        values = np.asarray(list(self.by_seed(arm, column).values()) if alike else [], dtype=float)
        n = int(np.isfinite(values).sum())
        return ArmMean(arm, *statistics.interval(values), n=n, failed=len(values) - n)

    def _hopeless(self, measured: ArmMean) -> bool:
        """Whether the arm has a trial for every seed, and all failed."""
        return measured.n == 0 and measured.failed >= len(self.plan.suite.seeds)

    def _value(self, number: int, expectation: Expectation, arm: str) -> Finding:
        """The result of a value, or of bounds, that the suite expects of an arm."""
        measured = self._measured(arm, expectation.metric)
        low, high = expectation.bounds
        outcome: ExpectationOutcome = "missed" if self._hopeless(measured) else "open"
        if measured.n:
            rounding = 1e-9 * abs(measured.mean)  # 0.93 + 0.07 is not exactly 1 in floating point
            outcome = "met" if low - rounding <= measured.mean <= high + rounding else "missed"
        return Finding(number, expectation, ((arm,),), (measured,), (), outcome)

    def _order(self, number: int, expectation: Expectation, places: tuple[tuple[str, ...], ...]) -> Finding:
        """The result of an expected order: each arm at a place is better than each arm at the next place.

        It is open while two of its arms have different protocols.
        """
        column = expectation.metric
        measured = {arm: self._measured(arm, column) for place in places for arm in place}
        pairs = [pair for place, after in itertools.pairwise(places) for pair in itertools.product(place, after)]
        better = self.values[column].better
        comparable = [not self.differing(*pair, self.metric_of(column)) for pair in pairs]
        values = [
            [self.by_seed(arm, column) if alike else {} for arm in pair]
            for pair, alike in zip(pairs, comparable, strict=True)
        ]
        tests = [statistics.verdict(of_arm, of_other, better, 0.0) for of_arm, of_other in values]
        corrected = statistics.holm([test.p for test in tests])
        steps = []
        for (arm, other), alike, test, p in zip(pairs, comparable, tests, corrected, strict=True):
            support: Support = "undecided"
            if p <= statistics.ALPHA:
                support = "supported" if (test.effect < 0) == (better == "lower") else "contradicted"
            outcome = self._better(measured[arm], measured[other], column) if alike else "open"
            steps.append(Step(arm, other, outcome, test.effect, test.low, test.high, test.n, p, support))
        return Finding(number, expectation, places, tuple(measured.values()), tuple(steps), _together(steps))

    def _better(self, one: ArmMean, other: ArmMean, column: str) -> ExpectationOutcome:
        """Whether the mean of one is better than the mean of the other."""
        sign = 1 if self.values[column].better == "lower" else -1
        cost, against = (np.inf if self._hopeless(found) else sign * found.mean for found in (one, other))
        if np.isnan(cost) or np.isnan(against):
            return "open"
        return "met" if cost < against else "missed"

    def _ranking(self) -> list[int]:
        """Positions in ``arms``, best first; equal arms keep their order."""
        better = self.values[self.metric].better
        of_arms: list[Mapping[int, float]] = [self.comparable(arm, self.metric) for arm in self.arms]
        fill = statistics.worst([value for arm in of_arms for value in arm.values()], better)
        scores = []
        for arm in of_arms:
            values = np.asarray(list(arm.values()), dtype=float)
            finished = np.isfinite(values)
            score = float(np.where(finished, values, fill).mean()) if finished.any() else np.inf
            scores.append(score if better == "lower" or not finished.any() else -score)
        return [int(position) for position in np.argsort(scores, kind="stable")]


def negligible(baseline: Mapping[int, float]) -> float:
    """The δ if a suite states none: a share of the baseline's mean."""
    return NEGLIGIBLE * abs(statistics.interval(list(baseline.values())).mean)


EXPECTATION_COLUMNS = [
    *("expectation", "metric", "arm", "other", "value", "tolerance", "at_least", "at_most"),
    *("mean", "low", "high", "n", "failed"),
    *("other_mean", "other_low", "other_high", "other_n", "other_failed"),
    *("difference", "difference_low", "difference_high", "pairs", "p", "support"),
    *("outcome", "source", "note"),
]


def _together(steps: Sequence[Step]) -> ExpectationOutcome:
    """The outcome of an order: missed if a step is missed, else open if a step is open, else met."""
    outcomes = {step.outcome for step in steps}
    return "missed" if "missed" in outcomes else "open" if "open" in outcomes else "met"

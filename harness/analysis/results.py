"""The results of a suite as pandas tables: trials, curves, leaderboard, verdicts and expectations.

``loading.load`` fills ``Results`` from the store; the report, the console and notebooks read it. Needs neither torch
nor MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness.analysis import expectations, family, protocol, questions, statistics
from harness.analysis.expectations import Finding
from harness.analysis.levels import ONE, Levels
from harness.analysis.protocol import Difference
from harness.analysis.scales import Measure
from harness.analysis.statistics import Verdict, VerdictKind
from harness.analysis.tuning import CellSearch
from harness.store.record import Record

if TYPE_CHECKING:
    from harness.metrics.base import Value
    from harness.suite.plan import Plan


@dataclass(frozen=True)
class ArmVerdict(Verdict):
    """The verdict on one arm against another, on one metric.

    Attributes:
        arm: the arm.
        baseline: the arm that it is compared with.
        metric: the column of values.
        settled: at which look the verdict was settled; None if it is of this look, or inconclusive.
    """

    arm: str = ""
    baseline: str = ""
    metric: str = ""
    settled: int | None = None


@dataclass(frozen=True)
class Look:
    """A look at the results: what it costs, and what earlier looks have settled.

    Attributes:
        levels: the levels of its tests.
        settled: the arms of a question -> the verdict that an earlier look settled, and which look.
    """

    levels: Levels = ONE
    settled: Mapping[family.Key, tuple[VerdictKind, int]] = field(default_factory=dict)


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
        table: the address of its runs in MLflow's interface; empty if there are none. Without a server it is that of
            `harness ui`.
        look: which look at these results it is.
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
    table: str = ""
    look: Look = Look()
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

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The comparisons that the suite declares: arm and baseline."""
        return [(arm.name, baseline.name) for arm, baseline in self.plan.pairs]

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
        return self._unasked(protocol.among([*self.of(arm), *self.of(other)], metric))

    @property
    def protocols(self) -> list[Difference]:
        """The fields in which protocols of any trials differ, each once."""
        return self._unasked(protocol.among(self.records))

    def _unasked(self, found: list[Difference]) -> list[Difference]:
        """Without the number format of the training, if the suite asks what it does: if it is an axis without auto."""
        asked = "auto" not in self.plan.suite.matrix.get("train.precision", ["auto"])
        return [difference for difference in found if not (asked and difference.field == "trained_in")]

    @cached_property
    def mismatched(self) -> dict[str, list[Difference]]:
        """The arms whose protocol of the compare metric differs from the baseline's, and that get no verdict.

        The baseline itself is one of them if the protocols of its own trials differ.
        """
        compared = {arm for pair in self.asked for arm in pair}
        return {arm: found for arm in self.arms if arm not in compared and (found := self._odd(arm, self.metric))}

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
        return self._curves.copy()

    @cached_property
    def _curves(self) -> pd.DataFrame:
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
        return self._leaderboard.copy()

    @cached_property
    def _leaderboard(self) -> pd.DataFrame:
        rows = []
        for arm in self.arms:
            records = self.of(arm)
            done = sum(record.done for record in records)
            row: dict[str, object] = {"arm": arm, "n": done, "failed": len(records) - done}
            for column in self.values:
                found = statistics.interval(list(self.comparable(arm, column).values()), measure=self.measure(column))
                row |= {f"{column}_{name}": value for name, value in found._asdict().items()}
            rows.append(row)
        bounds = [f"{column}_{name}" for column in self.values for name in ("mean", "low", "high")]
        table = pd.DataFrame(rows, columns=["arm", "n", "failed", *bounds])
        return table.iloc[self._ranking()].reset_index(drop=True)

    def verdicts(self) -> list[ArmVerdict]:
        """A verdict on each comparison that the suite declares, in the order of the leaderboard.

        Left out are arms without an outcome, arms whose models cannot give the value, and comparisons of different
        protocols (``mismatched``). Empty for a search, which has no comparison.
        """
        return self._verdicts

    @cached_property
    def _verdicts(self) -> list[ArmVerdict]:
        place = {arm: number for number, arm in enumerate(self.leaderboard()["arm"])}
        found = [verdict for arms, verdict in self.answered().items() if len(arms) == 2]
        return sorted(found, key=lambda verdict: place[verdict.arm])

    @cached_property
    def asked(self) -> dict[tuple[str, str], statistics.Question]:
        """The comparisons that can be made: arm and baseline -> the question."""
        return questions.questions(self)

    def answered(self) -> Mapping[family.Key, ArmVerdict]:
        """The arms of a question -> its verdict, for all questions that are corrected together (``family``)."""
        return self._answered

    @cached_property
    def _answered(self) -> dict[family.Key, ArmVerdict]:
        settled = {arms: kind for arms, (kind, _) in self.look.settled.items()}
        left_out = len(family.declared(self.plan)) - len(family.open_to(self.plan))
        found = statistics.answers(family.asked(self.plan, self.asked), self.look.levels, settled, left_out)
        return {arms: self._settled(arms, verdict) for arms, verdict in found.items()}

    def opposing(self, verdict: ArmVerdict) -> list[str]:
        """The columns that speak against a verdict: there the arm is worse although it is better, or the reverse.

        These are hints: every other column is tested at ``ALPHA``, corrected for nothing.
        """
        opposite = {"better": "worse", "worse": "better", "no difference larger than δ": "worse"}.get(verdict.kind)
        pair = (verdict.arm, verdict.baseline)
        hints = [(column, found[pair]) for column, found in self._elsewhere.items() if pair in found]
        return [column for column, (kind, p) in hints if kind == opposite and p <= statistics.ALPHA]

    def effects(self, verdict: ArmVerdict) -> dict[int, float]:
        """Seed -> its effect, on the scale of the metric: of a pair where seeds are paired, else against the baseline.

        These are the trials that ``verdict.effect`` is of: it is the mean of their effects, taken as that scale does.
        """
        measure = self.measure(verdict.metric)
        own, base = (
            {seed: float(value) for seed, value in zip(kept, measure.transformed(list(kept.values())), strict=True)}
            for kept in (self._counted(arm, verdict) for arm in (verdict.arm, verdict.baseline))
        )
        if not base:
            return {}
        if verdict.paired:
            common = sorted(own.keys() & base.keys())
            mean = float(np.mean([base[seed] for seed in common]))
            return {seed: measure.effect(own[seed] - base[seed], mean) for seed in common}
        mean = float(np.mean(list(base.values())))
        return {seed: measure.effect(value - mean, mean) for seed, value in own.items()}

    def _counted(self, arm: str, verdict: ArmVerdict) -> dict[int, float]:
        """The values of an arm that a verdict is of: those of lost trials are not, unless it counts all."""
        sample = questions.sample(self, arm, verdict.metric)
        every = {seed: value for seed, value in sample.values.items() if np.isfinite(value)}
        return every if verdict.whole else sample.rest

    def changes_nothing(self, arm: str, other: str) -> bool:
        """Whether all values of an arm are those of another to the bit, on every seed.

        Values that are the same for all seeds show nothing: they would also be equal at a metric's limit.
        """
        own, others = ({record.seed: record.values for record in self.of(each)} for each in (arm, other))
        return own == others and len({tuple(sorted(values.items())) for values in own.values()}) > 1

    @cached_property
    def _elsewhere(self) -> dict[str, dict[tuple[str, str], tuple[VerdictKind, float]]]:
        """Column -> (arm, baseline) -> how they differ on it; for the comparisons that have a verdict."""
        asked = self.asked
        found = {}
        for column in self.values:
            pairs = [
                pair
                for pair in asked
                if all(self.offers(arm, column) for arm in pair) and not self.differing(*pair, self.metric_of(column))
            ]
            samples = {arm: questions.sample(self, arm, column) for pair in pairs for arm in pair}
            if column != self.metric and pairs:
                found[column] = statistics.raw_tests(
                    {pair: questions.question(self, pair, column, samples) for pair in pairs}
                )
        return found

    def _settled(self, pair: family.Key, verdict: Verdict) -> ArmVerdict:
        """The verdict on a question; a verdict that an earlier look settled stands."""
        kind, look = self.look.settled.get(pair, (verdict.kind, None))
        rest = verdict.rest if look is None else kind
        named = {"kind": kind, "rest": rest, "arm": pair[0], "baseline": pair[1], "metric": self.metric}
        further = verdict.further if look is None else None
        return ArmVerdict(**(vars(verdict) | named | {"settled": look, "further": further}))

    def measure(self, column: str) -> Measure:
        """How the values of a column are compared."""
        return Measure.of(self.values[column], self._classes)

    @cached_property
    def _classes(self) -> int:
        """The number of classes of the baseline's data; the arms that are compared have the same."""
        built = self.plan.baseline.built
        return built.data.make().shape.classes if built else 0

    def limit(self, arm: str, column: str) -> statistics.Limit | None:
        """The limit of the metric at which all values of the arm are; None if they are not at one."""
        return statistics.limit(list(self.comparable(arm, column).values()), self.measure(column))

    def delta(self) -> float:
        """The difference on the compare metric below which an arm counts as equal to the suite's baseline."""
        return questions.delta(self, self.baseline, self.metric)

    def expectations(self) -> list[Finding]:
        """The result of each expectation of the suite: one per arm of an expected value, and one per order."""
        return expectations.findings(self)

    def expectations_table(self) -> pd.DataFrame:
        """One row per arm of an expected value and per step of an order, as in expectations.csv."""
        return expectations.table(self)

    def _ranking(self) -> list[int]:
        """Positions in ``arms``, best first; equal arms keep their order."""
        measure = self.measure(self.metric)
        costs = [measure.cost(list(self.comparable(arm, self.metric).values())) for arm in self.arms]
        finished = np.concatenate([*costs, np.zeros(0)])
        worst = float(np.nanmax(finished)) if np.isfinite(finished).any() else np.nan
        scores = [
            float(np.where(np.isfinite(own), own, worst).mean()) if np.isfinite(own).any() else np.inf for own in costs
        ]
        return [int(position) for position in np.argsort(scores, kind="stable")]

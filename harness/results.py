"""What a suite came to, as plain values and pandas tables: one record a trial, then leaderboard and verdicts.

``tracking.py`` fills ``Results`` from the store; the report, the console and notebooks read it. Needs neither
torch nor MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness import statistics
from harness.statistics import Verdict

if TYPE_CHECKING:
    from harness.metrics.base import Value
    from harness.plan import Plan

NEGLIGIBLE = 0.05
"""The δ of verdicts where a suite states none: this share of the baseline's mean."""


@dataclass(frozen=True)
class Record:
    """One trial that reached an outcome.

    Attributes:
        key: the trial's key.
        arm: the arm's name.
        model: the model's name.
        tricks: the tricks' names, "a + b", or "" for none.
        data: the data set's name.
        seed: the seed.
        state: done, diverged, pruned, out-of-memory, timed-out or failed.
        reason: why it is not done; "" when it is.
        seconds_train: wall-clock seconds of training.
        seconds_evaluate: wall-clock seconds of evaluation.
        values: what the metrics gave, by column; empty unless done.
        run_id: the MLflow run.
        curves: (name, step, value) of everything that was recorded over training.
        artifacts: the folder with sample grids, histograms.json, protocol.json, floors.json and config.json,
            or None where nothing was kept.
        environment: git commit, device, precision, threads, versions, …
    """

    key: str
    arm: str
    model: str
    tricks: str
    data: str
    seed: int
    state: str
    reason: str
    seconds_train: float
    seconds_evaluate: float
    values: dict[str, float]
    run_id: str
    curves: list[tuple[str, int, float]]
    artifacts: Path | None
    environment: dict[str, str]

    @property
    def done(self) -> bool:
        """Whether it has values."""
        return self.state == "done"


@dataclass(frozen=True)
class ArmVerdict(Verdict):
    """The verdict on one arm, on one metric."""

    arm: str
    metric: str


@dataclass(frozen=True)
class Results:
    """All outcomes of a suite so far.

    Attributes:
        plan: the cells and trials that the suite asks for.
        records: the trials that reached an outcome.
        missing: trials of the plan that have none yet.
        store: the MLflow tracking URI.
        experiment: the MLflow experiment.
    """

    plan: Plan
    records: tuple[Record, ...]
    missing: int
    store: str
    experiment: str

    @property
    def values(self) -> dict[str, Value]:
        """What each value column means, in the order of the suite's metrics."""
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

    def of(self, arm: str) -> list[Record]:
        """The records of an arm, by seed."""
        return sorted((record for record in self.records if record.arm == arm), key=lambda r: r.seed)

    def by_seed(self, arm: str, column: str) -> dict[int, float]:
        """An arm's values by seed; NaN for a trial that gave none."""
        return {record.seed: record.values.get(column, np.nan) for record in self.of(arm)}

    def trials(self) -> pd.DataFrame:
        """One row a trial, as in trials.csv: ordered by arm, then seed."""
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
            }
            for arm in self.arms
            for record in self.of(arm)
        ]
        outcome = ["key", "arm", "model", "tricks", "data", "seed", "state", "reason"]
        seconds = ["seconds_train", "seconds_evaluate"]
        return pd.DataFrame(rows, columns=[*outcome, *seconds, *self.values, "mlflow_run_id"])

    def curves(self) -> pd.DataFrame:
        """One row a point of a training curve: key, arm, seed, name, step, value."""
        rows = [
            (record.key, arm, record.seed, *point)
            for arm in self.arms
            for record in self.of(arm)
            for point in record.curves
        ]
        return pd.DataFrame(rows, columns=["key", "arm", "seed", "name", "step", "value"])

    def leaderboard(self) -> pd.DataFrame:
        """One row an arm, best first: arm, n, failed, then mean, low and high of each value column.

        n is the number of trials that are done, failed that of all others. The bounds are those of a 95 % t
        interval over the seeds (NaN for a single one). The ranking goes by the mean of the compare metric, in
        which a failed trial counts as the worst value that any trial of the suite finished with; an arm none
        of whose trials finished comes last.
        """
        rows = []
        for arm in self.arms:
            records = self.of(arm)
            done = sum(record.done for record in records)
            row: dict[str, object] = {"arm": arm, "n": done, "failed": len(records) - done}
            for column in self.values:
                found = statistics.interval(list(self.by_seed(arm, column).values()))
                row |= {f"{column}_{name}": value for name, value in found._asdict().items()}
            rows.append(row)
        bounds = [f"{column}_{name}" for column in self.values for name in ("mean", "low", "high")]
        table = pd.DataFrame(rows, columns=["arm", "n", "failed", *bounds])
        return table.iloc[self._ranking()].reset_index(drop=True)

    def verdicts(self) -> list[ArmVerdict]:
        """Each arm against the baseline on the compare metric, in the order of the leaderboard.

        Empty where the baseline has no outcome or there is no other arm.
        """
        others = [arm for arm in self.leaderboard()["arm"] if arm != self.baseline]
        if self.baseline not in self.arms:
            return []
        found = statistics.verdicts(
            {arm: self.by_seed(arm, self.metric) for arm in others},
            self.by_seed(self.baseline, self.metric),
            self.values[self.metric].better,
            self.delta(),
        )
        return [ArmVerdict(**vars(verdict), arm=arm, metric=self.metric) for arm, verdict in found.items()]

    def delta(self) -> float:
        """The difference on the compare metric below which two arms count as equal.

        What the suite states as ``compare.delta``, else ``NEGLIGIBLE`` times the baseline's mean.
        """
        if (stated := self.plan.suite.compare.delta) is not None:
            return stated
        return NEGLIGIBLE * abs(statistics.interval(list(self.by_seed(self.baseline, self.metric).values())).mean)

    def _ranking(self) -> list[int]:
        """Positions in ``arms``, best first; arms that tie stay in their order."""
        better = self.values[self.metric].better
        of_arms: list[Mapping[int, float]] = [self.by_seed(arm, self.metric) for arm in self.arms]
        fill = statistics.worst([value for arm in of_arms for value in arm.values()], better)
        scores = []
        for arm in of_arms:
            values = np.asarray(list(arm.values()), dtype=float)
            finished = np.isfinite(values)
            score = float(np.where(finished, values, fill).mean()) if finished.any() else np.inf
            scores.append(score if better == "lower" or not finished.any() else -score)
        return [int(position) for position in np.argsort(scores, kind="stable")]

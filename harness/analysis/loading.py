"""From the store to the tables: the results of a suite so far, and what is known of its trials."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.results import Results
from harness.base.messages import note
from harness.base.states import State
from harness.execution.study import configurations, storage
from harness.store import sqlite
from harness.store.record import Record
from harness.store.runs import SECONDS, Standing, Store, standing

if TYPE_CHECKING:
    from harness.suite.plan import Plan, Trial


def states(plan: Plan, results: Path) -> dict[str, Standing]:
    """The state of every trial of a plan that the store knows, and why; the others are to do."""
    return {key: standing(run) for key, run in Store(results).latest(t.key for t in plan.trials).items()}


def load(plan: Plan, results: Path, with_curves: bool = True) -> Results:
    """The results of a suite so far, read from the store."""
    store = Store(results)
    trials, never = list(plan.trials), set[str]()
    if plan.suite.search is not None and (results / "optuna.db").is_file():
        studies = storage(results)
        cells = [cell for cell in plan.cells if cell.excluded is None]
        with sqlite.reading(results.resolve() / "optuna.db", sqlite.OPTUNA):
            tried = [one for cell in cells for one in configurations(plan.suite, cell, studies)]
        trials = list({trial.key: trial for one in tried for trial in one.trials}.values())
        # The other seeds of a configuration that was given up are not missing: they will not be run.
        never = {trial.key for one in tried if one.closed for trial in one.trials}
    runs = store.latest(trial.key for trial in trials)
    found, altered = list[Record](), list[Record]()
    for trial, run in ((trial, runs[trial.key]) for trial in trials if trial.key in runs):
        stands = standing(run)
        if stands.state is State.ALTERED:
            altered.append(_without_values(trial, stands, run.info.run_id))
        elif stands.state is not State.INTERRUPTED:
            found.append(store.record(run, trial.arm.name, with_curves))
    _tell_of_lost_files(found, store)
    missing = {trial.key for trial in trials} - {record.key for record in found} - (never - runs.keys())
    return Results(plan, tuple(found), len(missing), store.shown, plan.suite.name, tuple(altered))


def _without_values(trial: Trial, stands: Standing, run_id: str) -> Record:
    """A trial whose run is not to be trusted: what the suite says of it, and why."""
    arm = trial.arm
    return Record(
        key=trial.key,
        arm=arm.name,
        model=arm.model.name,
        tricks=" + ".join(trick.name for trick in arm.tricks),
        data=arm.data.name,
        seed=trial.seed,
        state=stands.state,
        reason=stands.reason,
        seconds_train=0.0,
        seconds_evaluate=0.0,
        values={},
        run_id=run_id,
        curves=[],
        artifacts=None,
        environment={},
    )


def _tell_of_lost_files(found: Iterable[Record], store: Store) -> None:
    """Say so where trials' files are not where the store says; a server's may lie out of sight."""
    at_hand = [record for record in found if record.files and (record.artifacts or store.file)]
    lost = [record.artifacts for record in at_hand if not (record.artifacts and record.artifacts.is_dir())]
    if lost:
        note(
            f"the files of {len(lost)} of {len(at_hand)} trials are not where {store.shown} says (the first: "
            f"{lost[0] or 'another machine'}): they were deleted or moved, or the store is damaged. Their pictures are "
            "left out, and how they were measured is not known."
        )


def seconds_per_trial(plan: Plan, results: Path) -> Callable[[Trial], float | None]:
    """A guess of a trial's time from what was measured: of its arm, else of its model by step; None without any."""
    arms: dict[str, list[float]] = {}
    models: dict[str, list[float]] = {}
    store = Store(results)
    for run in store.runs() if store.exists else ():
        config = {name: run.data.params.get(name) for name in ("train.steps", "train.threads")}
        steps = config["train.steps"] or ""
        # No seal of older runs covers the parameters.
        if standing(run).state is State.DONE and re.fullmatch(r"[1-9]\d{0,8}", steps):
            seconds = sum(run.data.metrics.get(name, 0.0) for name in SECONDS)
            arms.setdefault(_signature(run.data.tags, config), []).append(seconds)
            models.setdefault(run.data.tags["model"], []).append(seconds / int(steps))

    def guess(trial: Trial) -> float | None:
        arm = trial.arm
        tags = {"arm": arm.name, "data": arm.data.name}
        config = {"train.steps": str(arm.train.steps), "train.threads": str(arm.train.threads)}
        if own := arms.get(_signature(tags, config)):
            return sum(own) / len(own)
        if like := models.get(arm.model.name):
            return sum(like) / len(like) * arm.train.steps
        return None

    return guess


def _signature(tags: Mapping[str, str], config: Mapping[str, str | None]) -> str:
    return json.dumps([tags["arm"], tags["data"], config], sort_keys=True)

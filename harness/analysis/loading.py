"""Reads the store: the results of a suite so far, the states and durations of its trials, and results of other code."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.results import Results
from harness.analysis.tuning import CellSearch
from harness.base.errors import HarnessError
from harness.base.messages import note
from harness.base.states import State
from harness.store import identity
from harness.store.identity import Change
from harness.store.record import Record
from harness.store.runs import SECONDS, Standing, Store, standing
from harness.store.studies import Studies
from harness.suite.plan import Keys, Plan

if TYPE_CHECKING:
    from harness.execution.study import Configuration
    from harness.store.runs import Found
    from harness.store.stored import Run
    from harness.suite import Suite
    from harness.suite.plan import Arm, Cell, Trial


def states(plan: Plan, results: Path) -> dict[str, Standing]:
    """Key -> state and reason of each trial of a plan that the store knows; the other trials are to do."""
    return {key: standing(run) for key, run in Store(results).found(plan.trials).current.items()}


@dataclass(frozen=True)
class _Asked:
    """What a plan asks for.

    Attributes:
        trials: the trials of its matrix, or those that its search has chosen so far.
        never: the keys of those that will never be run.
        tried: the configurations of the search in each cell.
        winners: the plan of the search's winners on new seeds; None without ``search.confirm``.
    """

    trials: list[Trial]
    never: set[str]
    tried: dict[str, list[Configuration]]
    winners: Plan | None

    @property
    def all(self) -> list[Trial]:
        """All trials."""
        return [*self.trials, *(self.winners.trials if self.winners else ())]


def _asked_for(plan: Plan, results: Path) -> _Asked:
    """What a plan asks for, with what its search has chosen so far."""
    where = Studies(results)
    if plan.suite.search is None or not where.exists:
        return _Asked(list(plan.trials), set(), {}, None)
    from harness.execution.study import configurations, storage  # imports optuna, which only searches need

    studies = storage(results)
    cells = [cell for cell in plan.cells if cell.excluded is None]
    with where.reading():
        tried = {cell.name: configurations(plan.suite, cell, studies) for cell in cells}
    every = [one for of_cell in tried.values() for one in of_cell]
    trials = {trial.key: trial for one in every for trial in one.trials}
    # A search runs no further seeds of a configuration that it pruned: they are not missing.
    never = {trial.key for one in every if one.closed and not one.complete for trial in one.trials}
    return _Asked(list(trials.values()), never, tried, _winners(plan, tried) if plan.suite.confirm_seeds else None)


def _winners(plan: Plan, tried: Mapping[str, Sequence[Configuration]]) -> Plan:
    """The plan of a suite whose arms are the winners of the searches; a cell without a winner keeps its name."""
    from harness.execution.study import confirming, winner

    cells: list[Cell] = []
    trials: list[Trial] = []
    for cell in plan.cells:
        new = confirming(plan.suite, winner(plan.suite, tried.get(cell.name, ())))
        cells.append(_won(cell, new[0].arm) if new else cell)
        trials += new
    suite = plan.suite.model_copy(update={"search": None, "declared_seeds": plan.suite.confirm_seeds})
    winning = dict(zip((cell.name for cell in plan.cells), cells, strict=True))
    pairs = tuple((winning.get(arm.name, arm), winning.get(baseline.name, baseline)) for arm, baseline in plan.pairs)
    return dataclasses.replace(
        plan,
        suite=suite,
        cells=tuple(cells),
        trials=tuple(trials),
        baseline=winning[plan.baseline.name],
        pairs=pairs,
    )


def _won(cell: Cell, arm: Arm) -> Cell:
    """A cell with the arm that its search has chosen."""
    return dataclasses.replace(cell, name=arm.name, built=arm, identity=Keys().of(arm))


@dataclass
class OtherCode:
    """Trials of a plan that other code trained; the same change lies between that code and the current one.

    Attributes:
        change: the change since.
        commits: the git commits of the harness that trained them.
        runs: the newest such run of each trial, and the trial.
    """

    change: Change
    commits: set[str]
    runs: list[tuple[Run, Trial]]


def of_other_code(plan: Plan, results: Path) -> list[OtherCode]:
    """The trials that the store has only by other code, grouped by the change of the code since."""
    store = Store(results)
    trials = _asked_for(plan, results).all
    found, groups = store.found(trials), dict[str, OtherCode]()
    if found.old and any(trial.key not in found.current for trial in trials):
        runs = "1 run of an older harness is" if found.old == 1 else f"{found.old} runs of an older harness are"
        note(f"{runs} not read: run `harness upgrade`, which copies the store and brings it up to date")
    for trial in trials:
        if trial.key in found.other and trial.key not in found.current:
            for run in reversed(found.other[trial.key]):
                change = identity.between(run.data.tags, trial)
                group = groups.setdefault(change.digest, OtherCode(change, set(), []))
                if trial.key not in {other.key for _, other in group.runs}:
                    group.commits.add(run.data.tags.get("git_commit", "unknown"))
                    group.runs.append((run, trial))
    return list(groups.values())


def accept(plan: Plan, results: Path, changes: Sequence[str], commit: str) -> int:
    """Count results of other code as results of the current code, if one of ``changes`` (digests) lies between.

    Returns: the number of trials.

    Raises:
        HarnessError: no results differ by such a change.
    """
    store, groups = Store(results), of_other_code(plan, results)
    known = [group.change.digest for group in groups]
    if wrong := [text for text in changes if text not in known]:
        what = f"known: {', '.join(known)}" if known else "there are none"
        raise HarnessError(f"--accept-change {wrong[0]}: no results of this suite differ by that change ({what})")
    taken = {trial.key: (run, trial) for group in groups if group.change.digest in changes for run, trial in group.runs}
    for run, trial in taken.values():
        store.accept(run, trial, commit)
    return len(taken)


def load(plan: Plan, results: Path, with_curves: bool = True, store: Store | None = None) -> Results:
    """The results of a suite so far, read from the store of a results folder, or from another ``store``."""
    store, asked = store or Store(results), _asked_for(plan, results)
    runs = store.found(asked.all, with_files=True)
    main = _read(plan, asked.trials, asked.never, runs, store, with_curves)
    winners = None
    if asked.winners is not None:
        winners = _read(asked.winners, asked.winners.trials, set(), runs, store, with_curves)
    _tell_of_lost_files([*main.records, *(winners.records if winners else ())], store)
    return dataclasses.replace(
        main,
        missing=main.missing + (winners.missing if winners else 0),
        searches=tuple(_search(plan.suite, name, tried, main) for name, tried in asked.tried.items()),
        confirmed=winners,
    )


def _search(suite: Suite, cell: str, tried: Sequence[Configuration], results: Results) -> CellSearch:
    """What the search in a cell tried and chose."""
    from harness.execution.study import winner

    closed, best = [one for one in tried if one.closed], winner(suite, tried)
    keys = {trial.key for one in tried for trial in one.trials}
    return CellSearch(
        cell=cell,
        values=tuple(math.nan if one.value is None else one.value for one in closed),
        independent=suite.search is not None
        and suite.search.sampler.name == "random"
        and not any(one.pruned for one in closed),
        seconds=sum(record.seconds_train for record in results.records if record.key in keys),
        winner=best.trials[0].arm.name if best else None,
        chosen_by=best.value if best and best.value is not None else math.nan,
    )


def _read(
    plan: Plan, trials: Sequence[Trial], never: set[str], runs: Found, store: Store, with_curves: bool
) -> Results:
    """The results of these trials, from the runs that the store has."""
    stands = {key: standing(run) for key, run in runs.current.items()}
    without = (State.INTERRUPTED, State.ALTERED)
    ended = {key: run for key, run in runs.current.items() if stands[key].state not in without}
    missing = {trial.key for trial in trials} - ended.keys() - (never - runs.current.keys())
    served = {trial.arm.name for trial in trials if trial.key in ended}
    ended |= runs.of_other_code(trial for trial in trials if trial.arm.name not in served)
    if with_curves and ended:
        store.read_curves([ended[trial.key] for trial in trials if trial.key in ended], plan.suite.name)
    found = tuple(
        store.record(ended[trial.key], trial.arm.name, with_curves, trial) for trial in trials if trial.key in ended
    )
    altered = tuple(
        _without_values(trial, stands[trial.key], runs.current[trial.key].info.run_id)
        for trial in trials
        if trial.key in stands and stands[trial.key].state is State.ALTERED
    )
    table = runs.tables.get(plan.suite.name, "")
    return Results(plan, found, len(missing), store.shown, plan.suite.name, altered, table)


def _without_values(trial: Trial, stands: Standing, run_id: str) -> Record:
    """The record of an altered trial: what the suite says of it, the reason, and no values."""
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
    """Print a note if the files of trials are not where the store says. A server may keep them on another machine."""
    at_hand = [record for record in found if record.files and record.fetched is None]
    lost = [record.artifacts for record in at_hand if not (record.artifacts and record.artifacts.is_dir())]
    if lost:
        note(
            f"the files of {len(lost)} of {len(at_hand)} trials are not where {store.shown} says (the first: "
            f"{lost[0] or 'another machine'}): they were deleted or moved, or the store is damaged. The report lacks "
            "their pictures, and their protocols are unknown."
        )


def seconds_per_trial(plan: Plan, results: Path) -> Callable[[Trial], float | None]:
    """Estimates the seconds of a trial from the store: the mean of its arm, else of its model per step, else None."""
    arms: dict[str, list[float]] = {}
    models: dict[str, list[float]] = {}
    store = Store(results)
    for run in store.runs() if store.exists else ():
        config = {name: run.data.params.get(name) for name in ("train.steps", "train.threads")}
        steps = config["train.steps"] or ""
        # No digest protects the params of older runs: anybody may have edited them.
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

"""What a plan asks for, what the store has of it, and what the rest costs, for `harness plan` and notebooks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.messages import note
from harness.base.states import State
from harness.cli.progress import duration
from harness.execution.devices import cores
from harness.suite import choosing, shipped
from harness.suite.cells import space_of
from harness.suite.declaration import points

if TYPE_CHECKING:
    from harness.store.runs import Standing
    from harness.suite import Search, Suite
    from harness.suite.plan import Plan, Trial

TO_DO = "to do"
UNKNOWN = "not known"
"""The state of every trial while the store does not answer."""
Guess = Callable[["Trial"], float | None]
"""Estimates the seconds of a trial on one worker; None if nothing is known."""


@dataclass(frozen=True)
class Outlook:
    """A plan, and what is known of its trials.

    Attributes:
        plan: the cells and trials.
        states: key -> state of the trials that the store knows; None if the store does not answer.
        stored: estimates from the trials of the store.
        remarks: further sentences for the user.
        measured: arm -> seconds of a trial, of the arms that were timed (``measured``).
    """

    plan: Plan
    states: Mapping[str, Standing] | None
    stored: Guess
    remarks: tuple[str, ...] = ()
    measured: Mapping[str, float] | None = None

    def state(self, trial: Trial) -> str:
        """The state of a trial, in a word."""
        if self.states is None:
            return UNKNOWN
        return self.states[trial.key].state if trial.key in self.states else TO_DO

    def seconds(self, trial: Trial) -> float | None:
        """The seconds that a trial takes on one worker: from the store, else as measured; None if neither is there."""
        own = self.stored(trial)
        return own if own is not None else (self.measured or {}).get(trial.arm.name)

    def summary(self) -> list[str]:
        """How many trials are to do, and what they cost."""
        search = self.plan.suite.search
        if search is not None:
            lines = [*_of_search(search, self.plan), *filter(None, [choosing.told(self.plan)])]
            return [*lines, *self._cost(_tried(search, self.plan))]
        counts = Counter(self.state(trial) for trial in self.plan.trials)
        lines = [f"{len(self.plan.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in counts.items())]
        lines += filter(None, [choosing.told(self.plan)])
        states = self.states
        if states is None:
            return lines
        todo = [t for t in self.plan.trials if t.key not in states or not states[t.key].state.settled]
        return [*lines, *self._cost(todo)]

    def _cost(self, trials: list[Trial]) -> Iterator[str]:
        """What these trials cost, in core-hours and by the clock; how to find out if nothing is known."""
        known = [(trial, seconds) for trial in trials if (seconds := self.seconds(trial)) is not None]
        if trials and not known:
            stated = shipped.cost(self.plan.suite.text)
            yield (
                "this store has no finished trial of these models yet, so there is no estimate of the time: --measure "
                "times a few steps of each arm" + (f". Its file puts the whole suite at {stated}" if stated else "")
            )
        if not known:
            return
        share = len(trials) / len(known)  # an arm that nothing is known of counts as the mean of the others
        seconds = share * sum(seconds for _, seconds in known)
        core_hours = share * sum(seconds * trial.arm.train.threads for trial, seconds in known) / 3600
        workers = min(max(1, cores() // trials[0].arm.train.threads), len(trials))
        source = "the trials in this store" + (" and a few steps of the other arms" if self.measured else "")
        if self.measured and not any(self.stored(trial) is not None for trial in trials):
            source = "a few steps and an evaluation of each arm"
        yield (
            f"about {core_hours:.2g} core-hours: {duration(seconds / workers)} with {workers} worker(s), estimated "
            f"from {source}"
        )


def outlook(plan: Plan, results: Path) -> Outlook:
    """What the store has of a plan. Without a store it imports nothing heavy."""
    from harness.store import addresses, studies

    if not (results / "mlflow.db").is_file() and not addresses.tracking():
        lost = f"{results} has an {studies.FILE} but no mlflow.db: all trials would be trained again. To keep the "
        lost += "results, restore a copy of mlflow.db first"
        return Outlook(plan, {}, _nothing, (lost,) if (results / studies.FILE).is_file() else ())
    from harness.analysis import loading
    from harness.report import words
    from harness.store.addresses import Silent

    try:
        remarks = tuple(words.changes(loading.of_other_code(plan, results)))
        return Outlook(plan, loading.states(plan, results), loading.seconds_per_trial(plan, results), remarks)
    except Silent as error:  # the cells are known without the store
        return Outlook(plan, None, _nothing, (f"{error}; the states of the trials are not known",))


def measured(found: Outlook, device: str) -> Outlook:
    """The same with the arms timed that the store knows nothing of; data and weights that are missing are downloaded.

    Args:
        found: a plan, with what the store has.
        device: where to compute, as in ``--device``.

    Raises:
        HarnessError: there is no such device, or data or weights cannot be had.
    """
    from harness.cli.running import fetch_all
    from harness.cli.telling import Silence
    from harness.execution import devices, timing

    cells = [cell for cell in found.plan.cells if cell.excluded is None]
    asked = [one for cell in cells for one in cell.trials(found.plan.suite.seeds[:1]) if found.stored(one) is None]
    if not asked:
        return found
    fetch_all(found.plan, Silence())
    return dataclasses.replace(
        found, measured=timing.seconds_per_trial(asked, found.plan.suite.run, devices.resolve(device), note)
    )


def with_progress(suite: Suite, results: Path, planned: Callable[[Suite], Plan]) -> Plan:
    """The plan of a suite with the seeds that its looks have come to, where it has rounds."""
    if suite.rounds is None and not (results / "looks").is_dir():
        return planned(suite)
    from harness.analysis import looks

    return looks.progress(planned(looks.with_rounds(suite, results)), results).plan


def _nothing(trial: Trial) -> None:
    return None


def _tried(search: Search, plan: Plan) -> list[Trial]:
    """As many trials as a search may need, each with the settings of its cell."""
    each = search.n_trials * len(plan.suite.seeds)
    return [one for cell in plan.cells if cell.excluded is None for one in cell.trials(plan.suite.seeds[:1]) * each]


def _of_search(search: Search, plan: Plan) -> Iterator[str]:
    """How many trials a search may need."""
    cells = [cell.combination for cell in plan.cells if cell.excluded is None]
    each = search.n_trials * len(plan.suite.seeds)
    yield (
        f"a search in {len(cells)} cell(s): up to {search.n_trials} configurations × {len(plan.suite.seeds)} seeds = "
        f"{each} trials each"
    )
    if new := plan.suite.confirm_seeds:
        yield f"then the best configuration of each cell on {len(new)} new seeds"
    sizes = {points(space_of(search, cell)) for cell in cells}
    for size in sorted(size for size in sizes if size is not None and size < search.n_trials):
        yield (
            f"the space has only {size} different configurations: at least {search.n_trials - size} of "
            f"{search.n_trials} will repeat earlier ones, and are not trained again"
        )


def altered(found: Outlook) -> Iterator[str]:
    """A line for each trial whose stored run somebody changed."""
    for trial in found.plan.trials:
        if found.states and trial.key in found.states and found.states[trial.key].state is State.ALTERED:
            yield f"{trial.label}: {State.ALTERED}: {found.states[trial.key].reason}"

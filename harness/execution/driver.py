"""The driver: the one process that owns the stores. It takes work from the queues and gives it to the engine.

What it was doing when it was killed, the next one picks up: records that MLflow has not heard of, interrupted trials
from their checkpoints, the queue from Optuna and MLflow.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.base import interrupts
from harness.base.errors import HarnessError
from harness.base.files import cache_folder, sweep
from harness.base.messages import told_to
from harness.base.states import State
from harness.execution.engine import Died, Ended, Engine, Event, Measured, Noted, Started, Stepped
from harness.execution.study import Known, Queue, Work, asked_for, queues, storage
from harness.store import identity, journal, sqlite
from harness.store import runs as runs_module
from harness.store.delivery import Delivery
from harness.store.folders import Folders
from harness.store.journal import Records
from harness.store.runs import Store
from harness.trial.task import Outcome, Task

if TYPE_CHECKING:
    from mlflow.entities import Run

    from harness.suite.plan import Plan, Trial

ATTEMPTS = 3
"""How often a trial is tried in one run of the harness when its worker dies."""
STARTING, GRACE = 600.0, 10.0
"""Seconds by which a worker may be silent for longer than the time limit: while it starts, and later."""


class Listener(Protocol):
    """Who wants to know how a run goes."""

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        """So many trials, of which so many are done already, and which the others are (a search does not know yet)."""

    def began(self, trial: Trial) -> None:
        """A worker has a trial."""

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        """A trial has come to a step."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """A trial has reached an outcome (or was interrupted)."""

    def note(self, text: str) -> None:
        """Something worth a line."""


class Interrupted(Exception):
    """The user stopped the run; everything is saved."""


@dataclass
class _Running:
    """A trial that a worker has."""

    work: Work
    queue: Queue
    crowded: bool
    """Whether others have run beside it."""
    started: bool = False
    """Whether a worker has begun with it."""
    step: int | None = None
    """The last one that it told of; None before its training begins."""
    heard: float = field(default_factory=time.monotonic)


@dataclass
class Driver:
    """Runs what a plan still lacks.

    Args:
        plan: the suite's plan.
        results: the results folder.
        engine: where trials run; the driver does not close it.
        listener: who is told.
    """

    plan: Plan
    results: Path
    engine: Engine
    listener: Listener
    _running: dict[str, _Running] = field(default_factory=dict)
    _attempts: Counter[str] = field(default_factory=Counter)
    _again: list[tuple[Work, Queue]] = field(default_factory=list)
    _alone: list[tuple[Work, Queue]] = field(default_factory=list)
    """To be tried again with nothing beside them."""
    _lonely: set[str] = field(default_factory=set)
    _twins: list[tuple[Work, Queue]] = field(default_factory=list)
    _states: dict[str, State] = field(default_factory=dict)
    _stopping: bool = False
    _refused: HarnessError | None = None

    def run(self) -> None:
        """Run until nothing is left to do. The store must be held (``exclusive``).

        Raises:
            Interrupted: Ctrl-C or SIGTERM; every trial was saved first (a second one ends the process at once).
            HarnessError: a disk or a store is at fault; the next run goes on where this one was.
        """
        with self._signals(), told_to(self.listener.note):
            self._run()
            if self._stopping:
                raise Interrupted

    def _run(self) -> None:
        work = Folders(self.results).work
        self.store = Store(self.results)
        self.store.create()
        self.delivery = Delivery(self.store, work, self.listener.note)
        known, altered, parent = self._caught_up(work)
        self._tidy(known)
        with sqlite.reading(self.results.resolve() / "optuna.db", sqlite.OPTUNA):
            studies = storage(self.results)
            self._tell_of_altered(altered, known, asked_for(self.plan, studies) if altered else [])
            self.queues = queues(self.plan, studies, known)
        sqlite.stamp(self.results)
        remaining = sum(queue.remaining for queue in self.queues)
        settled = len(self.plan.trials) - remaining if self.plan.trials else 0
        self._states = {trial.key: known[trial.key].state for trial in self.plan.trials if trial.key in known}
        todo = [t for t in self.plan.trials if t.key not in self._states or not self._states[t.key].settled]
        self.listener.planned(remaining + settled, settled, todo)
        self.delivery.start()
        self._loop()
        journal.interrupt(work)  # what was to be tried again
        self._deliver_the_rest(parent)

    def _caught_up(self, work: Path) -> tuple[dict[str, Known], list[Run], str]:
        """What the store knows once it has heard all that was recorded before.

        The trials that reached an outcome, the runs that somebody changed, the id of the suite's parent run.
        """
        journal.interrupt(work)  # nobody else holds the store, so what has not ended was left
        with self.store.answering():
            self.delivery.deliver()
            self.delivery.remember()
            _, parent = self.delivery.suite(self.plan.suite.name)
            self.store.describe(parent, self.plan.suite)
            return *self._known(), parent

    def _deliver_the_rest(self, parent: str) -> None:
        try:
            self.delivery.finish()
            counts = Counter(self._states.values())
            self.store.finish_parent(parent, {f"trials_{state}": n for state, n in counts.items()})
        except HarnessError as error:
            if not self._stopping:
                raise
            self.listener.note(str(error))

    def _known(self) -> tuple[dict[str, Known], list[Run]]:
        """Every trial in the store that reached an outcome, and the runs that were changed after they ended."""
        known: dict[str, Known] = {}
        altered: list[Run] = []
        runs = list(self.store.runs())
        for run in runs:
            state = runs_module.state(run)
            if state is State.ALTERED:
                altered.append(run)
            if not state.own:
                continue
            keys = identity.keys(run.data.tags)
            if new := [key for key in keys if key not in known or known[key].state is not State.DONE]:
                record = self.store.record(run, "", with_curves=False)
                known |= dict.fromkeys(new, Known(state, record.values, record.reason))
        self.store.end_ghosts(runs)
        return known, altered

    def _tell_of_altered(self, altered: Sequence[Run], known: dict[str, Known], trials: Sequence[Trial]) -> None:
        """Name the trials of the plan that have no run but one that was changed; they are trained anew."""
        wanted = {trial.key: trial for trial in trials}
        for run in altered:
            stands = runs_module.standing(run)
            for key in runs_module.of_trials(run, wanted.keys()) - known.keys():
                known[key] = Known(stands.state, {}, stands.reason)
                trial = wanted[key]
                self.listener.note(f"{trial.label}: {stands.state}: {stands.reason}")

    def _tidy(self, known: dict[str, Known]) -> None:
        """Remove what a killed driver or worker left: files of trials that are settled, half-written files."""
        folders = Folders(self.results)
        for folder in folders.work.glob("*/"):
            if folder.name in known and known[folder.name].state.settled:
                shutil.rmtree(folder, ignore_errors=True)
        written = (folders.work, folders.cache, self.results / self.plan.suite.name)
        for temporary in [*self.results.glob(".*.tmp"), *(t for folder in written for t in folder.glob("**/.*.tmp"))]:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)
        sweep(cache_folder(), "*/.*.tmp")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C or SIGTERM is noted, and heeded between events; a second one ends it at once.

        An exception in the middle of an event could lose it, or break a write to the stores.
        """

        def heed(number: int, frame: object) -> None:
            if self._stopping:
                interrupts.end_at_once()
            self._stopping = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with interrupts.handled(heed, signal.SIGINT, signal.SIGTERM):
            yield

    def _loop(self) -> None:
        told = False
        while True:
            while not self._stopping and self.engine.free and (item := self._next()) is not None:
                self._submit(*item)
            if not self._running:
                if self._refused is not None:
                    raise self._refused
                return
            if self._stopping and not told:
                told = True
                self.listener.note("stopping: saving the trials that run (Ctrl-C again stops at once)")
                self.engine.stop()
            for event in self.engine.wait(1.0):
                with sqlite.waiting("the stores"):
                    self._handle(event)
            self._end_silent()

    def _next(self) -> tuple[Work, Queue] | None:
        if self._lonely & self._running.keys():
            return None
        if self._again:
            return self._again.pop()
        for queue in self.queues:
            while (work := queue.next()) is not None:
                if work.trial.key not in self._running:
                    return work, queue
                self._twins.append((work, queue))  # another cell trains the very same: its outcome serves both
        if self._alone and not self._running:
            self._lonely.add(self._alone[-1][0].trial.key)
            return self._alone.pop()
        return None

    def _submit(self, work: Work, queue: Queue) -> None:
        folders, trial = Folders(self.results), work.trial
        task = Task(
            trial,
            self.plan.suite.run,
            folders.work / trial.key,
            folders.cache,
            work.intermediate,
        )
        self.delivery.closed.pop(trial.key, None)  # how it ended before
        Records(task.folder).begin(self.plan.suite.name, trial)
        self._running[trial.key] = _Running(work, queue, crowded=False)
        for running in self._running.values() if len(self._running) > 1 else ():
            running.crowded = True
        self._attempts[trial.key] += 1
        self.engine.submit(task)
        self.listener.began(trial)

    def _handle(self, event: Event) -> None:
        running = self._running[event.key]
        running.heard = time.monotonic()
        match event:
            case Started():
                running.started = True
            case Stepped(_, step, point):
                running.step = step
                if point:
                    self.listener.stepped(running.work.trial, step, point)
            case Measured(key, step, value):
                self.engine.answer(key, running.queue.measured(key, step, value))
            case Noted(_, text):
                self.listener.note(f"{running.work.trial.label}: {text}")
            case Ended(key, outcome):
                del self._running[key]
                if outcome.state is State.OUT_OF_MEMORY:
                    self._starved(running, outcome)
                else:
                    self._ended(running, outcome)
            case Died(key) as death:
                del self._running[key]
                if death.refusal is not None:  # whatever runs beside it will come to the same
                    self._refused, self._stopping = HarnessError(death.refusal), True
                self._died(running, death)

    def _ended(self, running: _Running, outcome: Outcome) -> None:
        """A trial has come to an outcome, which is recorded."""
        key = running.work.trial.key
        if outcome.state is not State.INTERRUPTED:
            self._states[key] = outcome.state
            running.queue.tell(key, outcome)
            for twin, other in [item for item in self._twins if item[0].trial.key == key]:
                self._twins.remove((twin, other))
                other.tell(key, outcome)
        self.delivery.wake()
        self.listener.ended(running.work.trial, outcome)

    def _came_to(self, running: _Running) -> Outcome | None:
        """What the worker has recorded as a trial's end; None if it has not come to that."""
        key = running.work.trial.key
        return Records(Folders(self.results).work / key).outcome or self.delivery.closed.get(key)

    def _end(self, running: _Running, outcome: Outcome, keep: bool = False) -> None:
        """Record an outcome in place of the worker. With ``keep`` the next run goes on from the checkpoint."""
        try:
            came_to = self._came_to(running)
            if came_to is None:
                Records(Folders(self.results).work / running.work.trial.key).end(outcome, keep)
            outcome = came_to or outcome
        except OSError as error:  # a full disk: the next run tries this trial again
            self.listener.note(f"{running.work.trial.label}: {outcome.state}, which cannot be recorded: {error}")
        self._ended(running, outcome)

    def _died(self, running: _Running, death: Died) -> None:
        key = running.work.trial.key
        outcome = self._came_to(running)
        if outcome is not None:  # it died after its last word
            self._ended(running, outcome)
        elif self._stopping:
            self._ended(running, Outcome(State.INTERRUPTED))
        elif self._attempts[key] < ATTEMPTS:
            self.listener.note(f"{running.work.trial.label}: {death.reason}; trying again")
            # Who was killed may have been the largest of several that were too large together.
            waiting = self._alone if death.killed and running.crowded else self._again
            waiting.append((running.work, running.queue))
        else:
            reason = f"{death.reason} ({ATTEMPTS} times), {_after(running)}"
            self._end(running, Outcome(State.FAILED, reason), keep=True)

    def _starved(self, running: _Running, outcome: Outcome) -> None:
        """A trial ran out of memory: once more with nothing beside it, if there was; never with another batch."""
        if running.crowded and not self._stopping:
            self.listener.note(
                f"{running.work.trial.label}: out of memory; trying again alone, when the others have ended"
            )
            self._alone.append((running.work, running.queue))
        else:
            self._end(running, outcome)

    def _end_silent(self) -> None:
        """Stop the workers that have given no sign of life for longer than a trial may take."""
        limit = self.plan.suite.run.time_limit
        if limit is None:
            return
        for key, running in list(self._running.items()):
            if self.engine.queues and not running.started:
                continue
            silent = time.monotonic() - running.heard
            if silent > limit + (STARTING if running.step is None else GRACE):
                self.engine.kill(key)
                del self._running[key]
                reason = f"no sign of life for {silent:.0f} s, {_after(running)}: its worker was stopped"
                self._end(running, Outcome(State.TIMED_OUT, reason))


def _after(running: _Running) -> str:
    """Where a trial was when it was last heard of."""
    return "before step 1" if running.step is None else f"after step {running.step}"

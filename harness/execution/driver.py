"""The driver: the one process that owns the stores. It takes trials from the queues and submits them to the engine.

If a driver is killed, the next one continues: it delivers the journals to MLflow, resumes interrupted trials from
their checkpoints, and rebuilds the queues from Optuna and MLflow.
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
from harness.base.files import cache_folder, tidy
from harness.base.messages import messages_to
from harness.base.states import State
from harness.execution.engine import Died, Ended, Engine, Event, Measured, Noted, Started, Stepped, Waiting
from harness.execution.sharing import Sharing
from harness.execution.study import Known, Queue, Work, asked_for, queues, storage
from harness.store import identity, journal, sqlite
from harness.store import runs as runs_module
from harness.store.delivery import Delivery
from harness.store.folders import Folders
from harness.store.journal import Journal
from harness.store.runs import Store
from harness.store.studies import Studies
from harness.trial.task import Outcome, Task

if TYPE_CHECKING:
    from harness.store.stored import Run
    from harness.suite.plan import Plan, Trial

ATTEMPTS = 3
"""Attempts of a trial whose worker dies, in one run of the harness."""
STARTING, GRACE = 600.0, 10.0
"""Seconds beyond the time limit for which a worker may send no event: until training begins, and after that."""


class Listener(Protocol):
    """Receives the events of a run."""

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        """The number of trials, the number already done, and the trials to do (empty for a search)."""

    def began(self, trial: Trial) -> None:
        """A trial was submitted to the engine."""

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        """A trial has reached a step, with these scalars."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """A trial has ended, or was interrupted."""

    def settled(self, trials: int) -> None:
        """So many trials need not be run: they repeat others."""

    def note(self, text: str) -> None:
        """A message for the user."""


class Interrupted(Exception):
    """The user stopped the run; everything is saved."""


@dataclass
class _Running:
    """A trial that the engine has."""

    work: Work
    queue: Queue
    crowded: bool
    """Whether other trials have run beside it."""
    started: bool = False
    """Whether a worker has started it."""
    step: int | None = None
    """The last reported step; None before training begins."""
    last_event: float = field(default_factory=time.monotonic)
    """The time of the last event."""


@dataclass
class Driver:
    """Runs the trials of a plan that are not done yet.

    Args:
        plan: the suite's plan.
        results: the results folder.
        engine: where trials run; the driver does not close it.
        listener: receives the events of the run.
    """

    plan: Plan
    results: Path
    engine: Engine
    listener: Listener
    _running: dict[str, _Running] = field(default_factory=dict)
    _attempts: Counter[str] = field(default_factory=Counter)
    _retries: list[tuple[Work, Queue]] = field(default_factory=list)
    """Trials to try again."""
    _retries_alone: list[tuple[Work, Queue]] = field(default_factory=list)
    """Trials to try again while no other trial runs."""
    _exclusive: set[str] = field(default_factory=set)
    """Keys of the trials that were submitted from ``_retries_alone``."""
    _duplicates: list[tuple[Work, Queue]] = field(default_factory=list)
    """Requests for a trial that already runs for another cell: its outcome serves both."""
    _hopeless: dict[str, str] = field(default_factory=dict)
    """Name of an arm that failed at its first step -> why. Its other seeds would fail alike."""
    _states: dict[str, State] = field(default_factory=dict)
    _to_deliver: set[str] = field(default_factory=set)
    """Trials that have ended, and whose outcome MLflow does not have yet."""
    _stopping: bool = False
    _storage_error: HarnessError | None = None

    def run(self) -> None:
        """Run until no trial is left to do. The caller must hold the lock of the store (``exclusive``).

        Raises:
            Interrupted: Ctrl-C, SIGTERM or SIGHUP; every trial was saved first (a second one ends the process at once).
            HarnessError: a disk or a store has failed; the next run continues from here.
        """
        with self._signals(), messages_to(self.listener.note):
            self._run()
            if self._stopping:
                raise Interrupted

    def _run(self) -> None:
        self.store, self.studies = Store(self.results), Studies(self.results)
        with contextlib.ExitStack() as held:
            with self.studies.reading():
                self.claims = held.enter_context(self.studies.claims(self.results))
            self._run_claimed()

    def _run_claimed(self) -> None:
        work = Folders(self.results).work
        with self.claims.alone("tables of MLflow"):  # its own creation of tables is not for several first users
            self.store.create()
        self.delivery = Delivery(self.store, work, self.listener.note, self.claims)
        self.sharing = Sharing(self.claims, self.store, self._take_over, self._refresh, set())
        # Deliver what the last driver left, and read what is done.
        self._all, altered, parent = self._catch_up(work)
        known = self._all
        self._remove_leftovers(known)
        # The queues of Optuna, in line with the store.
        with self.studies.reading():
            opened = storage(self.results)
            self._note_altered(altered, known, asked_for(self.plan, opened) if altered else [])
            claim = self.sharing.may_ask if self.studies.shared else None
            self.queues = queues(self.plan, opened, known, claim)
        if not self.studies.shared and not self.store.local:
            self.listener.note(
                f"a driver in another results folder that uses {self.store.shown} would train the same trials: to "
                "share the work, name a database for the queues of both (--storage; `harness docs stores`)"
            )
        self._tell_of_lost()
        sqlite.stamp(self.results)
        remaining = sum(queue.remaining for queue in self.queues)
        settled = len(self.plan.trials) - remaining if self.plan.trials else 0
        self._states = {trial.key: known[trial.key].state for trial in self.plan.trials if trial.key in known}
        todo = [t for t in self.plan.trials if t.key not in self._states or not self._states[t.key].settled]
        self.listener.planned(remaining + settled, settled, todo)
        # Run the trials, while a thread delivers their journals to MLflow.
        self.delivery.start()
        self._loop()
        for text in filter(None, (queue.repeated for queue in self.queues)):
            self.listener.note(text)
        journal.interrupt(work, self.engine.running())  # trials that wait for another attempt
        self._deliver_rest(parent)
        self._let_go()

    def _tell_of_lost(self) -> None:
        """Tell the user of trials that were done once, and are trained again."""
        lost = sum(queue.lost for queue in self.queues)
        if not lost or self.claims.others():  # what others have finished just now is not in MLflow yet
            return
        self.listener.note(
            f"{self.studies.shown} knows the values of {lost} trial{'s' * (lost > 1)} that {self.store.shown} does not "
            "have: the runs were deleted, or the database is another one. They are trained again. To keep them, stop "
            "now (Ctrl-C) and restore a copy of mlflow.db, or the deleted runs or their experiment in MLflow"
        )

    def _catch_up(self, work: Path) -> tuple[dict[str, Known], list[Run], str]:
        """Deliver all earlier journals, and read the store.

        Returns:
            The trials that have an outcome, the altered runs, the id of the suite's parent run.
        """
        # Only this driver holds the folder: a trial without an end runs no more, unless the engine has it still.
        running = self.engine.running()
        journal.interrupt(work, running)
        with self.store.answering():
            self._claim_journals(work)
            with self.claims.alone(f"suites in {self.store.shown}"):  # no two parent runs of one suite
                self.delivery.deliver()
                experiment, parent = self.delivery.suite(self.plan.suite.name)
            self.delivery.remember(running)
            if (other := self.store.other_file(self.plan.suite)) is not None:
                self.listener.note(other)
            self.store.describe(experiment, parent, self.plan.suite)
            return *self._known(), parent

    def _claim_journals(self, work: Path) -> None:
        """Claim what the last driver left. What another one has done meanwhile is given up here."""
        for path in journal.files(work):
            key = path.parent.name
            claim = self.claims.take(key)
            done = self.sharing.outcome(key) if self.claims.shared else None
            if not claim.ours or done is not None:
                self.engine.kill(key)  # if the engine of a cluster has it still
            else:
                self.claims.confirm(key)
            if done is not None and done.state.settled:
                shutil.rmtree(path.parent, ignore_errors=True)
                self.claims.finish([key])

    def _refresh(self) -> None:
        """Read again what is done: other drivers have done something."""
        with self.store.answering():
            self._all |= self._known()[0]

    def _deliver_rest(self, parent: str) -> None:
        """Deliver what is left, and end the parent run. A store that fails while stopping is a note, not an error."""
        try:
            self.delivery.finish()
            counts = Counter(self._states.values())
            self.store.finish_parent(parent, {f"trials_{state}": n for state, n in counts.items()})
        except HarnessError as error:
            if not self._stopping:
                raise
            self.listener.note(str(error))

    def _known(self) -> tuple[dict[str, Known], list[Run]]:
        """Every trial in the store that has an outcome, and the runs that were altered after they ended."""
        known: dict[str, Known] = {}
        altered: list[Run] = []
        runs = self.store.runs()
        self.sharing.seen = self.sharing.seen or {run.info.run_id for run in runs}
        for run in runs:
            state = runs_module.state(run)
            if state is State.ALTERED:
                altered.append(run)
            if not state.own:
                continue
            keys = identity.keys(run.data.tags)
            if new := [key for key in keys if key not in known or known[key].state is not State.DONE]:
                record = self.store.record(run, "", with_curves=False)
                seconds = record.seconds_train + record.seconds_evaluate
                known |= dict.fromkeys(new, Known(state, record.values, record.reason, seconds))
        self.store.end_ghosts(runs, self.engine.running())
        return known, altered

    def _note_altered(self, altered: Sequence[Run], known: dict[str, Known], trials: Sequence[Trial]) -> None:
        """Tell the user, in a line per trial, which trials have only an altered run and are trained again, and why."""
        wanted = {trial.key: trial for trial in trials}
        for run in altered:
            standing = runs_module.standing(run)
            for key in runs_module.of_trials(run, wanted.keys()) - known.keys():
                known[key] = Known(standing.state, {}, standing.reason)
                why = runs_module.alteration(run)
                self.listener.note(f"{wanted[key].label}: {standing.state}: {why}; it is trained again")

    def _remove_leftovers(self, known: dict[str, Known]) -> None:
        """Remove what a killed driver or worker left: files of settled trials, half-written files."""
        folders = Folders(self.results)
        for folder in folders.work.glob("*/"):
            if folder.name in known and known[folder.name].state.settled:
                shutil.rmtree(folder, ignore_errors=True)
        tidy(self.results)
        reports = [folders.report(self.plan.suite.name, chosen) for chosen in (False, True)]
        for folder in (folders.work, folders.cache, *reports, cache_folder()):
            tidy(folder, deep=True)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first Ctrl-C, SIGTERM or SIGHUP stops the run between two events; a second ends the process at once.

        An exception in the middle of an event could lose the event, or interrupt a write to the stores.
        """

        def request_stop(number: int, frame: object) -> None:
            if self._stopping and number != signal.SIGHUP:  # a closed terminal may send it twice
                interrupts.end_at_once()
            self._stopping = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as nohup ignores it
        hangup = [] if ignored or self.engine.outlives else [signal.SIGHUP]
        with interrupts.handled(request_stop, signal.SIGINT, signal.SIGTERM, *hangup):
            yield

    def _loop(self) -> None:
        engine_stopped = False
        while True:
            # Let go of what has ended; what other drivers no longer have may run here.
            self._let_go()
            self._retries += self.sharing.free()

            # Fill the free slots.
            while not self._stopping and self.engine.free and (item := self._next()) is not None:
                self._submit(*item)

            # Nothing runs and nothing is left: done.
            if not self._running:
                if self._storage_error is not None:
                    raise self._storage_error
                if self._stopping or not (self._retries or self.sharing.aside or any(q.waits for q in self.queues)):
                    return

            # After a signal: ask every trial to save itself.
            if self._stopping and not engine_stopped:
                engine_stopped = True
                self.listener.note("stopping: saving the running trials (Ctrl-C again stops at once)")
                self.engine.stop()

            # Handle what has happened, and kill workers that hang.
            events = self.engine.wait(1.0)
            self._give_up_lost()
            for event in events:
                if event.key in self._running:
                    self._handle(event)
            self._kill_silent()

    def _next(self) -> tuple[Work, Queue] | None:
        """The next trial to submit: a retry, one from the queues, or, while nothing runs, one to try alone."""
        if self._exclusive & self._running.keys():
            return None
        while self._retries:
            if self._may_run(*(item := self._retries.pop())):
                return item
        for queue in sorted(self.queues, key=lambda queue: queue.ahead):
            while (work := self._asked(queue)) is not None:
                if self._may_run(work, queue):
                    return work, queue
        while self._retries_alone and not self._running:
            if self._may_run(*(item := self._retries_alone.pop())):
                self._exclusive.add(item[0].trial.key)
                return item
        return None

    def _may_run(self, work: Work, queue: Queue) -> bool:
        """Whether a trial may be submitted: it does not run yet, here or elsewhere, and no other driver has done it."""
        if work.trial.key in self._running:
            self._duplicates.append((work, queue))
            return False
        return self.sharing.may_run(work, queue)

    def _take_over(self, work: Work, queue: Queue, outcome: Outcome) -> None:
        """Count the outcome that another driver has given a trial."""
        key = work.trial.key
        self._settle(queue, key, outcome, shown=0)
        shutil.rmtree(Folders(self.results).work / key, ignore_errors=True)  # of an attempt that this driver lost

    def _let_go(self) -> None:
        """Let go of the trials that have ended, and whose outcome MLflow has."""
        closed = set(self.delivery.closed)
        delivered = self._to_deliver & closed
        self.claims.finish(delivered)
        self._to_deliver -= delivered
        for key in closed - self._running.keys():  # nobody asks for their outcomes any more
            del self.delivery.closed[key]

    def _give_up_lost(self) -> None:
        """Kill the trials that other drivers have taken: this process was stopped for longer than its lease."""
        for name in self.claims.lost():
            given_up = [queue for queue in self.queues if queue.give_up(name)]
            for waiting in (self._retries, self._retries_alone, self._duplicates, self.sharing.aside):
                waiting[:] = [item for item in waiting if item[1] not in given_up]
            for key, running in list(self._running.items()):
                if key != name and running.queue not in given_up:
                    continue
                self.engine.kill(key)
                del self._running[key]
                if (records := Journal(Folders(self.results).work / key)).begun:  # it is not delivered yet
                    records.interrupt()
                self.listener.ended(running.work.trial, Outcome(State.INTERRUPTED))
                self.listener.note(
                    f"{running.work.trial.label}: stopped here, because another driver has taken it: this one had "
                    f"given no sign of life for {self.claims.shown_lease}"
                )
                if running.queue not in given_up:
                    self.sharing.aside.append((running.work, running.queue))

    def _asked(self, queue: Queue) -> Work | None:
        """The next trial of a queue. Trials that it settles by itself, with known values, are told to the listener."""
        before = queue.remaining
        work = queue.next()
        if queue.remaining < before:
            self.listener.settled(before - queue.remaining)
        return work

    def _submit(self, work: Work, queue: Queue) -> None:
        folders, trial = Folders(self.results), work.trial
        task = Task(
            trial,
            self.plan.suite.run,
            folders.work / trial.key,
            folders.cache,
            work.intermediate,
        )
        self.delivery.closed.pop(trial.key, None)  # the outcome of an earlier attempt
        if trial.key not in self.engine.running():  # else its worker writes the journal
            Journal(task.folder).begin(self.plan.suite.name, trial)
            if (reason := self._hopeless.get(trial.arm.name)) is not None:
                self.listener.began(trial)
                self._end(_Running(work, queue, crowded=False), Outcome(State.FAILED, reason))
                return
        self._running[trial.key] = _Running(work, queue, crowded=False)
        for running in self._running.values() if len(self._running) > 1 and not self.engine.isolates else ():
            running.crowded = True
        self._attempts[trial.key] += 1
        self.engine.submit(task)
        self.listener.began(trial)

    def _handle(self, event: Event) -> None:
        running = self._running[event.key]
        running.last_event = time.monotonic()
        match event:
            case Started():
                running.started, running.step = True, None
            case Waiting():
                running.started = False
            case Stepped(_, step, point):
                running.step = step
                if point:
                    self.listener.stepped(running.work.trial, step, point)
            case Measured(key, step, value):
                with self.studies.waiting():
                    prune = running.queue.measured(key, step, value)
                self.engine.answer(key, prune)
            case Noted(_, text):
                self.listener.note(f"{running.work.trial.label}: {text}")
            case Ended(key, outcome):
                del self._running[key]
                if outcome.state is State.OUT_OF_MEMORY:
                    self._out_of_memory(running, outcome)
                else:
                    self._give_up_arm(running, outcome)
                    self._ended(running, outcome)
            case Died(key) as death:
                del self._running[key]
                if death.refusal is not None:  # every other trial will meet the same error
                    self._storage_error, self._stopping = HarnessError(death.refusal), True
                self._died(running, death)

    def _give_up_arm(self, running: _Running, outcome: Outcome) -> None:
        """If the trial failed at its first step, do not begin its arm with other seeds (see ``run.keep_going``)."""
        if outcome.state is not State.FAILED or running.step or self.plan.suite.run.keep_going:
            return
        trial = running.work.trial
        self._hopeless.setdefault(
            trial.arm.name,
            f"not begun, because seed {trial.seed} failed at the first step (run.keep_going: true begins all seeds): "
            f"{outcome.reason}",
        )

    def _ended(self, running: _Running, outcome: Outcome) -> None:
        """Report an outcome, which is already in the journal, to the queues and the listener."""
        key = running.work.trial.key
        if outcome.state is not State.INTERRUPTED:
            self._to_deliver.add(key)
            self._settle(running.queue, key, outcome, shown=1)
        self.listener.ended(running.work.trial, outcome)

    def _settle(self, queue: Queue, key: str, outcome: Outcome, shown: int) -> None:
        """Tell an outcome to all queues that wait for it."""
        self._states[key] = outcome.state
        self._tell(queue, key, outcome, shown)
        for duplicate, other in [item for item in self._duplicates if item[0].trial.key == key]:
            self._duplicates.remove((duplicate, other))
            self._tell(other, key, outcome, shown=0)

    def _tell(self, queue: Queue, key: str, outcome: Outcome, shown: int) -> None:
        """Tell a queue. It may need further trials no more: the listener shows only ``shown`` of them as ended."""
        before = queue.remaining
        with self.studies.waiting():
            queue.tell(key, outcome)
        if (fewer := before - queue.remaining - shown) > 0:
            self.listener.settled(fewer)

    def _recorded(self, running: _Running) -> Outcome | None:
        """The outcome that the worker has recorded; None if the trial has not ended."""
        key = running.work.trial.key
        return Journal(Folders(self.results).work / key).outcome or self.delivery.closed.get(key)

    def _end(self, running: _Running, outcome: Outcome, keep: bool = False) -> None:
        """Record an outcome in place of the worker. With ``keep``, the next run resumes from the checkpoint."""
        try:
            recorded = self._recorded(running)
            if recorded is None:
                Journal(Folders(self.results).work / running.work.trial.key).end(outcome, keep)
            outcome = recorded or outcome
        except OSError as error:  # a full disk: the next run tries this trial again
            self.listener.note(f"{running.work.trial.label}: {outcome.state}, but this cannot be recorded: {error}")
        self._ended(running, outcome)

    def _died(self, running: _Running, death: Died) -> None:
        """The worker of a trial died: try the trial again, or record that it failed."""
        key = running.work.trial.key
        outcome = self._recorded(running)
        if outcome is not None:  # the worker died after it had recorded the outcome
            self._ended(running, outcome)
        elif self._stopping:
            self._ended(running, Outcome(State.INTERRUPTED))
        elif self._attempts[key] < ATTEMPTS:
            self.listener.note(f"{running.work.trial.label}: {death.reason}; trying again")
            # Linux kills the largest process when all together need too much memory.
            retries = self._retries_alone if death.killed and running.crowded else self._retries
            retries.append((running.work, running.queue))
        else:
            reason = f"{death.reason} ({ATTEMPTS} times), {_last_step(running)}"
            self._end(running, Outcome(State.FAILED, reason), keep=True)

    def _out_of_memory(self, running: _Running, outcome: Outcome) -> None:
        """If other trials ran beside it, try it again alone; the batch size stays the same."""
        if running.crowded and not self._stopping:
            self.listener.note(
                f"{running.work.trial.label}: out of memory; trying again alone, when the others have ended"
            )
            self._retries_alone.append((running.work, running.queue))
        else:
            self._end(running, outcome)

    def _kill_silent(self) -> None:
        """Kill the workers that have sent no event for longer than a trial may take."""
        limit = self.plan.suite.run.time_limit
        if limit is None:
            return
        for key, running in list(self._running.items()):
            if self.engine.queues and not running.started:
                continue
            silent = time.monotonic() - running.last_event
            if silent > limit + (STARTING if running.step is None else GRACE):
                self.engine.kill(key)
                del self._running[key]
                reason = f"no sign of life for {silent:.0f} s, {_last_step(running)}: its worker was stopped"
                self._end(running, Outcome(State.TIMED_OUT, reason))


def _last_step(running: _Running) -> str:
    """The last reported step of a trial, as text."""
    return "before step 1" if running.step is None else f"after step {running.step}"

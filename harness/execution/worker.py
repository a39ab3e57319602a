"""What a worker does with a trial: run it, write its journal, send its events. The same for every engine."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from harness.base.diagnosis import storage_error
from harness.base.states import State
from harness.execution.engine import Died, Ended, Event, Measured, Noted, Started, Stepped
from harness.store.journal import Journal
from harness.trial.task import Outcome, RecordingError, Task

STOP = "stop"
"""To a worker: save the trial's checkpoint and stop the trial."""
QUIT = "quit"
"""To a worker: end the process."""


def perform(task: Task, device: str, pipe: Connection) -> Event:
    """Run a trial on a device. Returns its last event; the others go through the pipe."""
    send(pipe, Started(task.key, device))
    from harness.suite import plan
    from harness.trial import environment, run
    from harness.trial.device import release

    try:
        records = Journal(task.folder)
        if records.outcome is not None:  # an earlier worker died after it had recorded the outcome
            return Ended(task.key, records.outcome)
        if plan.trial(task.trial.arm, task.trial.seeds).key != task.key:
            outcome = Outcome(State.FAILED, "the code changed while the suite ran: run it again")
        else:
            records.environment(environment.environment(task.trial.arm, device))
            outcome = run.run(task, _Recorder(task.key, pipe, records), device)
        if outcome.state is State.INTERRUPTED:
            records.interrupt()
        elif outcome.state is not State.OUT_OF_MEMORY:
            records.end(outcome)
        return Ended(task.key, outcome)
    except Exception as error:  # the journal cannot be written: the driver tries the trial again
        refused = storage_error(error)
        return Died(task.key, f"{type(error).__name__}: {error}", str(refused) if refused else None)
    finally:
        release()
        gc.freeze()  # what is left (modules, caches) stays for good: the collection after the next trial skips it


class _Recorder:
    """Sends the events of a trial to the driver, and writes its journal."""

    def __init__(self, key: str, pipe: Connection, records: Journal) -> None:
        self.key = key
        self.pipe = pipe
        self.records = records
        self._stop = False

    def points(self, points: list[tuple[str, int, float]]) -> None:
        with _recording():
            self.records.points(points)

    def file(self, path: Path, folder: str = "") -> None:
        with _recording():
            self.records.file(path, folder)

    def progress(self, step: int, point: dict[str, float]) -> None:
        send(self.pipe, Stepped(self.key, step, point))

    def should_stop(self) -> bool:
        while not self._stop and self.pipe.poll():
            self._stop = self.pipe.recv() == STOP
        return self._stop

    def should_prune(self, step: int, value: float) -> bool:
        send(self.pipe, Measured(self.key, step, value))
        while True:
            message = self.pipe.recv()
            if message == STOP:
                self._stop = True
            else:
                return bool(message)


def tell(key: str, pipe: Connection, text: str) -> None:
    """Send a message for the user to the driver."""
    send(pipe, Noted(key, text))


def send(pipe: Connection, event: Event) -> None:
    """Send an event to the driver; nothing if the driver is gone."""
    with contextlib.suppress(BrokenPipeError):
        pipe.send(event)


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """Turn every error in writing the journal into a ``RecordingError``: it is not the trial's fault."""
    try:
        yield
    except Exception as error:
        raise RecordingError(f"{type(error).__name__}: {error}") from error

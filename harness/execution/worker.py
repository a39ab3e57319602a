"""What a worker does with a trial: run it, write its journal, tell the driver. The same for every engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from harness.base.diagnosis import refusal
from harness.base.states import State
from harness.execution.engine import Died, Ended, Event, Measured, Noted, Started, Stepped
from harness.store.journal import Records
from harness.trial.task import Outcome, RecordingError, Task

STOP = "stop"


QUIT = "quit"


def perform(task: Task, device: str, pipe: Connection) -> Event:
    """Run a trial on a device; the event that ends it. All before it go through the pipe."""
    send(pipe, Started(task.key, device))
    from harness.suite import plan
    from harness.trial import environment, run
    from harness.trial.device import release

    try:
        records = Records(task.folder)
        if records.outcome is not None:  # the worker before this one died after its last word
            return Ended(task.key, records.outcome)
        if plan.trial(task.trial.arm, task.trial.seed).key != task.key:
            outcome = Outcome(State.FAILED, "the code changed while the suite ran: run it again")
        else:
            records.environment(environment.environment(task.trial.arm, device))
            outcome = run.run(task, _Recorder(task.key, pipe, records), device)
        if outcome.state is State.INTERRUPTED:
            records.interrupt()
        elif outcome.state is not State.OUT_OF_MEMORY:
            records.end(outcome)
        return Ended(task.key, outcome)
    except Exception as error:  # recording itself failed: the driver must know, and tries again
        refused = refusal(error)
        return Died(task.key, f"{type(error).__name__}: {error}", str(refused) if refused else None)
    finally:
        release()


class _Recorder:
    """Passes a trial's news to the driver and its records to the disk."""

    def __init__(self, key: str, pipe: Connection, records: Records) -> None:
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
    send(pipe, Noted(key, text))


def send(pipe: Connection, event: Event) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.send(event)


@contextlib.contextmanager
def _recording() -> Iterator[None]:
    """Whatever goes wrong in writing down is not the trial's fault."""
    try:
        yield
    except Exception as error:
        raise RecordingError(f"{type(error).__name__}: {error}") from error

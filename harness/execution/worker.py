"""What a worker does with its trials: run them, write their journals, send their events. The same for every engine."""

from __future__ import annotations

import contextlib
import functools
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.base.diagnosis import storage_error
from harness.base.messages import messages_to
from harness.base.states import State
from harness.execution.engine import Died, Ended, Event, Measured, Noted, Started, Stepped
from harness.execution.usage import Usage
from harness.store.journal import Journal
from harness.trial.task import Outcome, RecordingError, Task

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.trial.lane import Lane

STOP = "stop"
"""To a worker: save the checkpoints of the trials and stop them."""
QUIT = "quit"
"""To a worker: end the process."""


@dataclass(frozen=True)
class Answer:
    """To a worker: whether a trial that has sent ``Measured`` is pruned."""

    key: str
    prune: bool


@dataclass(frozen=True)
class Drop:
    """To a worker: give a trial up at once. It answers with ``Dropped``, which is no event for the driver."""

    key: str


@dataclass(frozen=True)
class Dropped:
    """From a worker: it writes nothing more of this trial."""

    key: str


class Pipe(Protocol):
    """What connects a worker with its driver: a ``multiprocessing.connection.Connection``, or something like it."""

    def send(self, message: Any, /) -> None:
        """Send an event. Raises BrokenPipeError if nobody will read it."""

    def poll(self) -> bool:
        """Whether there is a message."""

    def recv(self) -> Any:
        """The next message; waits for it. Raises EOFError if none will come."""


TURN = 0.002
"""Seconds of a turn of one of several trials. On a GPU it is the time of a few launches."""
LOOK = 0.1
"""Seconds between two looks for messages, and of a turn of a trial that is alone."""


class GivenUp(BaseException):
    """The driver dropped the trial while it waited for an answer. It is no error of the trial."""


class Worker:
    """The trials of a process, which take turns.

    Args:
        device: where they run, as torch names it.
        pipe: to the driver.
    """

    def __init__(self, device: str, pipe: Pipe) -> None:
        self.device = device
        self.pipe = pipe
        self._trials: dict[str, tuple[Lane[Event], Recording]] = {}
        self._looked = 0.0

    def serve(self) -> None:
        """Run what comes, until ``QUIT`` or the end of the pipe."""
        while self.listen():
            for event in self.turns():
                send(self.pipe, event)

    def turns(self) -> list[Event]:
        """Let every trial go on for a turn; the last events of those that have ended."""
        events: list[Event] = []
        alone = len(self._trials) == 1
        for key, (lane, _) in list(self._trials.items()):
            with messages_to(functools.partial(tell, key, self.pipe)), contextlib.suppress(GivenUp):
                event = lane.go_on(LOOK if alone else TURN)
                if event is not None:
                    events.append(event)
                    del self._trials[key]
                    self._tidy()
        return events

    def listen(self) -> bool:
        """Take the messages that have come, and wait for one if there is nothing to do. False: the worker ends."""
        if self._trials and time.monotonic() - self._looked < LOOK:
            return True
        try:
            while not self._trials or self.pipe.poll():
                if not self.take(self.pipe.recv()):
                    return False
        except EOFError:
            return False
        self._looked = time.monotonic()
        return True

    def take(self, message: object) -> bool:
        """Act on a message. False for ``QUIT``."""
        if isinstance(message, Task):
            self._begin(message)
        elif isinstance(message, Answer) and message.key in self._trials:
            self._trials[message.key][1].answer = message.prune
        elif isinstance(message, Drop):
            if message.key in self._trials:
                with contextlib.suppress(ValueError):  # it is the one that waits for an answer: it gives up there
                    self._trials.pop(message.key)[0].close()
            self.pipe.send(Dropped(message.key))
        elif message == STOP:
            for _, recording in self._trials.values():
                recording.stopped = True
        return message != QUIT

    def _begin(self, task: Task) -> None:
        from harness.trial.lane import Lane

        recording = Recording(task.key, self)
        steps = performance(task, self.device, recording)
        self._trials[task.key] = Lane(steps, task.trial.arm, self.device), recording

    def has(self, key: str) -> bool:
        """Whether the trial is still one of the worker's."""
        return key in self._trials

    def _tidy(self) -> None:
        """Free what a trial leaves behind. After an error of the device this fails, and so the process ends."""
        from harness.trial.device import release

        release()
        if not self._trials:
            gc.freeze()  # what is left (modules, caches) stays for good: the next collection skips it


def perform(task: Task, device: str, pipe: Pipe) -> Event:
    """Run one trial on a device. Returns its last event; the others go through the pipe."""
    worker = Worker(device, pipe)
    worker.take(task)
    while worker.listen():
        if events := worker.turns():
            return events[0]
    return Died(task.key, "the driver is gone")


def performance(task: Task, device: str, recording: Recording) -> Generator[None, None, Event]:
    """A trial, step by step. Returns its last event; the others go through the pipe."""
    send(recording.worker.pipe, Started(task.key, device))
    from harness.suite import plan
    from harness.trial import environment, run

    try:
        records = recording.records = Journal(task.folder)
        if records.outcome is not None:  # an earlier worker died after it had recorded the outcome
            return Ended(task.key, records.outcome)
        records.resume()  # where a cluster has moved the trial, no driver has recorded it
        if plan.trial(task.trial.arm, task.trial.seeds).key != task.key:
            outcome = Outcome(State.FAILED, "the code changed while the suite ran: run it again")
        else:
            records.environment(environment.environment(task.trial.arm, device))
            outcome = yield from run.course(task, recording, device)
        if outcome.state is State.INTERRUPTED:
            records.interrupt()
        elif outcome.state is not State.OUT_OF_MEMORY:
            records.end(outcome)
        return Ended(task.key, outcome)
    except Exception as error:  # the journal cannot be written: the driver tries the trial again
        refused = storage_error(error)
        return Died(task.key, f"{type(error).__name__}: {error}", str(refused) if refused else None)


@dataclass
class Recording:
    """Sends the events of a trial to the driver, and writes its journal."""

    key: str
    worker: Worker
    stopped: bool = False
    """Whether the driver has asked for a stop."""
    answer: bool | None = None
    """The driver's answer to the last ``Measured``."""
    records: Journal = field(init=False)
    usage: Usage = field(init=False)

    def __post_init__(self) -> None:
        self.usage = Usage(self.worker.device)

    def points(self, points: list[tuple[str, int, float]]) -> None:
        with _recording():
            self.records.points(points)
            if points and (used := self.usage.due()):
                self.records.usage(points[-1][1], used)

    def file(self, path: Path, folder: str = "") -> None:
        with _recording():
            self.records.file(path, folder)

    def progress(self, step: int, point: dict[str, float]) -> None:
        send(self.worker.pipe, Stepped(self.key, step, point))

    def should_stop(self) -> bool:
        return self.stopped

    def should_prune(self, step: int, value: float) -> bool:
        self.answer = None
        send(self.worker.pipe, Measured(self.key, step, value))
        while self.answer is None:  # the other trials wait, too
            self.worker.take(self.worker.pipe.recv())
            if not self.worker.has(self.key):
                raise GivenUp
        return self.answer


def tell(key: str, pipe: Pipe, text: str) -> None:
    """Send a message for the user to the driver."""
    send(pipe, Noted(key, text))


def send(pipe: Pipe, event: Event) -> None:
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

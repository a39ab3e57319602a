"""Driver and worker talk through files, where a shared folder is all that they have in common.

A trial has a folder, its spool, with three files. Each has one writer at a time, which appends a line or replaces the
file whole; who reads opens it anew, and reads up to the last line end. That is what NFS promises to keep in order.

``events`` (worker → driver) and ``orders`` (driver → worker) outlast both sides: a driver reads the events of a worker
that an earlier driver started, and a worker that was moved to another machine finds the order to stop.

``owner`` says which start of the worker may write. The cluster starts it again if it takes a machine for lost, but that
machine may only have been cut off: a worker that is no longer the owner ends at once, within ``LOOK`` seconds of the
time when it sees the folder again, and the new owner waits for longer than that.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness.base.files import write_bytes
from harness.execution.engine import Died, Ended, Event, Measured, Noted, Started, Stepped, Waiting
from harness.execution.worker import STOP, Answer, Drop, Dropped
from harness.trial.task import Outcome

LOOK = 0.5
"""Seconds between two looks at a file of the other side."""
SETTLED = 10.0
"""Seconds for which a worker waits if the one before it has not said that it left."""
PATIENCE = 5.0
"""Seconds for which a trial that must leave waits for the answer to what it measured."""
LEFT = "left"
"""From a worker: this start of it writes nothing more, and the trial goes on in another."""
NOBODY = -1
"""The owner of a spool whose trial was given up."""


class Lines:
    """A file to which one process appends messages, and which others read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def append(self, start: int, message: object) -> None:
        """Append a message, and the start that it is from or for. Then the file is closed, so that others see it."""
        line = json.dumps([start, _plain(message)]).encode() + b"\n"
        with self.path.open("a+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # its writer was killed in the middle of a line
                    line = b"\n" + line
            file.write(line)

    def new(self) -> list[tuple[int, Any]]:
        """(start, message) of the messages since the last call. Damaged lines are left out."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        messages = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, TypeError, LookupError, AttributeError):
                start, message = json.loads(line)
                messages.append((int(start), _message(message)))
        return messages


MESSAGES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (Started, Waiting, Stepped, Measured, Noted, Ended, Died, Answer, Drop, Dropped, Outcome)
}
"""What goes through a spool, beside words, by name. Nothing else is made of what stands in a file."""


def _plain(message: object) -> Any:
    """A message as JSON can hold it: its name and its fields."""
    if type(message).__name__ not in MESSAGES:
        return message
    return [type(message).__name__, {one.name: _plain(getattr(message, one.name)) for one in fields(message)}]  # type: ignore[arg-type]


def _message(value: Any) -> Any:
    """The message that ``_plain`` was given."""
    if not isinstance(value, list):
        return value
    name, content = value
    return MESSAGES[name](**{field: _message(one) for field, one in content.items()})


@dataclass(frozen=True)
class Spool:
    """The spool of a trial.

    Attributes:
        folder: where it is; its name is the trial's key.
    """

    folder: Path

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def events(self) -> Lines:
        """(start, event): what the worker sends. ``start`` counts how often the worker was started, from 1."""
        return Lines(self.folder / "events")

    @property
    def orders(self) -> Lines:
        """(start, message): what the driver sends. An answer is for the start that asked."""
        return Lines(self.folder / "orders")

    @property
    def job(self) -> tuple[str, int] | None:
        """The name of the job that the cluster knows, and the trial's place in it; None if there is no spool."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            name, index = json.loads((self.folder / "job").read_text())
            return name, index
        return None

    def begin(self, name: str, index: int) -> None:
        """Make the spool anew, before the job is submitted: a driver that is killed then leaves a job with a spool."""
        shutil.rmtree(self.folder, ignore_errors=True)
        write_bytes(self.folder / "job", json.dumps([name, index]).encode())

    @property
    def owner(self) -> tuple[int, str]:
        """The number of the start that may write, and its mark.

        Raises:
            FileNotFoundError: none has started, or the spool is gone.
        """
        number, mark = json.loads((self.folder / "owner").read_text())
        return number, mark

    def own(self, number: int) -> str:
        """Make a start the owner; its mark."""
        mark = uuid.uuid4().hex
        write_bytes(self.folder / "owner", json.dumps([number, mark]).encode())
        return mark

    def give_up(self) -> None:
        """From now on no worker may write for this trial."""
        self.own(NOBODY)

    def remove(self) -> None:
        """Remove the spool; a worker that still lives ends."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def ended(self) -> bool:
        """Whether the worker has sent its last event."""
        return any(isinstance(event, Ended | Died) for _, event in self.events.new())


def resumed(events: list[tuple[int, Any]], orders: list[tuple[int, Any]]) -> list[tuple[int, Event]]:
    """What a new driver must know of a trial that it takes over, from all events so far and all orders.

    That is: that it has started, the last step, a question that nobody has answered, and its end.
    """
    if not events:
        return []
    start = events[-1][0]
    of_start = [event for number, event in events if number == start]
    asked = [event for event in of_start if isinstance(event, Measured)]
    answers = [order for number, order in orders if number == start and isinstance(order, Answer)]
    told: list[Event] = [event for event in of_start if isinstance(event, Started)]
    told += [replace(event, point={}) for event in of_start if isinstance(event, Stepped)][-1:]
    told += asked[-1:] if len(asked) > len(answers) else []
    told += [event for event in of_start if isinstance(event, Ended | Died)]
    return [(start, event) for event in told]


class Post:
    """The pipe of a worker to its driver, over a spool.

    Args:
        spool: where; its owner becomes this process.

    Attributes:
        leaving: whether the cluster wants the machine back.
        stopped: whether the driver has ordered a stop.
        dropped: whether the trial was given up while it waited for an answer.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.leaving = self.stopped = self.dropped = False
        self._events, self._orders = spool.events, spool.orders
        self._waiting: deque[object] = deque()
        self._looked = 0.0
        self._closed = False
        try:
            before = spool.owner[0]
        except FileNotFoundError:
            before = 0
        if before == NOBODY:
            os._exit(1)
        self.start = before + 1
        self._mark = spool.own(self.start)
        threading.Thread(target=self._watch, daemon=True).start()

    def settle(self) -> None:
        """Wait until no earlier start of the worker can write any more."""
        if self.start > 1 and (self.start - 1, LEFT) not in self._events.new():
            time.sleep(SETTLED)

    def send(self, event: object) -> None:
        self._events.append(self.start, event)

    def close(self, last: Event | str) -> None:
        """Send the last message. After it nothing is written, and the driver may remove the spool."""
        self._closed = True
        self.send(last)

    def poll(self) -> bool:
        """Whether there is a message. It looks at the disk every ``LOOK`` seconds only."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self._take(self._orders.new())
        return bool(self._waiting)

    def recv(self) -> object:
        """The next message. Waits for it.

        A trial that must leave cannot wait for long: it is told to drop what it does, and goes on from its checkpoint.

        Raises:
            EOFError: the trial was dropped.
        """
        if self.dropped:
            raise EOFError
        since = time.monotonic()
        while not self.poll():
            time.sleep(LOOK / 5)
            if self.leaving and time.monotonic() - since > PATIENCE:
                self.dropped = True
                return Drop(self.spool.key)
        return self._waiting.popleft()

    def leave(self, *_: object) -> None:
        """The handler of the signals by which the cluster wants the machine back: save, and stop."""
        if not self._is_owner():
            os._exit(1)  # the driver has killed the trial: nothing may be written
        if not self.leaving:
            self.leaving = True
            self._waiting.append(STOP)

    def _take(self, orders: list[tuple[int, object]]) -> None:
        for start, order in orders:
            self.stopped |= order == STOP
            if order == STOP or start == self.start:  # an answer to an earlier start is none to this one
                self._waiting.append(order)

    def _is_owner(self) -> bool:
        try:
            return self.spool.owner == (self.start, self._mark)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):  # the disk is away
            return True

    def _watch(self) -> None:
        while self._is_owner():
            time.sleep(LOOK)
        if not self._closed:
            os._exit(1)

"""A worker on a machine that shares no disk with the driver. It trains in a thread, and is asked for its news.

What reaches it, and how its answers travel, is the engine's business: ``tell`` and ``hear`` may be called from two
threads. Before a trial begins, the outpost sees to what its machine must have: the same code, and the same data.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import filelock

from harness.base.errors import HarnessError
from harness.base.files import cache_folder, temporary_folder, tidy, write_bytes
from harness.execution.engine import Died, Ended, Event
from harness.execution.travel import CHECKPOINT, Away, Checkpoints, Luggage, Parcel
from harness.execution.worker import Dropped, Worker
from harness.trial.task import Task

NEWS = 30.0
"""Seconds after which a worker without news says so."""
GLANCE = 0.5
"""Seconds between two looks for a new checkpoint."""


@dataclass(frozen=True)
class Order:
    """To a worker: a trial, and what it needs on the worker's machine.

    Attributes:
        digest: that of its data on the driver's machine.
        supplies: the files of its data, by their places below the cache folder, for a machine that lacks them.
    """

    task: Task
    luggage: Luggage
    digest: str
    supplies: Supplies


class Supplies:
    """Files that travel only where they lack. An engine that has a better way than the message itself overrides it."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def files(self) -> Mapping[str, bytes]:
        """The files, fetched now."""
        return self._files


@dataclass(frozen=True)
class Up:
    """From a worker, as its first word: the machine it runs on, and its process there."""

    machine: str
    process: int


class Outpost:
    """A worker, its folder on this machine, and its news.

    Args:
        machine: what the user calls this machine.
        device: where trials run, as torch names it.
        checkpoints: where checkpoints go; without an address they are part of the news.
    """

    def __init__(self, machine: str, device: str, checkpoints: Checkpoints) -> None:
        # Before the first message: two threads must not import torch at the same time.
        from harness.suite import plan
        from harness.trial import environment, run

        del plan, environment, run
        self.machine, self.checkpoints = machine, checkpoints
        os.environ.setdefault("HARNESS_DATA", str(cache_folder()))  # where data come that this machine lacks
        self.place = cache_folder() / "outposts"
        self.place.mkdir(parents=True, exist_ok=True)
        tidy(self.place)  # what workers have left that were killed
        self._held = contextlib.ExitStack()
        self.folder = self._held.enter_context(temporary_folder(self.place))
        self._verified: set[str] = set()
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Up | Parcel] = queue.SimpleQueue()
        self._trial: Away | None = None
        self._changing = threading.Lock()
        """Held while the trial's folder is read for the driver, begun or removed."""
        self._storing = threading.Lock()
        """Held while a checkpoint is written to its address or removed there. Events do not wait for it."""
        self._news.put(Up(machine, os.getpid()))
        threading.Thread(target=self._serve, args=(device,), daemon=True).start()
        threading.Thread(target=self._keep_checkpoints, daemon=True).start()

    def hear(self) -> list[Up | Parcel]:
        """The news since the last call. Waits for some, but not for ever."""
        news: list[Up | Parcel] = []
        with contextlib.suppress(queue.Empty):
            news.append(self._news.get(timeout=NEWS))
            while True:
                news.append(self._news.get_nowait())
        return news

    def tell(self, message: Any) -> None:
        """Take a message of the driver: an ``Order``, or what ``Worker`` understands."""
        if not isinstance(message, Order):
            self._messages.put(message)
            return
        key = message.task.key
        try:
            self._prepare(message)
        except HarnessError as error:  # another attempt would meet it again
            self._news.put(Parcel(key, Died(key, str(error), f"the machine {self.machine}: {error}")))
        except Exception as error:
            traceback.print_exc()
            self._news.put(Parcel(key, Died(key, f"the machine {self.machine}: {type(error).__name__}: {error}")))

    def _prepare(self, order: Order) -> None:
        """See to the trial's folder, code and data, and hand it to the worker."""
        task = order.task
        self._same_data(order)
        _same_code(task)
        luggage = replace(order.luggage, checkpoint=order.luggage.checkpoint or self.checkpoints.load(task.key))
        with self._changing:
            self._trial = Away(self.folder / task.key, luggage)
        self._messages.put(replace(task, folder=self._trial.folder, cache=self.place / "cache"))

    def _same_data(self, order: Order) -> None:
        """Verify the data on this machine, once in a process; a machine that lacks them gets them first."""
        if order.digest in self._verified:
            return
        data = order.task.trial.arm.data.make()
        with filelock.FileLock(self.place / ".supplies.lock"):
            if not data.present():
                for name, content in order.supplies.files().items():
                    write_bytes(cache_folder() / name, content)
        data.fetch()
        if (here := data.digest()) != order.digest:
            raise HarnessError(
                f"the data set {data.name} here is not the driver's: its digest is {here[:16]}…, expected "
                f"{order.digest[:16]}…. Replace it, or remove it and it is copied from the driver"
            )
        self._verified.add(order.digest)

    # What ``Worker`` has as its pipe.

    def send(self, event: Event | Dropped) -> None:
        """Put an event to the news, with what was recorded before it."""
        assert not isinstance(event, Dropped)  # the driver ends the process of a trial that it drops
        with self._changing:
            assert self._trial is not None
            parcel = self._trial.pack(event)
            if isinstance(event, Ended | Died):
                shutil.rmtree(self._trial.folder, ignore_errors=True)
                self._trial = None
        if isinstance(event, Ended):
            with self._storing:
                self.checkpoints.remove(event.key)
        self._news.put(parcel)

    def recv(self) -> Any:
        return self._messages.get()

    def poll(self) -> bool:
        return not self._messages.empty()

    def _serve(self, device: str) -> None:
        """Train. An error here is one of the device or of the harness: the process must not go on."""
        try:
            Worker(device, self).serve()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _keep_checkpoints(self) -> None:
        """Send every new checkpoint away, beside the training."""
        while True:
            time.sleep(GLANCE)
            with self._changing:
                trial = self._trial
                content = trial.checkpoint() if trial is not None else None
                if trial is None or content is None:
                    continue
                if self.checkpoints.url is None:
                    self._news.put(Parcel(trial.folder.name, files={CHECKPOINT: content}))
                    continue
            with self._storing:
                if trial is self._trial:  # else it has ended meanwhile
                    self._store(trial.folder.name, content)

    def _store(self, key: str, content: bytes) -> None:
        try:
            self.checkpoints.save(key, content)
        except Exception:  # the place does not answer: the next checkpoint tries again
            traceback.print_exc()


def _same_code(task: Task) -> None:
    """Refuse code that is not the driver's: it would train another trial under this one's key."""
    from harness.suite import plan

    code = plan.trial(task.trial.arm, task.trial.seeds).code
    if code.digest == task.trial.code.digest:
        return
    theirs = task.trial.code.parts
    other = sorted(name for name in {*code.parts, *theirs} if code.parts.get(name) != theirs.get(name))
    raise HarnessError(
        f"its code is not the driver's ({', '.join(other[:3])}{', …' * (len(other) > 3)} from "
        f"{Path(plan.__file__).parent.parent}): install the same versions of the packages there"
    )

"""The local engine: worker processes, reused between trials, replaced when they die.

On a GPU a worker runs several trials side by side (``harness.trial.lane``): its lanes.

On Linux the workers are forked from one process that has imported torch and the rest already (multiprocessing's
forkserver). A fork costs milliseconds and shares the memory of what was imported. It is safe because that process has
imported only: it has one thread and has not asked for a GPU. Elsewhere, libraries of the system start threads when they
are imported, and every worker is spawned and imports for itself. That process has a socket in the folder for temporary
files: a driver that is killed leaves it there (``pymp-…``).
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.base.states import State
from harness.execution import devices
from harness.execution.engine import Died, Ended, Engine, Event, Site
from harness.execution.worker import QUIT, STOP, Answer, Drop, Dropped, Worker
from harness.trial.task import Task
from harness.zoo.registry import Settings

FOR_THE_DRIVER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a worker ignores."""
OUT_OF_MEMORY = ("std::bad_alloc", "MemoryError", "DefaultCPUAllocator", "Cannot allocate memory", "out of memory")
"""What a process writes before it dies because no memory is left."""
PATIENCE = 5.0
"""Seconds in which a worker must give up a trial that it is told to drop."""
LAST_WORDS = 20_000
"""How many bytes at the end of a dead worker's log are looked through."""
IMPORTED = ["harness.execution.engines.local", "harness.suite.plan", "harness.trial.environment", "harness.trial.run"]
"""What the process has imported that the workers are forked from."""
LONGEST = 60
"""Characters of the folder for temporary files that leave room for the socket of that process: sockets take 107."""
SIGNAL_AT_PARENTS_DEATH = 1
"""PR_SET_PDEATHSIG of Linux."""


def context() -> ForkServerContext | SpawnContext:
    """How workers are started on this machine."""
    if sys.platform != "linux" or len(tempfile.gettempdir()) > LONGEST:
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(IMPORTED)
    return forking


class LocalEngine(Engine):
    """Runs trials in worker processes on this machine, on the devices that ``devices.places`` names."""

    name = "local"
    summary = "worker processes on this machine, on its GPUs or its cores"

    def __init__(self, settings: Settings, site: Site) -> None:
        super().__init__(settings, site)
        places = devices.places(site)
        self.processes = len(places)
        logs = [site.logs / f"worker-{number}.log" for number in range(len(places))]
        self._workers = [_Worker(place.device, log, place.lanes) for place, log in zip(places, logs, strict=True)]

    @property
    def free(self) -> int:
        return sum(worker.room for worker in self._workers)

    def submit(self, task: Task) -> None:
        # Trials are spread over the workers. Of two with as many, prefer the one that runs: a new one costs imports.
        with_room = [worker for worker in self._workers if worker.room]
        min(with_room, key=lambda worker: (len(worker.tasks), not worker.alive)).start(task)

    def wait(self, seconds: float) -> list[Event]:
        busy = [worker for worker in self._workers if worker.tasks]
        handles = [handle for worker in busy for handle in (worker.pipe, worker.process.sentinel)]
        ready = set(wait(handles, 0 if any(worker.pending for worker in self._workers) else seconds))
        for worker in busy:
            if worker.pipe in ready or worker.process.sentinel in ready:
                worker.read()
        return [event for worker in self._workers for event in worker.taken()]

    def answer(self, key: str, prune: bool) -> None:
        for worker in self._workers_of(key):
            worker.send(Answer(key, prune))

    def kill(self, key: str) -> None:
        for worker in self._workers_of(key):
            worker.drop(key)

    def stop(self) -> None:
        for worker in self._workers:
            if worker.tasks:
                worker.send(STOP)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def _workers_of(self, key: str) -> list[_Worker]:
        """The worker that runs this trial; empty if none does."""
        return [worker for worker in self._workers if key in worker.tasks]


class _Worker:
    """A worker process, the pipe to it, and the trials that it runs."""

    pipe: Connection
    process: BaseProcess

    def __init__(self, device: str, log: Path, lanes: int) -> None:
        self.device = device
        self.log = log
        self.lanes = lanes
        self.tasks: dict[str, Task] = {}
        self.pending: list[Event] = []
        """Events that the driver has not had yet."""
        self._up = False
        self._retired = False
        """Whether it gets no other trial: it cannot record, or its memory is in pieces. After an error of a trial's own
        code it goes on; after one of the device it ends by itself (``harness.trial.device.release``)."""
        self._logged = 0
        """The size of the log when its trials began."""

    @property
    def alive(self) -> bool:
        return self._up and self.process.is_alive()

    @property
    def room(self) -> int:
        """How many trials it can take."""
        return 0 if self._retired else self.lanes - len(self.tasks)

    def start(self, task: Task) -> None:
        if not self.alive:
            starting = context()
            self.pipe, theirs = starting.Pipe()
            self.process = starting.Process(target=work, args=(theirs, self.log, self.device), daemon=True)
            # The worker inherits the blocked signals, and ignores them when it has started.
            with _signals_blocked(), _without_main():
                self.process.start()
            theirs.close()
            self._up = True
        if not self.tasks:
            self._logged = self._log_size()
        self.tasks[task.key] = task
        self.send(task)

    def send(self, message: Any) -> None:
        # If the worker has just died, its sentinel shows it; the message is of no use.
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def taken(self) -> list[Event]:
        """The events that have come. From now on they are the driver's."""
        events, self.pending = self.pending, []
        return events

    def read(self) -> None:
        """Read what the worker has sent, and find out whether it died."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                self._heard(self.pipe.recv())
        if self._up and not self.process.is_alive():
            self._dead()
        if self._retired and not self.tasks:
            self.close(kill=True)

    def _heard(self, event: Any) -> None:
        if isinstance(event, Dropped) or event.key not in self.tasks:
            return
        if isinstance(event, Ended | Died):
            del self.tasks[event.key]
            self._retired |= isinstance(event, Died) or event.outcome.state is State.OUT_OF_MEMORY
        self.pending.append(event)

    def _dead(self) -> None:
        """The process has ended: every trial of it died."""
        self.process.join()
        reason, memory = explain(self.process.exitcode, self._said())
        log = f"{self.log.parent.name}/{self.log.name}"  # the reason is stored, and the store may move
        # Of several trials one may have ended the process of all: each is tried again alone.
        suspect = memory or len(self.tasks) > 1
        for key in self.tasks:
            self.pending.append(Died(key, f"{reason}; see {log} in the results folder", killed=suspect))
        self.tasks.clear()

    def drop(self, key: str) -> None:
        """End a trial at once. The others of the worker go on, unless it does not answer."""
        others = [other for other in self.tasks if other != key]
        del self.tasks[key]
        self.pending = [event for event in self.pending if event.key != key]
        if others and self._gives_up(key):
            return
        self.close(kill=True)
        reason = "its worker was stopped, because a trial beside it gave no sign of life"
        self.pending += [Died(other, reason) for other in others if other in self.tasks]
        self.tasks.clear()

    def _gives_up(self, key: str) -> bool:
        """Tell the worker to drop a trial; whether it has done so."""
        self.send(Drop(key))
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll(max(0.0, until - time.monotonic())):
                event = self.pipe.recv()
                if event == Dropped(key):
                    return True
                self._heard(event)
        return False

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.is_file() else 0

    def _said(self) -> str:
        """The end of what the worker has written to its log during its trials."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self._logged, self._log_size() - LAST_WORDS))
            return file.read(LAST_WORDS).decode("utf-8", "replace")
        return ""

    def close(self, kill: bool = False) -> None:
        self._retired = False
        if not self._up:
            return
        try:
            if not self.tasks and not kill:
                self.send(QUIT)
                self.process.join(5)
        finally:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self._up = False


def explain(exitcode: int | None, said: str) -> tuple[str, bool]:
    """Why a worker died, and whether memory may have run out.

    Args:
        exitcode: of its process; negative for a signal.
        said: the end of its log.
    """
    end = f"ended with exit code {exitcode}"
    if exitcode is not None and exitcode < 0:
        with contextlib.suppress(ValueError):
            end = f"was ended by {signal.Signals(-exitcode).name}"
    if sign := next((sign for sign in OUT_OF_MEMORY if sign in said), None):
        return f"the worker {end}, because no memory was left ({sign})", True
    if exitcode == -signal.SIGKILL:
        return f"the worker {end}; perhaps the machine had run out of memory", True
    return f"the worker {end}", False


def work(pipe: Connection, log: Path, device: str) -> None:
    """The main function of a worker process."""
    # Ctrl-C reaches the whole process group, and so do a closed terminal's SIGHUP and perhaps a cluster's SIGTERM: only
    # the driver reacts to them.
    for number in FOR_THE_DRIVER:
        signal.signal(number, signal.SIG_IGN)
    # torch requires it for train.deterministic; cuBLAS reads it once, before the first trial.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _end_with_parent()
    _print_to(log)
    Worker(device, pipe).serve()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Start Python's resource tracker first: the first process start would start it, and that unblocks two of them.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_DRIVER)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Hide the program that starts a worker: the worker would import it first, and a script would run in it again."""
    main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _end_with_parent() -> None:
    """End at once when the driver is gone: a worker without a driver would train beside the next driver's worker.

    And when the process is gone that it was forked from: the driver takes it for dead then.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SIGNAL_AT_PARENTS_DEATH, signal.SIGKILL)

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _print_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())

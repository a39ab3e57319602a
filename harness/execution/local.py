"""The local engine: one worker process per slot, reused between trials, replaced when it dies.

On Linux the workers are forked from one process that has imported torch and the rest already (multiprocessing's
forkserver). A fork costs milliseconds and shares the memory of what was imported. It is safe because that process has
imported only: it has one thread and has not asked for a GPU. Elsewhere, libraries of the system start threads when they
are imported, and every worker is spawned and imports for itself. That process has a socket in the folder for temporary
files: a driver that is killed leaves it there (``pymp-…``).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.base.messages import messages_to
from harness.base.states import State
from harness.execution.engine import Died, Ended, Engine, Event
from harness.execution.worker import QUIT, STOP, perform, send, tell
from harness.trial.task import Task

FOR_THE_DRIVER = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a worker ignores."""
OUT_OF_MEMORY = ("std::bad_alloc", "MemoryError", "DefaultCPUAllocator", "Cannot allocate memory", "out of memory")
"""What a process writes before it dies because no memory is left."""
LAST_WORDS = 20_000
"""How many bytes at the end of a dead worker's log are looked through."""
IMPORTED = ["harness.execution.local", "harness.suite.plan", "harness.trial.environment", "harness.trial.run"]
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
    """Runs trials in worker processes on this machine.

    Args:
        devices: the device of each slot; a device may have several slots.
        logs: the folder of the logs, one for each worker, with all that it prints.
    """

    def __init__(self, devices: list[str], logs: Path) -> None:
        self._slots = [_Slot(device, logs / f"worker-{number}.log") for number, device in enumerate(devices)]

    @property
    def free(self) -> int:
        return sum(slot.task is None for slot in self._slots)

    def submit(self, task: Task) -> None:
        self._free_slot().start(task)

    def wait(self, seconds: float) -> list[Event]:
        busy = [slot for slot in self._slots if slot.task is not None]
        handles = [handle for slot in busy for handle in (slot.pipe, slot.process.sentinel)]
        ready = set(wait(handles, seconds))
        events = [slot.events() for slot in busy if slot.pipe in ready or slot.process.sentinel in ready]
        return [event for several in events for event in several]

    def answer(self, key: str, prune: bool) -> None:
        for slot in self._slots_of(key):
            slot.send(prune)

    def kill(self, key: str) -> None:
        for slot in self._slots_of(key):
            slot.close(kill=True)
            slot.task = None

    def stop(self) -> None:
        for slot in self._slots:
            if slot.task is not None:
                slot.send(STOP)

    def close(self) -> None:
        for slot in self._slots:
            slot.close()

    def _slots_of(self, key: str) -> list[_Slot]:
        """The slot that runs this trial; empty if none does."""
        return [slot for slot in self._slots if slot.task is not None and slot.task.key == key]

    def _free_slot(self) -> _Slot:
        # Prefer a slot whose worker is running: a new worker costs seconds of imports.
        return min((slot for slot in self._slots if slot.task is None), key=lambda slot: not slot.alive)


class _Slot:
    """A worker process, the pipe to it, and the trial that it runs."""

    pipe: Connection
    process: BaseProcess

    def __init__(self, device: str, log: Path) -> None:
        self.device = device
        self.log = log
        self.task: Task | None = None
        self._up = False
        self._logged = 0
        """The size of the log when the trial began."""

    @property
    def alive(self) -> bool:
        return self._up and self.process.is_alive()

    def start(self, task: Task) -> None:
        if not self.alive:
            starting = context()
            self.pipe, theirs = starting.Pipe()
            self.process = starting.Process(target=work, args=(theirs, self.log, self.device), daemon=True)
            with _signals_blocked():  # the worker inherits this, and ignores the signals when it has started
                self.process.start()
            theirs.close()
            self._up = True
        self.task = task
        self._logged = self._log_size()
        self.send(task)

    def send(self, message: Any) -> None:
        # If the worker has just died, its sentinel shows it; the message is of no use.
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def events(self) -> list[Event]:
        """The events that the worker has sent, and ``Died`` if it died."""
        found: list[Event] = []
        assert self.task is not None
        key = self.task.key
        try:
            while self.pipe.poll():
                event = self.pipe.recv()
                if isinstance(event, Ended | Died):
                    self.task = None
                    # After an error of the device every later trial of this process would fail too.
                    if isinstance(event, Died) or event.outcome.state in (State.FAILED, State.OUT_OF_MEMORY):
                        self.close(kill=True)
                        return [*found, event]
                found.append(event)
        except (EOFError, OSError):
            pass
        if self.task is not None and not self.process.is_alive():
            self.process.join()
            exitcode = self.process.exitcode
            reason, memory = explain(exitcode, self._said())
            log = f"{self.log.parent.name}/{self.log.name}"  # the reason is stored, and the store may move
            found.append(Died(key, f"{reason}; see {log} in the results folder", killed=memory))
            self.task = None
        return found

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.is_file() else 0

    def _said(self) -> str:
        """The end of what the worker has written to its log during this trial."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(max(self._logged, self._log_size() - LAST_WORDS))
            return file.read(LAST_WORDS).decode("utf-8", "replace")
        return ""

    def close(self, kill: bool = False) -> None:
        if not self._up:
            return
        try:
            if self.task is None and not kill:
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
    """The main function of a worker: receive a task, run it, repeat, until ``QUIT`` or the end of the pipe."""
    # Ctrl-C reaches the whole process group, and so do a closed terminal's SIGHUP and perhaps a cluster's SIGTERM: only
    # the driver reacts to them.
    for number in FOR_THE_DRIVER:
        signal.signal(number, signal.SIG_IGN)
    # torch requires it for train.deterministic; cuBLAS reads it once, before the first trial.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    _end_with_parent()
    _print_to(log)
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if task == QUIT:
            return
        if task != STOP:  # a STOP here came after its trial had ended
            with messages_to(functools.partial(tell, task.key, pipe)):
                event = perform(task, device, pipe)
            send(pipe, event)


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

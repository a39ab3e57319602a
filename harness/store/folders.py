"""The folders inside a results folder, and the lock of the driver on it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from harness.base.diagnosis import storage_error
from harness.base.errors import HarnessError
from harness.base.files import write_bytes
from harness.store.runs import Store


@dataclass(frozen=True)
class Folders:
    """The folders inside a results folder."""

    results: Path

    @property
    def work(self) -> Path:
        """Journals, checkpoints and files of unfinished trials, one folder each."""
        return self.results / "work"

    @property
    def cache(self) -> Path:
        """Reference features and floors, named by digests of their content."""
        return self.results / "cache"

    def report(self, suite: str, chosen: bool = False) -> Path:
        """The page and the tables of a suite; those of chosen arms lie beside them."""
        return self.results / f"{suite}{'.only' if chosen else ''}"

    @property
    def lock(self) -> Path:
        """The lock that the driver holds."""
        return self.results / ".lock"


@contextlib.contextmanager
def exclusive(results: Path, command: str) -> Iterator[None]:
    """Lock a results folder and its store, which other folders may share. The end of the process releases the locks.

    Args:
        results: the results folder.
        command: the command line of this process, for the message to others.

    Raises:
        HarnessError: another driver holds it; the message names its command, process, machine and start.
    """
    file = Store(results).file
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(
            f"the results folder {results} cannot be created ({error}): choose another --results"
        ) from error
    with contextlib.ExitStack() as held:
        advice = "wait until it ends, or use another"
        held.enter_context(_held(Folders(results).lock, results, f"{advice} --results", command))
        if file is not None:
            lock = file.with_name(f".{file.name}.lock")
            held.enter_context(_held(lock, file, f"{advice} MLFLOW_TRACKING_URI", command))
        yield


@contextlib.contextmanager
def _held(path: Path, what: Path, advice: str, command: str) -> Iterator[None]:
    """Hold a lock, and write beside it who holds it."""
    holder = path.with_name(f"{path.name}.holder")
    lock = filelock.FileLock(path, blocking=False)
    try:
        lock.acquire()
    except PermissionError as error:
        raise HarnessError(f"{path.parent} cannot be written to ({error})") from error
    except filelock.Timeout:
        raise HarnessError(f"the store in {what} is in use by {_first(holder)}: {advice}") from None
    except OSError as error:
        raise storage_error(error) or HarnessError(f"{path.parent} cannot be used ({error})") from error
    try:
        holder.unlink(missing_ok=True)  # left by a driver that was killed
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        text = f"`{command}` (process {os.getpid()} on {socket.gethostname()}, since {since})"
        write_bytes(holder, text.encode("utf-8", "backslashreplace"))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _first(holder: Path) -> str:
    """The driver that holds a store. It writes this just after it gets the lock, so wait a moment for it."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            return holder.read_text(encoding="utf-8")
        time.sleep(0.1)
    return "another program"

"""How a trial's folder travels between machines that share no disk: its journal, its files, its checkpoint.

The worker writes into a folder of its own machine. Each event takes along the lines that the journal has got since the
last one, and the files that these lines name. The driver's side writes the files, appends the lines, and only then
hands on the event: what an event tells of is always recorded, and no line names a file that is not there.

A checkpoint goes to the driver, too, whenever a new one is there; or to an address of fsspec, which spares the driver
the traffic of many workers (``Checkpoints``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.base.errors import HarnessError
from harness.base.files import write_bytes
from harness.base.messages import note
from harness.base.states import State
from harness.execution.engine import Ended, Event
from harness.store.journal import NAME
from harness.trial.task import step_of

CHECKPOINT = "checkpoint.pt"
UNFINISHED = (State.INTERRUPTED, State.OUT_OF_MEMORY)
"""Outcomes after which a trial goes on from its checkpoint."""


@dataclass(frozen=True)
class Parcel:
    """What travels from a worker to the driver: parts of a trial's folder, and the event that follows them.

    Attributes:
        key: the trial's.
        event: what the worker has sent; None with a checkpoint alone.
        lines: of the journal, as they are in the file.
        files: their content, by their names.
    """

    key: str
    event: Event | None = None
    lines: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Luggage:
    """What a worker must have of a trial's folder before the trial begins.

    Attributes:
        journal: what the trial has recorded so far.
        checkpoint: from which it goes on, if there is one.
        snapshots: the grids of samples that were drawn before, by their names: curves go on from what they show.
    """

    journal: bytes
    checkpoint: bytes | None
    snapshots: Mapping[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Luggage:
        """What the driver has in this folder."""
        snapshots = {path.name: path.read_bytes() for path in folder.glob("*.png") if step_of(path.name) is not None}
        return cls((folder / NAME).read_bytes(), _content(folder / CHECKPOINT), snapshots)


class Away:
    """The folder of a trial on the machine that trains it, begun with what the driver has of it.

    Args:
        folder: on this machine.
        luggage: what the driver has.
    """

    def __init__(self, folder: Path, luggage: Luggage) -> None:
        self.folder = folder
        write_bytes(folder / NAME, luggage.journal)
        for name, grid in luggage.snapshots.items():
            write_bytes(folder / name, grid)
        if luggage.checkpoint is not None:
            write_bytes(folder / CHECKPOINT, luggage.checkpoint)
        self._sent = len(luggage.journal)
        self._saved = self._stamp()

    def pack(self, event: Event) -> Parcel:
        """The event, with all that was recorded since the last call; the checkpoint too, if another worker goes on."""
        with (self.folder / NAME).open("rb") as file:
            file.seek(self._sent)
            lines = file.read()
        self._sent += len(lines)
        entries = (json.loads(line.partition(b" ")[2]) for line in lines.splitlines())
        names = {entry["name"] for entry in entries if entry["kind"] == "file"}
        if isinstance(event, Ended) and event.outcome.state in UNFINISHED:
            names.add(CHECKPOINT)
        contents = {name: _content(self.folder / name) for name in names}
        return Parcel(event.key, event, lines, {name: found for name, found in contents.items() if found is not None})

    def checkpoint(self) -> bytes | None:
        """The checkpoint, if it was written since the last call. It is replaced in one move, so it is read whole."""
        stamp = self._stamp()
        if stamp is None or stamp == self._saved:
            return None
        self._saved = stamp
        return _content(self.folder / CHECKPOINT)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = (self.folder / CHECKPOINT).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns


def receive(folder: Path, parcel: Parcel) -> None:
    """Bring what has come into the trial's folder at the driver.

    Raises:
        OSError: it cannot be written.
    """
    for name, content in parcel.files.items():
        write_bytes(folder / Path(name).name, content)
    if not parcel.lines:
        return
    with (folder / NAME).open("ab") as file:
        file.write(parcel.lines)
        file.flush()
        if isinstance(parcel.event, Ended):  # as a journal flushes its end
            os.fsync(file.fileno())


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints at an address that all machines see, in a folder per trial, KEY.

    Args:
        url: any address of fsspec; None: there is none, and the methods do nothing.
    """

    url: str | None

    def check(self) -> None:
        """Write there and remove it again.

        Raises:
            HarnessError: that cannot be done, with the reason.
        """
        if self.url is None:
            return
        try:
            self.save("check", b"")
            self.remove("check")
        except Exception as error:  # of whatever library serves the address
            why = f"{type(error).__name__}: {error}"
            raise HarnessError(f"--artifacts {self.url} cannot be written to ({why}): correct it, or leave it out, and "
                               "checkpoints go to the driver") from error  # fmt: skip

    def save(self, key: str, content: bytes) -> None:
        """Replace the checkpoint of a trial."""
        system, folder = self._place(key)
        system.makedirs(folder, exist_ok=True)
        with system.transaction:  # readers see the old one or the new one
            system.pipe_file(f"{folder}/{CHECKPOINT}", content)

    def load(self, key: str) -> bytes | None:
        """The checkpoint of a trial, if there is one."""
        if self.url is None:
            return None
        system, folder = self._place(key)
        try:
            found: bytes = system.cat_file(f"{folder}/{CHECKPOINT}")
            return found
        except FileNotFoundError:
            return None

    def remove(self, key: str) -> None:
        """Remove what is there of a trial. It stays where the place does not answer."""
        if self.url is None:
            return
        try:
            system, folder = self._place(key)
            if system.exists(folder):
                system.rm(folder, recursive=True)
        except Exception as error:  # of whatever library serves the address
            note(f"the checkpoint of {key} stays in {self.url}: {type(error).__name__}: {error}")

    def _place(self, key: str) -> tuple[Any, str]:
        import fsspec

        system, root = fsspec.core.url_to_fs(self.url)
        return system, f"{root.rstrip('/')}/{key}"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # an emptied folder loses this file, not the trial
        return None

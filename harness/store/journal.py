"""What a trial does, on disk before MLflow hears of it: training never waits for a server, and loses nothing to one.

The records of a trial's run lie in its work folder, a line each, appended and flushed to the disk. The driver begins
them, the trial's worker goes on with them, and ``tracking.Delivery`` tells MLflow. A line holds a checksum and JSON:
when it was written, its kind, and what it says. Reading ends at the first line that is not whole; whoever opens
the file to write cuts it off there, and the trial, gone on with, says again what is lost.

A run has a token of its own and every record the time when it was made, so that a record may be delivered twice and
counts once.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base import digests
from harness.base.messages import note
from harness.store import identity
from harness.trial.task import Outcome

if TYPE_CHECKING:
    from harness.suite.plan import Trial

NAME = "records.jsonl"
Entry = dict[str, Any]


class Records:
    """The records of one trial, opened to go on with. One process at a time may do so.

    Args:
        folder: the trial's work folder.

    Raises:
        OSError: they cannot be written; so do all that write.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.outcome: Outcome | None = None
        """How the trial ended, if it has."""
        self.interrupted = False
        """Whether the trial was left, and not gone on with."""
        self._steps: dict[str, int] = {}
        whole = 0
        for entry, end in read(self.path):
            self._note(entry)
            whole = end
        with contextlib.suppress(FileNotFoundError):  # there are none, or they have just been delivered
            if self.path.stat().st_size > whole:
                if b"\n" in self.path.read_bytes()[whole:]:  # more than a last line that a kill left short
                    note(f"{self.path} is damaged from byte {whole} on: the trial goes on from there or its checkpoint")
                os.truncate(self.path, whole)
        self.begun = whole > 0

    def begin(self, suite: str, trial: Trial) -> None:
        """Say what is recorded; where that was said before, that it is gone on with."""
        if self.begun:
            if self.interrupted:
                self._append("resume")
            return
        arm = trial.arm
        tags = identity.tags_of(trial) | {
            "arm": arm.name,
            "model": arm.model.name,
            "tricks": " + ".join(trick.name for trick in arm.tricks),
            "data": arm.data.name,
            "seed": str(trial.seed),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._append("begin", token=uuid.uuid4().hex, suite=suite, tags=tags, config=arm.config())
        self.begun = True

    def environment(self, environment: dict[str, str]) -> None:
        """What the numbers may depend on besides the trial's key."""
        self._append("environment", tags=environment)

    def points(self, points: list[tuple[str, int, float]]) -> None:
        """Points (name, step, value) of curves; those that are recorded already are passed over."""
        new = [point for point in points if point[1] > self._steps.get(point[0], -1)]
        if new:
            self._append("points", points=new)

    def file(self, path: Path, folder: str) -> None:
        """A file of the work folder to keep with the run, under a folder of its artifacts."""
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self._append("file", name=path.name, folder=folder)

    def interrupt(self) -> None:
        """The trial is left, to be gone on with."""
        if self.outcome is None and not self.interrupted:
            self._append("interrupt")

    def delivered(self, store: str, offset: int, told: dict[str, str]) -> None:
        """A store knows all up to an offset, under these ids."""
        self._append("delivered", store=store, offset=offset, told=told)

    def end(self, outcome: Outcome, keep: bool = False) -> None:
        """How the trial ended: the last record. With ``keep`` its checkpoint stays."""
        self._append("end", outcome=asdict(outcome), keep=keep)

    def _append(self, kind: str, **content: Any) -> None:
        entry = {"time": int(time.time() * 1000), "kind": kind, **content}
        body = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
        line = b"%s %s\n" % (digests.checksum(body), body)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(handle).st_size
        try:
            while line:  # a full disk takes a part, and refuses the rest
                line = line[os.write(handle, line) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
        finally:
            os.close(handle)
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        match entry["kind"]:
            case "points":
                for name, step, _ in entry["points"]:
                    self._steps[name] = max(step, self._steps.get(name, -1))
            case "interrupt" | "resume" as kind:
                self.interrupted = kind == "interrupt"
            case "end":
                self.outcome = Outcome(**entry["outcome"])


def read(path: Path, offset: int = 0) -> Iterator[tuple[Entry, int]]:
    """The records from an offset on, each with the offset behind it, up to the first that is not whole."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                checksum, _, body = line.rstrip(b"\n").partition(b" ")
                if not line.endswith(b"\n") or checksum != digests.checksum(body):
                    return
                offset += len(line)
                yield json.loads(body), offset
    except FileNotFoundError:
        return


def files(work: Path) -> list[Path]:
    """The records that lie below the folder of the trials' work folders."""
    return sorted(work.glob(f"*/{NAME}"))


def interrupt(work: Path) -> None:
    """Mark every trial that has not ended as left; for when no worker runs."""
    for path in files(work):
        records = Records(path.parent)
        if records.begun:
            records.interrupt()

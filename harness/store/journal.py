"""The journal of a trial: everything goes to the disk before MLflow gets it, so training never waits for a server.

The journal is a file in the trial's work folder, with one record per line, appended. The driver begins it, the trial's
worker continues it, and ``delivery.Delivery`` delivers it to MLflow. What must outlast a power failure is flushed to
the disk, with all that stands before it (``LASTING``): a trial that lost points and files records them again.

A line has a checksum and JSON: the time, the kind and the content. Reading ends at the first damaged line. A process
that opens the journal to write truncates it there, and the resumed trial records the lost part again.

Every run has a unique token and every record its time, so that a record that is delivered twice counts once.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base import digests
from harness.base.messages import note
from harness.store import identity
from harness.trial.task import Outcome

if TYPE_CHECKING:
    from harness.suite.plan import Trial
    from harness.zoo.data.base import DataSet
    from harness.zoo.registry import Choice

NAME = "records.jsonl"
LASTING = ("begin", "interrupt", "delivered", "end")
"""The kinds of records that are on the disk when the call returns, with all records before them."""
Line = dict[str, Any]


class Journal:
    """The journal of one trial, opened for writing. Only one process at a time may do so.

    Args:
        folder: the trial's work folder.

    Raises:
        OSError: the journal cannot be written. All methods that write raise it, too.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.outcome: Outcome | None = None
        """The outcome of the trial; None if it has not ended."""
        self.interrupted = False
        """Whether the trial was interrupted, and not resumed since."""
        self._steps: dict[str, int] = {}
        whole = 0
        for entry, end in read(self.path):
            self._note(entry)
            whole = end
        with contextlib.suppress(FileNotFoundError):  # there is no journal, or it has just been delivered
            if self.path.stat().st_size > whole:
                if b"\n" in self.path.read_bytes()[whole:]:  # more than the last line, which a kill may truncate
                    note(f"{self.path} is damaged from byte {whole} on: the trial goes on from there or its checkpoint")
                os.truncate(self.path, whole)
        self.begun = whole > 0

    def begin(self, suite: str, trial: Trial) -> None:
        """Record which trial this is; if the journal exists, record that the trial is resumed."""
        if self.begun:
            self.resume()
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
        data = {"name": arm.data.name, "digest": _digest(arm.data), "settings": arm.data.canonical()}
        self._append("begin", token=uuid.uuid4().hex, suite=suite, tags=tags, config=arm.config(), data=data)
        self.begun = True

    def resume(self) -> None:
        """Record that the trial goes on, if it was interrupted."""
        if self.interrupted:
            self._append("resume")

    def environment(self, environment: dict[str, str]) -> None:
        """Record the environment: what the numbers may depend on besides the trial's key."""
        self._append("environment", tags=environment)

    def points(self, points: list[tuple[str, int, float]]) -> None:
        """Record points (name, step, value) of curves; those that are already recorded are skipped."""
        new = [point for point in points if point[1] > self._steps.get(point[0], -1)]
        if new:
            self._append("points", points=new)

    def usage(self, step: int, used: dict[str, float]) -> None:
        """Record what the trial uses of its machine at a step (name -> number). It is neither sealed nor read again."""
        self._append("usage", step=step, used=used)

    def file(self, path: Path, folder: str) -> None:
        """Record a file of the work folder as an artifact of the run, in this folder of its artifacts."""
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self._append("file", name=path.name, folder=folder)

    def interrupt(self) -> None:
        """Record that the trial was interrupted."""
        if self.outcome is None and not self.interrupted:
            self._append("interrupt")

    def delivered(self, store: str, offset: int, told: dict[str, str]) -> None:
        """Record that a store has everything up to an offset, under these ids."""
        self._append("delivered", store=store, offset=offset, told=told)

    def end(self, outcome: Outcome, keep: bool = False) -> None:
        """Record the outcome, as the last record. With ``keep``, the checkpoint is not removed."""
        self._append("end", outcome=asdict(outcome), keep=keep)

    def _append(self, kind: str, **content: Any) -> None:
        entry = {"time": int(time.time() * 1000), "kind": kind, **content}
        line = _line(entry)
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(handle).st_size
        try:
            while line:  # a full disk may write only a part
                line = line[os.write(handle, line) :]
            if kind in LASTING:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
        finally:
            os.close(handle)
        self._note(entry)

    def _note(self, entry: Line) -> None:
        match entry["kind"]:
            case "points":
                for name, step, _ in entry["points"]:
                    self._steps[name] = max(step, self._steps.get(name, -1))
            case "interrupt" | "resume" as kind:
                self.interrupted = kind == "interrupt"
            case "end":
                self.outcome = Outcome(**entry["outcome"])


def _line(entry: Line) -> bytes:
    body = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%s %s\n" % (digests.checksum(body), body)


def write(folder: Path, entries: Iterable[Line]) -> None:
    """Write the whole journal of a trial that has ended, and flush it to the disk; each entry has its time.

    Raises:
        OSError: it cannot be written.
    """
    with (folder / NAME).open("wb") as file:
        file.writelines(map(_line, entries))
        file.flush()
        os.fsync(file.fileno())


@functools.cache
def _digest(data: Choice[DataSet]) -> str:
    """The digest of a data set as protocols have it. Most trials of a run share their data."""
    return data.make().digest()[:16]


def read(path: Path, offset: int = 0) -> Iterator[tuple[Line, int]]:
    """The records from an offset on, each with the offset after it, up to the first damaged line."""
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
    """The journals in the folder of the trials' work folders."""
    return sorted(work.glob(f"*/{NAME}"))


def interrupt(work: Path, but: Collection[str] = ()) -> None:
    """Record in every journal without an end that its trial was interrupted; not in those that a worker still writes.

    Args:
        work: the folder of the trials' work folders.
        but: the keys of the trials that still run.
    """
    for path in files(work):
        if path.parent.name in but:
            continue
        records = Journal(path.parent)
        if records.begun:
            records.interrupt()

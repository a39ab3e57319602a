"""The runs of a store as the harness reads them, and the memory of what was read.

Importing MLflow takes more than a second, and reading a thousand runs through it several. So what was read of a
database file, and the outcome of the checks of it, is kept beside it in the cache folder. It counts as long as the file
has the same bytes (``sqlite.content``); a file with other bytes is checked and read again.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.files import read_sealed, write_sealed
from harness.store import seals
from harness.store.seals import Point

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

FORMAT = 2
READ_AGAIN = "it is read again"
Stamp = list[int]
"""The size of a file and its modification time in ns; empty if there is none."""


@dataclass(frozen=True)
class Info:
    """What MLflow itself knows of a run."""

    run_id: str
    status: str
    start_time: int
    artifact_uri: str


@dataclass(frozen=True)
class Data:
    """What was logged to a run; of a metric the last value."""

    tags: dict[str, str]
    metrics: dict[str, float]
    params: dict[str, str]


@dataclass
class Run:
    """A run of a store.

    Attributes:
        info: what MLflow itself knows of it.
        data: what was logged to it.
        stamps: file that is read again -> its stamp when its content was last found to be as it was written.
        changed_files: the files that are not as they were written.
        points: the points of its curves, sorted, without those of damaged curves; None: not read.
    """

    info: Info
    data: Data
    stamps: dict[str, Stamp] = field(default_factory=dict)
    changed_files: tuple[str, ...] = ()
    points: list[Point] | None = None

    @functools.cached_property
    def changes(self) -> list[str]:
        """What was changed in the store after the run ended (``seals.changes``)."""
        return seals.changes(self.data.tags, self.data.metrics, self.data.params)

    @classmethod
    def of(cls, run: MlflowRun) -> Run:
        """A run as MLflow gives it, without what the trial used of its machine."""
        info, data = run.info, run.data
        metrics = {name: value for name, value in data.metrics.items() if not name.startswith(seals.USAGE_PREFIX)}
        kept = Info(str(info.run_id), str(info.status), int(info.start_time or 0), str(info.artifact_uri or ""))
        return cls(kept, Data(dict(data.tags), metrics, dict(data.params)))


@dataclass
class Contents:
    """What a store has.

    Attributes:
        runs: the runs of all trials, the oldest first.
        files: suite -> the machine and the path of its file, as its parent run has them.
        tables: suite -> where MLflow's interface shows its runs (``views.path``).
    """

    runs: list[Run]
    files: dict[str, str]
    tables: dict[str, str]


@dataclass(frozen=True)
class Memory:
    """What was read of a database in one state.

    Attributes:
        folder: where it is kept.
        database: the file.
        state: its state (``sqlite.content``).
    """

    folder: Path
    database: Path
    state: str

    def contents(self) -> Contents | None:
        """The contents of the store; None if they are not known."""
        kept = self._read(self._runs)
        if kept is None:
            return None
        found = json.loads(kept)
        texts: list[str] = found["texts"]
        return Contents([_unpacked(row, texts) for row in found["runs"]], found["files"], found["tables"])

    def keep(self, contents: Contents) -> None:
        """Remember the contents of the store."""
        texts: dict[str, int] = {}
        rows = [_packed(run, texts) for run in contents.runs]
        value = {"files": contents.files, "tables": contents.tables, "runs": rows, "texts": list(texts)}
        self._write(self._runs, json.dumps(value).encode())

    def curves(self, suite: str, runs: Sequence[str]) -> dict[str, list[Point]] | None:
        """Run -> the points of its curves, for these runs of a suite; None if they are not all known."""
        import numpy as np

        kept = self._read(self._curves_of(suite))
        if kept is None:
            return None
        with np.load(io.BytesIO(kept), allow_pickle=False) as found:
            known, names, counts, name, step, value = (found[key].tolist() for key in _CURVES)
        if not set(runs) <= set(known):
            return None
        points = list(zip(map(names.__getitem__, name), step, value, strict=True))
        ends = np.cumsum(counts).tolist()
        return {run: points[end - count : end] for run, count, end in zip(known, counts, ends, strict=True)}

    def keep_curves(self, suite: str, curves: Mapping[str, Sequence[Point]]) -> None:
        """Remember the curves of a suite's runs."""
        import numpy as np

        points = [point for own in curves.values() for point in own]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name, _, _ in points))}
        columns = (
            np.array(list(curves), dtype=np.str_),
            np.array(list(numbers), dtype=np.str_),
            np.array([len(own) for own in curves.values()], dtype=np.int64),
            np.array([numbers[name] for name, _, _ in points], dtype=np.int64),
            np.array([step for _, step, _ in points], dtype=np.int64),
            np.array([value for _, _, value in points], dtype=np.float64),
        )
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **dict(zip(_CURVES, columns, strict=True)))
        self._write(self._curves_of(suite), buffer.getvalue())

    @property
    def _runs(self) -> Path:
        return self.folder / f"{self.database.name}.runs"

    def _curves_of(self, suite: str) -> Path:
        return self.folder / f"{self.database.name}.{suite}.curves"

    def _read(self, path: Path) -> bytes | None:
        """The content of a file that was written for this state."""
        with contextlib.suppress(OSError):
            content = read_sealed(path, READ_AGAIN)
            head, _, rest = (content or b"").partition(b"\n")
            return rest if head == self._head else None
        return None

    def _write(self, path: Path, content: bytes) -> None:
        with contextlib.suppress(OSError):  # a folder that cannot be written to: the next command reads again
            write_sealed(path, self._head + b"\n" + content)

    @property
    def _head(self) -> bytes:
        return f"{FORMAT} {self.state}".encode()


_CURVES = ("runs", "names", "counts", "name", "step", "value")


def _packed(run: Run, texts: dict[str, int]) -> list[Any]:
    """A run as JSON; ``texts`` receives each text once: most tags and parameters are those of other runs, too."""

    def number(text: str) -> int:
        return texts.setdefault(text, len(texts))

    data, info = run.data, run.info
    tags, params = ([number(text) for pair in each.items() for text in pair] for each in (data.tags, data.params))
    metrics = [[number(name) for name in data.metrics], list(data.metrics.values())]
    head = [info.run_id, info.status, info.start_time, info.artifact_uri]
    return [head, tags, metrics, params, run.changes, run.stamps]


def _unpacked(row: list[Any], texts: Sequence[str]) -> Run:
    head, tags, (names, values), params, changes, stamps = row

    def mapping(numbers: Iterable[int]) -> dict[str, str]:
        each = map(texts.__getitem__, numbers)
        return dict(zip(each, each, strict=True))

    metrics = dict(zip(map(texts.__getitem__, names), values, strict=True))
    run = Run(Info(*head), Data(mapping(tags), metrics, mapping(params)), stamps)
    run.__dict__["changes"] = changes
    return run

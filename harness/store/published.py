"""The trials of a published folder: one compressed file of JSON lines, and a few pictures, read as a store.

A line of ``trials.jsonl.gz`` is a run, whole: the name of its arm in the suite, its tags with the digests that seal
them, values, parameters, curves, and the small files that are read again (protocol, floors, histograms, settings). So
an edited line is seen as an edited run is, and `harness merge` takes published trials like those of any store. Weights
are not published, nor pictures but the last samples of one trial per arm, in ``pictures/KEY/``.
"""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.errors import HarnessError
from harness.base.files import write_bytes
from harness.store import artifacts, seals
from harness.store.record import Record
from harness.store.runs import READ_AGAIN, Found, Store, whole_curves
from harness.store.seals import Point
from harness.store.stored import Contents, Data, Info, Run

if TYPE_CHECKING:
    from harness.suite.plan import Trial

TRIALS = "trials.jsonl.gz"
PICTURES = "pictures"
SHOWN = ("samples/final.png", "samples/real.png")
"""The pictures of a trial that are published."""
TEXTS = ("config.json", *READ_AGAIN)
"""The files of a trial that are published as text, with its line."""


def write(folder: Path, trials: Iterable[tuple[Run, Record]], pictured: Iterable[Record]) -> None:
    """Write the trials and the pictures of a published folder.

    Args:
        folder: receives the files.
        trials: the run of each trial, and the trial with its curves.
        pictured: the trials whose pictures are published.
    """
    lines = [json.dumps(_line(run, record), ensure_ascii=False, separators=(",", ":")) for run, record in trials]
    text = "".join(f"{line}\n" for line in lines)
    write_bytes(folder / TRIALS, gzip.compress(text.encode("utf-8", "surrogatepass"), mtime=0))
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    for record in pictured:
        for name in SHOWN:
            path = record.file(name)
            if path is not None and path.is_file():
                write_bytes(folder / PICTURES / record.key / name, path.read_bytes())


def _line(run: Run, record: Record) -> dict[str, Any]:
    files = {name: path.read_text("utf-8") for name in TEXTS if (path := record.file(name)) and path.is_file()}
    return {
        "arm": record.arm,
        "run": {"id": run.info.run_id, "status": run.info.status, "began": run.info.start_time},
        "tags": seals.kept(run.data.tags),
        "metrics": run.data.metrics,
        "params": run.data.params,
        "curves": _columns(record.curves),
        "files": files,
    }


def _columns(points: Sequence[Point]) -> dict[str, tuple[list[int], list[float]]]:
    """Curve -> its steps and its values."""
    groups = itertools.groupby(sorted(points), key=lambda point: point[0])
    curves = {name: list(own) for name, own in groups}
    return {name: ([step for _, step, _ in own], [value for *_, value in own]) for name, own in curves.items()}


class Unpacked(Store):
    """The trials of a published folder, as a store that can be read.

    Args:
        folder: the published folder.
        results: an empty folder; it receives the files of the trials, and is the results folder of this store.

    Raises:
        HarnessError: the file of the trials is missing or damaged.
    """

    def __init__(self, folder: Path, results: Path) -> None:
        super().__init__(results, alone=True)
        self.folder = folder
        self._places: dict[tuple[str, int], Run] = {}
        self._runs = [self._unpack(number, line) for number, line in enumerate(_lines(folder / TRIALS), start=1)]

    @property
    def exists(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        return str(self.folder / TRIALS)

    def contents(self) -> Contents:
        for run in self._runs:
            self._look_at_files(run)
        return Contents(self._runs, {}, {})

    def found(self, trials: Iterable[Trial], with_files: bool = False) -> Found:
        """The published run of each of these trials, by arm and seed: whatever code it is of, the tables are of it."""
        self.contents()
        places = ((trial, self._places.get((trial.arm.name, trial.seed))) for trial in trials)
        return Found({trial.key: run for trial, run in places if run is not None}, {})

    def read_curves(self, runs: Sequence[Run], suite: str | None = None) -> None:
        """The curves were read with the trials."""

    def _unpack(self, number: int, line: Any) -> Run:
        """A run, and its files in the folder of this store."""
        try:
            about, tags = line["run"], dict(line["tags"])
            artifacts.refuse_odd(about["id"], tags)
            place = self.results / artifacts.FOLDER / tags["suite"] / about["id"] / artifacts.FOLDER
            for name in set(line["files"]) & set(TEXTS):
                write_bytes(place / name, line["files"][name].encode())
            for name in SHOWN:
                picture = self.folder / PICTURES / tags["key"] / name
                if picture.is_file():
                    write_bytes(place / name, picture.read_bytes())
            place.mkdir(parents=True, exist_ok=True)
            info = Info(about["id"], about["status"], about["began"], place.as_uri())
            run = Run(info, Data(tags, dict(line["metrics"]), dict(line["params"])))
            points = sorted(_points(line["curves"]))
            run.points = whole_curves(run, points)
            if run.points != points:
                raise ValueError("a curve was edited")
            self._places[line["arm"], int(tags["seed"])] = run
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged(self.folder / TRIALS, f"line {number}: {type(error).__name__}: {error}") from error
        return run


def _points(columns: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> list[Point]:
    return [(name, step, value) for name, own in columns.items() for step, value in zip(*own, strict=True)]


def _lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    except FileNotFoundError:
        raise HarnessError(f"{path.parent} is no published folder: it has no {TRIALS}") from None
    except (OSError, EOFError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> HarnessError:
    return HarnessError(f"{path} is damaged ({why}): restore a copy of it, or publish the suite again")

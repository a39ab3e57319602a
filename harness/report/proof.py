"""Proves published tables: computes them again from the trials that were published beside them.

The trials are read without a store, each by its arm and seed, so that tables stay provable when the code that trains
has changed. What then cannot be told is whether today's code would train the same: a folder says so.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis import loading, looks, merging
from harness.base.errors import HarnessError
from harness.report import publishing
from harness.report.words import count
from harness.suite import read_suite
from harness.suite.plan import make_plan

if TYPE_CHECKING:
    from harness.analysis.results import Results

ASIDE = ("other_code",)
"""Columns that depend on the code of today."""
TOLERANCE = 1e-9
"""The relative difference of two numbers that count as equal: libraries of other versions round otherwise."""
OLDER = "tables of older code, without their trials: they cannot be computed again"
LISTED = 5
"""Differences that are listed of one folder."""


@dataclass(frozen=True)
class Proof:
    """What computing the tables of a published folder again has shown.

    Attributes:
        folder: the folder.
        tables: how many tables were computed and compared.
        differences: a line for each place that differs; or why the tables cannot be computed though they should.
        remark: what else the reader must know; empty if there is nothing.
    """

    folder: Path
    tables: int = 0
    differences: tuple[str, ...] = ()
    remark: str = ""

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        if self.differences:
            return f"{self.folder}: {count(len(self.differences), 'difference')}"
        if not self.tables:
            return f"{self.folder}: {self.remark}"
        more = f" ({self.remark})" if self.remark else ""
        return f"{self.folder}: {count(self.tables, 'table')} computed again from the trials, all equal{more}"


def prove(folder: Path) -> Proof:
    """Compute the tables of a published folder again, and compare them with those that are there."""
    try:
        if publishing.read(folder) is None:
            return Proof(folder, remark=OLDER)
        with replayed(folder) as results:
            own = publishing.tables(results)
            found = [line for name, text in own.items() for line in _differences(folder / name, text)]
    except (HarnessError, OSError) as error:
        return Proof(folder, differences=(str(error),))
    today = {trial.key for trial in results.plan.trials}
    older = sum(record.key not in today and not record.vouched for record in results.records)
    remark = f"{older} of {count(len(results.records), 'trial')} are of older code than this" if older else ""
    return Proof(folder, len(own), tuple(found), remark)


@contextlib.contextmanager
def replayed(folder: Path) -> Iterator[Results]:
    """The results of a published folder, from its trials, as the look that was published.

    Raises:
        HarnessError: a file is missing or damaged, or this code cannot read the suite.
    """
    made = publishing.read(folder)
    if made is None:
        raise HarnessError(f"{folder} has no {publishing.MADE}: it is no folder of `harness publish`, or {OLDER}")
    with tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True) as place:
        room = Path(place) / "store"
        store = merging.unpacked(folder, room)
        suite = looks.with_rounds(read_suite(folder / publishing.SUITE, made.sets), room)
        results = loading.load(looks.progress(make_plan(suite), room).seen, room, store=store)
        if len(results.records) != made.trials:
            raise HarnessError(
                f"{folder / publishing.MADE} tells of {count(made.trials, 'trial')}, and {store.shown} has "
                f"{len(results.records)} of the suite beside it: publish the suite again"
            )
        yield looks.take(results, room) if results.records else results


def _differences(path: Path, text: str) -> Iterator[str]:
    """The places in which a published table differs from the computed one; columns that are new today do not count."""
    try:
        there = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    except FileNotFoundError:
        yield f"{path}: missing"
        return
    here = list(csv.DictReader(io.StringIO(text)))
    if len(there) != len(here):
        yield f"{path}: {count(len(there), 'row')}, and the trials give {len(here)}"
        return
    found = (
        f"{path}, line {number}, column {name}: {old}, and the trials give {new.get(name, 'nothing')}"
        for number, (row, new) in enumerate(zip(there, here, strict=True), start=2)
        for name, old in row.items()
        if name not in ASIDE and not (name in new and _equal(old, new[name]))
    )
    yield from itertools.islice(found, LISTED)


def _equal(one: str | None, other: str | None) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one or ""), float(other or ""), rel_tol=TOLERANCE)
    except ValueError:
        return False

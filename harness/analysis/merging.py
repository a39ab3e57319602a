"""Joins stores: takes the trials of other results folders, and of published folders, into one results folder.

A trial is known by its key, so none is there twice. The trials of one arm keep one protocol: a trial that was measured
by another one than those that are here stays where it is. The looks that were taken at the trials come along, because
they must be paid for.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis import looks, protocol
from harness.base.errors import HarnessError
from harness.store import artifacts, identity, runs
from harness.store.published import TRIALS, Unpacked
from harness.store.record import Record
from harness.store.runs import Store
from harness.store.stored import Run

if TYPE_CHECKING:
    from harness.store.intake import Intake

PUBLISHED = "published"
"""The folder of a site in which the published folders are."""
LISTED = 3
"""Values that are listed of a trial that differs."""


@dataclass
class Merged:
    """What was taken from one source, and what was not.

    Attributes:
        source: the results folder, or the published folder.
        taken: the trials that were taken.
        present: the number of trials that were here already, with the same values.
        differing: a line for each trial that was here already, with other values.
        apart: arm -> the fields in which its trials have another protocol than those here, which stay where they are.
        left: state -> the number of trials that have no outcome to take.
    """

    source: Path
    taken: list[Record] = field(default_factory=list)
    present: int = 0
    differing: list[str] = field(default_factory=list)
    apart: dict[str, list[str]] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)


def merge(sources: Sequence[Path], results: Path, tell: Callable[[str], None]) -> Iterator[Merged]:
    """Take the trials of these sources into a results folder, one source after the other.

    The caller holds the lock of the results folder. What was taken before an interruption stays; the same call goes
    on from there.

    Args:
        sources: results folders, published folders, or sites, which have several.
        results: the results folder that receives the trials.
        tell: receives messages for the user.

    Raises:
        HarnessError: a source is no such folder, or is the results folder itself; or a store cannot be used.
    """
    from harness.store.intake import Intake  # imports MLflow, which reading does not need

    with contextlib.ExitStack() as opened:
        stores = [store for source in sources for store in opened.enter_context(reading(source))]
        if any(store.results == results.resolve() for store in stores):
            raise HarnessError(f"{results} cannot be merged into itself: name another --results")
        target = Store(results)
        intake = Intake(target, tell)
        intake.begin()
        for store in stores:
            yield _Merging(store, target, intake).run()
        intake.end()


@contextlib.contextmanager
def reading(source: Path) -> Iterator[list[Store]]:
    """The stores of a source: of a results folder its own, of a published folder its trials, of a site those of all.

    Raises:
        HarnessError: it is no such folder.
    """
    if (source / artifacts.STORE).is_file():
        yield [Store(source, alone=True)]
        return
    folders = published(source)
    if not folders:
        raise HarnessError(
            f"{source} is no results folder (it has no {artifacts.STORE}) and no published folder (it has no {TRIALS})"
        )
    with tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True) as room:
        yield [unpacked(folder, Path(room) / str(number)) for number, folder in enumerate(folders)]


def published(folder: Path) -> list[Path]:
    """The published folders with trials: this one, or those of a site."""
    if (folder / TRIALS).is_file():
        return [folder]
    return sorted(path.parent for path in (folder / PUBLISHED).glob(f"*/{TRIALS}"))


def unpacked(folder: Path, room: Path) -> Unpacked:
    """The trials of a published folder as a store in an empty folder, with the looks that were taken at them."""
    room.mkdir(parents=True)
    store = Unpacked(folder, room)
    looks.bring(folder, room)
    return store


class _Merging:
    """Takes what one store has into another."""

    def __init__(self, source: Store, target: Store, intake: Intake) -> None:
        self.source, self.target, self.intake = source, target, intake
        place = source.folder if isinstance(source, Unpacked) else source.results
        self.merged = Merged(place)
        self.here = {key: run for run in _settled(target) for key in identity.keys(run.data.tags)}
        self.arms: dict[frozenset[tuple[str, str]], Record] = {}
        for run in self.here.values():
            self._keep_protocol(run, target.record(run, run.data.tags["arm"], with_curves=False))

    def run(self) -> Merged:
        """Take all trials that may be taken."""
        found = self.source.runs() if self.source.exists else []
        mine = list(_settled(self.source))
        outcomes = {run.data.tags["key"] for run in mine}
        rest = {key: run for run in found if (key := run.data.tags.get("key")) not in outcomes}
        self.merged.left.update(str(runs.state(run)) for run in rest.values())
        self.source.read_curves(mine)
        for run in mine:
            self._look_at(run)
        taken = [record.key for record in self.merged.taken]
        looks.join(self.source.results, self.target.results, {*self.here, *taken})
        return self.merged

    def _look_at(self, run: Run) -> None:
        record = self.source.record(run, run.data.tags["arm"])
        if (own := self.here.get(record.key)) is not None:
            self._compare(self.target.record(own, record.arm, with_curves=False), record)
            return
        differences = self._from_arm(run, record)
        if differences:
            lines = self.merged.apart.setdefault(record.arm, [])
            lines += [line for line in protocol.told(differences) if line not in lines]
            return
        self.intake.take(self.source, run)
        self._keep_protocol(run, record)
        self.here[record.key] = run
        self.merged.taken.append(record)

    def _compare(self, own: Record, other: Record) -> None:
        """Tell the user if a trial that is here has other values there."""
        names = [name for name in {**own.values, **other.values} if own.values.get(name) != other.values.get(name)]
        if own.state is other.state and not names:
            self.merged.present += 1
            return
        shown = [f"{name} {_shown(own, name)} here, {_shown(other, name)} there" for name in sorted(names)[:LISTED]]
        if own.state is not other.state:
            shown.insert(0, f"{own.state} here, {other.state} there")
        more = f" and {len(names) - LISTED} more values" if len(names) > LISTED else ""
        self.merged.differing.append(f"{own.arm}, seed {own.seed} (key {own.key}): {', '.join(shown)}{more}")

    def _from_arm(self, run: Run, record: Record) -> list[protocol.Difference]:
        """The fields in which the protocol of a trial differs from that of its arm here."""
        other = self.arms.get(_settings(run))
        return protocol.differences(protocol.of(other), protocol.of(record)) if other is not None else []

    def _keep_protocol(self, run: Run, record: Record) -> None:
        if record.done and protocol.of(record):
            self.arms.setdefault(_settings(run), record)


def _settings(run: Run) -> frozenset[tuple[str, str]]:
    """What the trials of one arm have in common, whatever its name: its settings without the seed."""
    parameters: Mapping[str, str] = run.data.params
    return frozenset((name, value) for name, value in parameters.items() if name != "seed")


def _shown(record: Record, name: str) -> str:
    return f"{record.values[name]:.6g}" if name in record.values else "none"


def _settled(store: Store) -> Iterator[Run]:
    """The runs of a store whose trials would end the same again, one for each key; those of changed runs not."""
    found: dict[str, Run] = {}
    for run in store.runs():
        if runs.state(run).settled:
            artifacts.refuse_odd(run.info.run_id, run.data.tags)
            key = run.data.tags["key"]
            found[key] = runs.speaking([found[key], run] if key in found else [run])
    yield from found.values()

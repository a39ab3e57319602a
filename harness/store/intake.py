"""Takes ended trials of another store into this one.

A trial that is taken becomes a journal, which the delivery brings to MLflow: it is stored like one that was trained
here. Its journal and its files lie complete in the folder ``intake``, or not at all; what an interrupted intake left
there is delivered by the next one.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from harness.base import files
from harness.store import identity, journal, sqlite
from harness.store.delivery import Delivery
from harness.store.journal import Line
from harness.store.runs import Store
from harness.store.stored import Run
from harness.trial.task import Outcome

FOLDER = "intake"
"""The folder in a results folder where trials lie that are being taken."""
OF_ARM = ("key", "arm", "model", "tricks", "data", "seed")
"""The tags that say which trial a run is of, besides those of its identity."""


class Intake:
    """Takes trials into a store. The caller holds the lock of the store (``folders.exclusive``).

    Args:
        store: receives the trials.
        note: receives messages for the user.
    """

    def __init__(self, store: Store, note: Callable[[str], None]) -> None:
        self.store = store
        self.folder = store.results / FOLDER
        self._delivery = Delivery(store, self.folder, note)

    def begin(self) -> None:
        """Create the store if there is none, and deliver what an interrupted intake left.

        Raises:
            HarnessError: the store cannot be opened, or does not answer.
        """
        self.store.create()
        self.folder.mkdir(exist_ok=True)
        files.tidy(self.folder)
        self._deliver()
        sqlite.stamp(self.store.results)

    def take(self, source: Store, run: Run) -> None:
        """Take one ended trial, with its curves and its files.

        Args:
            source: the store that has it.
            run: its run there, with its points (``Store.read_curves``).

        Raises:
            HarnessError: this store does not answer; the trial is delivered by the next intake.
        """
        content = source.place(run)
        with files.temporary_folder(self.folder) as folder:
            names = []
            for path in sorted(content.rglob("*")) if content is not None else ():
                if path.is_file():
                    names.append(path.relative_to(str(content)).as_posix())
                    (folder / names[-1]).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, folder / names[-1])
            journal.write(folder, _entries(source, run, names))
            place = self.folder / run.data.tags["key"]
            shutil.rmtree(place, ignore_errors=True)  # what this store has refused before
            folder.rename(place)
        self._deliver()

    def end(self) -> None:
        """Remove the folder; one that still has a journal stays."""
        if not journal.files(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _deliver(self) -> None:
        with self.store.answering():
            self._delivery.deliver()


def _entries(source: Store, run: Run, names: list[str]) -> Iterator[Line]:
    """The journal of an ended trial, as the trial itself would have written it."""
    tags, record = run.data.tags, source.record(run, run.data.tags["arm"])
    seconds = record.seconds_train + record.seconds_evaluate
    outcome = Outcome(record.state, record.reason, record.values, record.seconds_train, record.seconds_evaluate)

    def entry(kind: str, after: float = 0.0, **content: object) -> Line:
        return {"time": run.info.start_time + int(1000 * after), "kind": kind, **content}

    own = {name: tags[name] for name in (*OF_ARM, *identity.TAGS) if name in tags}
    yield entry("begin", token=uuid.uuid4().hex, suite=tags["suite"], tags=own, config=_settings(run.data.params))
    yield entry("environment", tags=record.environment)
    yield entry("points", points=record.curves)
    for name in names:
        yield entry("file", name=name, folder=name.rpartition("/")[0])
    yield entry("end", seconds, outcome=asdict(outcome), keep=False)


def _settings(parameters: Mapping[str, str]) -> dict[str, str]:
    """The settings of an arm, from the parameters of a run."""
    return {name: value for name, value in parameters.items() if name != "seed"}

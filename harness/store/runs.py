"""The MLflow store: every run is stored there, and tables are read from it.

A suite is an experiment with a parent run; a trial is a child run, which every suite finds by its key. Only the driver
writes to MLflow; workers write journals (``journal``).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
import socket
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.base import digests, surroundings
from harness.base.diagnosis import READ_ONLY, storage_error
from harness.base.errors import HarnessError
from harness.base.files import create_atomically, temporary_folder
from harness.base.messages import discreet, note
from harness.base.states import State
from harness.store import addresses, artifacts, curves, identity, journal, seals, sqlite, views
from harness.store.addresses import Silent, brief
from harness.store.record import Record
from harness.store.seals import CURVE_PREFIX, CURVES_SEAL, FILES, SEAL, Point
from harness.store.stored import Contents, Memory, Run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run as MlflowRun

    from harness.suite import Suite
    from harness.suite.plan import Trial

SECONDS = ("seconds_train", "seconds_evaluate")
"""Metrics of a run that are durations, not values."""


def library() -> Any:
    """The package mlflow, imported when it is first needed: that takes more than a second."""
    with surroundings.environment():  # it begins its telemetry, if that is not off, when it is imported
        import mlflow
    surroundings.imported()
    return mlflow


class Store:
    """The MLflow store of a results folder (or the server that ``MLFLOW_TRACKING_URI`` names).

    Args:
        results: the results folder.
        alone: the store in the folder itself, whatever the environment names.
    """

    def __init__(self, results: Path, alone: bool = False) -> None:
        self.results = results.resolve()
        self._given = "" if alone else addresses.tracking()
        self.file = addresses.file(self._given) if self._given else self.results / artifacts.STORE
        """The file, if the store is a file of this machine; else None."""
        self._told = False

    @functools.cached_property
    def uri(self) -> str:
        """The address for users."""
        return self._given if self.file is None else sqlite.address(self.file)

    @property
    def address(self) -> str:
        """The address that is opened here, with a long timeout for locks; where nothing can be written, of a copy."""
        return self.uri if self.file is None else sqlite.patient(sqlite.readable(self.file))

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine, not a server."""
        return self.file is not None

    @property
    def own(self) -> bool:
        """Whether it is the file in the results folder."""
        return self.file is not None and self.file.parent == self.results

    @property
    def database(self) -> bool:
        """Whether it is a database, of this machine or of a server, and not an MLflow server."""
        return self.file is not None or not self._given.startswith("http")

    @property
    def exists(self) -> bool:
        """Whether there is a store to read; a server is assumed to exist."""
        return self.file is None or self.file.is_file()

    @property
    def shown(self) -> str:
        """Its address, without a password."""
        return discreet(self.uri)

    @property
    def place_of_results(self) -> str:
        """The machine and the results folder, as the runs say that were trained here."""
        return f"{socket.gethostname()}:{self.results}"

    @property
    def client(self) -> MlflowClient:
        """MLflow's client for this store."""
        client: MlflowClient = library().MlflowClient(tracking_uri=self.address)
        return client

    @functools.cached_property
    def _looked_at(self) -> None:
        """Check the database once, before it is opened.

        Raises:
            HarnessError: it is damaged, or another version of MLflow wrote it.
        """
        if self.file is not None:
            sqlite.check(self.file, sqlite.MLFLOW)

    def silent(self, error: Exception) -> HarnessError:
        """The message for the user if the store does not answer."""
        known = storage_error(error, self.file)
        text = str(known) if known else f"the MLflow store {self.shown} does not answer ({brief(error)})"
        if not self.local and known is None and (missing := addresses.missing_driver(error, self.shown)) is not None:
            return missing
        if self.local and known is None:
            text = f"the MLflow store {self.shown} cannot be used ({type(error).__name__}: {brief(error)}); if it is "
            text += "damaged, restore a copy of it, or use another --results"
        work = self.results / "work"
        if n := len(journal.files(work)):
            trials = f"{n} trial{'s' if n > 1 else ''}"
            text += f": the records of {trials} are kept in {work}; they are delivered when it answers again, "
            text += "or by the next `harness run`"
        return HarnessError(text) if self.local else Silent(text)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Turn errors of the store into a message for the user.

        Raises:
            HarnessError: the store does not answer, or is damaged.
        """
        self._looked_at  # noqa: B018
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            # A damaged value in a file can raise anything.
            if self.local or isinstance(error, ImportError) or _of_a_library(error):
                raise self.silent(error) from error
            raise

    def create(self) -> None:
        """Create the database if there is none, and prepare it for several writers.

        Raises:
            HarnessError: the store cannot be opened (another version of MLflow wrote it, or it is damaged).
        """
        self.results.mkdir(parents=True, exist_ok=True)
        if self.file is not None and sqlite.readable(self.file) != self.file:
            raise HarnessError(f"{self.file} {READ_ONLY}")
        if self.file is not None and not self.file.exists():
            # A kill must not leave half a store.
            create_atomically(self.file, lambda new: _open(sqlite.patient(new)))
        with self.answering():
            _open(self.address)
            self.settle()
            if self.file is not None:
                with contextlib.closing(sqlite3.connect(self.file, sqlite.PATIENCE)) as connection:
                    # In WAL mode readers and writers do not wait for each other. The file remembers the mode.
                    connection.execute("PRAGMA journal_mode=wal")

    def settle(self) -> None:
        """Write the present places of all files into the database of a results folder that was moved or copied."""
        if self.own:
            artifacts.settle(self.address, self.results)

    def experiment(self, name: str) -> str:
        """The id of a suite's experiment; creates it if there is none.

        One that was deleted stays deleted, with its runs, and keeps its name: the next one is called "NAME (2)".
        """
        client = self.client
        for called in itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2))):
            found = client.get_experiment_by_name(called)
            if found is None:
                try:
                    return self._new_experiment(called, name)
                except library().exceptions.MlflowException:  # another machine has just created it
                    if (found := client.get_experiment_by_name(called)) is None:
                        raise
            if found.lifecycle_stage == "active":
                return str(found.experiment_id)
        raise AssertionError("there is always another number")

    def _new_experiment(self, called: str, suite: str) -> str:
        location = (self.results / artifacts.FOLDER / suite).as_uri() if self.database else None
        if location and not self.local and len(location) > LONGEST_PLACE:
            raise HarnessError(
                f"the path of {self.results} is too long: a database of MLflow keeps at most {LONGEST_PLACE} "
                f"characters of {location}: use a shorter --results"
            )
        tags = {KIND: "custom_model_development"}
        return str(self.client.create_experiment(called, artifact_location=location, tags=tags))

    def parent(self, suite: str, experiment: str) -> str:
        """The id of a suite's parent run; creates it if there is none."""
        client = self.client
        # By its name, too: runs of other programs may have such a role.
        own = f"tags.role = 'suite' and tags.suite = '{suite}'"
        found = client.search_runs([experiment], own, max_results=1)
        tags = {"role": "suite", "suite": suite}
        run = found[0] if found else client.create_run(experiment, run_name=suite, tags=tags)
        self.put(run, suite)
        return str(run.info.run_id)

    def put(self, run: MlflowRun, suite: str) -> Path | None:
        """Let the files of a run go below this results folder: another one may have made the experiment.

        Returns: their folder; None if they go to an MLflow server.
        """
        folder: Path = self.results / artifacts.FOLDER / suite / run.info.run_id / artifacts.FOLDER
        there = artifacts.local_path(run.info.artifact_uri)
        if not self.database or there is None:
            return None
        if there != folder:
            artifacts.put(self.address, run.info.run_id, folder)
        return folder

    def place(self, run: Run) -> Path | None:
        """The folder of a run's files; None if they are not on this machine."""
        return artifacts.place(run.info.artifact_uri, run.info.run_id, self.results, self.own)

    def tables(self, site: str) -> dict[str, str]:
        """The addresses of the experiments of suites, below that of the interface, by name; the newest first."""
        with self.answering():
            found = [each for each in self._experiments(self.client) if KIND in each.tags]
            return {each.name: site + views.path(each) for each in found}

    def fetched(self, run: Run) -> artifacts.Fetched | None:
        """The files of a run, if only MLflow's client can read them."""
        if self.local or artifacts.local_path(run.info.artifact_uri) is not None:
            return None
        known = json.loads(run.data.tags.get(FILES, "{}"))
        return artifacts.Fetched(self.client, self.shown, run.info.run_id, known, self._cannot_fetch)

    def _cannot_fetch(self, error: Exception) -> None:
        """Tell the user, once, that files cannot be fetched."""
        if not self._told:
            self._told = True
            note(f"files of trials cannot be fetched from {self.shown} ({brief(error)}): what needs them is left out")

    def describe(self, experiment: str, parent: str, suite: Suite) -> None:
        """Store the suite's question and its text in the parent run, and in the experiment how its runs are shown."""
        self.client.set_experiment_tag(experiment, views.TAG, views.arms(dict.fromkeys([suite.metric, *suite.columns])))
        self.client.set_tag(parent, "mlflow.note.content", suite.question)
        self.client.set_tag(parent, FILE, f"{socket.gethostname()}:{suite.path.absolute()}")
        # If killed, MLflow's log_text would leave a file in the system's temporary folder. From this folder the next
        # run removes it.
        with temporary_folder(self.results) as folder:
            file = folder / "suite.yaml"
            file.write_text(suite.text, encoding="utf-8")
            self.client.log_artifact(parent, str(file))

    def other_file(self, suite: Suite) -> str | None:
        """What to tell the user if another file of this machine has the name of this suite; None if none is known.

        The report and the tables of one would replace those of the other: if it was run in this results folder, which
        the store of several results folders does not say.
        """
        known = self.contents().files.get(suite.name, "") if self.own and self.exists else ""
        host, _, file = known.partition(":")
        other = Path(file)
        with contextlib.suppress(OSError):  # the other file is gone, or was renamed: then this is the same suite
            if host == socket.gethostname() and not other.samefile(suite.path):
                named = re.search(rf"""suite["']?\s*:\s*["']?{re.escape(suite.name)}\b""", other.read_text("utf-8"))
                if named:
                    return (
                        f"another file, {other}, is called {suite.name!r} (`suite:`) too, and was run in "
                        f"{self.results}: the report and the tables in {self.results / suite.name} are replaced by "
                        f"those of {suite.path}. To keep both, give one of them another name"
                    )
        return None

    def finish_parent(self, run_id: str, summary: dict[str, float]) -> None:
        """End the parent run, with the counts of the suite."""
        client = self.client
        with self.answering():
            client.log_batch(run_id, metrics=_metrics(summary))
            client.set_terminated(run_id, "FINISHED")

    def publish(self, suite: str, description: str, numbers: dict[str, float], files: Iterable[Path]) -> None:
        """Put a suite's result onto its parent run; files become artifacts in the folder ``report``.

        Raises:
            HarnessError: the store does not answer.
        """
        with self.answering():
            client, metrics = self.client, _metrics(numbers)
            run_id = self.parent(suite, self.experiment(suite))
            client.set_tag(run_id, "mlflow.note.content", description)
            for begin in range(0, len(metrics), PAGE):
                client.log_batch(run_id, metrics=metrics[begin : begin + PAGE])
            for path in files:
                client.log_artifact(run_id, str(path), "report")

    def end_ghosts(self, runs: Iterable[Run], running: Collection[str] = ()) -> None:
        """Mark running runs as interrupted, if the database belongs to this results folder, and no worker has them.

        A run with a journal in this folder is marked by its delivery; this is for runs whose journal was lost.

        Args:
            runs: the runs of the store.
            running: the keys of the trials that still run.
        """
        for run in runs if self.own else ():
            if not set(running).intersection(identity.keys(run.data.tags)):
                self.end_ghost(run)

    def end_ghost(self, run: Run) -> None:
        """Mark a run as interrupted if it shows as running: nobody trains it any more."""
        if run.info.status == "RUNNING":
            self.client.set_tag(run.info.run_id, "state", State.INTERRUPTED)
            self.client.set_terminated(run.info.run_id, "KILLED")

    def runs(self) -> list[Run]:
        """The runs of all trials, the oldest first."""
        return self.contents().runs

    def contents(self) -> Contents:
        """What the store has. Of a file that has the bytes of an earlier time, what was read then."""
        state = sqlite.content(self.file) if self.file is not None else None
        if self.file is None or state is None:
            return self._read()
        memory = Memory(self.results / "cache", self.file, state)
        contents = _last.get(memory) or memory.contents()
        read = contents is None
        if contents is None:
            contents = self._read()
        else:
            read = sum([self._look_at_files(run) for run in contents.runs]) > 0
        if read and sqlite.content(self.file) == state:  # nobody has written to it meanwhile
            memory.keep(contents)
        _last.clear()
        _last[memory] = contents
        return contents

    def _read(self) -> Contents:
        """Read the store through MLflow, page by page."""
        found = Contents([], {}, {})
        with self.answering():
            client, token = self.client, None
            experiments = {str(each.experiment_id): each for each in self._experiments(client)}
            while experiments:
                page = client.search_runs(
                    list(experiments),
                    "",  # not by role: a trial whose role was changed must be found, too
                    library().entities.ViewType.ACTIVE_ONLY,
                    max_results=PAGE,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                for each in page:
                    run = Run.of(each)
                    tags = run.data.tags
                    if seals.ours(tags):
                        self._look_at_files(run)
                        found.runs.append(run)
                    elif tags.get("role") == "suite" and FILE in tags:
                        found.files[tags.get("suite", "")] = tags[FILE]
                        found.tables[tags.get("suite", "")] = views.path(experiments[str(each.info.experiment_id)])
                token = page.token
                if not token:
                    break
        return found

    def _experiments(self, client: MlflowClient) -> list[Experiment]:
        """All experiments, page by page, the newest first."""
        found, token = list[Any](), None
        while True:
            several = client.search_experiments(page_token=token)
            found += several
            token = several.token
            if not token:
                return found

    def of_key(self, key: str) -> list[Run]:
        """The runs of one trial, the oldest first, asked for now.

        Raises:
            HarnessError: the store does not answer.
        """
        with self.answering():
            client = self.client
            experiments = [str(each.experiment_id) for each in self._experiments(client)]
            order = ["attributes.start_time ASC"]
            found = [Run.of(run) for run in client.search_runs(experiments, f"tags.key = '{key}'", order_by=order)]
            for run in found:
                self._look_at_files(run)
        return found

    def found(self, trials: Iterable[Trial], with_files: bool = False) -> Found:
        """The runs of these trials, and runs with the same settings but other code.

        ``with_files``: fetch those of their files that are read again, if they are on a server.
        """
        trials = list(trials)
        wanted, alike = {trial.key for trial in trials}, {trial.settings: trial.key for trial in trials}
        contents = self.contents() if self.exists else Contents([], {}, {})
        runs, site = contents.runs, views.site(self.shown)
        found = Found({}, {}, tables={suite: site + path for suite, path in contents.tables.items()})
        if with_files and not self.local:
            self._fetch([run for run in runs if of_trials(run, wanted)])
        for run in runs:
            tags = run.data.tags
            stands_for = of_trials(run, wanted)
            for key in stands_for:
                found.current[key] = speaking([found.current[key], run] if key in found.current else [run])
            if stands_for or not state(run).own:
                continue
            if identity.SETTINGS not in tags:
                found.old += 1
            elif tags[identity.SETTINGS] in alike:
                found.other.setdefault(alike[tags[identity.SETTINGS]], []).append(run)
        return found

    def _look_at_files(self, run: Run) -> bool:
        """Look which files of a run are not as they were written; returns whether any had to be read for it.

        These are the files that are read again. One that is missing is no change. One that has the size and the time
        at which it was as it was written is not read again. Of files on a server, those in the cache are looked at.
        """
        try:
            known: dict[str, str] = json.loads(run.data.tags.get(FILES, "{}"))
        except ValueError:  # the tag was changed, which its own digest shows
            return False
        fetched, folder = self.fetched(run), self.place(run)
        changed, looked = [], False
        for name in READ_AGAIN:
            if known.get(name) is None:
                continue
            if fetched is not None:
                content = fetched.kept(name)
            elif folder is None or (stamp := _stamp(folder / name)) == run.stamps.get(name, []):
                continue
            else:
                content, looked = _bytes(folder / name), True
                run.stamps[name] = stamp
            if content is not None and digests.of_bytes(content) != known[name]:
                again = fetched.file(name) if fetched is not None else None
                if again is None or digests.of_bytes(again.read_bytes()) != known[name]:
                    changed.append(name)
                    run.stamps.pop(name, None)
        run.changed_files = tuple(changed)
        return looked

    def _fetch(self, runs: Iterable[Run]) -> None:
        """Fetch the files of these runs that are read again, if they are on a server, and look at them."""
        wanted = [(run, fetched) for run in runs if state(run).own and (fetched := self.fetched(run)) is not None]

        def fetch(pair: tuple[Run, artifacts.Fetched]) -> None:
            for name in READ_AGAIN:
                if name in pair[1].known:
                    pair[1].file(name)

        with ThreadPoolExecutor(FETCHERS) as pool:  # a run by one thread: it keeps one list of its files
            list(pool.map(fetch, wanted))
        for run, _ in wanted:
            self._look_at_files(run)

    def accept(self, run: Run, trial: Trial, commit: str) -> None:
        """Record in the run that the current code gives the same values: from now on it is a run of this trial."""
        self.client.set_tag(run.info.run_id, identity.ACCEPTED, identity.accepted(run.data.tags, trial, commit))

    def record(self, run: Run, arm: str, with_curves: bool = True, trial: Trial | None = None) -> Record:
        """A run as a row of the results, with the arm's name in the current suite. The run must not be altered.

        With ``trial``, the trial that it is a result of, the row says where the run's code differs from the trial's.
        """
        tags, metrics = run.data.tags, run.data.metrics
        if with_curves and run.points is None:
            self.read_curves([run])
        values = {name: metrics[name] for name in _own(run) if not _is_curve(name) and name not in SECONDS}
        return Record(
            key=tags["key"],
            arm=arm,
            model=tags["model"],
            tricks=tags["tricks"],
            data=tags["data"],
            seed=int(tags["seed"]),
            state=state(run),
            reason=tags.get("reason", ""),
            seconds_train=metrics.get("seconds_train", 0.0),
            seconds_evaluate=metrics.get("seconds_evaluate", 0.0),
            values=values,
            run_id=run.info.run_id,
            curves=(run.points or []) if with_curves else [],
            artifacts=self.place(run),
            fetched=self.fetched(run),
            environment={name: tags[name] for name in tags.get("environment", "").split()},
            files=json.loads(tags.get(FILES, "{}")),
            **identity.code(tags, trial),
        )

    def read_curves(self, runs: Sequence[Run], suite: str | None = None) -> None:
        """Read the curves of these runs: (name, step, value), sorted by name and step.

        Not by time, because a clock may have been set back. Those of a run of which a point was changed are left out,
        which the user is told. No verdict depends on curves, so the trial's values still count.

        Args:
            runs: the runs, which receive their points.
            suite: remember them as the curves of this suite.
        """
        state = sqlite.content(self.file) if self.file is not None and suite is not None else None
        memory = Memory(self.results / "cache", self.file, state) if self.file is not None and state else None
        found = memory.curves(str(suite), [run.info.run_id for run in runs]) if memory else None
        if found is None:
            with self.answering():
                found = self._points(runs)
            if memory and self.file is not None and sqlite.content(self.file) == memory.state:
                memory.keep_curves(str(suite), found)
        for run in runs:
            run.points, tags = found[run.info.run_id], run.data.tags
            if not run.points and tags.get(CURVES_SEAL) not in (None, seals.curves([])):
                note(
                    f"{tags['arm']}, seed {tags['seed']}: a point of its curves was edited or damaged after the run "
                    f"ended (run {run.info.run_id} in {self.shown}): its curves are left out"
                )

    def _points(self, runs: Sequence[Run]) -> dict[str, list[Point]]:
        """The points of the curves of runs, sorted; none of a run of which a point was changed."""
        names = {run.info.run_id: {name for name in _own(run) if _is_curve(name)} for run in runs}
        read = curves.of_database(self.address, list(names)) if self.database else curves.of_server(self.client, names)
        found: dict[str, set[Point]] = {run: set() for run in names}
        for run_id, name, step, value in read:
            if name in names[run_id]:
                found[run_id].add((name.removeprefix(CURVE_PREFIX), step, value))
        return {run.info.run_id: whole_curves(run, sorted(found[run.info.run_id])) for run in runs}


_last: dict[Memory, Contents] = {}
"""The contents of the store that was read last in this process."""


def _metrics(numbers: dict[str, float]) -> list[Any]:
    """Numbers as metrics of MLflow, of now."""
    now, metric = int(time.time() * 1000), library().entities.Metric
    return [metric(name, value, now, 0) for name, value in numbers.items()]


def _open(uri: str) -> None:
    library().MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def _of_a_library(error: Exception) -> bool:
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, library().exceptions.MlflowException | SQLAlchemyError)


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


READ_AGAIN = ("protocol.json", "floors.json", "histograms.json")
"""The files of a run that the harness reads again, besides pictures (PNG files have their own checksums)."""
KIND = "mlflow.experimentKind"
"""The tag of an experiment without which MLflow's interface shows it as one of language models."""
PAGE = 1000
"""Runs in one answer of a store, and metrics in one request: MLflow's own limit."""
FETCHERS = 8
"""For how many runs files are fetched from a server at once."""
FILE = "suite_file"
"""The tag of a suite's parent run with the machine and the path of the suite file."""
LONGEST_PLACE = 157
"""Characters of an experiment's place that leave room for the rest in the 200 that a database has for a run's."""


class Standing(NamedTuple):
    """The state of a stored run, and its reason."""

    state: State
    reason: str


def standing(run: Run) -> Standing:
    """The state of a run. A run without an end was interrupted (or is running now), whatever its tags say."""
    tags, status = run.data.tags, run.info.status
    said = tags.get("state")
    # A run that ended, was resumed and was interrupted again still has the seal of its first end.
    if status == "RUNNING" or (said == State.INTERRUPTED and (SEAL not in tags or status == "KILLED")):
        return Standing(State.INTERRUPTED, "")
    if changed := alteration(run):
        return Standing(State.ALTERED, f"{changed}: `harness run` trains it again, or restore what was there")
    try:
        return Standing(State(said or ""), tags.get("reason", ""))
    except ValueError:  # a run of an older version that wrote no seal
        return Standing(State.FAILED, tags.get("reason", ""))


def alteration(run: Run) -> str:
    """What of an ended run was changed since: ``tag 'seed' was edited or damaged after the run ended``; else empty."""
    changes = [f"file {name!r} was edited or damaged" for name in run.changed_files] or run.changes
    return f"{', '.join(changes)} after the run ended" if changes else ""


def state(run: Run) -> State:
    """The state of a stored run."""
    return standing(run).state


def _own(run: Run) -> list[str]:
    """The metrics of a run that the harness wrote; metrics that others added are not read."""
    sealed = seals.sealed_metrics(run.data.tags)
    return [name for name in run.data.metrics if sealed is None or name in sealed]


def of_trials(run: Run, wanted: Set[str]) -> set[str]:
    """The wanted keys that a run is a result of; for an altered run, those that it was a result of."""
    tags = run.data.tags
    if state(run) is not State.ALTERED:
        return identity.keys(tags) & wanted
    own = seals.key(tags, wanted)
    return ({own} if own is not None else set()) | (identity.accepted_keys(tags) & wanted)


@dataclass
class Found:
    """The runs of some trials in a store.

    Attributes:
        current: key -> the run that is the result of the trial.
        other: key -> the runs with the same settings and other code, the oldest first.
        old: the number of runs of an older harness, which do not have the hash of their settings.
        tables: suite -> the address of its runs in MLflow's interface, that of `harness ui` if the store is no server.
    """

    current: dict[str, Run]
    other: dict[str, list[Run]]
    old: int = 0
    tables: Mapping[str, str] = field(default_factory=dict)

    def of_other_code(self, trials: Iterable[Trial]) -> dict[str, Run]:
        """Key -> the run of other code to show for a trial. Call it for arms without runs of the current code.

        All runs of an arm have the same code, so that values are not mixed: the code with the most trials, or the
        newest of those.
        """
        arms: dict[str, dict[str, dict[str, Run]]] = {}
        for trial in trials:
            for run in self.other.get(trial.key, ()):
                code = json.dumps(identity.parts(run.data.tags), sort_keys=True)
                arms.setdefault(trial.arm.name, {}).setdefault(code, {})[trial.key] = run

        def weight(runs: dict[str, Run]) -> tuple[int, int]:
            return len(runs), max(run.info.start_time for run in runs.values())

        return {key: run for codes in arms.values() for key, run in max(codes.values(), key=weight).items()}


def speaking(runs: Iterable[Run]) -> Run:
    """The run, of the runs of one key (the oldest first), that is its result.

    It is the done one, else one that diverged, else the newest that ended, else the newest (by a clock that may have
    been set back), and an altered one only if there is no other. A run that has not ended may be that of another
    machine that trains the same trial now.
    """
    return functools.reduce(lambda one, other: other if _weight(other) >= _weight(one) < 3 else one, runs)


def _weight(run: Run) -> int:
    return {State.DONE: 3, State.DIVERGED: 2, State.INTERRUPTED: 0, State.ALTERED: -1}.get(state(run), 1)


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted paths with plain values; lists as JSON."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from flat(value, f"{path}.")
        else:
            yield path, json.dumps(value) if isinstance(value, list) else value


def whole_curves(run: Run, points: list[Point]) -> list[Point]:
    """The points of a run's curves; none if one was changed."""
    return points if run.data.tags.get(CURVES_SEAL) in (None, seals.curves(points)) else []


def _is_curve(name: str) -> bool:
    return name.startswith(CURVE_PREFIX)

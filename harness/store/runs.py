"""MLflow, and nothing else imports it: where every run is stored, and where tables are read from.

A suite is an experiment with a parent run; a trial is a child run, found by its key from whichever suite. Only the
driver talks to MLflow: what trials record it finds on the disk (``records.py``).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # must stand before the import
os.environ.setdefault("DO_NOT_TRACK", "true")

# One lost answer is nothing; but MLflow would go on asking for minutes, where Delivery can wait and others cannot.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from harness.analysis.results import Record
from harness.base import interrupts
from harness.base.errors import HarnessError
from harness.base.files import made_whole, refusal
from harness.store import journal, sqlite
from harness.store.journal import Entry, Records
from harness.trial.task import Outcome
from harness.zoo.registry import shown

if TYPE_CHECKING:
    from harness.suite import Suite

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# It prints the traceback of whatever a database refuses, and raises it as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

BATCH = 1000
"""The most metrics that MLflow takes in one request."""
FLUSH_SECONDS = 5.0
"""How long records wait to be delivered together."""
PATIENCE = 10.0
"""How long the end of a run of the harness waits for an MLflow that does not answer."""
REFUSED = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
"""What MLflow answers to a request that will never succeed."""
LONGEST_PARAM = 6000
INTERRUPTED = "interrupted"
"""The state of a run that its driver stopped or lost; the next `harness run` goes on with it."""

DATABASES = ("postgresql", "mysql", "mssql")
"""Kinds of database servers that MLflow can use."""
SECONDS = ("seconds_train", "seconds_evaluate")
"""Numbers about the trial itself, which stand beside its values."""
CURVE_PREFIX = "train/"
"""MLflow metrics under this prefix are curves over training; the others are final values."""
SEAL, CURVES_SEAL, FILES = "seal", "seal_curves", "files"
"""Tags of a run that has ended: digests of what is read of it, of its curves, and of each of its files."""


class Store:
    """The MLflow store of a results folder (or the server that ``MLFLOW_TRACKING_URI`` names)."""

    def __init__(self, results: Path) -> None:
        self.results = results.resolve()
        told = os.environ.get("MLFLOW_TRACKING_URI")
        given = _given(told) if told else sqlite.address(self.results / "mlflow.db")
        self.file = Path(make_url(given).database or "").resolve() if given.startswith("sqlite") else None
        """Where it is a file of this machine, that."""
        self.uri = given if self.file is None else sqlite.address(self.file)
        """As a user would write it."""
        self.address = given if self.file is None else sqlite.patient(self.file)
        """As it is opened here."""

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine, and no server."""
        return self.file is not None

    @property
    def exists(self) -> bool:
        """Whether there is anything to read; a server is taken to be there."""
        return self.file is None or self.file.is_file()

    @property
    def shown(self) -> str:
        """Its address, without a password."""
        return discreet(self.uri)

    @property
    def client(self) -> MlflowClient:
        """MLflow's client on this store."""
        return MlflowClient(tracking_uri=self.address)

    @functools.cached_property
    def _looked_at(self) -> None:
        """A database is looked at before it is opened for the first time.

        Raises:
            HarnessError: it is damaged, or of another version of MLflow.
        """
        if self.file is not None:
            sqlite.check(self.file, sqlite.MLFLOW)

    def silent(self, error: Exception) -> HarnessError:
        """What to tell the user of a store that does not answer."""
        known = refusal(error, self.file)
        text = str(known) if known else f"the MLflow store {self.shown} does not answer ({_brief(error)})"
        if self.local and known is None:
            text = f"the MLflow store {self.shown} cannot be used ({type(error).__name__}: {_brief(error)}); if it is "
            text += "damaged, restore a copy of it, or use another --results"
        work = self.results / "work"
        if n := len(journal.files(work)):
            trials = f"{n} trial{'s' if n > 1 else ''}"
            text += f": what {trials} recorded is kept in {work}, and delivered when it answers again, "
            text += "by the next `harness run` at the latest"
        return HarnessError(text)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Tell the user where the store does not answer.

        Raises:
            HarnessError: so it is.
        """
        self._looked_at  # noqa: B018
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            # What a damaged value in a file makes of the reading may be of any kind.
            if self.local or isinstance(error, MlflowException | SQLAlchemyError | ImportError):
                raise self.silent(error) from error
            raise

    def create(self) -> None:
        """Make the database ready for several writers; what is there already stays.

        Raises:
            HarnessError: the store cannot be opened (another version of MLflow wrote it, or it is damaged).
        """
        self.results.mkdir(parents=True, exist_ok=True)
        if self.file is not None and not self.file.exists():
            # Killed meanwhile it would leave half a store.
            made_whole(self.file, lambda new: _open(sqlite.patient(new)))
        with self.answering():
            _open(self.address)
            if self.file is not None:
                with contextlib.closing(sqlite3.connect(self.file, sqlite.PATIENCE)) as connection:
                    # Readers do not wait for writers, nor writers for readers. It is a property of the file.
                    connection.execute("PRAGMA journal_mode=wal")

    def experiment(self, name: str) -> str:
        """The id of a suite's experiment, made if need be."""
        client = self.client
        found = client.get_experiment_by_name(name)
        if found is None:
            location = (self.results / "artifacts" / name).as_uri() if self.local else None
            # Without its kind MLflow's UI opens the experiment on its pages for language models.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            try:
                return str(client.create_experiment(name, artifact_location=location, tags=tags))
            except MlflowException:  # another machine has just made it
                if (found := client.get_experiment_by_name(name)) is None:
                    raise
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def parent(self, suite: str, experiment: str) -> str:
        """The id of a suite's parent run; made if need be."""
        client = self.client
        found = client.search_runs([experiment], "tags.role = 'suite'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        return str(client.create_run(experiment, run_name=suite, tags={"role": "suite", "suite": suite}).info.run_id)

    def describe(self, parent: str, suite: Suite) -> None:
        """Say in the parent run what the suite asks, and how it is written."""
        self.client.set_tag(parent, "mlflow.note.content", suite.question)
        # MLflow's log_text would leave a file in the system's temporary folder where it is killed; here the next run
        # removes it.
        with tempfile.TemporaryDirectory(".tmp", ".suite.", self.results, ignore_cleanup_errors=True) as folder:
            file = Path(folder) / "suite.yaml"
            file.write_text(suite.text, encoding="utf-8")
            self.client.log_artifact(parent, str(file))

    def finish_parent(self, run_id: str, summary: dict[str, float]) -> None:
        """Close the parent run with the suite's counts."""
        client, now = self.client, int(time.time() * 1000)
        with self.answering():
            client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in summary.items()])
            client.set_terminated(run_id, "FINISHED")

    def end_ghosts(self, runs: Iterable[Run]) -> None:
        """Mark as left what runs though no worker does, in a database that no other driver writes to.

        What this folder still has records of is marked by their delivery; this is for what lost them.
        """
        own = self.file is not None and self.file.parent.resolve() == self.results
        for run in runs:
            if own and run.info.status == "RUNNING":
                self.client.set_tag(run.info.run_id, "state", INTERRUPTED)
                self.client.set_terminated(run.info.run_id, "KILLED")

    def runs(self) -> Iterator[Run]:
        """All trials' runs, the oldest first."""
        with self.answering():
            client = self.client
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            token = None
            while experiments:
                page = client.search_runs(
                    experiments,
                    "",  # not by role: a trial whose role is damaged must be named, and not be missed
                    ViewType.ACTIVE_ONLY,
                    max_results=1000,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                for run in page:
                    if run.data.tags.get("role") == "trial" or SEAL in run.data.tags:
                        self._refuse_altered(run)
                        yield run
                token = page.token
                if not token:
                    break

    def latest(self, keys: Iterable[str]) -> dict[str, Run]:
        """The run that speaks for each key: the done one, else one that diverged, else the newest that ended, else the
        newest (by a clock that may have been set back).

        One that has not ended may be another machine's, which trains the same just now.
        """
        wanted, found = set(keys), dict[str, Run]()
        if not self.exists:
            return found
        for run in self.runs():
            key = run.data.tags["key"]
            if key in wanted and (key not in found or _weight(run) >= _weight(found[key]) < 3):
                found[key] = run
        return found

    def record(self, run: Run, arm: str, with_curves: bool = True) -> Record:
        """A run as a row of the results, under the name that the arm has in the suite at hand."""
        tags, metrics = run.data.tags, run.data.metrics
        curves = self._curves(run) if with_curves else []
        if with_curves and tags.get(CURVES_SEAL) not in (None, sqlite.seal(curves)) and state(run) != INTERRUPTED:
            raise self._altered(run)
        values = {name: value for name, value in metrics.items() if not _is_curve(name) and name not in SECONDS}
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
            curves=curves,
            artifacts=local_path(run.info.artifact_uri),
            environment={name: tags[name] for name in tags.get("environment", "").split()},
            files=json.loads(tags.get(FILES, "{}")),
        )

    def _curves(self, run: Run) -> list[tuple[str, int, float]]:
        """(name, step, value) by name and step. Not by their times, which may have been set back."""
        with self.answering():
            client = self.client
            points = {
                (name.removeprefix(CURVE_PREFIX), point.step, point.value)
                for name in run.data.metrics
                if _is_curve(name)
                for point in client.get_metric_history(run.info.run_id, name)
            }
        return sorted(points)

    def _refuse_altered(self, run: Run) -> None:
        """Refuse a run that is not as it was written. Those of before there were seals have none.

        Raises:
            HarnessError: which one, and what to do.
        """
        tags = run.data.tags
        sealed = SEAL in tags and state(run) != INTERRUPTED  # one that is gone on with
        if "key" not in tags or tags.get("role") != "trial" or (sealed and tags[SEAL] != _seal(tags, run.data.metrics)):
            raise self._altered(run)

    def _altered(self, run: Run) -> HarnessError:
        tags, run_id = run.data.tags, run.info.run_id
        named = f"{tags.get('arm', '?')}, seed {tags.get('seed', '?')}"
        command = f"MLFLOW_TRACKING_URI={shlex.quote(self.shown)} mlflow runs delete --run-id {run_id}"
        return HarnessError(
            f"the run {run_id} ({named}) in {self.shown} is not as it was written (its digest differs): the store is "
            f"damaged. Restore a copy of it, or have this trial trained anew: `{command}`, then `harness run`"
        )


def _open(uri: str) -> None:
    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def state(run: Run) -> str:
    """The trial's state: a run without an end was interrupted (or is running now), whatever else it says."""
    if run.info.status == "RUNNING":
        return INTERRUPTED
    return str(run.data.tags.get("state", "failed"))


def _seal(tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """The digest of all that is read of a run but its curves, which have their own among the tags."""
    names = ["key", "arm", "model", "tricks", "data", "seed", "state", "reason", "environment", CURVES_SEAL, FILES]
    names += tags.get("environment", "").split()
    values = {name: float(value) for name, value in metrics.items() if not _is_curve(name)}
    return sqlite.seal([{name: tags.get(name, "") for name in names}, values])


def _sealed(path: Path, outcome: dict[str, str], numbers: Mapping[str, float]) -> dict[str, str]:
    """What is written of a trial's end, with the digests of that and of all that its records hold."""
    tags, points, files = dict[str, str](), set[tuple[str, int, float]](), dict[str, str]()
    for entry, _ in journal.read(path):
        tags |= entry.get("tags", {})
        points |= {(name, step, float(value)) for name, step, value in entry.get("points", ())}
        if entry["kind"] == "environment":
            tags["environment"] = " ".join(sorted(entry["tags"]))
        # Pictures have checksums of their own, and may be too many for a tag.
        if entry["kind"] == "file" and not entry["name"].endswith(".png") and (path.parent / entry["name"]).is_file():
            content = (path.parent / entry["name"]).read_bytes()
            files["/".join(filter(None, (entry["folder"], entry["name"])))] = hashlib.sha256(content).hexdigest()
    end = outcome | {CURVES_SEAL: sqlite.seal(sorted(points)), FILES: json.dumps(files, sort_keys=True)}
    return end | {SEAL: _seal(tags | end, numbers)}


def _weight(run: Run) -> int:
    return {"done": 3, "diverged": 2, INTERRUPTED: 0}.get(state(run), 1)


def local_path(uri: str | None) -> Path | None:
    """The folder behind an artifact URI, where it lies on this machine."""
    if not uri:
        return None
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


@dataclass
class _Place:
    """How far the records of a trial are delivered, and to which run."""

    offset: int = 0
    run_id: str = ""
    token: str = ""
    experiment: str = ""
    remembered: int = 0
    """Up to where the records say themselves that they are delivered."""
    refused: bool = False
    """MLflow will never take them; they stay where they are."""


class Delivery:
    """Tells MLflow what the trials of a results folder have recorded, beside the training, and again until it hears.

    Whatever is delivered twice counts once: a run is found by its token, a number has the time when it was recorded
    (MLflow keeps equal ones once), and tags, files and ends take the place of the same. So it does no harm to forget
    what was delivered: after a crash all records that still lie there are delivered from their beginning.

    Args:
        store: where to.
        work: the folder of the trials' work folders.
        note: is told when MLflow does not answer, and when it does again.
    """

    def __init__(self, store: Store, work: Path, note: Callable[[str], None]) -> None:
        self.store = store
        self.work = work
        self.note = note
        self.closed: dict[str, Outcome] = {}
        """The trials, by key, whose records are delivered and gone: how they ended."""
        self._places: dict[Path, _Place] = {}
        self._suites: dict[str, tuple[str, str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._awake = threading.Event()
        self._deadline: float | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Deliver from now on, every few seconds."""
        self._thread.start()

    def wake(self) -> None:
        """There is something that need not wait."""
        self._awake.set()

    def finish(self) -> None:
        """Deliver what is left, as long as MLflow takes it.

        Raises:
            HarnessError: it does not; the records stay.
        """
        self._deadline = time.monotonic() + PATIENCE
        self.wake()
        self._thread.join(FLUSH_SECONDS)
        if self._thread.is_alive() and self._error is None:
            self.note(f"telling {self.store.shown} what is left")
        while self._thread.is_alive():
            self._thread.join(1.0)  # without an end it would not hear Ctrl-C
        if self._error is not None:
            raise self.store.silent(self._error)

    def deliver(self) -> None:
        """Deliver all records that there are.

        Raises:
            Exception: whatever MLflow, or what is below it, raises; what was not delivered will be the next time.
        """
        with sqlite.waiting(self.store.uri):
            for path in journal.files(self.work):
                self._deliver(path)

    def remember(self) -> None:
        """Write down that all is delivered, for when no worker runs: what was left is not told again at every start."""
        for path, place in self._places.items():
            if place.run_id and not place.refused and place.offset > place.remembered:
                told = {"run_id": place.run_id, "token": place.token, "experiment": place.experiment}
                Records(path.parent).delivered(self.store.shown, place.offset, told)
                place.remembered = place.offset

    def _place(self, path: Path) -> _Place:
        """Where to go on: behind what was remembered of this store, else at the beginning."""
        if path not in self._places:
            place = _Place()
            for entry, _ in journal.read(path):
                if entry["kind"] == "delivered" and entry["store"] == self.store.shown:
                    place = _Place(entry["offset"], remembered=entry["offset"], **entry["told"])
            self._places[path] = place
        return self._places[path]

    def _run(self) -> None:
        pause = FLUSH_SECONDS
        while True:
            self._awake.wait(pause)
            self._awake.clear()
            ending = self._deadline
            try:
                self.deliver()
            except Exception as error:  # MLflow's, SQLAlchemy's, requests', the disk's: it will be tried again
                if self._error is None:
                    self.note(str(self.store.silent(error)))
                self._error, pause = error, min(30.0, 2 * pause)
                if ending is not None and time.monotonic() > ending:
                    return
                pause = 1.0 if ending is not None else pause
                continue
            if self._error is not None:
                self.note(f"{self.store.shown} answers again: all records are delivered")
            self._error, pause = None, FLUSH_SECONDS
            if ending is not None:
                return

    def _deliver(self, path: Path) -> None:
        try:
            self._deliver_from(path, self._place(path))
        except MlflowException as error:
            if error.error_code not in REFUSED:
                raise
            # The run or its experiment is gone, perhaps with the whole store: from the beginning, to a run that is.
            self._suites.clear()
            self._places[path] = _Place()
            try:
                self._deliver_from(path, self._places[path])
            except MlflowException as again:
                if again.error_code not in REFUSED:
                    raise
                self._places[path].refused = True
                self.note(f"{self.store.shown} refuses what {path} records ({_brief(again)}): it stays there")

    def _deliver_from(self, path: Path, place: _Place) -> None:
        if place.refused:
            return
        metrics: list[Metric] = []
        behind = place.offset
        for entry, offset in journal.read(path, place.offset):
            if entry["kind"] == "delivered":
                continue
            if entry["kind"] == "points":
                metrics += [_metric(CURVE_PREFIX + name, value, step, entry) for name, step, value in entry["points"]]
            if metrics and (entry["kind"] != "points" or len(metrics) > BATCH - 100):
                self._log(place.run_id, metrics=metrics)
                metrics, place.offset = [], behind
            if entry["kind"] != "points":
                self._tell(entry, place, path.parent)
                place.offset = offset
            behind = offset
            if entry["kind"] == "end":
                self._close(path, entry)
                return
        if metrics:
            self._log(place.run_id, metrics=metrics)
        place.offset = behind

    def _close(self, path: Path, end: Entry) -> None:
        """All that there will ever be is delivered."""
        del self._places[path]
        self.closed[path.parent.name] = Outcome(**end["outcome"])
        path.unlink()
        if not end["keep"]:
            shutil.rmtree(path.parent, ignore_errors=True)

    def _tell(self, entry: Entry, place: _Place, folder: Path) -> None:
        client, run_id = self.store.client, place.run_id
        match entry["kind"]:
            case "begin":
                self._begin(entry, place)
            case "environment":
                tags = entry["tags"] | {"environment": " ".join(sorted(entry["tags"]))}
                self._log(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
            case "file":
                path = folder / entry["name"]
                if path.is_file():  # who empties the work folder has none left, and is not to be held up by that
                    client.log_artifact(run_id, str(path), entry["folder"] or None)
            case "interrupt":
                client.set_tag(run_id, "state", INTERRUPTED)
                client.set_terminated(run_id, "KILLED", entry["time"])
            case "resume":
                client.update_run(run_id, status="RUNNING")
            case "end":
                self._end(place, entry, folder / journal.NAME)

    def _log(self, run_id: str, metrics: Sequence[Metric] = (), tags: Sequence[RunTag] = ()) -> None:
        client = self.store.client
        for begin in range(0, len(metrics), BATCH):
            client.log_batch(run_id, metrics=metrics[begin : begin + BATCH])
        if tags:
            client.log_batch(run_id, tags=tags)

    def _only(self, place: _Place) -> str:
        """The id of the run with the token, or "" if there is none.

        A request to make one may be heeded after it was given up and made again: what is double is removed.
        """
        client = self.store.client
        found = client.search_runs([place.experiment], f"tags.token = '{place.token}'")
        ids = sorted((str(run.info.run_id) for run in found), key=lambda run_id: run_id != place.run_id)
        for double in ids[1:]:
            client.delete_run(double)
        return ids[0] if ids else ""

    def _begin(self, entry: Entry, place: _Place) -> None:
        client, suite, tags = self.store.client, entry["suite"], entry["tags"]
        place.experiment, parent = self.suite(suite)
        place.token = entry["token"]
        run_id = self._only(place)
        if not run_id:
            own = {"role": "trial", "token": place.token, "suite": suite, "mlflow.parentRunId": parent}
            own["results_folder"] = f"{socket.gethostname()}:{self.store.results}"
            name = f"{tags['arm']}, seed {tags['seed']}"
            run_id = str(client.create_run(place.experiment, entry["time"], tags | own, name).info.run_id)
        place.run_id = run_id
        params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in flat(entry["config"]) if str(value)]
        client.log_batch(run_id, params=[*params[:99], Param("seed", tags["seed"])])

    def suite(self, name: str) -> tuple[str, str]:
        """The ids of a suite's experiment and of its parent run, made if need be."""
        if name not in self._suites:
            experiment = self.store.experiment(name)
            self._suites[name] = (experiment, self.store.parent(name, experiment))
        return self._suites[name]

    def _end(self, place: _Place, entry: Entry, path: Path) -> None:
        """Write the outcome; the run's end comes last, so that a run that has ended is complete."""
        outcome = Outcome(**entry["outcome"])
        numbers = outcome.values | dict(zip(SECONDS, (outcome.seconds_train, outcome.seconds_evaluate), strict=True))
        tags = _sealed(path, {"state": outcome.state, "reason": outcome.reason[:5000]}, numbers)
        self.store.client.log_batch(
            place.run_id,
            metrics=[_metric(name, value, 0, entry) for name, value in numbers.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self._only(place)
        status = "FINISHED" if outcome.state == "done" else "FAILED"
        self.store.client.set_terminated(place.run_id, status, entry["time"])


def serve(store: Store, port: int) -> None:
    """Run MLflow's server on a store, on this machine's own address only, until Ctrl-C.

    Raises:
        HarnessError: the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HarnessError(f"port {port} on 127.0.0.1 cannot be used ({error}): choose another --port") from error
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1"]
    # Without the job runner the server takes .5 GB of memory instead of 1.5 GB.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment |= {"MLFLOW_BACKEND_STORE_URI": store.address}  # not among the words: every user can see those
    address = f"http://127.0.0.1:{port}/#/experiments"
    print(f"MLflow on {store.shown}: {address} (choose Model training at the left; Ctrl-C ends it)", flush=True)
    # In a group of its own: MLflow hands Ctrl-C on to a child that had it from the terminal already, and at the second
    # one that child prints a traceback.
    orders = iter([signal.SIGTERM])
    with subprocess.Popen(command, env=environment, process_group=0) as server:

        def end(*_: object) -> None:  # the second time, without asking
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, next(orders, signal.SIGKILL))

        with interrupts.handled(end, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            server.wait()


def discreet(text: str) -> str:
    """A text without the names and passwords in the addresses that it holds."""
    return re.sub(r"(?<=://)[^\s/@]+@", "", text)


def _given(address: str) -> str:
    """The address of a store that a user gives, with the password for a server moved to where MLflow looks for it.

    Raises:
        HarnessError: it is none that can serve.
    """
    try:
        parts = urlparse(address)
        scheme = parts.scheme.partition("+")[0]
        if scheme in ("http", "https") and parts.hostname:
            if parts.username:
                os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
                os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
            return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        file = make_url(address).database if scheme == "sqlite" else None
        if (file and Path(file).absolute().parent.is_dir()) or (scheme in DATABASES and parts.hostname):
            return address
    except (ValueError, OSError, ArgumentError):
        pass
    raise HarnessError(
        f"MLFLOW_TRACKING_URI is {shown(discreet(address))}, which is no store: expected the address of a server "
        f"(https://…, http://…) or of a database (sqlite:/// and a file in a folder that is there, "
        f"{'://…, '.join(DATABASES)}://…); unset it, and the store is in the results folder"
    )


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nest of mappings as dotted paths with plain values; lists as JSON."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from flat(value, f"{path}.")
        else:
            yield path, json.dumps(value) if isinstance(value, list) else value


def _metric(name: str, value: float, step: int, entry: Entry) -> Metric:
    return Metric(name, value, entry["time"], step)


def _brief(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    text = " ".join(discreet(str(error)).split()) or type(error).__name__
    return text if len(text) < 300 else f"{text[:300]}…"


def _is_curve(name: str) -> bool:
    return name.startswith(CURVE_PREFIX)

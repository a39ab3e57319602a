"""Delivers the journals on the disk to MLflow, now or when MLflow answers again."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.base import digests, surroundings
from harness.base.states import State
from harness.store import journal, seals, sqlite
from harness.store.addresses import brief
from harness.store.claims import Claims
from harness.store.journal import Journal, Line
from harness.store.runs import SECONDS, Store, flat
from harness.store.seals import CURVE_PREFIX, TRIAL, USAGE_PREFIX
from harness.trial.task import MODEL, Outcome

with surroundings.environment():  # as in ``runs.library``
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
    from mlflow.exceptions import MlflowException

surroundings.imported()

BATCH, PARAMS = 800, 100
"""The number of metrics, of params and of tags in one request: MLflow takes 1000 of all, 100 params and 100 tags."""
FLUSH_SECONDS = 5.0
"""Seconds between two deliveries."""
PATIENCE = 10.0
"""Seconds that the end of a run of the harness waits for an MLflow that does not answer."""
REFUSED = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
"""Error codes of MLflow for a request that will never succeed."""
LONGEST_PARAM = 6000
"""The largest number of characters of a param."""


def _sealed(path: Path, outcome: dict[str, str], numbers: Mapping[str, float]) -> dict[str, str]:
    """The tags of a trial's end, with digests of these and of all that its journal has."""
    tags, points, files, config = {"role": TRIAL}, set[seals.Point](), dict[str, str](), dict[str, str]()
    for entry, _ in journal.read(path):
        tags |= entry.get("tags", {})
        points |= {(name, step, float(value)) for name, step, value in entry.get("points", ())}
        if entry["kind"] == "begin":
            config = _parameters(entry)
        if entry["kind"] == "environment":
            tags["environment"] = " ".join(sorted(entry["tags"]))
        # PNG files have their own checksums, and pictures may be too many for a tag.
        picture = entry["kind"] == "file" and entry["name"].endswith((".png", ".webp"))
        if entry["kind"] == "file" and not picture and (path.parent / entry["name"]).is_file():
            content = (path.parent / entry["name"]).read_bytes()
            files["/".join(filter(None, (entry["folder"], Path(entry["name"]).name)))] = digests.of_bytes(content)
    end = outcome | {seals.FILES: json.dumps(files, sort_keys=True)}
    return end | seals.of(tags | end, numbers, points, config)


def _parameters(begin: Line) -> dict[str, str]:
    """The params of a run: its settings, and the seed."""
    settings = {name: str(value)[:LONGEST_PARAM] for name, value in flat(begin["config"]) if str(value)}
    return settings | {"seed": begin["tags"]["seed"]}


@dataclass
class _Place:
    """How far the journal of a trial is delivered, and to which run."""

    offset: int = 0
    run_id: str = ""
    token: str = ""
    experiment: str = ""
    remembered: int = 0
    """The offset up to which the journal itself says that it is delivered."""
    refused: bool = False
    """Whether MLflow will never accept the journal; it then stays on the disk."""
    certain: bool = False
    """Whether the store has no other run with this token: the journal began in this process, and no call failed."""
    artifacts: Path | None = None
    """Where the files of the run lie on this machine, if they do."""


@dataclass
class _Batch:
    """What waits for the next request."""

    metrics: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Delivery:
    """Delivers the journals of a results folder to MLflow, in a thread beside the training; retries until it succeeds.

    A record that is delivered twice counts once: a run is found by its token, a number has the time of its record
    (MLflow stores equal ones once), and tags, files and ends replace equal ones. So it does no harm to forget what was
    delivered: after a crash, all journals on the disk are delivered from their beginning.

    Args:
        store: the MLflow store.
        work: the folder of the trials' work folders.
        note: receives a message when MLflow does not answer, and when it answers again.
        claims: the driver's; the journal of a trial that another driver has is left alone.
    """

    def __init__(self, store: Store, work: Path, note: Callable[[str], None], claims: Claims | None = None) -> None:
        self.store = store
        self.work = work
        self.note = note
        self.claims = claims or Claims()
        self.closed: dict[str, Outcome] = {}
        """Key -> outcome, of the trials whose journals are delivered and removed."""
        self._places: dict[Path, _Place] = {}
        self._suites: dict[str, tuple[str, str]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ending = threading.Event()
        self._deadline: float | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Start the thread, which delivers every few seconds."""
        self._thread.start()

    def finish(self) -> None:
        """Deliver what is left, and end the thread.

        Raises:
            HarnessError: MLflow does not answer; the journals stay on the disk.
        """
        self._deadline = time.monotonic() + PATIENCE
        self._ending.set()
        self._thread.join(FLUSH_SECONDS)
        if self._thread.is_alive() and self._error is None:
            self.note(f"delivering the last records to {self.store.shown}")
        while self._thread.is_alive():
            self._thread.join(1.0)  # a join without a timeout would block Ctrl-C
        if self._error is not None:
            raise self.store.silent(self._error)

    def deliver(self) -> None:
        """Deliver all journals.

        Raises:
            Exception: any error of MLflow or of the libraries below it; the next call delivers the rest.
        """
        with sqlite.waiting(self.store.uri):
            for path in journal.files(self.work):
                if self.claims.has(path.parent.name):
                    self._deliver(path)

    def remember(self, but: Collection[str] = ()) -> None:
        """Record in the journals that they are delivered, so that a later start does not deliver them again.

        Args:
            but: the keys of the trials that still run: their workers write their journals.
        """
        for path, place in self._places.items():
            if path.parent.name in but:
                continue
            if place.run_id and not place.refused and place.offset > place.remembered:
                told = {"run_id": place.run_id, "token": place.token, "experiment": place.experiment}
                Journal(path.parent).delivered(self.store.shown, place.offset, told)
                place.remembered = place.offset

    def _place(self, path: Path) -> _Place:
        """Where to continue: after what the journal says is delivered to this store, else at the beginning."""
        if path not in self._places:
            # A client of MLflow's server repeats what it believes to be lost, so it is never certain.
            place = _Place(certain=self.store.database and self._thread.ident is not None)
            for entry, _ in journal.read(path):
                if entry["kind"] == "delivered" and entry["store"] == self.store.shown:
                    place = _Place(entry["offset"], remembered=entry["offset"], **entry["told"])
            self._places[path] = place
        return self._places[path]

    def _run(self) -> None:
        pause = FLUSH_SECONDS
        while True:
            self._ending.wait(pause)
            self._ending.clear()
            ending = self._deadline
            try:
                self.deliver()
            except Exception as error:  # of MLflow, SQLAlchemy, requests or the disk: try again later
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
            self._places[path].certain = False
            if error.error_code not in REFUSED:
                raise
            # The run, its experiment or the whole store was deleted: deliver from the beginning, to a new run.
            self._suites.clear()
            self._places[path] = _Place()
            try:
                self._deliver_from(path, self._places[path])
            except MlflowException as again:
                if again.error_code not in REFUSED:
                    raise
                self._places[path].refused = True
                self.note(f"{self.store.shown} refuses what {path} records ({brief(again)}): it stays there")
        except Exception:
            self._places[path].certain = False
            raise

    def _deliver_from(self, path: Path, place: _Place) -> None:
        """Deliver a journal from its place on, in as few requests as possible."""
        if place.refused:
            return
        batch, behind = _Batch(), place.offset
        for entry, offset in journal.read(path, place.offset):
            if entry["kind"] == "delivered":
                continue
            # The status of a run changes after all that was recorded before.
            if entry["kind"] in ("interrupt", "resume") or len(batch.metrics) > BATCH:
                self._send(batch, place)
                batch, place.offset = _Batch(), behind
            if entry["kind"] == "end":
                self._end(path, entry, place, batch)
                return
            self._tell(entry, place, path.parent, batch)
            behind = offset
        self._send(batch, place)
        place.offset = behind

    def _close(self, path: Path, end: Line) -> None:
        """The whole journal is delivered: remove it."""
        del self._places[path]
        self.closed[path.parent.name] = Outcome(**end["outcome"])
        path.unlink()
        if not end["keep"]:
            shutil.rmtree(path.parent, ignore_errors=True)

    def _tell(self, entry: Line, place: _Place, folder: Path, batch: _Batch) -> None:
        """Deliver a record, or add it to the batch."""
        match entry["kind"]:
            case "begin":
                self._begin(entry, place)
                batch.params |= _parameters(entry)
            case "environment":
                batch.tags |= entry["tags"] | {"environment": " ".join(sorted(entry["tags"]))}
            case "points":
                batch.metrics += [
                    _metric(CURVE_PREFIX + name, value, step, entry) for name, step, value in entry["points"]
                ]
            case "usage":
                used = entry["used"].items()
                batch.metrics += [_metric(USAGE_PREFIX + name, value, entry["step"], entry) for name, value in used]
            case "file":
                path = folder / entry["name"]
                if path.is_file():  # a user may have emptied the work folder; deliver the rest
                    self._file(path, entry["folder"], place)
                    if (entry["folder"], entry["name"]) == (MODEL, "MLmodel"):
                        batch.tags |= _model(json.loads(path.read_bytes()), place.run_id, entry["time"])
            case "interrupt":
                self.store.client.set_tag(place.run_id, "state", State.INTERRUPTED)
                self.store.client.set_terminated(place.run_id, "KILLED", entry["time"])
            case "resume":
                self.store.client.update_run(place.run_id, status="RUNNING")

    def _file(self, path: Path, folder: str, place: _Place) -> None:
        if place.artifacts is None:
            self.store.client.log_artifact(place.run_id, str(path), folder or None)
            return
        # What MLflow's client does, without asking for the run and checking its place for every file.
        (place.artifacts / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place.artifacts / folder / path.name)

    def _send(self, batch: _Batch, place: _Place) -> None:
        """Send a batch, in one request if it is not too large for that."""
        metrics, params = batch.metrics, [Param(name, value) for name, value in batch.params.items()]
        tags = [RunTag(name, value) for name, value in batch.tags.items()]
        while metrics or params or tags:
            self.store.client.log_batch(place.run_id, metrics[:BATCH], params[:PARAMS], tags[:PARAMS])
            metrics, params, tags = metrics[BATCH:], params[PARAMS:], tags[PARAMS:]

    def _only(self, place: _Place) -> str:
        """The id of the run with this token, or "" if there is none.

        A server may still create a run after the request timed out and was repeated: duplicates are removed.
        """
        client = self.store.client
        found = client.search_runs([place.experiment], f"tags.token = '{place.token}'")
        ids = sorted((str(run.info.run_id) for run in found), key=lambda run_id: run_id != place.run_id)
        for double in ids[1:]:
            client.delete_run(double)
        return ids[0] if ids else ""

    def _begin(self, entry: Line, place: _Place) -> None:
        suite, tags = entry["suite"], entry["tags"]
        place.experiment, parent = self.suite(suite)
        place.token = entry["token"]
        place.run_id = "" if place.certain else self._only(place)
        if not place.run_id:
            own = {"role": TRIAL, "token": place.token, "suite": suite, "mlflow.parentRunId": parent}
            own |= {"results_folder": self.store.place_of_results, "mlflow.loggedImages": "True"}
            name = f"{tags['arm']}, seed {tags['seed']}"
            run = self.store.client.create_run(place.experiment, entry["time"], tags | own, name)
            place.artifacts = self.store.put(run, suite)
            place.run_id = str(run.info.run_id)
        if "data" in entry:  # a journal of an older harness has none; a second call changes nothing
            self.store.client.log_inputs(place.run_id, [_data(entry["data"])])

    def suite(self, name: str) -> tuple[str, str]:
        """The ids of a suite's experiment and parent run; creates them if there are none."""
        if name not in self._suites:
            experiment = self.store.experiment(name)
            self._suites[name] = (experiment, self.store.parent(name, experiment))
        return self._suites[name]

    def _end(self, path: Path, entry: Line, place: _Place, batch: _Batch) -> None:
        """Store the outcome, and end the run last, so that a run that has ended is complete; remove the journal.

        Nothing of it if another driver has the trial now. If one has taken it while this was sent (this process was
        stopped in between), the run is taken back, unless the other one has taken its outcome over.
        """
        key = path.parent.name
        if not self.claims.holds(key):
            return
        outcome = Outcome(**entry["outcome"])
        numbers = outcome.values | dict(zip(SECONDS, (outcome.seconds_train, outcome.seconds_evaluate), strict=True))
        batch.metrics += [_metric(name, value, 0, entry) for name, value in numbers.items()]
        batch.tags |= _sealed(path, {"state": outcome.state, "reason": outcome.reason[:5000]}, numbers)
        self._send(batch, place)
        if not place.certain:
            self._only(place)
        status = "FINISHED" if outcome.state is State.DONE else "FAILED"
        self.store.client.set_terminated(place.run_id, status, entry["time"])
        if not self.claims.holds(key) and self._is_of_another(key, place.run_id):
            self.store.client.delete_run(place.run_id)
            return
        self._close(path, entry)

    def _is_of_another(self, key: str, run_id: str) -> bool:
        """Whether another driver trains a trial now, or has a run of it that is not this one."""
        if key not in self.claims.free([key]):
            return True
        return any(run.info.run_id != run_id and run.info.status == "FINISHED" for run in self.store.of_key(key))


def _data(data: dict[str, Any]) -> DatasetInput:
    """The data that a trial is trained on, as MLflow's interface lists them."""
    source = json.dumps({"settings": data["settings"], "split": "train"})
    named = Dataset(data["name"], data["digest"], source_type="harness", source=source)
    return DatasetInput(named, [InputTag("mlflow.data.context", "training")])


def _model(model: dict[str, Any], run_id: str, time: int) -> dict[str, str]:
    """The tag by which MLflow's interface shows a folder of a run as a model, with what its ``MLmodel`` says."""
    when = datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    shown = {name: model[name] for name in ("artifact_path", "flavors")}
    return {"mlflow.log-model.history": json.dumps([{"run_id": run_id, "utc_time_created": when, **shown}])}


def _metric(name: str, value: float, step: int, entry: Line) -> Metric:
    return Metric(name, value, entry["time"], step)

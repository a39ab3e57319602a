"""The way from the journals on the disk to MLflow: what was recorded is delivered, at once or when it answers again."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from harness.base import digests
from harness.base.states import State
from harness.store import journal, seals, sqlite
from harness.store.journal import Entry, Records
from harness.store.runs import SECONDS, Store, _brief, flat
from harness.store.seals import CURVE_PREFIX, TRIAL
from harness.trial.task import Outcome

BATCH = 1000
"""The most metrics that MLflow takes in one request."""


FLUSH_SECONDS = 5.0
"""How long records wait to be delivered together."""


PATIENCE = 10.0
"""How long the end of a run of the harness waits for an MLflow that does not answer."""


REFUSED = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
"""What MLflow answers to a request that will never succeed."""


LONGEST_PARAM = 6000


def _sealed(path: Path, outcome: dict[str, str], numbers: Mapping[str, float]) -> dict[str, str]:
    """What is written of a trial's end, with the digests of that and of all that its records hold."""
    tags, points, files, config = {"role": TRIAL}, set[seals.Point](), dict[str, str](), dict[str, str]()
    for entry, _ in journal.read(path):
        tags |= entry.get("tags", {})
        points |= {(name, step, float(value)) for name, step, value in entry.get("points", ())}
        if entry["kind"] == "begin":
            config = _parameters(entry)
        if entry["kind"] == "environment":
            tags["environment"] = " ".join(sorted(entry["tags"]))
        # Pictures have checksums of their own, and may be too many for a tag.
        if entry["kind"] == "file" and not entry["name"].endswith(".png") and (path.parent / entry["name"]).is_file():
            content = (path.parent / entry["name"]).read_bytes()
            files["/".join(filter(None, (entry["folder"], entry["name"])))] = digests.of_bytes(content)
    end = outcome | {seals.FILES: json.dumps(files, sort_keys=True)}
    return end | seals.of(tags | end, numbers, points, config)


def _parameters(begin: Entry) -> dict[str, str]:
    """The parameters of a run: as many of its settings as MLflow takes at once, and the seed."""
    settings = [(name, str(value)[:LONGEST_PARAM]) for name, value in flat(begin["config"]) if str(value)]
    return dict(settings[:99]) | {"seed": begin["tags"]["seed"]}


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
                client.set_tag(run_id, "state", State.INTERRUPTED)
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
            own = {"role": TRIAL, "token": place.token, "suite": suite, "mlflow.parentRunId": parent}
            own["results_folder"] = f"{socket.gethostname()}:{self.store.results}"
            name = f"{tags['arm']}, seed {tags['seed']}"
            run_id = str(client.create_run(place.experiment, entry["time"], tags | own, name).info.run_id)
        place.run_id = run_id
        client.log_batch(run_id, params=[Param(name, value) for name, value in _parameters(entry).items()])

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
        status = "FINISHED" if outcome.state is State.DONE else "FAILED"
        self.store.client.set_terminated(place.run_id, status, entry["time"])


def _metric(name: str, value: float, step: int, entry: Entry) -> Metric:
    return Metric(name, value, entry["time"], step)

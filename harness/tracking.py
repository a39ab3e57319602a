"""MLflow, and nothing else imports it: where every run is stored, and where tables are read from.

A suite is an experiment with a parent run; a trial is a child run, found by its key from whichever suite. The driver
creates the database and the experiment before any worker starts, because MLflow's creation is not safe for several
first users at once.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # must stand before the import
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sqlalchemy import URL, make_url

from harness.errors import HarnessError
from harness.results import Record
from harness.storage import made_whole

if TYPE_CHECKING:
    from harness.plan import Trial
    from harness.suite import Suite
    from harness.task import Outcome

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)

BATCH = 1000
"""The most metrics that MLflow takes in one request."""
FLUSH_SECONDS = 5.0
LONGEST_PARAM = 6000
INTERRUPTED = "interrupted"
"""The state of a run that its driver stopped or lost; the next `harness run` goes on with it."""

SECONDS = ("seconds_train", "seconds_evaluate")
"""Numbers about the trial itself, which stand beside its values."""
CURVE_PREFIX = "train/"
"""MLflow metrics under this prefix are curves over training; the others are final values."""


class Store:
    """The MLflow store of a results folder (or the server that ``MLFLOW_TRACKING_URI`` names)."""

    def __init__(self, results: Path) -> None:
        self.results = results.resolve()
        self.uri = os.environ.get("MLFLOW_TRACKING_URI") or _sqlite(self.results / "mlflow.db")
        self._file = Path(make_url(self.uri).database or "") if self.uri.startswith("sqlite") else None

    @property
    def exists(self) -> bool:
        """Whether there is anything to read; a server is taken to be there."""
        return self._file is None or self._file.is_file()

    @property
    def client(self) -> MlflowClient:
        """MLflow's client on this store."""
        return MlflowClient(tracking_uri=self.uri)

    def create(self) -> None:
        """Make the database ready for several writers; what is there already stays.

        Raises:
            HarnessError: the store cannot be opened (another version of MLflow wrote it, or it is damaged).
        """
        self.results.mkdir(parents=True, exist_ok=True)
        try:
            if self._file is not None and not self._file.exists():
                made_whole(self._file, lambda new: _open(_sqlite(new)))  # killed meanwhile it would leave half a store
            _open(self.uri)
        except (MlflowException, sqlite3.DatabaseError) as error:
            raise HarnessError(f"the MLflow store {self.uri} cannot be opened: {error}") from error
        if self._file is not None:
            with sqlite3.connect(self._file) as connection:
                # Readers do not wait for writers, nor writers for readers. It is a property of the file.
                connection.execute("PRAGMA journal_mode=wal")

    def experiment(self, name: str) -> str:
        """The id of the suite's experiment, made if need be."""
        client = self.client
        found = client.get_experiment_by_name(name)
        if found is None:
            location = (self.results / "artifacts" / name).as_uri() if self._file is not None else None
            # Without its kind MLflow's UI opens the experiment on its pages for language models.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            return str(client.create_experiment(name, artifact_location=location, tags=tags))
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)

    def parent(self, suite: Suite, experiment: str) -> str:
        """The id of the suite's parent run, which carries the suite's text; made if need be."""
        client = self.client
        found = client.search_runs([experiment], "tags.role = 'suite'", max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            tags = {"role": "suite", "suite": suite.name}
            run_id = str(client.create_run(experiment, run_name=suite.name, tags=tags).info.run_id)
        client.set_tag(run_id, "mlflow.note.content", suite.question)
        client.log_text(run_id, suite.text, "suite.yaml")
        return run_id

    def finish_parent(self, run_id: str, summary: dict[str, float]) -> None:
        """Close the parent run with the suite's counts."""
        client = self.client
        client.log_batch(run_id, metrics=[_metric(name, value, 0) for name, value in summary.items()])
        client.set_terminated(run_id, "FINISHED")

    def runs(self) -> Iterator[Run]:
        """All trials' runs, the oldest first."""
        client = self.client
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        token = None
        while experiments:
            page = client.search_runs(
                experiments,
                "tags.role = 'trial'",
                ViewType.ACTIVE_ONLY,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                break

    def latest(self, keys: Iterable[str]) -> dict[str, Run]:
        """The run that speaks for each key: the finished one, else the newest."""
        wanted, found = set(keys), dict[str, Run]()
        if not self.exists:
            return found
        for run in self.runs():
            key = run.data.tags["key"]
            if key in wanted and not (key in found and state(found[key]) == "done"):
                found[key] = run
        return found

    def record(self, run: Run, arm: str, with_curves: bool = True) -> Record:
        """A run as a row of the results, under the name that the arm has in the suite at hand."""
        tags, metrics = run.data.tags, run.data.metrics
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
            curves=self._curves(run) if with_curves else [],
            artifacts=local_path(run.info.artifact_uri),
            environment={name: tags[name] for name in tags["environment"].split()},
        )

    def _curves(self, run: Run) -> list[tuple[str, int, float]]:
        client = self.client
        names = [name for name in run.data.metrics if _is_curve(name)]
        return [
            (name.removeprefix(CURVE_PREFIX), point.step, point.value)
            for name in sorted(names)
            for point in client.get_metric_history(run.info.run_id, name)
        ]


def _sqlite(path: Path) -> str:
    # Not written out by hand: a path may hold characters that mean something in an address.
    return URL.create("sqlite", database=str(path)).render_as_string()


def _open(uri: str) -> None:
    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


def state(run: Run) -> str:
    """The trial's state: a run without an end was interrupted (or is running now), whatever else it says."""
    if run.info.status == "RUNNING":
        return INTERRUPTED
    return str(run.data.tags.get("state", "failed"))


def local_path(uri: str | None) -> Path | None:
    """The folder behind an artifact URI, where it lies on this machine."""
    if not uri:
        return None
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


class RunWriter:
    """Writes one trial's run, curves in batches. A run that was interrupted is gone on with, not begun anew."""

    def __init__(
        self, store: Store, suite: str, experiment: str, parent: str, trial: Trial, environment: dict[str, str],
        run_id: str | None,
    ) -> None:  # fmt: skip
        self.client = store.client
        self._buffer: list[Metric] = []
        self._flushed = time.monotonic()
        self._logged: dict[str, int] = {}
        if run_id is None:
            run_id = self._create(suite, experiment, parent, trial, environment)
        else:
            self._logged = self._last_steps(run_id)
            self.client.update_run(run_id, status="RUNNING")
        self.run_id = run_id
        self._parameters(trial)

    def _create(self, suite: str, experiment: str, parent: str, trial: Trial, environment: dict[str, str]) -> str:
        arm = trial.arm
        tags = {
            "role": "trial",
            "mlflow.parentRunId": parent,
            "suite": suite,
            "key": trial.key,
            "arm": arm.name,
            "model": arm.model.name,
            "tricks": " + ".join(trick.name for trick in arm.tricks),
            "data": arm.data.name,
            "seed": str(trial.seed),
            **environment,
            "environment": " ".join(sorted(environment)),
        }
        run = self.client.create_run(experiment, run_name=f"{arm.name}, seed {trial.seed}", tags=tags)
        return str(run.info.run_id)

    def _parameters(self, trial: Trial) -> None:
        """Write the settings, which an attempt that was killed at its beginning may not have come to."""
        if "seed" not in self.client.get_run(self.run_id).data.params:
            params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in flat(trial.arm.config()) if str(value)]
            self.client.log_batch(self.run_id, params=[*params[:99], Param("seed", str(trial.seed))])

    def _last_steps(self, run_id: str) -> dict[str, int]:
        names = [name for name in self.client.get_run(run_id).data.metrics if _is_curve(name)]
        return {
            name.removeprefix(CURVE_PREFIX): max(m.step for m in self.client.get_metric_history(run_id, name))
            for name in names
        }

    def points(self, points: list[tuple[str, int, float]]) -> None:
        """Add points (name, step, value) to the curves; those that the run has already are passed over."""
        self._buffer += [
            _metric(CURVE_PREFIX + name, value, step)
            for name, step, value in points
            if step > self._logged.get(name, -1)
        ]
        for name, step, _ in points:
            self._logged[name] = max(step, self._logged.get(name, -1))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is buffered."""
        while self._buffer:
            self.client.log_batch(self.run_id, metrics=self._buffer[:BATCH])
            del self._buffer[:BATCH]
        self._flushed = time.monotonic()

    def file(self, path: Path, folder: str = "") -> None:
        """Keep a file with the run."""
        self.client.log_artifact(self.run_id, str(path), folder or None)

    def interrupt(self) -> None:
        """Leave a run that will be gone on with; in the UI it shows as killed meanwhile."""
        self.flush()
        self.client.set_tag(self.run_id, "state", INTERRUPTED)
        self.client.set_terminated(self.run_id, "KILLED")

    def finish(self, outcome: Outcome) -> None:
        """Write the outcome; the run's end comes last, so that a run that has ended is complete."""
        self.flush()
        there = self.client.get_run(self.run_id).data.metrics  # of an attempt that was killed while it wrote these
        seconds = (outcome.seconds_train, outcome.seconds_evaluate)
        numbers = outcome.values | dict(zip(SECONDS, seconds, strict=True))
        tags = [RunTag("state", outcome.state), RunTag("reason", outcome.reason[:5000])]
        new = [_metric(name, value, 0) for name, value in numbers.items() if name not in there]
        self.client.log_batch(self.run_id, metrics=new, tags=tags)
        self.client.set_terminated(self.run_id, "FINISHED" if outcome.state == "done" else "FAILED")


def end_run(store: Store, run_id: str, outcome: Outcome) -> None:
    """Close a run whose worker died before it could; where the store does not answer, the next driver will."""
    client = store.client
    with contextlib.suppress(MlflowException):
        client.set_tag(run_id, "state", outcome.state)
        client.set_tag(run_id, "reason", outcome.reason[:5000])
        client.set_terminated(run_id, "FAILED")


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
    command += ["--backend-store-uri", store.uri, "--workers", "1"]
    # Without the job runner the server takes .5 GB of memory instead of 1.5 GB.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    address = f"http://127.0.0.1:{port}/#/experiments"
    print(f"MLflow on {store.uri}: {address} (choose Model training at the left; Ctrl-C ends it)", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        subprocess.run(command, env=environment, check=False)


def flat(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nest of mappings as dotted paths with plain values; lists as JSON."""
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from flat(value, f"{path}.")
        else:
            yield path, json.dumps(value) if isinstance(value, list) else value


def _metric(name: str, value: float, step: int) -> Metric:
    return Metric(name, value, int(time.time() * 1000), step)


def _is_curve(name: str) -> bool:
    return name.startswith(CURVE_PREFIX)

"""MLflow, and nothing else imports it: where every run is stored, and where tables are read from.

A suite is an experiment with a parent run; a trial is a child run, found by its key from whichever suite. Only the
driver talks to MLflow: what trials record it finds on the disk (``records.py``).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlparse

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from harness.base import surroundings
from harness.base.diagnosis import refusal
from harness.base.errors import HarnessError
from harness.base.files import made_whole
from harness.base.messages import note
from harness.base.states import State
from harness.base.validation import shown
from harness.store import identity, journal, seals, sqlite
from harness.store.record import Record
from harness.store.seals import CURVE_PREFIX, CURVES_SEAL, FILES, SEAL, TRIAL

with surroundings.environment():  # MLflow begins its telemetry, if that is not off, when it is imported
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run, ViewType
    from mlflow.exceptions import MlflowException

surroundings.imported()

if TYPE_CHECKING:
    from harness.suite import Suite
    from harness.suite.plan import Trial

DATABASES = ("postgresql", "mysql", "mssql")
"""Kinds of database servers that MLflow can use."""
SECONDS = ("seconds_train", "seconds_evaluate")
"""Numbers about the trial itself, which stand beside its values."""


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
                self.client.set_tag(run.info.run_id, "state", State.INTERRUPTED)
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
                    "",  # not by role: a trial whose role was changed must be named, and not be missed
                    ViewType.ACTIVE_ONLY,
                    max_results=1000,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                for run in page:
                    if run.data.tags.get("role") == TRIAL or SEAL in run.data.tags:
                        yield run
                token = page.token
                if not token:
                    break

    def found(self, trials: Iterable[Trial]) -> Found:
        """The runs of these trials, and the runs of the same settings by other code."""
        trials = list(trials)
        wanted, alike = {trial.key for trial in trials}, {trial.settings: trial.key for trial in trials}
        found = Found({}, {})
        for run in self.runs() if self.exists else ():
            tags = run.data.tags
            stands_for = of_trials(run, wanted)
            for key in stands_for:
                found.current[key] = speaking([found.current[key], run] if key in found.current else [run])
            if not stands_for and tags.get(identity.SETTINGS) in alike and state(run).own:
                found.other.setdefault(alike[tags[identity.SETTINGS]], []).append(run)
        return found

    def accept(self, run: Run, trial: Trial, commit: str) -> None:
        """Put on record that the code at hand gives what this run gave: it counts as a run of the trial from now on."""
        self.client.set_tag(run.info.run_id, identity.ACCEPTED, identity.accepted(run.data.tags, trial, commit))

    def record(self, run: Run, arm: str, with_curves: bool = True, trial: Trial | None = None) -> Record:
        """A run that is not altered as a row of the results, under the name that the arm has in the suite at hand.

        With the trial that it stands for, the row says where the run's code differs from that trial's.
        """
        tags, metrics = run.data.tags, run.data.metrics
        curves = self._curves(run) if with_curves else []
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
            curves=curves,
            artifacts=local_path(run.info.artifact_uri),
            environment={name: tags[name] for name in tags.get("environment", "").split()},
            files=json.loads(tags.get(FILES, "{}")),
            **identity.code(tags, trial),
        )

    def _curves(self, run: Run) -> list[seals.Point]:
        """(name, step, value) by name and step. Not by their times, which may have been set back.

        None of them where one point is not as it was recorded. No verdict comes of curves, so the trial's values count.
        """
        with self.answering():
            client = self.client
            points = sorted(
                {
                    (name.removeprefix(CURVE_PREFIX), point.step, point.value)
                    for name in _own(run)
                    if _is_curve(name)
                    for point in client.get_metric_history(run.info.run_id, name)
                }
            )
        tags = run.data.tags
        if tags.get(CURVES_SEAL) in (None, seals.curves(points)):
            return points
        note(
            f"{tags['arm']}, seed {tags['seed']}: a point of its curves was changed after the run ended (run "
            f"{run.info.run_id} in {self.shown}): its curves are left out"
        )
        return []


def _open(uri: str) -> None:
    MlflowClient(tracking_uri=uri).search_experiments(max_results=1)


class Standing(NamedTuple):
    """The state of a stored run, and why it is that."""

    state: State
    reason: str


def standing(run: Run) -> Standing:
    """What a run came to: without an end it was interrupted (or is running now), whatever else it says."""
    tags, status = run.data.tags, run.info.status
    said = tags.get("state")
    # One that ended, is gone on with and is left again has the seal of its first end.
    if status == "RUNNING" or (said == State.INTERRUPTED and (SEAL not in tags or status == "KILLED")):
        return Standing(State.INTERRUPTED, "")
    if changes := seals.changes(tags, run.data.metrics, run.data.params):
        on = "`harness run` trains it anew, or put back what was there"
        return Standing(State.ALTERED, f"{', '.join(changes)} after the run ended: {on}")
    try:
        return Standing(State(said or ""), tags.get("reason", ""))
    except ValueError:  # of an older version that wrote no seal
        return Standing(State.FAILED, tags.get("reason", ""))


def state(run: Run) -> State:
    """The state of a stored run."""
    return standing(run).state


def _own(run: Run) -> list[str]:
    """The metrics that the harness wrote into a run; what others added is not read."""
    sealed = seals.sealed_metrics(run.data.tags)
    return [name for name in run.data.metrics if sealed is None or name in sealed]


def of_trials(run: Run, wanted: Set[str]) -> set[str]:
    """The keys, of those wanted, of the trials that a run may speak for; of an altered one, that it spoke for."""
    tags = run.data.tags
    if state(run) is not State.ALTERED:
        return identity.keys(tags) & wanted
    own = seals.key(tags, wanted)
    return ({own} if own is not None else set()) | (identity.accepted_keys(tags) & wanted)


@dataclass(frozen=True)
class Found:
    """What a store has of some trials.

    Attributes:
        current: key -> the run that speaks for the trial.
        other: key -> the runs of the same settings whose code is another, the oldest first.
    """

    current: dict[str, Run]
    other: dict[str, list[Run]]

    def of_other_code(self, trials: Iterable[Trial]) -> dict[str, Run]:
        """Key -> the run of other code that stands for a trial, of those whose arms have none by the code at hand.

        One code an arm, since its values would else be mixed: the one with the most trials, the newest of equals.
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
    """Which of the runs of one key, the oldest first, speaks for it: the done one, else one that diverged, else the
    newest that ended, else the newest (by a clock that may have been set back); an altered one where there is no other.

    One that has not ended may be another machine's, which trains the same just now.
    """
    return functools.reduce(lambda one, other: other if _weight(other) >= _weight(one) < 3 else one, runs)


def _weight(run: Run) -> int:
    return {State.DONE: 3, State.DIVERGED: 2, State.INTERRUPTED: 0, State.ALTERED: -1}.get(state(run), 1)


def local_path(uri: str | None) -> Path | None:
    """The folder behind an artifact URI, where it lies on this machine."""
    if not uri:
        return None
    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme in ("", "file") else None


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


def _brief(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    text = " ".join(discreet(str(error)).split()) or type(error).__name__
    return text if len(text) < 300 else f"{text[:300]}…"


def _is_curve(name: str) -> bool:
    return name.startswith(CURVE_PREFIX)

"""Several drivers on one PostgreSQL and one MLflow server: nothing is trained twice, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from harness_cli import Workspace, python_that
from mlflow.entities import Run
from servers import PostgreSQL, Server, free_port, postgresql, wait_for

pytestmark = pytest.mark.cluster

LEASE = 6.0
PASSWORD = "geheim-4711"
RING: dict[str, Any] = {
    "data": {"name": "ring", "limit": 500},
    "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 8}}},
    "matrix": {"model.latent": [2, 4]},
    "train": {"steps": 40, "batch_size": 16, "precision": "float32"},
    "evaluate": {"samples": 64, "metrics": ["energy_distance", "high_quality_modes"]},
    "run": {"curve_points": 4, "snapshots": 0},
    "compare": {"baseline": {"model.latent": 2}, "metric": "energy_distance"},
}
"""A trial of it takes about a tenth of a second."""


class Team:
    """The stores of several drivers, each with a results folder of its own."""

    def __init__(self, folder: Path, database: PostgreSQL, server: Server) -> None:
        self.folder = folder
        self.database = database
        self.server = server
        database.do(f"CREATE DATABASE {folder.name}")
        self.storage = database.address(folder.name, f"harness:{PASSWORD}")

    def workspace(self, name: str) -> Workspace:
        folder = self.folder / name
        folder.mkdir()
        where = {"MLFLOW_TRACKING_URI": self.server.uri, "HARNESS_STORAGE": self.storage, "HARNESS_LEASE": f"{LEASE}"}
        return Workspace(folder, where | {"OMP_NUM_THREADS": "1"})

    def runs(self, suite: str) -> list[Run]:
        """The runs of the trials of a suite."""
        client = self.server.client
        found = client.get_experiment_by_name(suite)
        return list(client.search_runs([found.experiment_id], "tags.role = 'trial'")) if found else []

    def done(self, *suites: str) -> list[str]:
        """The keys of the runs that are finished."""
        return [run.data.tags["key"] for suite in suites for run in self.runs(suite) if run.info.status == "FINISHED"]

    def entered(self, study: str) -> Counter[str]:
        """How often Optuna has a value of each trial of a study of a matrix."""
        found = optuna.load_study(study_name=study, storage=self.storage)
        complete = [frozen for frozen in found.trials if frozen.state == optuna.trial.TrialState.COMPLETE]
        return Counter(frozen.user_attrs["key"] for frozen in complete)

    def whole(self, trials: int, *suites: str) -> None:
        """Every trial is done once, no run shows as running, and Optuna has every value once."""
        done = self.done(*suites)
        assert len(done) == len(set(done)) == trials
        assert "RUNNING" not in {run.info.status for suite in suites for run in self.runs(suite)}
        for suite in suites:
            assert set(self.entered(f"{suite}/energy_distance").values()) == {1}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PostgreSQL, Server]]:
    with postgresql() as database:
        database.do("CREATE DATABASE mlflow")
        server = Server(tmp_path_factory.mktemp("mlflow"), database.address("mlflow"))
        server.start()
        yield database, server
        server.signal(signal.SIGKILL)


@pytest.fixture
def team(servers: tuple[PostgreSQL, Server], tmp_path: Path, request: pytest.FixtureRequest) -> Team:
    folder = tmp_path / request.node.name[:50].replace("[", "_").replace("]", "")
    folder.mkdir()
    return Team(folder, *servers)


@contextlib.contextmanager
def driver(workspace: Workspace, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A driver that is killed at the end of the block if it still runs."""
    with (workspace.folder / "output").open("a") as output:
        process = workspace.start(*words, "--workers", "1", output=output.fileno())
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ends(process: subprocess.Popen[str], workspace: Workspace) -> str:
    """Wait for the end of a driver; what it printed."""
    code = process.wait(timeout=900)
    said = (workspace.folder / "output").read_text()
    assert (code, "Traceback" in said) == (0, False), said
    assert PASSWORD not in said
    return " ".join(said.split())


def ring(workspace: Workspace, name: str, **changes: Any) -> Path:
    """A suite of tiny trials; its number of steps makes them trials of this test alone."""
    return workspace.suite(name, **RING | changes)


def trials(number: int, name: str) -> dict[str, Any]:
    """Settings of a suite with so many trials; ``name`` makes them others than those of other tests."""
    steps = 40 + sum(name.encode()) % 97
    return {"seeds": number // 2, "train": RING["train"] | {"steps": steps}}


def trains(workspace: Workspace) -> bool:
    """Whether a worker of this driver has begun a trial that has not ended."""
    with contextlib.suppress(FileNotFoundError):
        journals = [path.read_text() for path in workspace.results.glob("work/*/records.jsonl")]
        return any('"kind":"environment"' in text and '"kind":"end"' not in text for text in journals)
    return False


def reported(workspace: Workspace, suite: str, rows: int) -> dict[tuple[str, str], Any]:
    """The report of a driver has all trials."""
    table = workspace.table(suite)
    assert Counter(row["state"] for row in table) == {"done": rows}
    assert (workspace.results / suite / "report.html").is_file()
    return {(row["arm"], row["seed"]): row["energy_distance"] for row in table}


def test_two_drivers_share_a_suite(team: Team) -> None:
    one, other = team.workspace("one"), team.workspace("other")
    settings = trials(40, "shared")
    with (
        driver(one, "run", ring(one, "shared", **settings)) as a,
        driver(other, "run", ring(other, "shared", **settings)) as b,
    ):
        ends(a, one)
        ends(b, other)
    team.whole(40, "shared")
    assert len(team.runs("shared")) == 40, "not even one was begun twice"
    assert reported(one, "shared", 40) == reported(other, "shared", 40)
    trained = Counter(run.data.tags["results_folder"] for run in team.runs("shared"))
    assert len(trained) == 2, "both have trained"
    for path in team.folder.rglob("*"):
        assert not (path.is_file() and PASSWORD.encode() in path.read_bytes()), path


def test_the_other_takes_over_what_a_killed_driver_had(team: Team) -> None:
    one, other = team.workspace("one"), team.workspace("other")
    settings = trials(40, "killed")
    with (
        driver(one, "run", ring(one, "killed", **settings)) as a,
        driver(other, "run", ring(other, "killed", **settings)) as b,
    ):
        wait_for(lambda: len(team.done("killed")) >= 8 and trains(one), 400)
        os.killpg(a.pid, signal.SIGKILL)
        ends(b, other)
    team.whole(40, "killed")
    numbers_before = reported(other, "killed", 40)
    # The killed one starts again: it throws away what it had begun.
    begun = len(team.runs("killed"))
    with driver(one, "run", one.folder / "killed.yaml") as a:
        ends(a, one)
    team.whole(40, "killed")
    assert len(team.runs("killed")) == begun
    assert reported(one, "killed", 40) == numbers_before
    assert not list(one.results.glob("work/*/records.jsonl"))


def test_two_suites_share_their_trials(team: Team) -> None:
    one, other = team.workspace("one"), team.workspace("other")
    settings = trials(16, "halves")
    first, second = {**settings, "seeds": list(range(8))}, {**settings, "seeds": list(range(4, 12))}
    with driver(one, "run", ring(one, "left", **first)) as a, driver(other, "run", ring(other, "right", **second)) as b:
        ends(a, one)
        ends(b, other)
    team.whole(24, "left", "right")
    assert set(team.entered("left/energy_distance")) & set(team.entered("right/energy_distance"))
    assert len(team.entered("left/energy_distance")) == len(team.entered("right/energy_distance")) == 16
    mine, theirs = reported(one, "left", 16), reported(other, "right", 16)
    assert {place: mine[place] for place in mine.keys() & theirs.keys()} == {
        place: theirs[place] for place in mine.keys() & theirs.keys()
    }


def test_a_driver_that_wakes_up_stores_nothing_twice(team: Team) -> None:
    one, other = team.workspace("one"), team.workspace("other")
    settings = trials(8, "asleep")
    settings["train"] = settings["train"] | {"steps": 4_000}  # its worker goes on while the driver sleeps
    with driver(one, "run", ring(one, "asleep", **settings)) as a:
        wait_for(lambda: trains(one))
        os.kill(a.pid, signal.SIGSTOP)
        [work] = one.results.glob("work/*/records.jsonl")
        with driver(other, "run", ring(other, "asleep", **settings)) as b:
            ends(b, other)
        team.whole(8, "asleep")
        assert '"kind":"end"' in work.read_text(), "the sleeping driver's worker has ended its trial, too"
        begun = {run.info.run_id for run in team.runs("asleep")}
        os.kill(a.pid, signal.SIGCONT)
        said = ends(a, one)
    assert "another driver has taken it" in said
    team.whole(8, "asleep")
    assert {run.info.run_id for run in team.runs("asleep")} == begun, "no run is new, and none is gone"
    assert reported(one, "asleep", 8) == reported(other, "asleep", 8)
    assert not work.exists()


def test_servers_that_go_away_and_come_back(team: Team) -> None:
    one, other = team.workspace("one"), team.workspace("other")
    settings = trials(24, "restarts")
    with (
        driver(one, "run", ring(one, "restarts", **settings)) as a,
        driver(other, "run", ring(other, "restarts", **settings)) as b,
    ):
        wait_for(lambda: len(team.done("restarts")) >= 4, 400)
        team.database.stop()
        team.database.start()
        wait_for(lambda: len(team.done("restarts")) >= 9, 400)
        team.server.signal(signal.SIGKILL)
        team.database.stop(signal.SIGQUIT)  # as in a crash
        team.database.start()
        team.server.start()
        ends(a, one)
        ends(b, other)
    team.whole(24, "restarts")
    assert reported(one, "restarts", 24) == reported(other, "restarts", 24)


SEARCH: dict[str, Any] = {
    "matrix": {"tricks": [[]]},
    "compare": {"metric": "energy_distance"},
    "seeds": 2,
    "search": {
        "sampler": "tpe",
        "n_trials": 12,
        "space": {"model.latent": {"type": "int", "low": 2, "high": 60}},
    },
}


def tried(storage: str) -> list[Any]:
    """The configurations of the only search, with their values."""
    [name] = [name for name in optuna.get_all_study_names(storage) if "/" in name]
    return [(frozen.params, frozen.value) for frozen in optuna.load_study(study_name=name, storage=storage).trials]


def test_a_search_is_asked_by_one_driver_at_a_time(team: Team) -> None:
    alone = Workspace(team.folder / "alone", {"OMP_NUM_THREADS": "1"})
    alone.folder.mkdir()
    alone.run("run", ring(alone, "search", **SEARCH))
    expected = tried(f"sqlite:///{alone.results / 'optuna.db'}")
    assert len(expected) == 12

    one, other = team.workspace("one"), team.workspace("other")
    with driver(one, "run", ring(one, "search", **SEARCH)) as a:
        wait_for(lambda: len(team.done("search")) >= 4, 400)
        with driver(other, "run", ring(other, "search", **SEARCH)) as b:
            wait_for(lambda: "is asked by" in (other.folder / "output").read_text(), 400)
            os.killpg(a.pid, signal.SIGKILL)
            said = ends(b, other)
    assert f"after {LEASE:g} s" in said
    assert tried(team.storage) == expected
    done = team.done("search")
    assert len(done) == len(set(done)) == len({tuple(params.items()) for params, _ in expected}) * 2
    assert "RUNNING" not in {run.info.status for run in team.runs("search")}
    assert numbers_of(other) == numbers_of(alone)


def numbers_of(workspace: Workspace) -> dict[tuple[str, str], str]:
    return {(row["arm"], row["seed"]): row["energy_distance"] for row in workspace.table("search")}


def doctor(workspace: Workspace, code: int = 0, **environment: str) -> str:
    """What the doctor says of the stores, in one line."""
    where = Workspace(workspace.folder, workspace.environment | {"COLUMNS": "400"} | environment)
    said = " ".join(where.run("doctor", code=code).split())
    assert PASSWORD not in said
    return said


def test_the_doctor_says_what_is_wrong_with_the_stores(team: Team, tmp_path: Path) -> None:
    one, database = team.workspace("one"), team.database
    said = doctor(one)
    for line in ("queues: rights", "queues: tables", "queues: clock", "results: rights", "results: clock"):
        assert line in said
    assert said.count("the server's and this machine's agree") == 2
    assert "answers" in said
    assert "none yet; the first `harness run` creates them" in said

    # A user who may not make tables, then one who may not write to them.
    database.do("CREATE USER guest")
    guest = database.address(team.folder.name, f"guest:{PASSWORD}")
    assert "`GRANT CREATE, USAGE ON SCHEMA public TO guest`" in doctor(one, 1, HARNESS_STORAGE=guest)
    from harness.store.studies import Studies

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_STORAGE", team.storage)
        Studies(one.results).opened()
        with Studies(one.results.parent).claims(one.folder):
            pass
    assert "as optuna" in doctor(one)
    said = doctor(one, 1, HARNESS_STORAGE=guest)
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest" in said, said

    # Other versions of the tables.
    [(revision,)] = database.do("SELECT version_num FROM alembic_version", team.folder.name)
    for other, told in (
        ("v2.6.0.a", "optuna storage upgrade --storage"),
        ("v99", "does not know their revision (v99)"),
    ):
        database.do(f"UPDATE alembic_version SET version_num = '{other}'", team.folder.name)
        assert told in doctor(one, 1)
    database.do(f"UPDATE alembic_version SET version_num = '{revision}'", team.folder.name)

    # A clock that is wrong here.
    shifted = python_that(tmp_path / "shifted", "import time\n_now = time.time\ntime.time = lambda: _now() - 500\n")
    said = doctor(one, **shifted)
    assert "ahead of this machine's" in said

    # An MLflow that lets nobody write, and servers that are away.
    database.do("ALTER TABLE experiments RENAME TO hidden", "mlflow")
    try:
        assert "an experiment cannot be made there" in doctor(one, 1)
    finally:
        database.do("ALTER TABLE hidden RENAME TO experiments", "mlflow")
    away = f"http://127.0.0.1:{free_port()}"
    assert f"{away} does not answer" in doctor(one, 1, MLFLOW_TRACKING_URI=away)
    nobody = f"postgresql+psycopg2://harness:{PASSWORD}@127.0.0.1:{free_port()}/x"
    assert "does not answer" in doctor(one, 1, HARNESS_STORAGE=nobody)

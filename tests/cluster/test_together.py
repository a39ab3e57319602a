"""All parts of a cluster together, each killed once: SLURM with two nodes, PostgreSQL, an MLflow server, the driver."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace
from mlflow.entities import Run
from servers import PostgreSQL, Server, postgresql, wait_for
from slurm_cluster import Cluster, cluster

pytestmark = pytest.mark.cluster
pytest.importorskip("submitit", reason="needs submitit: pip install 'gan-harness[slurm]'")

SEEDS = 6
SUITE: dict[str, Any] = {
    "data": "ring",
    "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 8}}},
    "matrix": {"tricks": [[], ["ema"]], "model.latent": [2, 4]},
    "train": {"steps": 3000, "batch_size": 16, "precision": "float32"},
    "evaluate": {"samples": 64, "metrics": ["high_quality_modes", "energy_distance"]},
    "run": {"curve_points": 300, "snapshots": 0, "checkpoint_seconds": 1},
    "seeds": SEEDS,
    "compare": {"baseline": {"tricks": [], "model.latent": 2}, "metric": "energy_distance"},
}
TRIALS = 4 * SEEDS
VARYING = {"seconds_train", "seconds_evaluate", "mlflow_run_id"}
ON_SLURM = ("--engine", "slurm", "--device", "cpu", "--workers", "6")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, PostgreSQL, Server]]:
    with cluster() as slurm, postgresql() as database:
        database.do("CREATE DATABASE mlflow")
        database.do("CREATE DATABASE optuna")
        server = Server(tmp_path_factory.mktemp("mlflow"), database.address("mlflow"))
        server.start()
        try:
            yield slurm, database, server
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.signal(signal.SIGKILL)


def rows(workspace: Workspace) -> list[dict[str, str]]:
    """The table of trials without what differs from run to run."""
    return [{name: text for name, text in row.items() if name not in VARYING} for row in workspace.table()]


def test_every_part_is_killed_once_and_every_trial_is_done_once(
    parts: tuple[Cluster, PostgreSQL, Server], tmp_path: Path
) -> None:
    slurm, database, server = parts
    environment = {
        "SLURM_CONF": slurm.environment["SLURM_CONF"],
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": server.uri,
        "HARNESS_STORAGE": database.address("optuna"),
    }
    workspace = Workspace(tmp_path, environment)
    suite = workspace.suite(**SUITE)

    def runs() -> list[Run]:
        with contextlib.suppress(Exception):  # it was killed, or there is no run yet
            found = server.client.get_experiment_by_name("tiny")
            return list(server.client.search_runs([found.experiment_id], "tags.role = 'trial'")) if found else []
        return []

    def done() -> int:
        return sum(run.info.status == "FINISHED" for run in runs())

    def running() -> list[str]:
        return slurm.jobs("%A", "--states=RUNNING")

    def workers() -> list[int]:
        return [pid for number in running() for pid in slurm.workers(number)]

    with (tmp_path / "output").open("w") as output, contextlib.ExitStack() as at_the_end:
        driver = workspace.start("run", suite, *ON_SLURM, output=output.fileno())
        at_the_end.callback(driver.kill)
        # A worker.
        wait_for(lambda: any(b'"points"' in path.read_bytes() for path in workspace.results.glob("work/*/*.jsonl")))
        wait_for(workers)
        os.kill(workers()[0], signal.SIGKILL)
        # A node, with the jobs that it has.
        wait_for(lambda: done() >= 2 and bool(running()), 600)
        slurm.kill_node("one")
        # The MLflow server, which comes back.
        wait_for(lambda: done() >= 4, 600)
        server.signal(signal.SIGKILL)
        wait_for(lambda: len(list(workspace.results.glob("work/*/records.jsonl"))) >= 3)
        server.start()
        slurm.start_node("one")
        # PostgreSQL is restarted.
        wait_for(lambda: done() >= 8, 600)
        database.stop()
        database.start()
        # The driver.
        wait_for(lambda: done() >= 12, 600)
        driver.kill()
        driver.wait()
        jobs = len(slurm.all_jobs())
        second = workspace.start("run", suite, *ON_SLURM, output=output.fileno())
        at_the_end.callback(second.kill)
        assert second.wait(900) == 0, (tmp_path / "output").read_text()
    said = (tmp_path / "output").read_text()
    assert "Traceback" not in said, said
    assert jobs > 0

    finished = [run.data.tags["key"] for run in runs() if run.info.status == "FINISHED"]
    assert len(finished) == len(set(finished)) == TRIALS, "every trial was done, and once"
    assert [run.info.status for run in runs()] == ["FINISHED"] * TRIALS, "no run of MLflow is left open"
    assert slurm.jobs() == [], "no job is left"
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    assert left == "", "no process is left"

    local = Workspace(tmp_path / "local", {"OMP_NUM_THREADS": "1"})
    local.folder.mkdir()
    alone = local.start("run", suite, "--device", "cpu", "--workers", "2", output=subprocess.DEVNULL)
    assert alone.wait(1800) == 0
    assert rows(workspace) == rows(local), "the numbers are those of the local engine"

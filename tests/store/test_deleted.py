"""What was deleted in MLflow, or lost, is to do for every command; what the queues still know of it is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness_cli import SEARCH, Workspace, numbers
from mlflow import MlflowClient

from harness.store.runs import Store


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}")


def states(workspace: Workspace) -> set[str]:
    return {trial["state"] for trial in workspace.plan(workspace.folder / "tiny.yaml")["trials"]}


def test_a_deleted_experiment_is_to_do_for_all(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    mlflow, before = client(workspace), numbers(workspace.table())
    deleted = mlflow.get_experiment_by_name("tiny").experiment_id
    mlflow.delete_experiment(deleted)
    assert states(workspace) == {"to do"}
    assert "holds no finished trial" in workspace.run("report", "tiny.yaml", code=2)
    printed = workspace.run("run", "tiny.yaml")
    assert "done before" not in printed.replace("0 done before", "")
    assert "optuna.db knows the values of 4 trials" in " ".join(printed.split())
    assert mlflow.get_experiment(deleted).lifecycle_stage == "deleted"
    assert states(workspace) == {"done"}
    assert numbers(workspace.table()) == before
    assert "4 done before" in workspace.run("run", "tiny.yaml")
    # Both may be there, should the user restore it.
    mlflow.restore_experiment(deleted)
    assert "4 done before" in workspace.run("run", "tiny.yaml")
    assert len(list(Store(workspace.results).runs())) == 8


def test_an_experiment_that_is_deleted_again_and_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create()
    made = []
    for _ in range(3):
        made.append(store.experiment("tiny"))
        assert store.experiment("tiny") == made[-1]
        store.client.delete_experiment(made[-1])
    assert len(set(made)) == 3
    assert store.client.get_experiment(made[2]).artifact_location == (tmp_path / "artifacts" / "tiny").as_uri()


def test_a_lost_mlflow_db_is_said(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    for path in workspace.results.glob("mlflow.db*"):  # with its write-ahead log, from which SQLite would restore it
        path.unlink()
    assert "has an optuna.db but no mlflow.db" in " ".join(workspace.run("plan", "tiny.yaml").split())
    started = workspace.start("run", "tiny.yaml", "--workers", "1")
    assert started.stdout is not None
    said = ""
    while "optuna.db knows the values of 4 trials" not in said:
        line = started.stdout.readline()
        assert line, said
        said += line.replace("\n", " ")
    started.kill()  # it is said before anything is trained
    assert not list((workspace.results / "work").glob("*/checkpoint.pt"))


@pytest.mark.slow
def test_a_search_whose_runs_are_gone_trains_its_configurations_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**SEARCH)
    workspace.run("run", suite)
    before = numbers(workspace.table())
    for path in workspace.results.glob("mlflow.db*"):
        path.unlink()
    printed = " ".join(workspace.run("run", suite).split())
    assert f"optuna.db knows the values of {len(before)} trials" in printed
    assert numbers(workspace.table()) == before
    assert "still to do" not in workspace.run("report", suite)

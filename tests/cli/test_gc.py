"""`harness gc` deletes what is of no use, asks first, and leaves everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from harness_cli import Workspace
from mlflow import MlflowClient

from harness.cli.commands import main
from harness.store.runs import Store


@pytest.fixture
def workspace(tmp_path: Path, tiny_store: Workspace) -> Workspace:
    made = tiny_store.copy(tmp_path / "copy")
    made.run("plan", made.folder / "tiny.yaml")  # fills the cache
    return made


def gc(workspace: Workspace, *words: str, answer: str = "") -> tuple[int, str]:
    found = CliRunner().invoke(main, ["gc", *words, "--results", str(workspace.results)], input=answer)
    return found.exit_code, found.output


def fill(path: Path, size: int = 1500) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_only_what_is_of_no_use_goes(workspace: Workspace) -> None:
    rows, work = workspace.table(), workspace.results / "work"
    gone = [
        fill(work / rows[0]["key"] / "checkpoint.pt"),
        fill(work / ("0" * 16) / "checkpoint.pt"),
        fill(workspace.results / "artifacts" / "tiny" / ("f" * 32) / "artifacts" / "x.png"),
        workspace.results / "artifacts" / "tiny" / rows[1]["mlflow_run_id"] / "artifacts" / "config.json",
        fill(workspace.results / "smoke" / "mlflow.db"),
        workspace.results / "cache" / "mlflow.db.runs",
    ]
    waiting = fill(work / ("1" * 16) / "records.jsonl")
    interrupted = fill(work / rows[3]["key"] / "checkpoint.pt")
    client = MlflowClient(Store(workspace.results).uri)
    client.set_terminated(rows[3]["mlflow_run_id"], "KILLED")
    client.set_tag(rows[3]["mlflow_run_id"], "state", "interrupted")
    kept = [
        waiting,
        interrupted,
        fill(work / "slurm" / "log"),
        fill(workspace.results / "artifacts" / "tiny" / "mine" / "x"),
    ]
    client.delete_run(rows[1]["mlflow_run_id"])
    other = workspace.results / "artifacts" / "tiny" / rows[2]["mlflow_run_id"]
    before = sorted(other.rglob("*"))
    assert all(path.is_file() for path in gone)

    code, output = gc(workspace, answer="n\n")
    assert code == 0
    assert "checkpoints     1.5 kB in     1" in output
    assert "nothing was deleted" in output
    code, output = gc(workspace)  # nobody there to ask
    assert code == 2
    assert "answer y, or add --yes" in output
    assert all(path.is_file() for path in gone)

    code, output = gc(workspace, "checkpoints", "--yes")
    assert code == 0
    assert [path.is_file() for path in gone] == [False, True, True, True, True, True]
    code, output = gc(workspace, answer="y\n")
    assert code == 0, output
    assert not any(path.exists() for path in gone)
    assert all(path.is_file() for path in kept)
    assert sorted(other.rglob("*")) == before
    assert gc(workspace, "work", "artifacts", "smoke", "--yes")[1].endswith("has nothing to delete\n")


def test_nothing_is_deleted_while_a_run_has_the_folder(workspace: Workspace) -> None:
    from harness.store import folders

    cached = workspace.results / "cache" / "mlflow.db.runs"
    with folders.exclusive(workspace.results, "harness run tiny.yaml"):
        code, output = gc(workspace, "--yes")
    assert code == 2
    assert "is in use by `harness run tiny.yaml`" in output
    assert cached.is_file()

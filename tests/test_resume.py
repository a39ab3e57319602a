"""Killing real processes: what was done stays done, what was lost is picked up, and the numbers are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from harness_cli import Workspace, numbers
from mlflow import MlflowClient

# Long enough to be killed in the middle; saved at every point of the curves.
LONG = {
    "train": {"steps": 600, "batch_size": 16, "precision": "float32"},
    "seeds": 1,
    "run": {"snapshots": 3, "curve_points": 60, "checkpoint_seconds": 0.001},
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("uninterrupted"))
    workspace.run("run", workspace.suite(**LONG))
    return workspace


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def checkpoints(workspace: Workspace) -> list[Path]:
    return list(workspace.results.glob("work/*/checkpoint.pt"))


def workers(driver: subprocess.Popen[str]) -> list[int]:
    """The driver's worker processes."""
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def curves(workspace: Workspace) -> dict[str, list[tuple[int, float]]]:
    store = MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("tiny")
    found = {}
    for run in store.search_runs([experiment.experiment_id], "tags.role = 'trial'"):
        for name in run.data.metrics:
            if name.startswith("train/"):
                points = store.get_metric_history(run.info.run_id, name)
                found[f"{run.data.tags['key']} {name}"] = [(p.step, p.value) for p in points]
    return found


def assert_a_checkpoint_was_used(workspace: Workspace) -> None:
    said = "".join(log.read_text() for log in workspace.results.glob("work/worker-*.log"))
    steps = [int(line.rsplit(" ", 1)[1]) for line in said.splitlines() if ": resumed at step " in line]
    assert steps
    assert 0 < min(steps) < LONG["train"]["steps"]


def assert_as_uninterrupted(workspace: Workspace, uninterrupted: Workspace) -> None:
    assert numbers(workspace.table()) == numbers(uninterrupted.table())
    assert curves(workspace) == curves(uninterrupted)
    store = MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}")
    experiment = store.get_experiment_by_name("tiny")
    runs = store.search_runs([experiment.experiment_id], "tags.role = 'trial'")
    assert sorted(run.info.status for run in runs) == ["FINISHED", "FINISHED"]
    study = optuna.load_study(study_name="tiny/fid", storage=f"sqlite:///{workspace.results / 'optuna.db'}")
    states = [trial.state.name for trial in study.trials]
    assert states.count("COMPLETE") == 2
    assert not {"RUNNING", "WAITING"} & set(states)
    left = [p for p in (workspace.results / "work").iterdir() if not p.name.endswith(".log")]
    assert left == []


linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")


@linux
def test_driver_killed(tmp_path: Path, uninterrupted: Workspace) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**LONG)
    driver = workspace.start("run", suite, "--workers", "1")
    wait_for(lambda: checkpoints(workspace))
    time.sleep(0.3)
    orphans = workers(driver)
    assert orphans
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(alive(pid) for pid in orphans), 10)
    assert checkpoints(workspace)
    workspace.run("run", suite)
    assert_a_checkpoint_was_used(workspace)
    assert_as_uninterrupted(workspace, uninterrupted)


@linux
def test_worker_killed(tmp_path: Path, uninterrupted: Workspace) -> None:
    workspace = Workspace(tmp_path)
    driver = workspace.start("run", workspace.suite(**LONG), "--workers", "1")
    wait_for(lambda: checkpoints(workspace))
    time.sleep(0.3)
    [worker] = workers(driver)
    os.kill(worker, signal.SIGKILL)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    assert "SIGKILL" in output
    assert "trying again" in output
    assert_a_checkpoint_was_used(workspace)
    assert_as_uninterrupted(workspace, uninterrupted)


@linux
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_once_saves_and_says_how_to_go_on(
    tmp_path: Path, uninterrupted: Workspace, signal_: signal.Signals
) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**(LONG | {"run": LONG["run"] | {"checkpoint_seconds": 1000}}))
    driver = workspace.start("run", suite, "--workers", "1")
    wait_for(lambda: list(workspace.results.glob("work/*/step-000000.png")))
    time.sleep(0.5)
    if signal_ == signal.SIGINT:
        os.killpg(driver.pid, signal_)  # as Ctrl-C does
    else:
        driver.send_signal(signal_)  # as a cluster does that takes its machine back
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 130, output
    assert "go on with: harness run" in output
    assert "Traceback" not in output
    assert checkpoints(workspace)
    workspace.run("run", suite)
    assert_a_checkpoint_was_used(workspace)
    assert_as_uninterrupted(workspace, uninterrupted)


@linux
def test_a_second_driver_on_the_same_store_is_refused_by_name(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**LONG)
    driver = workspace.start("run", suite, "--workers", "1")
    try:
        wait_for(lambda: checkpoints(workspace))
        output = workspace.run("run", suite, code=2)
        assert "in use by" in output
        assert "tiny.yaml" in output
        assert str(driver.pid) in output
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()


@linux
def test_a_damaged_checkpoint_is_named_and_its_trial_begins_anew(tmp_path: Path, uninterrupted: Workspace) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**LONG)
    driver = workspace.start("run", suite, "--workers", "1")
    wait_for(lambda: checkpoints(workspace))
    orphans = workers(driver)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(alive(pid) for pid in orphans), 10)
    [checkpoint] = checkpoints(workspace)
    content = checkpoint.read_bytes()
    middle = len(content) // 2
    checkpoint.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    output = workspace.run("run", suite)
    assert f"{checkpoint} is damaged" in output
    assert "the training begins anew" in output
    assert_as_uninterrupted(workspace, uninterrupted)


def test_a_damaged_checkpoint_is_noticed_and_not_used(tmp_path: Path) -> None:
    import torch

    from harness import storage

    path = tmp_path / "checkpoint.pt"
    state = {"weights": torch.arange(100.0), "step": 7}
    storage.save_state(path, state)
    loaded = storage.load_state(path, "it begins anew")
    assert loaded is not None
    assert torch.equal(loaded["weights"], state["weights"])
    content = path.read_bytes()
    for damaged in (content[:-10], content[:100], b"", content[:200] + b"\x00" + content[201:]):
        path.write_bytes(damaged)
        assert storage.load_state(path, "it begins anew") is None

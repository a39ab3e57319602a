"""The SLURM engine on a real SLURM of two nodes, with real trials and what may happen to them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_cli import Workspace, package
from servers import wait_for
from slurm_cluster import Cluster, cluster

from harness.base.states import State
from harness.execution.engine import Died, Ended, Engine, Event, Site, Started, Stepped, Waiting
from harness.store.journal import NAME, Journal, read
from harness.suite import Resources, Run, read_suite
from harness.suite.plan import make_plan
from harness.testing import EngineContract
from harness.trial.task import Task
from harness.zoo import registry

pytestmark = pytest.mark.cluster
pytest.importorskip("submitit", reason="needs submitit: pip install 'gan-harness[slurm]'")


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[Cluster]:
    """A cluster for the tests of this file; the commands of SLURM find it by SLURM_CONF."""
    with cluster() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", made.environment["SLURM_CONF"])
        patch.setenv("OMP_NUM_THREADS", "1")
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and so would what is started here
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_left(slurm: Cluster) -> Iterator[None]:
    """A test that fails leaves no job to the next."""
    yield
    slurm.cancel_all()


def number_of(slurm: Cluster, engine: Engine, key: str) -> str:
    """SLURM's own number of the job of a trial."""
    return slurm.job(engine._jobs[key].number)["JobId"]  # type: ignore[attr-defined]


class TestSlurmEngine(EngineContract):
    engine_name = "slurm"

    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Cluster) -> None:
        self.slurm = slurm

    def crash(self, engine: Engine, key: str) -> None:
        for pid in self.slurm.workers(number_of(self.slurm, engine, key)):
            os.kill(pid, signal.SIGKILL)


def a_task(folder: Path, steps: int = 3_000, seed: int = 0, **changes: Any) -> Task:
    """The task of a small trial that trains for some seconds; its journal is begun."""
    suite = {
        "suite": "moved",
        "data": "ring",
        "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 8}}},
        "train": {"steps": steps, "batch_size": 16, "precision": "float32"},
        "evaluate": {"samples": 64, "metrics": ["high_quality_modes", "energy_distance"]},
        "seeds": [seed],
        "run": {"curve_points": 400, "snapshots": 0},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "moved.yaml").write_text(json.dumps(suite | changes))
    plan = make_plan(read_suite(folder / "moved.yaml"))
    [trial] = plan.trials
    task = Task(trial, plan.suite.run, folder / "work" / trial.key, folder / "cache")
    Journal(task.folder).begin("moved", trial)
    return task


def made(folder: Path, name: Any = "slurm", **resources: Any) -> Engine:
    engine: Engine = registry.choose("engines", name).make(
        Site(folder, Run(), Resources(**resources), device="cpu", workers=2)
    )
    return engine


def until(engine: Engine, enough: Callable[[list[Event]], bool], seconds: float = 300) -> list[Event]:
    """The events of an engine up to the moment when they are enough."""
    events: list[Event] = []
    end = time.monotonic() + seconds
    while not enough(events):
        assert time.monotonic() < end, events[-5:]
        events += engine.wait(1.0)
    return events


def trained(events: list[Event]) -> bool:
    """Whether some points of the curves have come."""
    return len([event for event in events if isinstance(event, Stepped)]) > 20


def ended(events: list[Event]) -> bool:
    return any(isinstance(event, Ended | Died) for event in events)


def recorded(task: Task) -> list[Any]:
    """The curves and the outcome of a trial's journal, each point once and as often as it stands there."""
    entries = [entry for entry, _ in read(task.folder / NAME)]
    points = [tuple(point) for entry in entries for point in entry.get("points", ())]
    outcome = Journal(task.folder).outcome
    assert outcome is not None
    return [points, outcome.state, outcome.values]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the local engine records of the same trial."""
    folder = tmp_path_factory.mktemp("alone")
    task, engine = a_task(folder), made(folder, "local")
    engine.submit(task)
    until(engine, ended)
    engine.close()
    return recorded(task)


def goes_on(events: list[Event], task: Task, alone: list[Any]) -> None:
    """The trial went on from its checkpoint, and ended as one that nothing happened to."""
    last = events[-1]
    assert isinstance(last, Ended), last
    assert last.outcome.state is State.DONE, last.outcome
    starts = [place for place, event in enumerate(events) if isinstance(event, Started)]
    assert len(starts) > 1, "it was moved"
    for start in starts[1:]:
        resumed = next(event for event in events[start:] if isinstance(event, Stepped))
        assert resumed.step > 0, "it goes on from its checkpoint"
    assert recorded(task) == alone


@pytest.mark.parametrize("how", ["by hand", "preempted"])
def test_a_job_that_is_queued_again_goes_on_from_its_checkpoint(
    slurm: Cluster, tmp_path: Path, alone: list[Any], how: str
) -> None:
    task, engine = a_task(tmp_path), made(tmp_path)
    engine.submit(task)
    events = until(engine, trained)
    number = number_of(slurm, engine, task.key)
    if how == "by hand":
        slurm.asked("scontrol", "requeue", number)
    else:
        slurm.take(slurm.job(number)["NodeList"])
    events += until(engine, lambda events: Waiting(task.key) in events)
    assert (task.folder / "checkpoint.pt").exists()
    slurm.soon(number)
    events += until(engine, ended)
    engine.close()
    assert slurm.job(number)["Restarts"] == "1"
    goes_on(events, task, alone)


def test_where_a_job_cannot_queue_itself_again_the_driver_submits_the_trial(
    slurm: Cluster, tmp_path: Path, alone: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = tmp_path / "bin" / "scontrol"
    refuses.parent.mkdir()
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)
    task, engine = a_task(tmp_path), made(tmp_path)
    with monkeypatch.context() as patch:  # of the job, too
        patch.setenv("PATH", f"{refuses.parent}:{os.environ['PATH']}")
        engine.submit(task)
        events = until(engine, trained)
    first = number_of(slurm, engine, task.key)
    slurm.asked("scancel", "--signal=USR2", first)
    events += until(engine, lambda events: Waiting(task.key) in events)
    events += until(engine, ended)
    engine.close()
    assert slurm.job(first)["JobState"] == "COMPLETED"
    goes_on(events, task, alone)


def test_a_job_that_reaches_its_time_limit_goes_on_from_its_checkpoint(slurm: Cluster, tmp_path: Path) -> None:
    endless = {"train": {"steps": 1_000_000, "batch_size": 16, "precision": "float32"}}
    task = a_task(tmp_path, **endless, run={"curve_points": 100_000, "snapshots": 0})
    engine = made(tmp_path, time=180)
    engine.submit(task)
    events = until(engine, trained)
    number = number_of(slurm, engine, task.key)
    wait_for(lambda: slurm.job(number)["JobState"] == "PENDING")
    slurm.soon(number)
    events = until(
        engine,
        lambda events: len([e for e in events if isinstance(e, Started)]) == 1 and isinstance(events[-1], Stepped),
    )
    engine.close()
    start = next(place for place, event in enumerate(events) if isinstance(event, Started))
    resumed = next(event for event in events[start:] if isinstance(event, Stepped))
    assert resumed.step > 0
    assert not ended(events)


def test_the_trial_of_a_node_that_dies_ends_once(slurm: Cluster, tmp_path: Path, alone: list[Any]) -> None:
    # A checkpoint at every point: nobody tells the trial that its machine will be gone.
    task, engine = (
        a_task(tmp_path, run={"curve_points": 400, "snapshots": 0, "checkpoint_seconds": 0.1}),
        made(tmp_path),
    )
    engine.submit(task)
    events = until(engine, trained)
    number = number_of(slurm, engine, task.key)
    node = slurm.job(number)["NodeList"]
    slurm.kill_node(node)
    try:
        wait_for(lambda: slurm.job(number)["JobState"] == "PENDING")
        slurm.soon(number)
        events += until(engine, ended)
    finally:
        slurm.start_node(node)
        engine.close()
    assert slurm.job(number)["NodeList"] != node
    goes_on(events, task, alone)


def test_a_worker_on_a_node_that_is_cut_off_ends_when_the_trial_goes_on_elsewhere(
    slurm: Cluster, tmp_path: Path
) -> None:
    often = {"curve_points": 100_000, "snapshots": 0, "checkpoint_seconds": 1}
    task, engine = a_task(tmp_path, 1_000_000, run=often), made(tmp_path)
    engine.submit(task)
    until(engine, trained)
    number = number_of(slurm, engine, task.key)
    node = slurm.job(number)["NodeList"]
    slurm.kill_node(node, with_jobs=False)
    cut_off = slurm.workers(number)
    assert len(cut_off) == 1
    try:
        wait_for(lambda: slurm.job(number)["JobState"] == "PENDING")
        slurm.soon(number)
        until(engine, lambda events: any(isinstance(event, Started) for event in events))
        assert not set(cut_off) & set(slurm.workers(number)), "it has ended before the new one writes"
        until(engine, trained)
    finally:
        engine.close()
        slurm.start_node(node)
    steps = [entry["points"][0][1] for entry, _ in read(task.folder / NAME) if entry["kind"] == "points"]
    assert steps == sorted(set(steps)), "one writer at a time"


def test_a_trial_that_another_driver_has_now_loses_the_job_of_an_earlier_one(slurm: Cluster, tmp_path: Path) -> None:
    task, earlier = a_task(tmp_path, 1_000_000, run={"curve_points": 100_000, "snapshots": 0}), made(tmp_path)
    earlier.submit(task)
    until(earlier, trained)
    engine = made(tmp_path)
    assert set(engine.running()) == {task.key}
    engine.kill(task.key)
    assert set(engine.running()) == set()
    assert slurm.jobs() == []
    engine.close()


def test_doctor_names_slurm(workspace: Workspace) -> None:
    output = workspace.run("doctor", code=(0, 1))
    assert re.search(r"SLURM\b.* slurm\S* \d+\.\d+.*; nodes: 2 in", output), output


def test_slurm_is_asked_for_what_the_suite_says(slurm: Cluster, tmp_path: Path) -> None:
    name = {"name": "slurm", "shards": 4, "slurm": {"hold": "", "comment": "from a test", "partition": "urgent"}}
    site = Site(tmp_path, Run(), Resources(cpus=2, gpus=0.5, memory="600MB", time="90min"), threads=1, workers=3)
    engine: Engine = registry.choose("engines", name).make(site)
    tasks = [a_task(tmp_path / str(seed), seed=seed) for seed in range(3)]
    for task in tasks:
        engine.submit(task)
    assert engine.free == 0
    assert engine.wait(0) == []
    [array] = {slurm.job(engine._jobs[task.key].number)["ArrayJobId"] for task in tasks}  # type: ignore[attr-defined]
    job = slurm.job(array)
    assert (job["NumCPUs"], job["CPUs/Task"]) == ("2", "2")
    assert job["MinMemoryNode"] == "600M"
    assert job["TimeLimit"] == "01:30:00"
    assert job["TresPerNode"] == "gres:shard:2"
    assert (job["Partition"], job["Comment"].split()[0]) == ("urgent", "from")
    assert job["Requeue"] == "1"
    assert job["ArrayTaskId"] == "0-2%3", "one array; submitit adds how many of it may run"
    # They never started: they end when they are told to stop.
    engine.stop()
    events = until(engine, lambda events: len(events) == 3)
    assert {event.key for event in events} == {task.key for task in tasks}
    assert all(isinstance(event, Ended) and event.outcome.state is State.INTERRUPTED for event in events)
    assert slurm.jobs("%j", "--states=PENDING,RUNNING") == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_trial_that_asked_for_a_gpu_does_not_train_without(slurm: Cluster, tmp_path: Path) -> None:
    engine: Engine = registry.choose("engines", "slurm").make(Site(tmp_path, Run(), Resources(gpus=1)))
    task = a_task(tmp_path)
    engine.submit(task)
    last = until(engine, ended)[-1]
    engine.close()
    assert isinstance(last, Died)
    assert "torch finds no GPU here" in last.reason


def test_what_slurm_refuses_is_told_before_a_trial_begins(slurm: Cluster, workspace: Workspace) -> None:
    output = workspace.run("run", workspace.suite(**RING), *ON_SLURM, "--slurm", "partition=nowhere", code=2)
    assert "SLURM refuses the jobs: sbatch: error: invalid partition specified: nowhere" in output
    assert submitted(slurm, workspace) == []


METRIC = {"metric": "energy_distance"}
RING = {
    "data": "ring",
    "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 8}}},
    "evaluate": {"samples": 64, "metrics": ["high_quality_modes", "energy_distance"]},
    "compare": {"baseline": {"tricks": []}} | METRIC,
}
ON_SLURM = ("--engine", "slurm", "--device", "cpu", "--workers", "4")
VARYING = {"seconds_train", "seconds_evaluate", "mlflow_run_id"}


@pytest.fixture
def workspace(tmp_path: Path, slurm: Cluster) -> Workspace:
    return Workspace(tmp_path, {"SLURM_CONF": slurm.environment["SLURM_CONF"]})


def rows(workspace: Workspace) -> list[dict[str, str]]:
    """The table of trials without what differs from run to run."""
    return [{name: text for name, text in row.items() if name not in VARYING} for row in workspace.table()]


def submitted(slurm: Cluster, workspace: Workspace) -> list[dict[str, str]]:
    """All jobs that SLURM has had for a results folder."""
    jobs = [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in slurm.all_jobs()]
    return [job for job in jobs if job["StdOut"].startswith(str(workspace.results))]


def test_the_same_suite_has_the_same_numbers_and_a_report(slurm: Cluster, workspace: Workspace) -> None:
    suite = workspace.suite(**RING)
    workspace.run("run", suite, *ON_SLURM, "--slurm", "comment=hello", "--slurm", "nice=5")
    assert (workspace.results / "tiny" / "report.html").exists()
    jobs = submitted(slurm, workspace)
    assert len(jobs) == 4
    assert {(job["Comment"], job["Nice"]) for job in jobs} == {("hello", "5")}
    local = Workspace(workspace.folder / "local")
    local.folder.mkdir()
    local.run("run", suite, "--device", "cpu")
    assert rows(workspace) == rows(local)
    assert not list((workspace.results / "work").glob("slurm/*/*")), "nothing is left of them"


def test_ctrl_c_saves_every_trial_and_the_next_command_goes_on(slurm: Cluster, workspace: Workspace) -> None:
    # The two nodes have four cores each: of six trials that ask for two, two wait.
    train = {"train": {"steps": 4_000, "batch_size": 16, "precision": "float32"}}
    suite = workspace.suite(**RING | train, seeds=3, resources={"cpus": 2})
    process = workspace.start("run", suite, *ON_SLURM[:-1], "6")
    wait_for(lambda: len(slurm.jobs("%i", "--states=RUNNING")) == 4 and len(slurm.jobs()) == 6)
    wait_for(lambda: any(b'"points"' in path.read_bytes() for path in workspace.results.glob("work/*/records.jsonl")))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 130, output
    assert slurm.jobs() == []
    assert len(list(workspace.results.glob("work/*/checkpoint.pt"))) >= 1
    workspace.run("run", suite, *ON_SLURM)
    assert [row["state"] for row in rows(workspace)] == ["done"] * 6


def test_the_next_driver_finds_the_jobs_of_one_that_was_killed(slurm: Cluster, workspace: Workspace) -> None:
    train = {"train": {"steps": 3_000, "batch_size": 16, "precision": "float32"}}
    suite = workspace.suite(**RING | train, seeds=4, resources={"cpus": 2})
    process = workspace.start("run", suite, *ON_SLURM[:-1], "8", output=subprocess.DEVNULL)
    wait_for(lambda: len(slurm.jobs("%i", "--states=RUNNING")) == 4 and len(slurm.jobs()) == 8)
    wait_for(lambda: any(b'"points"' in path.read_bytes() for path in workspace.results.glob("work/*/records.jsonl")))
    process.kill()
    process.wait()
    assert len(slurm.jobs()) == 8, "they need no driver"
    # One ends, and another begins, while there is none.
    wait_for(
        lambda: any(b'"kind":"end"' in path.read_bytes() for path in workspace.results.glob("work/*/records.jsonl"))
    )
    workspace.run("run", suite, *ON_SLURM)
    assert [row["state"] for row in rows(workspace)] == ["done"] * 8
    assert len({row["mlflow_run_id"] for row in workspace.table()}) == 8
    assert len(submitted(slurm, workspace)) == 8, "none was submitted twice"
    local = Workspace(workspace.folder / "local")
    local.folder.mkdir()
    local.run("run", suite, "--device", "cpu", "--workers", "2")
    assert rows(workspace) == rows(local)


def test_jobs_of_another_suite_are_left_alone_and_their_results_are_found(slurm: Cluster, workspace: Workspace) -> None:
    long = workspace.suite("long", **RING | {"compare": METRIC}, seeds=1, matrix={"tricks": [[]]}, question="Held?")
    process = workspace.start("run", long, *ON_SLURM, "--slurm", "hold=", output=subprocess.DEVNULL)
    wait_for(lambda: len(slurm.jobs()) == 1)
    process.send_signal(signal.SIGHUP)  # a closed terminal, a logout
    process.wait(60)
    [number] = slurm.jobs("%A")
    two = workspace.suite(
        **RING | {"matrix": {"tricks": [["ema"], ["one_sided_label_smoothing"]]}, "compare": METRIC}, seeds=1
    )
    workspace.run("run", two, *ON_SLURM)
    assert slurm.jobs("%A") == [number], "it still waits"
    slurm.asked("scontrol", "release", number)
    wait_for(lambda: not slurm.jobs())
    workspace.run("run", long, *ON_SLURM)
    assert len(submitted(slurm, workspace)) == 3, "it was not submitted again"
    assert [row["state"] for row in workspace.table("long")] == ["done"]


def test_a_search_prunes_trials_elsewhere(slurm: Cluster, workspace: Workspace) -> None:
    space = {"model.generator_rate": {"type": "float", "low": 1e-6, "high": 1e-2, "log": True}}
    pruner = {"name": "successive_halving", "every": 50, "samples": 200}
    search = {"sampler": "random", "n_trials": 3, "space": space, "pruner": pruner}
    train = {"steps": 200, "batch_size": 16, "precision": "float32"}
    changes = RING | {"search": search, "train": train, "matrix": {"tricks": [[]]}, "compare": METRIC}
    suite = workspace.suite(**changes, seeds=1)
    workspace.run("run", suite, *ON_SLURM[:-1], "1")
    local = Workspace(workspace.folder / "local")
    local.folder.mkdir()
    local.run("run", suite, "--device", "cpu")
    assert "pruned" in [row["state"] for row in rows(workspace)]
    assert rows(workspace) == rows(local)
    assert len(submitted(slurm, workspace)) == 3


PACKAGE = """
from harness.plugins import Trick


class Quiet(Trick):
    name, summary, paper = "quiet", "asks for the learning rates", ""

    def rates(self, rates):
        return rates
"""


def test_a_plug_in_of_the_users_package_is_there_in_a_job(slurm: Cluster, workspace: Workspace) -> None:
    package(workspace.folder / "site", "quiet_trick", PACKAGE, {"harness.tricks": "quiet = quiet_trick:Quiet"})
    workspace.environment["PYTHONPATH"] = str(workspace.folder / "site")
    suite = workspace.suite(**RING | {"compare": METRIC}, seeds=1, matrix={"tricks": [["quiet"]]})
    workspace.run("run", suite, *ON_SLURM)
    assert [(row["state"], row["arm"]) for row in workspace.table()] == [("done", "gan + quiet")]
    assert len(submitted(slurm, workspace)) == 1

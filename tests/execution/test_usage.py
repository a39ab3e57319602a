"""What a worker says of the memory, the processor and the GPU that it uses."""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_cli import Workspace

from harness.execution import usage
from harness.execution.engine import Ended
from harness.execution.usage import Usage
from harness.execution.worker import perform
from harness.store import journal
from harness.store.folders import Folders
from harness.store.journal import Journal
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Task


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The clock on the wall and that of the processor, to be set."""
    now = {"monotonic": 1000.0, "process_time": 7.0}
    for name in now:
        monkeypatch.setattr(time, name, lambda name=name: now[name])
    return now


def test_the_share_of_a_core_is_that_since_the_last_time(clocks: dict[str, float]) -> None:
    own = Usage("cpu")
    clocks |= {"monotonic": 1009.0, "process_time": 20.0}
    assert own.due() == {}
    clocks["monotonic"] = 1020.0
    assert own.due()["process_cpu_utilization_percentage"] == 65.0  # 13 of 20 seconds
    assert own.due() == {}
    clocks |= {"monotonic": 1030.0, "process_time": 35.0}
    assert own.due()["process_cpu_utilization_percentage"] == 150.0  # 15 of 10 seconds


@pytest.mark.skipif(not usage.MEMORY.is_file(), reason="needs Linux's /proc")
def test_the_memory_is_that_of_the_process(clocks: dict[str, float]) -> None:
    own = Usage("cpu")
    clocks["monotonic"] += 10
    found = own.due()["process_memory_usage_megabytes"]
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:")]
    assert found == pytest.approx(int(line.split()[1]) * 1024 / 1e6, rel=0.02)


def test_a_system_that_does_not_say_it_has_no_memory(
    clocks: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(usage, "MEMORY", tmp_path / "none")
    own = Usage("cpu")
    clocks["monotonic"] += 10
    assert list(own.due()) == ["process_cpu_utilization_percentage"]


def test_a_gpu_has_the_names_of_mlflow_s_own_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000_000_000, 3_500_000_000))
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 40 + device.index)
    found = {"gpu_1_memory_usage_megabytes": 2500.0, "gpu_1_utilization_percentage": 41.0}
    assert usage._gpu("cuda:1") == found
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1_000_000_000, 3_500_000_000))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert usage._gpu("cuda")["gpu_0_memory_usage_megabytes"] == 2500.0


RUN = {"snapshots": 0, "curve_points": 10}  # snapshots have points of their own


def test_a_trial_records_it_at_points_of_its_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        def send(self, event: object) -> None: ...

        def poll(self) -> bool:
            return False

    made = make_plan(read_suite(Workspace(tmp_path).suite(seeds=1, matrix={"tricks": [[]]}, run=RUN)))
    folders, pipe = Folders(tmp_path), Pipe()
    task = Task(made.trials[0], made.suite.run, folders.work / made.trials[0].key, folders.cache)
    Journal(task.folder).begin("tiny", task.trial)
    monkeypatch.setattr(usage, "EVERY", 0.0)
    to_driver: Any = pipe
    assert isinstance(perform(task, "cpu", to_driver), Ended)
    gc.unfreeze()  # a worker lets what is left stay for good
    entries = [entry for entry, _ in journal.read(task.folder / journal.NAME)]
    points = [entry["points"][-1][1] for entry in entries if entry["kind"] == "points"]
    used = [entry for entry in entries if entry["kind"] == "usage"]
    assert [entry["step"] for entry in used] == points == list(range(2, 21, 2))
    assert all("process_cpu_utilization_percentage" in entry["used"] for entry in used)

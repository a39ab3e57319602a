"""The driver on real stores, with an engine that is made up here: what becomes of workers after their last word."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from harness_cli import Workspace

from harness.base.errors import HarnessError
from harness.base.states import State
from harness.execution import driver
from harness.execution.engine import Died, Ended, Engine, Event, Started, Waiting
from harness.store import delivery, folders
from harness.store import runs as runs_module
from harness.store.journal import NAME, Journal
from harness.suite import read_suite
from harness.suite.plan import Trial, make_plan
from harness.trial.task import Outcome, Task


class Lingering(Engine):
    """Every trial is recorded as done at once; its worker never says so, but does as told once that is delivered."""

    def __init__(self, then: Callable[[str], list[Event]]) -> None:
        self.then = then
        self.task: Task | None = None
        self.trained: list[str] = []

    @property
    def free(self) -> int:
        return int(self.task is None)

    def submit(self, task: Task) -> None:
        self.task = task
        self.trained.append(task.key)
        Journal(task.folder).end(Outcome(State.DONE, "", {"fid": 1.0, "covered_classes": 10.0}))

    def wait(self, seconds: float) -> list[Event]:
        assert self.task is not None
        time.sleep(0.05)
        if (self.task.folder / NAME).exists():
            return []
        found = self.then(self.task.key)
        if any(isinstance(event, Died) for event in found):
            self.task = None
        return found

    def answer(self, key: str, prune: bool) -> None: ...

    def kill(self, key: str) -> None:
        self.task = None

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Told:
    """What the driver says of the ends of trials."""

    def __init__(self) -> None:
        self.states: list[str] = []

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None: ...

    def began(self, trial: Trial) -> None: ...

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None: ...

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.states.append(outcome.state)

    def settled(self, trials: int) -> None: ...

    def note(self, text: str) -> None: ...


def dies(key: str) -> list[Event]:
    return [Died(key, "the worker was ended by SIGKILL", killed=True)]


def is_silent(key: str) -> list[Event]:
    return []


@pytest.mark.parametrize("then", [dies, is_silent])
def test_a_trial_whose_end_is_delivered_is_done_whatever_becomes_of_its_worker(
    tmp_path: Path, then: Callable[[str], list[Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(driver, "STARTING", 1.0)
    monkeypatch.setattr(driver, "ATTEMPTS", 1)
    plan = make_plan(read_suite(Workspace(tmp_path).suite(seeds=1, run={"time_limit": 1})))
    engine, told = Lingering(then), Told()
    with folders.exclusive(tmp_path, "a test"):
        run = driver.Driver(plan, tmp_path, engine, told)
        run.run()
    assert told.states == ["done"] * 2
    assert engine.trained == [trial.key for trial in plan.trials]
    assert then is is_silent or not run.delivery.closed, "what the driver has heard need not be kept"
    runs = [(one.data.tags["key"], runs_module.state(one)) for one in runs_module.Store(tmp_path).runs()]
    assert sorted(runs) == sorted((key, "done") for key in engine.trained)


class Queueing(Lingering):
    """A cluster's queue: a trial waits for a machine, twice, longer than it may take; then it is trained."""

    queues = True

    def __init__(self) -> None:
        super().__init__(is_silent)
        self.asked = 0

    def submit(self, task: Task) -> None:
        self.task, self.asked = task, 0

    def wait(self, seconds: float) -> list[Event]:
        time.sleep(0.05)
        self.asked += 1
        if self.task is None or self.asked < 10:
            moved = self.task if self.asked == 5 else None
            return [Started(moved.key, "cuda:6"), Waiting(moved.key)] if moved else []
        task, self.task = self.task, None
        outcome = Outcome(State.DONE, "", {"fid": 1.0, "covered_classes": 10.0})
        Journal(task.folder).end(outcome)
        self.trained.append(task.key)
        return [Started(task.key, "cuda:7"), Ended(task.key, outcome)]


def test_the_time_in_a_queue_is_no_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "STARTING", 0.01)
    plan = make_plan(read_suite(Workspace(tmp_path).suite(seeds=1, run={"time_limit": 0.01})))
    engine, told = Queueing(), Told()
    with folders.exclusive(tmp_path, "a test"):
        driver.Driver(plan, tmp_path, engine, told).run()
    assert told.states == ["done"] * 2
    assert engine.trained == [trial.key for trial in plan.trials]


@pytest.mark.parametrize("shared", ["shared.db", "one/mlflow.db"])
def test_folders_that_share_a_file_share_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str) -> None:
    with folders.exclusive(tmp_path / "one", "the first"), folders.exclusive(tmp_path / "other", "the second"):
        pass
    with contextlib.ExitStack() as first:
        if shared == "one/mlflow.db":  # where the first keeps its own
            first.enter_context(folders.exclusive(tmp_path / "one", "the first"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / shared}")
        if shared == "shared.db":
            first.enter_context(folders.exclusive(tmp_path / "one", "the first"))
        refused = rf"the store in .*{shared} is in use by `the first` \(process \d+ on"
        with pytest.raises(HarnessError, match=refused), folders.exclusive(tmp_path / "other", "the second"):
            pass
    with folders.exclusive(tmp_path / "other", "the second"):
        pass

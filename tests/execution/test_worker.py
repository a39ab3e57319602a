"""What a worker does with its trials, in this process."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace

from harness.execution.engine import Ended
from harness.execution.worker import perform
from harness.store.folders import Folders
from harness.store.journal import Journal
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Task


class Pipe:
    """Takes every event, and asks for nothing."""

    def send(self, event: object) -> None: ...

    def poll(self) -> bool:
        return False


def test_a_worker_looks_at_an_object_that_stays_only_once_and_gathers_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_plan(read_suite(Workspace(tmp_path).suite(seeds=4, matrix={"tricks": [[]]})))
    folders, frozen, left = Folders(tmp_path), list[int](), list[int]()
    monkeypatch.setattr(gc, "freeze", lambda freeze=gc.freeze: (left.append(len(gc.get_objects())), freeze()))
    for trial in made.trials:
        task = Task(trial, made.suite.run, folders.work / trial.key, folders.cache)
        Journal(task.folder).begin("tiny", trial)
        pipe: Any = Pipe()
        assert isinstance(perform(task, "cpu", pipe), Ended)
        frozen.append(gc.get_freeze_count())
    gc.unfreeze()
    assert frozen[0] > 50_000
    assert max(left[2:]) < frozen[0] / 20
    assert frozen[3] - frozen[2] < 1000

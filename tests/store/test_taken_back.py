"""The end of a trial that a driver sent, and before it was sent another driver may have had the trial."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from harness.base.states import State
from harness.store.claims import Claims
from harness.store.delivery import Delivery
from harness.store.folders import Folders
from harness.store.journal import Journal
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import Trial, make_plan
from harness.trial.task import Outcome


class Awake(Claims):
    """The claims of a driver that was stopped while it sent an end, for longer than its lease."""

    def __init__(self, taken: bool) -> None:
        self.taken = taken
        self.answers = iter([True, False])

    def holds(self, name: str) -> bool:
        return next(self.answers)

    def free(self, names: Collection[str]) -> set[str]:
        return set() if self.taken else set(names)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    suite = {"suite": "ends", "data": "ring", "base": {"model": "gan"}, "seeds": 1, "train": {"steps": 2}}
    (tmp_path / "ends.yaml").write_text(json.dumps(suite | {"evaluate": {"metrics": ["high_quality_modes"]}}))
    return make_plan(read_suite(tmp_path / "ends.yaml")).trials[0]


def deliver(results: Path, trial: Trial, claims: Claims) -> Store:
    """A trial has ended, and its journal is delivered."""
    store, work = Store(results), Folders(results).work
    store.create()
    records = Journal(work / trial.key)
    records.begin("ends", trial)
    records.end(Outcome(State.DONE, "", {"high_quality_modes": 8.0}, 1.0, 1.0))
    Delivery(store, work, print, claims).deliver()
    return store


@pytest.mark.parametrize("taken", [True, False])
def test_the_run_is_taken_back_only_if_another_driver_has_the_trial(tmp_path: Path, trial: Trial, taken: bool) -> None:
    store = deliver(tmp_path / "results", trial, Awake(taken))
    assert [run.info.status for run in store.of_key(trial.key)] == ([] if taken else ["FINISHED"])
    journal = Folders(store.results).work / trial.key / "records.jsonl"
    assert journal.exists() == taken, "what counts is delivered"


def test_the_run_is_taken_back_if_another_driver_has_done_the_trial(tmp_path: Path, trial: Trial) -> None:
    [first] = deliver(tmp_path / "results", trial, Claims()).of_key(trial.key)
    store = deliver(tmp_path / "results", trial, Awake(taken=False))
    assert [run.info.run_id for run in store.of_key(trial.key)] == [first.info.run_id]

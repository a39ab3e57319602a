"""Queues that several drivers share, on a real PostgreSQL, with outcomes made up here. Skipped where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from harness_cli import SEARCH, Workspace
from optuna.storages import RDBStorage
from servers import PostgreSQL, postgresql
from sqlalchemy import Engine, event

from harness.base import digests
from harness.base.states import State
from harness.execution.study import Known, MatrixQueue, SearchQueue, storage
from harness.store.studies import Studies
from harness.suite import read_suite
from harness.suite.plan import Plan, make_plan
from harness.trial.task import Outcome


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@pytest.fixture(autouse=True)
def _shared(database: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STORAGE", database.address())


def plan(folder: Path, name: str, **changes: Any) -> Plan:
    folder.mkdir(exist_ok=True)
    return make_plan(read_suite(Workspace(folder).suite(name, **changes)))


def entered(name: str, address: str) -> list[tuple[str, float | None]]:
    found = optuna.load_study(study_name=f"{name}/sharpness", storage=address)
    return sorted((frozen.user_attrs["key"], frozen.value) for frozen in found.trials)


def test_an_outcome_is_entered_by_one_driver(database: PostgreSQL, tmp_path: Path) -> None:
    made = plan(tmp_path, "matrix")
    known = {made.trials[0].key: Known(State.DONE, {"sharpness": 1.0})}
    one, other = (MatrixQueue(made, storage(tmp_path), dict(known)) for _ in range(2))
    for trial in made.trials[1:]:
        for queue in (one, other):  # the one that trained it, and the one that takes it over
            queue.tell(trial.key, Outcome(State.DONE, "", {"sharpness": 2.0}))
    values = [(made.trials[0].key, 1.0), *((trial.key, 2.0) for trial in made.trials[1:])]
    assert entered("matrix", database.address()) == sorted(values)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """The statements that reach a database, the trials that Optuna makes of the answers, the digests computed."""
    counted = Counter[str]()

    def counts(owner: Any, name: str) -> None:
        method = getattr(owner, name)

        def called(*words: Any) -> Any:
            counted[name] += 1
            return method(*words)

        monkeypatch.setattr(owner, name, called)

    def statement(*_: Any) -> None:
        counted["statement"] += 1

    counts(RDBStorage, "_build_frozen_trial_from_trial_model")
    counts(digests, "seal")
    event.listen(Engine, "before_cursor_execute", statement)
    yield counted
    event.remove(Engine, "before_cursor_execute", statement)


def test_an_outcome_costs_as_much_whatever_the_study_has(tmp_path: Path, reading: Counter[str]) -> None:
    made = plan(tmp_path, "many", seeds=15)
    one, other = (MatrixQueue(made, storage(tmp_path), {}) for _ in range(2))
    costs = []
    for number, trial in enumerate(made.trials):
        for queue in (one, other):
            reading.clear()
            queue.tell(trial.key, Outcome(State.DONE, "", {"sharpness": float(number)}))
            costs.append(dict(reading))
    first, later = costs[2:4], costs[4:]
    assert [cost["_build_frozen_trial_from_trial_model"] for cost in first] == [1, 1], "what the other one has added"
    assert later == first * (len(later) // 2)


def test_a_search_goes_on_with_another_driver_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def search(name: str, claims: Any) -> SearchQueue:
        made = plan(tmp_path, name, **SEARCH, seeds=1)
        claim = None if claims is None else lambda study: claims.take(study).ours
        return SearchQueue(made.suite, made.cells[0], storage(tmp_path), {}, claim=claim)

    def values(queue: SearchQueue, n: int) -> list[Any]:
        drawn = []
        for _ in range(n):
            work = queue.next()
            assert work is not None
            queue.tell(work.trial.key, Outcome(State.DONE, "", {"sharpness": 1.0, "fid": 1.0}))
            drawn.append(work.trial.arm.model.settings.latent)
        return drawn

    whole = values(search("whole", None), 3)
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    studies = Studies(tmp_path)
    with studies.claims(tmp_path / "one") as mine, studies.claims(tmp_path / "other") as theirs:
        first, second = search("parts", mine), search("parts", theirs)
        parts = values(first, 1)
        assert second.next() is None
        assert (second.waits, second.ended, first.waits) == (True, False, False)
        assert first.next() is not None  # and dies with it
        assert first.give_up(first.study.study_name)
        mine.finish([first.study.study_name])
        parts += values(second, 2)
        assert (second.waits, second.ended, second.next()) == (False, True, None)
        assert first.next() is None
        assert not first.ended
    assert parts == whole

"""The records of trials, line by line, and their delivery to a local MLflow: torn, flipped, doubled, refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace
from mlflow import MlflowClient
from mlflow.entities import Run

from harness.base.states import State
from harness.store import journal
from harness.store.delivery import Delivery
from harness.store.journal import Journal
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import Trial, make_plan
from harness.trial.task import Outcome


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, ...]:
    return make_plan(read_suite(Workspace(tmp_path_factory.mktemp("suite")).suite())).trials


def written(folder: Path, trial: Trial) -> Journal:
    made = Journal(folder)
    made.begin("tiny", trial)
    for step in range(1, 6):
        made.points([("loss", step, step / 3)])
    return made


def write(path: Path) -> Path:
    path.write_bytes(b"a picture")
    return path


def kinds(folder: Path) -> list[str]:
    return [entry["kind"] for entry, _ in journal.read(folder / journal.NAME)]


def test_points_are_recorded_once(tmp_path: Path, trials: tuple[Trial, ...]) -> None:
    written(tmp_path, trials[0])
    again = Journal(tmp_path)
    again.begin("tiny", trials[0])
    again.points([("loss", step, step / 3) for step in range(1, 8)])
    read = [entry for entry, _ in journal.read(tmp_path / journal.NAME)]
    points = [tuple(point) for entry in read if entry["kind"] == "points" for point in entry["points"]]
    assert points == [("loss", step, step / 3) for step in range(1, 8)]


def test_what_is_left_is_gone_on_with(tmp_path: Path, trials: tuple[Trial, ...]) -> None:
    written(tmp_path, trials[0])
    for _ in range(2):
        journal.interrupt(tmp_path.parent)
    Journal(tmp_path).begin("tiny", trials[0])
    Journal(tmp_path).end(Outcome(State.DONE, values={"fid": 1.0}))
    journal.interrupt(tmp_path.parent)
    assert kinds(tmp_path) == ["begin", *["points"] * 5, "interrupt", "resume", "end"]
    assert Journal(tmp_path).outcome == Outcome(State.DONE, values={"fid": 1.0})


def test_a_damaged_line_ends_the_records(tmp_path: Path, trials: tuple[Trial, ...]) -> None:
    written(tmp_path, trials[0]).end(Outcome(State.DONE))
    path = tmp_path / journal.NAME
    whole = path.read_bytes()
    starts = [0, *(end for _, end in journal.read(path))]
    rng = random.Random(0)
    for _ in range(200):
        content = bytearray(whole)
        if rng.random() < 0.5:
            place = rng.randrange(len(whole))
            content[place] ^= 1 << rng.randrange(8)
        else:
            place = rng.randrange(1, len(whole))
            del content[place:]
        path.write_bytes(content)
        intact = sum(start <= place for start in starts) - 1
        assert len(kinds(tmp_path)) == intact
        opened = Journal(tmp_path)
        assert opened.outcome is None
        assert path.read_bytes() == whole[: starts[intact]]  # and what comes next stands on its own
        opened.begin("tiny", trials[0])
        opened.end(Outcome(State.FAILED))
        assert kinds(tmp_path)[-1] == "end"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    store.create()
    return store


def runs(store: Store, trial: Trial) -> list[Run]:
    client: MlflowClient = store.client
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: list[Run] = client.search_runs(experiments, f"tags.key = '{trial.key}'")
    return found


def steps(store: Store, run: Run) -> list[int]:
    return [point.step for point in store.client.get_metric_history(run.info.run_id, "train/loss")]


def test_delivered_as_often_as_one_likes_it_is_there_once(
    tmp_path: Path, store: Store, trials: tuple[Trial, ...]
) -> None:
    made = written(tmp_path / "a", trials[0])
    for _ in range(3):  # as after a crash of the driver: nothing is known of what arrived
        Delivery(store, tmp_path, print).deliver()
        [run] = runs(store, trials[0])
        assert (run.info.status, steps(store, run)) == ("RUNNING", [1, 2, 3, 4, 5])
    token = run.data.tags["token"]
    store.client.create_run(run.info.experiment_id, tags={"key": trials[0].key, "token": token})  # a late answer
    made.end(Outcome(State.DONE, values={"fid": 2.0}))
    Delivery(store, tmp_path, print).deliver()
    [run] = runs(store, trials[0])
    assert (run.info.status, steps(store, run), run.data.metrics["fid"]) == ("FINISHED", [1, 2, 3, 4, 5], 2.0)
    assert not (tmp_path / "a").exists()


REQUESTS = ("create_run", "log_batch", "set_terminated", "search_runs", "get_run", "set_tag", "log_artifact")
"""The requests to MLflow that a delivery may make."""


@pytest.mark.parametrize(
    ("begun_before", "wanted"),
    [
        (False, ["create_run", "log_batch", "set_terminated"]),
        (True, ["search_runs", "create_run", "log_batch", "search_runs", "set_terminated"]),
    ],
)
def test_a_trial_that_ends_between_two_deliveries_costs_few_requests(
    tmp_path: Path, trials: tuple[Trial, ...], monkeypatch: pytest.MonkeyPatch, begun_before: bool, wanted: list[str]
) -> None:
    store = Store(tmp_path)
    store.create()
    made = Delivery(store, tmp_path / "work", print)
    made.suite("tiny")  # as the driver does when it starts
    begun = written(tmp_path / "work" / "a", trials[0])
    begun.file(write(begun.path.parent / "step.png"), "samples")
    said: list[str] = []
    for name in REQUESTS:
        before = getattr(MlflowClient, name)

        def counted(*words: Any, name: str = name, before: Any = before, **more: Any) -> Any:
            said.append(name)
            return before(*words, **more)

        monkeypatch.setattr(MlflowClient, name, counted)
    begun.environment({"device": "cpu"})
    begun.end(Outcome(State.DONE, values={"fid": 1.0}))
    if begun_before:  # by another process, which may have created its run
        made.deliver()
    else:
        made.start()
        made.finish()
    assert said == wanted
    [run] = runs(store, trials[0])
    assert (run.info.status, run.data.metrics["fid"], steps(store, run)) == ("FINISHED", 1.0, [1, 2, 3, 4, 5])
    assert run.data.tags["device"] == "cpu"
    place = store.place(run)
    assert place is not None
    assert (place / "samples" / "step.png").read_bytes() == b"a picture"


def test_more_than_one_request_takes_is_sent_in_several(tmp_path: Path, trials: tuple[Trial, ...]) -> None:
    store = Store(tmp_path)
    store.create()
    made = Journal(tmp_path / "work" / "a")
    made.begin("tiny", trials[0])
    for step in range(1, 1201):
        made.points([(name, step, float(step)) for name in ("loss", "other")])
    made.environment({f"version_{number}": "1" for number in range(150)})
    made.end(Outcome(State.DONE, values={"fid": 1.0}))
    Delivery(store, tmp_path / "work", print).deliver()
    [run] = runs(store, trials[0])
    assert steps(store, run) == list(range(1, 1201))
    assert {f"version_{number}" for number in range(150)} <= run.data.tags.keys()
    assert run.info.status == "FINISHED"


def test_what_was_left_is_not_told_again_at_every_start(
    tmp_path: Path, store: Store, trials: tuple[Trial, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = written(tmp_path / "a", trials[1])
    made.interrupt()
    first = Delivery(store, tmp_path, print)
    first.deliver()
    first.remember()
    first.remember()
    size = made.path.stat().st_size
    [run] = runs(store, trials[1])
    assert run.info.status == "KILLED"
    calls: list[str] = []
    monkeypatch.setattr(Store, "client", property(lambda self: calls.append("") or MlflowClient(self.uri)))
    second = Delivery(store, tmp_path, print)
    second.deliver()
    second.remember()
    assert calls == []
    assert made.path.stat().st_size == size
    made = Journal(tmp_path / "a")
    made.begin("tiny", trials[1])
    made.points([("loss", 6, 2.0)])
    made.end(Outcome(State.DONE))
    Delivery(store, tmp_path, print).deliver()
    [run] = runs(store, trials[1])
    assert (run.info.status, steps(store, run)) == ("FINISHED", [1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize("digits", [1, 400])
def test_what_a_trial_used_is_a_system_metric_and_is_not_read(
    tmp_path: Path, trials: tuple[Trial, ...], digits: int
) -> None:
    store = Store(tmp_path)
    store.create()
    made = written(store.results / "work" / "a", trials[0])
    made.usage(5, {"process_memory_usage_megabytes": 812.5})
    # The names of so many values are too long for a seal: it is one digest of all of them.
    values = {f"value_{number:020d}": float(number) for number in range(digits)}
    made.end(Outcome(State.DONE, values=values))
    Delivery(store, store.results / "work", print).deliver()
    [there] = runs(store, trials[0])
    [point] = store.client.get_metric_history(there.info.run_id, "system/process_memory_usage_megabytes")
    assert (point.step, point.value) == (5, 812.5)
    [run] = store.runs()
    assert run.changes == []
    assert store.record(run, "arm").values == values


def test_the_sign_of_zero_is_lost_and_no_damage(tmp_path: Path, trials: tuple[Trial, ...]) -> None:
    store = Store(tmp_path)
    store.create()
    made = Journal(store.results / "work" / "a")
    made.begin("tiny", trials[0])
    made.points([("loss", 1, -0.0), ("loss", 2, 0.0)])
    made.end(Outcome(State.DONE, values={"fid": -0.0}))
    Delivery(store, store.results / "work", print).deliver()
    [run] = store.runs()
    record = store.record(run, "arm")
    assert (record.values, record.curves) == ({"fid": 0.0}, [("loss", 1, 0.0), ("loss", 2, 0.0)])


def test_a_run_that_somebody_deleted_is_made_again(tmp_path: Path, store: Store, trials: tuple[Trial, ...]) -> None:
    made = written(tmp_path / "a", trials[2])
    delivery = Delivery(store, tmp_path, print)
    delivery.deliver()
    [run] = runs(store, trials[2])
    store.client.delete_run(run.info.run_id)
    made.points([("loss", 6, 2.0)])
    made.end(Outcome(State.DONE))
    delivery.deliver()
    [again] = runs(store, trials[2])
    assert again.info.run_id != run.info.run_id
    assert steps(store, again) == [1, 2, 3, 4, 5, 6]


def test_what_mlflow_refuses_stays_and_stands_in_nobody_s_way(
    tmp_path: Path, store: Store, trials: tuple[Trial, ...]
) -> None:
    refused = written(tmp_path / "a", trials[3])
    refused.points([("loss?!", 1, 1.0)])
    refused.end(Outcome(State.DONE))
    written(tmp_path / "b", trials[0]).end(Outcome(State.DONE))
    said: list[str] = []
    delivery = Delivery(store, tmp_path, said.append)
    delivery.deliver()
    delivery.deliver()
    assert len(said) == 1
    assert "refuses what" in said[0]
    assert refused.path.is_file()
    assert not (tmp_path / "b").exists()

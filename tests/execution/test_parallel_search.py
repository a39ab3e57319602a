"""Searches with several configurations open at a time, on a real Optuna store; outcomes are made up."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from bench_driver import MadeUp, Silent
from harness_cli import Workspace

from harness.base.states import State
from harness.execution.driver import Driver
from harness.execution.engine import Ended, Event
from harness.execution.study import Known, Queue, SearchQueue, Work, queues, storage
from harness.store.journal import Journal
from harness.suite import read_suite
from harness.suite.plan import Plan, make_plan
from harness.trial.task import Outcome

SPACE = {
    "model.generator_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
    "model.latent": {"type": "int", "low": 8, "high": 64},
}
FIXED = {"model.objective": {"type": "categorical", "choices": ["minimax", "non_saturating"]}}
TWO_CELLS = {"tricks": [[], ["one_sided_label_smoothing"]]}
MEDIAN = {"name": "median", "every": 5, "samples": 50}


def plan(folder: Path, matrix: dict[str, Any] | None = None, seeds: int = 2, **changes: Any) -> Plan:
    folder.mkdir(exist_ok=True)
    wanted = {"n_trials": 6, "space": SPACE, "parallel": "slots"} | changes
    return make_plan(read_suite(Workspace(folder).suite(search=wanted, matrix=matrix or {"tricks": [[]]}, seeds=seeds)))


def search(folder: Path, known: dict[str, Known] | None = None, **changes: Any) -> SearchQueue:
    made = plan(folder, **changes)
    return SearchQueue(made.suite, made.cells[0], storage(folder), {} if known is None else known)


def study(folder: Path) -> optuna.Study:
    url = f"sqlite:///{folder / 'optuna.db'}"
    [name] = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


def states(folder: Path) -> list[str]:
    return [one.state.name for one in study(folder).trials]


def asked(queue: Queue, slots: int = 1000) -> list[Work]:
    """What a driver with so many free slots submits."""
    found: list[Work] = []
    while len(found) < slots and (work := queue.next()) is not None:
        found.append(work)
    return found


def done(work: Work) -> Outcome:
    return Outcome(State.DONE, "", {"sharpness": float(work.trial.arm.model.settings.latent)})


def arms(works: list[Work]) -> list[str]:
    return list(dict.fromkeys(work.trial.arm.name for work in works))


def test_so_many_configurations_are_open_as_the_suite_says(tmp_path: Path) -> None:
    queue = search(tmp_path, parallel=3)
    first = asked(queue)
    assert len(arms(first)) == 3
    assert len(first) == 6  # two seeds each
    queue.tell(first[0].trial.key, done(first[0]))
    assert asked(queue) == [], "its other seed still runs"
    queue.tell(first[1].trial.key, done(first[1]))
    assert len(arms(asked(queue))) == 1
    assert states(tmp_path) == ["COMPLETE", "RUNNING", "RUNNING", "RUNNING"]


def test_every_free_slot_gets_a_trial_and_no_configuration_is_tried_beyond_the_last(tmp_path: Path) -> None:
    queue = search(tmp_path)
    assert len(asked(queue, slots=5)) == 5
    assert states(tmp_path) == ["RUNNING"] * 3
    assert len(asked(queue)) == 2 * 6 - 5
    assert states(tmp_path) == ["RUNNING"] * 6


def test_configurations_end_in_any_order_each_with_its_own_mean(tmp_path: Path) -> None:
    queue = search(tmp_path)
    works = asked(queue)
    for work in reversed(works):
        queue.tell(
            work.trial.key, Outcome(State.DONE, "", {"sharpness": done(work).values["sharpness"] + work.trial.seed})
        )
    assert queue.remaining == 0
    assert [one.value for one in study(tmp_path).trials] == [
        one.params["model.latent"] + 0.5 for one in study(tmp_path).trials
    ]


def test_a_seed_that_fails_ends_its_own_configuration_alone(tmp_path: Path) -> None:
    queue = search(tmp_path, parallel=2)
    works = asked(queue)
    queue.tell(works[0].trial.key, Outcome(State.DIVERGED, "so"))
    for work in works[1:]:
        queue.tell(work.trial.key, done(work))
    assert states(tmp_path) == ["FAIL", "COMPLETE"]


def test_after_a_kill_the_open_configurations_go_on_and_each_ends_once(tmp_path: Path) -> None:
    known: dict[str, Known] = {}
    first = search(tmp_path, known)
    works = asked(first, slots=7)
    ended = [works[0], works[1], works[2], works[5]]  # of the first both seeds, of others one or none
    for work in ended:
        first.tell(work.trial.key, done(work))
    again = search(tmp_path, dict(known))
    rest = asked(again)
    assert {work.trial.key for work in works} - {work.trial.key for work in ended} < {w.trial.key for w in rest}
    assert not {work.trial.key for work in ended} & {work.trial.key for work in rest}
    assert len(rest) == 2 * 6 - len(ended)
    for work in rest:
        again.tell(work.trial.key, done(work))
    assert states(tmp_path) == ["COMPLETE"] * 6
    assert again.remaining == 0
    assert again.ended


def test_one_at_a_time_goes_on_with_all_that_a_wider_search_left_open(tmp_path: Path) -> None:
    left = arms(asked(search(tmp_path), slots=5))
    queue, order = search(tmp_path, parallel=1), []
    while works := asked(queue):
        assert len(arms(works)) == 1
        order += arms(works)
        for work in works:
            queue.tell(work.trial.key, done(work))
    assert order[:3] == left
    assert states(tmp_path) == ["COMPLETE"] * 6


def test_a_killed_search_proposes_beside_the_open_configurations_what_it_would_have(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole", n_trials=40, parallel=2)
    for _ in range(15):  # more than Optuna's TPE tries at random
        for work in asked(whole, slots=2):
            whole.tell(work.trial.key, done(work))
    open_before = asked(whole, slots=2)
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    after_kill = search(tmp_path / "killed", dict(whole.known), n_trials=40, parallel=2)
    next_of_whole, next_of_killed = asked(whole)[-1], asked(after_kill)[-1]
    assert len(arms(open_before)) == 1
    assert next_of_whole.trial.arm not in [work.trial.arm for work in open_before]
    assert next_of_killed.trial.key == next_of_whole.trial.key


def test_the_sampler_knows_which_configurations_are_open(tmp_path: Path) -> None:
    proposals = []
    for number, latent in enumerate((8, 64)):
        folder = tmp_path / str(number)
        queue = search(folder, n_trials=40, parallel=2)
        for _ in range(12):
            for work in asked(queue, slots=2):
                queue.tell(work.trial.key, done(work))
        asked(queue, slots=2)
        distribution = optuna.distributions.IntDistribution(8, 64)
        [opened] = [one for one in queue._memory._study.get_trials(deepcopy=False) if not one.state.is_finished()]
        opened.params["model.latent"] = latent
        opened.system_attrs.clear()
        assert distribution == opened.distributions["model.latent"]
        asked(queue)
        proposals.append(study(folder).trials[-1].params)
    assert proposals[0] != proposals[1], "what is open elsewhere changes what is proposed"


def test_configurations_that_repeat_an_open_one_wait_for_its_outcome(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=8, space=FIXED, sampler="random")
    works = asked(queue)
    assert len(works) == len({work.trial.key for work in works}) == 4  # two configurations, two seeds
    assert states(tmp_path) == ["RUNNING"] * 8
    for work in works[:3]:
        queue.tell(work.trial.key, done(work))
    queue.tell(works[3].trial.key, Outcome(State.DIVERGED, "so"))
    ended = [(one.params["model.objective"], one.state.name) for one in study(tmp_path).trials]
    assert len(set(ended)) == 2
    assert {state for _, state in ended} == {"COMPLETE", "FAIL"}
    assert queue.repeated.startswith("gan: 6 of 8 configurations repeat earlier ones")


def test_with_a_pruner_every_free_slot_gets_a_scout_and_the_median_is_over_what_has_ended(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=9, pruner=MEDIAN)
    scouts = asked(queue)
    assert len(arms(scouts)) == len(scouts) == 9, "the other seeds wait for their scouts"
    for scout in scouts[:6]:
        assert not queue.measured(scout.trial.key, 5, 1.0)
        queue.tell(scout.trial.key, done(scout))
    others = asked(queue)
    assert arms(others) == arms(scouts[:6])
    assert not queue.measured(scouts[6].trial.key, 5, -9.0), "of the six only the scouts have ended"
    for other in others:
        queue.tell(other.trial.key, done(other))
    assert queue.measured(scouts[7].trial.key, 5, 0.0), "far worse than the median of the six"
    assert not queue.measured(scouts[8].trial.key, 5, 2.0)
    queue.tell(scouts[7].trial.key, Outcome(State.PRUNED, "so"))
    assert states(tmp_path) == ["COMPLETE"] * 6 + ["RUNNING", "PRUNED", "RUNNING"]


def calls(queue: SearchQueue, n: int) -> int:
    """How many functions are called for so many further configurations."""
    count = 0

    def called(*_: Any) -> None:
        nonlocal count
        count += 1

    sys.setprofile(called)
    try:
        for _ in range(n):
            for work in asked(queue, slots=2):
                queue.tell(work.trial.key, done(work))
    finally:
        sys.setprofile(None)
    return count


def test_a_configuration_costs_the_driver_as_much_after_many_as_after_few(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=1000, parallel=1, sampler="random")  # that of TPE itself grows
    calls(queue, 3)
    few = calls(queue, 4)
    calls(queue, 30)
    assert calls(queue, 4) < 1.02 * few


class Slots(MadeUp):
    """Four slots; ends the trials that it has at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.together: list[list[str]] = []
        """The arms that ran at a time."""

    @property
    def free(self) -> int:
        return 4 - len(self.tasks)

    def wait(self, seconds: float) -> list[Event]:
        self.together.append([task.trial.arm.name for task in self.tasks])
        events: list[Event] = []
        for task in self.tasks:
            outcome = Outcome(State.DONE, "", {"sharpness": 1.0, "covered_classes": 10.0})
            Journal(task.folder).end(outcome)
            events.append(Ended(task.key, outcome))
        self.tasks = []
        return events


@pytest.mark.slow
def test_searches_share_the_slots(tmp_path: Path) -> None:
    made = plan(tmp_path, matrix=TWO_CELLS, n_trials=4, seeds=1)
    engine = Slots()
    Driver(made, tmp_path, engine, Silent()).run()
    cells = [name.split(" #")[0] for name in engine.together[0]]
    assert sorted(cells.count(cell) for cell in set(cells)) == [2, 2]
    assert len([one for each in engine.together for one in each]) == 2 * 4


def test_a_search_is_ahead_by_the_configurations_that_are_open_beside_the_first(tmp_path: Path) -> None:
    made = plan(tmp_path, matrix=TWO_CELLS)
    one, two = queues(made, storage(tmp_path), {})
    asked(one, slots=5)
    assert (one.ahead, two.ahead) == (2, 0)

"""Queues on a real Optuna store, with outcomes made up here instead of trained."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from harness_cli import Workspace
from sqlalchemy import Engine, event

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.execution.study import (
    ConfirmQueue,
    Known,
    MatrixQueue,
    Queue,
    SearchQueue,
    configurations,
    queues,
    storage,
)
from harness.suite import read_suite
from harness.suite.plan import Plan, make_plan, trial
from harness.trial.task import Outcome

SPACE = {
    "model.generator_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
    "model.latent": {"type": "int", "low": 8, "high": 64},
    "model.objective": {"type": "categorical", "choices": ["minimax", "non_saturating"]},
}


def plan(folder: Path, **changes: Any) -> Plan:
    folder.mkdir(exist_ok=True)
    return make_plan(read_suite(Workspace(folder).suite(**changes)))


def search(folder: Path, known: dict[str, Known] | None = None, **changes: Any) -> SearchQueue:
    made = plan(folder, search={"n_trials": 6, "space": SPACE} | changes, matrix={"tricks": [[]]})
    return SearchQueue(made.suite, made.cells[0], storage(folder), known or {})


def done(fid: float) -> Outcome:
    return Outcome(State.DONE, "", {"sharpness": fid, "covered_classes": 10.0})


def drain(queue: Queue, outcome: Outcome) -> Iterator[str]:
    while (work := queue.next()) is not None:
        queue.tell(work.trial.key, outcome)
        yield work.trial.arm.name


def study(folder: Path) -> optuna.Study:
    [summary] = optuna.get_all_study_summaries(f"sqlite:///{folder / 'optuna.db'}")
    return optuna.load_study(study_name=summary.study_name, storage=f"sqlite:///{folder / 'optuna.db'}")


def test_a_matrix_is_run_whole_and_once_whatever_fails(tmp_path: Path) -> None:
    made = plan(tmp_path)
    queue = MatrixQueue(made, storage(tmp_path), {})
    keys = []
    for outcome in (done(1.0), Outcome(State.FAILED, "so"), Outcome(State.DIVERGED, "so"), done(2.0)):
        work = queue.next()
        assert work is not None
        keys.append(work.trial.key)
        queue.tell(work.trial.key, outcome)
    assert queue.next() is None
    assert sorted(keys) == sorted(trial.key for trial in made.trials)
    assert queue.remaining == 0


def test_the_first_of_every_arm_comes_first_and_then_the_arm_that_takes_longest(tmp_path: Path) -> None:
    made = plan(tmp_path, seeds=3)
    quick, slow = (cell.arm.name for cell in made.cells)
    took = {quick: 1.0, slow: 5.0}
    queue = MatrixQueue(made, storage(tmp_path), {})
    order = []
    while (work := queue.next()) is not None:
        order.append((work.trial.arm.name, work.trial.seed))
        queue.tell(work.trial.key, Outcome(State.DONE, "", {"sharpness": 1.0}, took[work.trial.arm.name]))
    assert order == [(quick, 0), (slow, 0), (slow, 1), (slow, 2), (quick, 1), (quick, 2)]


def test_the_axes_of_the_matrix_are_parameters_of_the_study(tmp_path: Path) -> None:
    axes = {"tricks": [[], ["ema"], ["ema", "r1"]], "model.latent": [16, 64]}
    queue = MatrixQueue(plan(tmp_path, matrix=axes, seeds=1, compare={"metric": "sharpness"}), storage(tmp_path), {})
    while (work := queue.next()) is not None:
        queue.tell(work.trial.key, Outcome(State.DONE, "", {"sharpness": 1.0 + work.trial.arm.model.settings.latent}))
    found = {(trial.params["tricks"], trial.params["model.latent"]): trial.value for trial in queue.study.trials}
    assert found == {(t, n): 1.0 + n for t in ("none", "ema", "ema + r1") for n in (16, 64)}
    assert optuna.importance.get_param_importances(queue.study)["model.latent"] > 0.9


def test_a_value_that_is_new_on_an_axis_of_choices_has_a_parameter_of_its_own(tmp_path: Path) -> None:
    def told(tricks: list[list[str]], latent: list[int]) -> list[dict[str, object]]:
        axes = {"tricks": tricks, "model.latent": latent}
        made = plan(tmp_path, matrix=axes, seeds=1, compare={"metric": "sharpness"})
        queue = MatrixQueue(made, storage(tmp_path), {})
        for each in made.trials:
            queue.tell(each.key, Outcome(State.FAILED, "so"))
        return [each.params for each in queue.study.trials]

    assert told([[], ["ema"]], [16])[-1] == {"tricks": "ema", "model.latent": 16}
    # A range may grow, and choices may be fewer.
    assert told([["ema"]], [128])[-1] == {"tricks": "ema", "model.latent": 128}
    assert told([["r1"], ["ema"]], [16])[-2:] == [
        {"tricks (2)": "r1", "model.latent": 16},
        {"tricks (2)": "ema", "model.latent": 16},
    ]


def test_the_next_run_knows_how_long_an_arm_takes(tmp_path: Path) -> None:
    made = plan(tmp_path, seeds=2)
    seconds = dict(zip((cell.arm.name for cell in made.cells), (1.0, 5.0), strict=True))
    known = {t.key: Known(State.DONE, {}, "", seconds[t.arm.name]) for t in made.trials if t.seed == 0}
    work = MatrixQueue(made, storage(tmp_path), known).next()
    assert work is not None
    assert (seconds[work.trial.arm.name], work.trial.seed) == (5.0, 1)


def test_an_arm_that_still_runs_takes_longer_than_one_that_has_ended(tmp_path: Path) -> None:
    made = plan(tmp_path, seeds=2)
    queue = MatrixQueue(made, storage(tmp_path), {})
    quick, slow = queue.next(), queue.next()
    assert quick is not None
    assert slow is not None
    queue.tell(quick.trial.key, Outcome(State.DONE, "", {"sharpness": 1.0}, 1.0))
    work = queue.next()
    assert work is not None
    assert work.trial.arm == slow.trial.arm


def test_a_trial_costs_the_study_as_many_queries_whether_it_waits_beside_many_or_few(tmp_path: Path) -> None:
    counts = []
    for seeds in (2, 20):
        queue = MatrixQueue(plan(tmp_path / str(seeds), seeds=seeds), storage(tmp_path / str(seeds)), {})
        said: list[str] = []

        def count(*arguments: Any, said: list[str] = said) -> None:
            said.append(arguments[2])

        event.listen(Engine, "before_cursor_execute", count)
        try:
            trials = len(list(drain(queue, done(1.0))))
        finally:
            event.remove(Engine, "before_cursor_execute", count)
        counts.append(len(said) / trials)
    assert counts[0] == counts[1] < 20


def test_the_queue_of_an_older_harness_is_closed(tmp_path: Path) -> None:
    made = plan(tmp_path)
    old = MatrixQueue(made, storage(tmp_path), {}).study
    old.enqueue_trial({}, user_attrs={"key": made.trials[0].key})
    old.enqueue_trial({}, user_attrs={"key": made.trials[1].key})
    old.ask()  # its driver is killed
    queue = MatrixQueue(made, storage(tmp_path), {})
    assert [trial.state.name for trial in study(tmp_path).trials] == ["FAIL", "FAIL"]
    assert len(list(drain(queue, done(1.0)))) == 4


def test_an_arm_without_the_metric_holds_up_nobody(tmp_path: Path) -> None:
    made = plan(tmp_path, seeds=1)
    queue = MatrixQueue(made, storage(tmp_path), {})
    assert len(list(drain(queue, Outcome(State.DONE, "", {"covered_classes": 10.0})))) == 2
    assert queue.remaining == 0
    failed = study(tmp_path).trials
    assert [trial.state.name for trial in failed] == ["FAIL", "FAIL"]
    assert failed[0].user_attrs["reason"] == "it has no value of sharpness"
    known = {trial.key: Known(State.DONE, {}) for trial in made.trials}
    assert MatrixQueue(made, storage(tmp_path), known).next() is None


def test_the_next_run_tries_again_only_what_failed_to_run(tmp_path: Path) -> None:
    made = plan(tmp_path)
    states = [State.DONE, State.FAILED, State.DIVERGED, State.DONE]
    queue = MatrixQueue(made, storage(tmp_path), {})
    known = {}
    for state in states:
        work = queue.next()
        assert work is not None
        values = {"sharpness": 1.0} if state is State.DONE else {}
        queue.tell(work.trial.key, Outcome(state, "", values))
        known[work.trial.key] = Known(state, values)
    again = MatrixQueue(made, storage(tmp_path), known)
    assert again.remaining == 1
    work = again.next()
    assert work is not None
    assert known[work.trial.key].state is State.FAILED
    assert again.next() is None


def test_what_a_killed_driver_left_behind_is_settled(tmp_path: Path) -> None:
    made = plan(tmp_path)
    queue = MatrixQueue(made, storage(tmp_path), {})
    first, second = queue.next(), queue.next()  # both run when the driver dies
    assert first is not None
    assert second is not None
    # The first had been finished and recorded in MLflow, but Optuna was not told.
    known = {first.trial.key: Known(State.DONE, {"sharpness": 3.5})}
    again = MatrixQueue(made, storage(tmp_path), known)
    trials = study(tmp_path).trials
    assert [t.value for t in trials if t.state.name == "COMPLETE"] == [3.5]
    assert not [t for t in trials if t.state.name == "RUNNING"]
    keys = set()
    while (work := again.next()) is not None:
        keys.add(work.trial.key)
        again.tell(work.trial.key, done(1.0))
    assert keys == {trial.key for trial in made.trials[1:]}
    complete = [t for t in study(tmp_path).trials if t.state.name == "COMPLETE"]
    assert sorted(t.user_attrs["key"] for t in complete) == sorted(trial.key for trial in made.trials)


def test_what_was_done_in_another_suite_is_entered_and_not_run(tmp_path: Path) -> None:
    made = plan(tmp_path)
    known = {trial.key: Known(State.DONE, {"sharpness": 2.0}) for trial in made.trials}
    queue = MatrixQueue(made, storage(tmp_path), known)
    assert queue.next() is None
    assert [t.value for t in study(tmp_path).trials] == [2.0] * 4


def test_trials_that_left_the_suite_are_not_run(tmp_path: Path) -> None:
    MatrixQueue(plan(tmp_path, seeds=4), storage(tmp_path), {})  # queued, then the suite shrinks
    fewer = plan(tmp_path, seeds=1)
    queue = MatrixQueue(fewer, storage(tmp_path), {})
    assert len(list(drain(queue, done(1.0)))) == 2


def test_a_configuration_s_value_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=1)
    for fid in (1.0, 4.0):
        work = queue.next()
        assert work is not None
        queue.tell(work.trial.key, done(fid))
    assert queue.next() is None
    [trial] = study(tmp_path).trials
    assert trial.value == 2.5
    assert trial.params.keys() == SPACE.keys()


def test_the_next_configuration_waits_for_all_seeds_of_this_one(tmp_path: Path) -> None:
    queue = search(tmp_path)
    one, two = queue.next(), queue.next()
    assert one is not None
    assert two is not None
    assert one.trial.arm == two.trial.arm
    assert queue.next() is None
    queue.tell(one.trial.key, done(1.0))
    assert queue.next() is None
    queue.tell(two.trial.key, done(1.0))
    three = queue.next()
    assert three is not None
    assert three.trial.arm != one.trial.arm


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_an_interrupted_search_proposes_what_an_uninterrupted_one_would(tmp_path: Path, sampler: str) -> None:
    def values(queue: SearchQueue, n: int) -> None:
        for i in range(n):
            work = queue.next()
            assert work is not None
            queue.tell(work.trial.key, done(float(work.trial.arm.model.settings.latent + i % 2)))

    values(search(tmp_path / "whole", sampler=sampler), 12)
    values(search(tmp_path / "parts", sampler=sampler), 6)
    values(search(tmp_path / "parts", sampler=sampler), 6)
    whole, parts = ([t.params for t in study(tmp_path / part).trials] for part in ("whole", "parts"))
    assert whole == parts
    assert len({str(params) for params in whole}) > 1


def killed(moment: int, does: Callable[[], None]) -> bool:
    """Do it in a process that dies just before its n-th commit to a store, or parameter drawn; whether it came to that.

    A process, since what is left of a transaction locks the store until its process has ended.
    """
    if (process := os.fork()) == 0:
        left, suggest = iter(range(moment - 1)), optuna.Trial._suggest

        def count(*_: Any) -> None:
            if next(left, None) is None:
                os._exit(9)

        def counted(*words: Any) -> Any:
            count()
            return suggest(*words)

        optuna.Trial._suggest = counted  # type: ignore[method-assign]
        event.listen(Engine, "commit", count)
        try:
            does()
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_a_search_that_is_killed_at_any_moment_proposes_the_same(tmp_path: Path, sampler: str) -> None:
    def go_on(folder: Path, n_trials: int) -> None:
        queue = search(folder, sampler=sampler, n_trials=n_trials)
        while (work := queue.next()) is not None:
            queue.tell(work.trial.key, done(float(work.trial.arm.model.settings.latent)))

    go_on(tmp_path / "begun", 1)
    shutil.copytree(tmp_path / "begun", tmp_path / "whole")
    go_on(tmp_path / "whole", 4)
    expected = [(trial.params, trial.value) for trial in study(tmp_path / "whole").trials]
    assert len({str(params) for params, _ in expected}) == 4
    moment, folder = 1, shutil.copytree(tmp_path / "begun", tmp_path / "1")
    while killed(moment, functools.partial(go_on, folder, 3)):
        go_on(folder, 4)
        assert [(trial.params, trial.value) for trial in study(folder).trials] == expected, moment
        moment += 1
        folder = shutil.copytree(tmp_path / "begun", tmp_path / str(moment))
    assert moment > 2 * (len(SPACE) + 3)  # two configurations: their parameters, and at least as many writes


def test_a_configuration_that_an_older_harness_left_half_drawn_fails(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=2)
    half = queue.study.ask()
    half.suggest_int("model.latent", 8, 64)
    assert len(list(drain(search(tmp_path, n_trials=2), done(1.0)))) == 2
    assert [trial.state.name for trial in study(tmp_path).trials] == ["FAIL", "COMPLETE"]


def test_a_configuration_that_is_missing_between_others_is_noticed(tmp_path: Path) -> None:
    list(drain(search(tmp_path, n_trials=3), done(1.0)))
    with contextlib.closing(sqlite3.connect(tmp_path / "optuna.db")) as connection, connection:
        connection.execute("delete from trials where number = 1")
    with pytest.raises(HarnessError, match="trials are missing from the sequence"):
        search(tmp_path, n_trials=3)


def test_a_configuration_that_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    queue = search(tmp_path)
    one = queue.next()
    assert one is not None
    queue.tell(one.trial.key, done(1.0))
    known = {one.trial.key: Known(State.DONE, {"sharpness": 1.0})}
    again = search(tmp_path, known=known)
    two = again.next()
    assert two is not None
    assert two.trial.arm == one.trial.arm
    assert two.trial.seed != one.trial.seed
    again.tell(two.trial.key, done(2.0))
    assert study(tmp_path).trials[0].value == 1.5


def test_a_seed_that_diverges_fails_its_configuration_and_the_search_goes_on(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=2)
    one = queue.next()
    assert one is not None
    queue.tell(one.trial.key, Outcome(State.DIVERGED, "so"))
    rest = list(drain(queue, done(1.0)))
    assert [t.state.name for t in study(tmp_path).trials] == ["FAIL", "COMPLETE"]
    assert len(rest) == 2


def test_with_a_pruner_the_first_seed_is_the_scout(tmp_path: Path) -> None:
    pruner = {"name": "median", "every": 5, "samples": 50}
    queue = search(tmp_path, n_trials=7, pruner=pruner)
    for _ in range(5):  # the median pruner watches five configurations before it judges
        scout = queue.next()
        assert scout is not None
        assert scout.intermediate is not None
        assert scout.intermediate.metric == "sharpness"
        assert queue.next() is None, "the other seeds wait for the scout"
        assert not queue.measured(scout.trial.key, 5, 1.0)
        queue.tell(scout.trial.key, done(1.0))
        other = queue.next()
        assert other is not None
        assert other.intermediate is None
        queue.tell(other.trial.key, done(1.0))
    scout = queue.next()
    assert scout is not None
    assert queue.measured(scout.trial.key, 5, 0.01), "far worse than the median"
    queue.tell(scout.trial.key, Outcome(State.PRUNED, "so"))
    last = queue.next()
    assert last is not None
    assert last.trial.arm != scout.trial.arm
    states = [t.state.name for t in study(tmp_path).trials]
    assert states == ["COMPLETE"] * 5 + ["PRUNED", "RUNNING"]


def test_values_that_do_not_fit_together_fail_their_configuration_only(tmp_path: Path) -> None:
    # Refused only as they come up: the suite reader cannot try every value of a range.
    queue = search(tmp_path, n_trials=3)
    import harness.execution.study as module
    from harness.base.errors import HarnessError

    original, calls = module.planning.with_parameters, iter(range(10))

    def sometimes(*args: Any) -> Any:
        if next(calls) == 0:
            raise HarnessError("they do not fit")
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.planning, "with_parameters", sometimes)
        assert len(list(drain(queue, done(1.0)))) == 4
    states = [t.state.name for t in study(tmp_path).trials]
    assert states == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_configuration_that_comes_up_again_is_not_trained_again(tmp_path: Path) -> None:
    space = {"model.objective": {"type": "categorical", "choices": ["minimax", "non_saturating"]}}
    queue = search(tmp_path, n_trials=6, space=space, sampler="random")
    trained = []
    while (work := queue.next()) is not None:
        trained.append(work.trial.key)
        queue.tell(work.trial.key, done(1.0))
    assert len(trained) == len(set(trained)) == 4  # two configurations, two seeds
    assert [t.state.name for t in study(tmp_path).trials] == ["COMPLETE"] * 6


def test_a_search_in_a_small_space_says_what_repeats_and_keeps_one_name_for_one_arm(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    # The last step below the upper bound is 28: Optuna would warn that it is not 40.
    space = {"model.latent": {"type": "int", "low": 8, "high": 40, "step": 20}}
    queue = search(tmp_path, n_trials=6, space=space, sampler="random")
    trained, remaining = list(drain(queue, done(1.0))), queue.remaining
    assert len(set(trained)) == 2
    assert len(trained) == 4  # two seeds each
    assert remaining == 0
    assert queue.repeated == (
        "gan: 4 of 6 configurations repeat earlier ones, and are not trained again: the space has 2 different ones"
    )
    made = plan(tmp_path, search={"n_trials": 6, "space": space, "sampler": "random"}, matrix={"tricks": [[]]})
    tried = configurations(made.suite, made.cells[0], storage(tmp_path))
    assert {trial.arm.name for one in tried for trial in one.trials} == set(trained)
    assert not [warning for warning in recwarn if "optuna" in str(warning.filename)]


def test_a_search_without_repetitions_says_nothing(tmp_path: Path) -> None:
    queue = search(tmp_path, n_trials=2)
    list(drain(queue, done(1.0)))
    assert queue.repeated == ""


def test_what_a_search_pruned_another_suite_may_train(tmp_path: Path) -> None:
    made = plan(tmp_path)
    known = {made.trials[0].key: Known(State.PRUNED, {})}
    assert MatrixQueue(made, storage(tmp_path), known).remaining == 4


def test_another_space_is_another_study_and_more_configurations_are_not(tmp_path: Path) -> None:
    assert len(list(drain(search(tmp_path, n_trials=1), done(1.0)))) == 2
    assert len(list(drain(search(tmp_path, n_trials=2), done(1.0)))) == 2
    wider = SPACE | {"model.latent": {"type": "int", "low": 8, "high": 128}}
    assert len(list(drain(search(tmp_path, n_trials=1, space=wider), done(1.0)))) == 2


def test_the_seeds_that_a_pruned_configuration_never_ran_are_not_missing(tmp_path: Path) -> None:
    pruner = {"name": "median", "every": 5, "samples": 50}
    queue = search(tmp_path, n_trials=1, pruner=pruner)
    scout = queue.next()
    assert scout is not None
    queue.tell(scout.trial.key, Outcome(State.PRUNED, "so"))
    [configuration] = configurations(queue.suite, queue.cell, storage(tmp_path))
    assert configuration.closed
    assert len(configuration.trials) == 2


@pytest.mark.parametrize("name", ["with a blank", "ünïcode", "per%20cent", "what?", "ha#sh"])
def test_the_stores_lie_where_the_path_says_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    MatrixQueue(plan(tmp_path), storage(folder), {})
    assert (folder / "optuna.db").is_file()
    from harness.store.runs import Store

    store = Store(folder)
    store.create()
    assert (folder / "mlflow.db").is_file()
    assert store.exists


# --- the winner on new seeds ---------------------------------------------------------------------------------


def confirmed(
    folder: Path, known: dict[str, Known], seeds: Any = 3, **changes: Any
) -> tuple[SearchQueue, ConfirmQueue]:
    made = plan(folder, search={"n_trials": 4, "space": SPACE, "confirm": {"seeds": seeds}} | changes, matrix=ONE_CELL)
    one, two = queues(made, storage(folder), known)
    assert isinstance(one, SearchQueue)
    assert isinstance(two, ConfirmQueue)
    return one, two


ONE_CELL = {"tricks": [[]]}


def searched(queue: SearchQueue, n: int = 100) -> dict[str, float]:
    """Give up to n trials of a search values of their latent dimension: the largest is the best. Arm -> value."""
    values: dict[str, float] = {}
    while len(values) < n and (work := queue.next()) is not None:
        values[work.trial.arm.name] = value = float(work.trial.arm.model.settings.latent)
        queue.tell(work.trial.key, done(value))
    return values


def asked(queue: Queue) -> list[tuple[str, int]]:
    found = []
    while (work := queue.next()) is not None:
        found.append((work.trial.arm.name, work.trial.seed))
        queue.tell(work.trial.key, done(1.0))
    return found


def test_the_winner_of_a_search_is_trained_on_the_next_seeds_after_its_end(tmp_path: Path) -> None:
    search, confirm = confirmed(tmp_path, {})
    assert confirm.remaining == 3
    values = searched(search, n=3)
    assert confirm.next() is None, "a configuration is still to be tried"
    values |= searched(search)
    best = max(values, key=lambda arm: values[arm])
    assert asked(confirm) == [(best, 2), (best, 3), (best, 4)]  # the suite's seeds are 0 and 1
    assert confirm.remaining == 0
    assert asked(search) == []


def test_confirmed_trials_have_ordinary_keys(tmp_path: Path) -> None:
    search, confirm = confirmed(tmp_path, {}, seeds=[7])
    searched(search)
    work = confirm.next()
    assert work is not None
    assert work.trial.key == trial(work.trial.arm, 7).key
    assert work.intermediate is None


def test_a_search_is_confirmed_later_without_losing_it(tmp_path: Path) -> None:
    known: dict[str, Known] = {}
    made = plan(tmp_path, search={"n_trials": 4, "space": SPACE}, matrix=ONE_CELL)
    [search] = queues(made, storage(tmp_path), known)
    assert isinstance(search, SearchQueue)
    values = searched(search)
    again, confirm = confirmed(tmp_path, known)
    assert asked(again) == []
    assert {arm for arm, _ in asked(confirm)} == {max(values, key=lambda arm: values[arm])}


def test_confirmed_trials_that_are_known_are_not_trained_again(tmp_path: Path) -> None:
    known: dict[str, Known] = {}
    search, confirm = confirmed(tmp_path, known)
    searched(search)
    for state in (State.DONE, State.DIVERGED, State.FAILED):
        work = confirm.next()
        assert work is not None
        confirm.tell(work.trial.key, Outcome(state, "", {"sharpness": 1.0} if state is State.DONE else {}))
    assert confirm.next() is None
    _, again = confirmed(tmp_path, known)
    assert again.remaining == 1
    work = again.next()
    assert work is not None
    assert work.trial.seed == 4  # only what failed to run
    assert again.next() is None


def test_more_configurations_confirm_a_new_winner_and_only_a_new_one(tmp_path: Path) -> None:
    known: dict[str, Known] = {}
    search, confirm = confirmed(tmp_path, known)
    best, values = "", searched(search)
    assert asked(confirm)
    for n_trials in range(5, 12):
        before = max(values, key=lambda arm: values[arm])
        search, confirm = confirmed(tmp_path, known, n_trials=n_trials)
        assert confirm.next() is None
        values |= searched(search)
        best = max(values, key=lambda arm: values[arm])
        assert {arm for arm, _ in asked(confirm)} == ({best} if best != before else set())
        assert confirm.remaining == 0
    assert len(values) > 4


def test_a_search_without_a_value_confirms_nothing(tmp_path: Path) -> None:
    search, confirm = confirmed(tmp_path, {})
    list(drain(search, Outcome(State.DIVERGED, "so")))
    assert confirm.next() is None
    assert confirm.remaining == 0


def test_the_study_of_a_search_has_the_name_that_it_had_before_spaces_and_confirm(tmp_path: Path) -> None:
    """The digest is that of what an older harness hashed, written out by hand."""
    space = {"model.latent": {"type": "int", "low": 8, "high": 64}}
    search, _ = confirmed(tmp_path, {}, space=space)
    hashed = {
        "sampler": {"name": "tpe", "seed": 0},
        "space": {"model.latent": {"type": "int", "low": 8, "high": 64, "log": False, "step": 1}},
        "pruner": None,
        "objective": {"metric": None, "direction": None},
    }
    digest = digests.of_value([hashed, [0, 1], ["sharpness", "maximize"]])[:8]
    assert search.study.study_name == f"tiny/sharpness/{search.cell.key}/{digest}"


def test_cells_have_their_own_ranges(tmp_path: Path) -> None:
    spaces = [
        {"where": {"model": "wgan"}, "space": {"model.beta1": None, "tricks.weight_clipping.limit": LIMIT}},
        {"where": {"model": "lsgan"}, "space": {"model.beta1": {"type": "float", "low": 0.8, "high": 0.9}}},
    ]
    space = {"model.beta1": {"type": "float", "low": 0.0, "high": 0.1}}
    changes = {"matrix": {"model": ["dcgan", "lsgan", "wgan"]}, "compare": {"metric": "sharpness"}}
    made = plan(tmp_path, search={"n_trials": 3, "space": space, "spaces": spaces}, **changes)
    for queue in queues(made, storage(tmp_path), {}):
        assert isinstance(queue, SearchQueue)
        arms = set()
        while (work := queue.next()) is not None:
            arms.add(work.trial.arm)
            queue.tell(work.trial.key, done(1.0))
        assert len(arms) == 3
        for arm in arms:
            beta1 = arm.model.settings.beta1
            limits = [one.settings.limit for one in arm.tricks if one.name == "weight_clipping"]
            if arm.model.name == "wgan":
                assert beta1 == 0.5
                assert 0.5 < limits[0] < 1
            else:
                assert (beta1 > 0.7) == (arm.model.name == "lsgan")
                assert limits == []


LIMIT = {"type": "float", "low": 0.5, "high": 1.0}

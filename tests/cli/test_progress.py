"""What a run shows while it goes, on a terminal and elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from harness_cli import Workspace
from rich.console import Console

from harness.base.states import State
from harness.cli.progress import Bars, Lines, Remaining, display, duration
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Outcome


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bars), (False, Lines)])
def test_a_run_from_its_plan_to_its_end(tmp_path: Path, terminal: bool, kind: type) -> None:
    trials = make_plan(read_suite(Workspace(tmp_path).suite())).trials
    file = io.StringIO()
    with display(Console(file=file, force_terminal=terminal, width=200)) as listener:
        assert isinstance(listener, kind)
        listener.planned(4, 1, trials[:3])
        for trial in trials[:2]:
            listener.began(trial)
            listener.stepped(trial, 10, {"generator_loss": 0.69})
        listener.note("the worker was ended by SIGKILL; trying again")
        listener.began(trials[0])  # the same trial once more
        listener.ended(trials[0], Outcome(State.DONE, "", {"fid": 1.2345}, 100.0, 20.0))
        listener.ended(trials[1], Outcome(State.DIVERGED, "the loss was NaN"))
        listener.began(trials[2])
        listener.ended(trials[2], Outcome(State.INTERRUPTED))
    shown = file.getvalue()
    for expected in ("gan, seed 0: done in 2 min: fid 1.234", "gan, seed 1: diverged: the loss was NaN", "SIGKILL"):
        assert expected in shown


def test_durations_in_words() -> None:
    assert [duration(seconds) for seconds in (5, 100, 3600, 7500)] == ["5 s", "2 min", "1 h 00 min", "2 h 05 min"]


class Sweep:
    """Four trials, two of each arm: ``gan``, seeds 0 and 1, then ``gan + ema``; and a clock that one sets."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.trials = make_plan(read_suite(Workspace(folder).suite())).trials
        assert [trial.arm.name for trial in self.trials] == ["gan", "gan", "gan + ema", "gan + ema"]
        self.remaining = Remaining(lambda: self.now)
        self.remaining.planned(4, self.trials)

    def begin(self, number: int) -> None:
        self.remaining.began(self.trials[number])
        self.remaining.stepped(self.trials[number], 0)

    def end(self, number: int, seconds: float) -> None:
        self.now += seconds
        self.remaining.ended(self.trials[number], Outcome(State.DONE, "", {}, seconds - 10, 10))


def test_what_is_left_goes_by_the_times_of_each_arm(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    assert sweep.remaining.text() == ""  # nothing was seen yet
    sweep.begin(0)
    assert sweep.remaining.text() == ""
    sweep.end(0, 60)
    assert sweep.remaining.text() == "about 3 min left"  # three more of 60 s: the other arm is not known yet
    sweep.begin(1)
    sweep.now += 60
    sweep.remaining.stepped(sweep.trials[1], sweep.trials[1].arm.train.steps // 10)
    assert sweep.remaining.text() == "about 3 min left"  # slow as it begins: those that ended count
    sweep.end(1, 60)
    sweep.begin(2)
    sweep.now += 60
    sweep.remaining.stepped(sweep.trials[2], sweep.trials[2].arm.train.steps // 10)
    assert sweep.remaining.text() == "about 19 min left"  # a tenth in 60 s: 9 of 10 minutes, then 10
    sweep.end(2, 540)
    assert sweep.remaining.text() == "about 9 min left"  # by what it said itself: 540 s


def test_what_is_left_is_shared_by_those_who_work_side_by_side(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.begin(0)
    sweep.begin(1)
    sweep.end(0, 600)
    # One at its beginning and two, 10 minutes each, on two workers.
    assert sweep.remaining.text() == "about 15 min left"
    sweep.begin(1)  # its worker died: tried again
    assert sweep.remaining.text() == "about 15 min left"


def test_a_trial_that_is_gone_on_with_is_judged_by_the_steps_of_this_run(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    steps = sweep.trials[0].arm.train.steps
    sweep.remaining.began(sweep.trials[0])
    sweep.now += 1000  # its worker starts
    sweep.remaining.stepped(sweep.trials[0], steps // 2)
    assert sweep.remaining.text() == ""
    sweep.now += 60
    sweep.remaining.stepped(sweep.trials[0], steps * 6 // 10)
    assert sweep.remaining.text() == "about 34 min left"  # 10 minutes a trial: .4 and 3 of them


def test_trials_that_need_not_be_run_count_as_settled(tmp_path: Path) -> None:
    trials = make_plan(read_suite(Workspace(tmp_path).suite())).trials
    file = io.StringIO()
    lines = display(Console(file=file, width=200))
    lines.planned(6, 0, [])
    lines.began(trials[0])
    lines.settled(4)
    lines.ended(trials[0], Outcome(State.DONE, "", {"fid": 1.0}, 1.0, 1.0))
    lines.began(trials[1])
    lines.ended(trials[1], Outcome(State.DONE, "", {"fid": 1.0}, 1.0, 1.0))
    assert "[5/6] gan, seed 0: done" in file.getvalue()
    assert "[6/6] gan, seed 1: done" in file.getvalue()


def test_a_search_knows_none_of_its_trials_before(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.remaining.planned(4, [])
    sweep.begin(0)
    sweep.end(0, 600)
    assert sweep.remaining.text() == "about 30 min left"
    sweep.begin(1)
    sweep.remaining.ended(sweep.trials[1], Outcome(State.DIVERGED, "the loss was NaN"))
    assert sweep.remaining.text() == "about 20 min left"

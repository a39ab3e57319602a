"""What a run shows while it goes, on a terminal and elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from harness_cli import Workspace
from rich.console import Console

from harness.plan import make_plan
from harness.progress import Bars, Lines, display, duration
from harness.suite import read_suite
from harness.task import Outcome


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bars), (False, Lines)])
def test_a_run_from_its_plan_to_its_end(tmp_path: Path, terminal: bool, kind: type) -> None:
    trials = make_plan(read_suite(Workspace(tmp_path).suite())).trials
    file = io.StringIO()
    with display(Console(file=file, force_terminal=terminal, width=200)) as listener:
        assert isinstance(listener, kind)
        listener.planned(4, 1)
        for trial in trials[:2]:
            listener.began(trial)
            listener.stepped(trial, 10, {"generator_loss": 0.69})
        listener.note("the worker was ended by SIGKILL; trying again")
        listener.began(trials[0])  # the same trial once more
        listener.ended(trials[0], Outcome("done", "", {"fid": 1.2345}, 100.0, 20.0))
        listener.ended(trials[1], Outcome("diverged", "the loss was NaN"))
        listener.began(trials[2])
        listener.ended(trials[2], Outcome("stopped"))
    shown = file.getvalue()
    for expected in ("gan, seed 0: done in 2 min: fid 1.234", "gan, seed 1: diverged: the loss was NaN", "SIGKILL"):
        assert expected in shown


def test_durations_in_words() -> None:
    assert [duration(seconds) for seconds in (5, 100, 3600, 7500)] == ["5 s", "2 min", "1 h 00 min", "2 h 05 min"]

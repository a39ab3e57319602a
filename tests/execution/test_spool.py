"""The files through which the driver and a worker on another machine talk."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.base.states import State
from harness.execution import spool as spool_module
from harness.execution.engine import Died, Ended, Event, Measured, Noted, Started, Stepped
from harness.execution.spool import LEFT, Lines, Post, Spool, resumed
from harness.execution.worker import STOP, Answer, Drop
from harness.trial.task import Outcome


def test_a_reader_gets_whole_lines_once(tmp_path: Path) -> None:
    writer, reader = Lines(tmp_path / "events"), Lines(tmp_path / "events")
    assert reader.new() == []
    writer.append(1, "one")
    writer.append(1, "two")
    assert reader.new() == [(1, "one"), (1, "two")]
    assert reader.new() == []
    whole = (tmp_path / "events").read_bytes()
    writer.append(1, "three")
    all_of_it = (tmp_path / "events").read_bytes()
    (tmp_path / "events").write_bytes(all_of_it[: len(whole) + 4])
    assert reader.new() == [], "the line is not whole yet"
    (tmp_path / "events").write_bytes(all_of_it)
    assert reader.new() == [(1, "three")]


def test_a_line_that_a_kill_has_cut_off_costs_no_other_line(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "events")
    lines.append(1, "one")
    with (tmp_path / "events").open("ab") as file:
        file.write(b'[1, ["Stepped", {"key')
    lines.append(1, "two")
    assert Lines(tmp_path / "events").new() == [(1, "one"), (1, "two")]


START, AGAIN, MEASURED = Started("k", "cpu"), Started("k", "cuda:0"), Measured("k", 20, 1.0)
STEPS = [Stepped("k", 0, {}), Stepped("k", 10, {"loss": 1.0}), Stepped("k", 20, {"loss": 2.0})]
DONE = Ended("k", Outcome(State.DONE))
ANSWER = Answer("k", False)


WHOLE = Outcome(State.DONE, "", {"fid": 1.5, "classes": math.nan}, 2.0, 0.1)


@pytest.mark.parametrize(
    "message", [START, *STEPS, MEASURED, Noted("k", "a, b\n[]"), Ended("k", WHOLE), Died("k", "x", "full", True), LEFT]
)
def test_a_message_comes_out_as_it_went_in(tmp_path: Path, message: Any) -> None:
    Lines(tmp_path / "events").append(3, message)
    [(start, found)] = Lines(tmp_path / "events").new()
    assert (start, type(found), repr(found)) == (3, type(message), repr(message))  # nan is not equal to itself


def test_nothing_else_is_made_of_what_stands_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "events").write_text(
        '[1, ["Path", {"key": "k"}]]\n[1, ["Started", {"key": "k", "x": 1}]]\n7\n[1, "left"]\n'
    )
    assert Lines(tmp_path / "events").new() == [(1, "left")]


@pytest.mark.parametrize(
    ("events", "orders", "told"),
    [
        ([], [], []),
        ([(1, START)], [], [START]),
        ([(1, START), *((1, step) for step in STEPS)], [], [START, Stepped("k", 20, {})]),
        ([(1, START), (1, MEASURED)], [], [START, MEASURED]),
        ([(1, START), (1, MEASURED)], [(1, ANSWER)], [START]),
        ([(1, START), (1, MEASURED), (2, AGAIN), (2, MEASURED)], [(1, ANSWER)], [AGAIN, MEASURED]),
        ([(1, START), (1, STEPS[2]), (1, LEFT)], [], [START, Stepped("k", 20, {})]),
        ([(1, START), (1, STEPS[2]), (1, LEFT), (2, AGAIN)], [], [AGAIN]),
        ([(1, START), (1, STEPS[1]), (1, DONE)], [], [START, Stepped("k", 10, {}), DONE]),
    ],
)
def test_what_a_driver_must_know_of_a_trial_that_it_takes_over(
    events: list[tuple[int, Any]], orders: list[tuple[int, Any]], told: list[Event]
) -> None:
    assert [event for _, event in resumed(events, orders)] == told


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    for name in ("LOOK", "PATIENCE"):
        monkeypatch.setattr(spool_module, name, 0.0)
    monkeypatch.setattr(Post, "_watch", lambda post: None)  # it would end this process
    made = Spool(tmp_path / "k")
    made.begin("harness-1", 3)
    return made


def test_a_worker_gets_the_answers_to_its_own_questions_and_every_order_to_stop(spool: Spool) -> None:
    assert spool.job == ("harness-1", 3)
    spool.own(1)
    pipe = Post(spool)
    assert pipe.start == 2
    spool.orders.append(1, ANSWER)
    assert not pipe.poll()
    spool.orders.append(2, ANSWER)
    spool.orders.append(0, STOP)
    assert pipe.poll()
    assert [pipe.recv(), pipe.recv()] == [ANSWER, STOP]
    assert pipe.stopped
    pipe.send(START)
    assert spool.events.new() == [(2, START)]


def test_a_trial_that_must_leave_saves_itself_or_gives_up_what_it_waits_for(spool: Spool) -> None:
    pipe = Post(spool)
    pipe.leave()
    pipe.leave()
    assert pipe.recv() == STOP
    assert not pipe.stopped, "it goes on in another job"
    assert pipe.recv() == Drop("k"), "nobody answers"
    with pytest.raises(EOFError):
        pipe.recv()


def test_a_worker_waits_for_one_before_it_that_has_not_said_that_it_left(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = list[float]()
    monkeypatch.setattr(spool_module.time, "sleep", slept.append)
    Post(spool).settle()
    assert slept == []
    second = Post(spool)
    second.settle()
    assert slept == [spool_module.SETTLED]
    second.send(LEFT)
    Post(spool).settle()
    assert len(slept) == 1


WORKER = """
import sys, time
from pathlib import Path
from harness.execution.spool import Post, Spool
pipe = Post(Spool(Path(sys.argv[1])))
print(pipe.start, flush=True)
time.sleep(600)
"""


def test_a_worker_that_may_not_write_any_more_ends(tmp_path: Path) -> None:
    spools = [Spool(tmp_path / name) for name in ("moved", "killed", "removed", "left alone")]
    workers = []
    for spool in spools:
        spool.begin("harness-1", 0)
        words = [sys.executable, "-c", WORKER, str(spool.folder)]
        workers.append(subprocess.Popen(words, stdout=subprocess.PIPE))
    try:
        assert [worker.stdout and worker.stdout.readline() for worker in workers] == [b"1\n"] * 4
        assert [worker.poll() for worker in workers] == [None] * 4
        spools[0].own(2)
        spools[1].give_up()
        spools[2].remove()
        assert [worker.wait(60) for worker in workers[:3]] == [1] * 3
        assert workers[3].poll() is None
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def test_a_worker_of_a_trial_that_was_killed_does_not_begin(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "k")
    spool.begin("harness-1", 0)
    spool.give_up()
    done = subprocess.run([sys.executable, "-c", WORKER, str(spool.folder)], stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")

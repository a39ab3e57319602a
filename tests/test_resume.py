"""Killing real processes: nothing lost, nothing trained twice, the same numbers, nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos import Chaos
from lives import PHASES, Life, session, waited

pytestmark = pytest.mark.slow

MOMENTS = 8
"""Of a test in a round of `nox -s chaos`."""

linux = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A run that nobody interrupted."""
    life = Life(tmp_path_factory.mktemp("whole"))
    life.finish()
    life.keys = life.trials()
    return life


@pytest.fixture
def life(whole: Life, tmp_path: Path) -> Iterator[Life]:
    """A store of its own; what still runs in it is killed at the end."""
    made = Life(tmp_path, whole.keys)
    yield made
    if made.driver is not None:
        os.killpg(made.driver.pid, signal.SIGKILL)
        made.driver.communicate()


@linux
def test_killed_in_every_phase(whole: Life, life: Life) -> None:
    rng = random.Random(0)
    for victim, phase in (
        ("both", "queueing"),
        ("worker", "training"),
        ("driver", "checkpointing"),
        ("worker", "evaluation"),
        ("both", "recording"),
    ):
        assert life.kill(victim, phase, rng) is not None
    assert "3 trials" in life.finish()
    assert any(line.kind == "resumed" and line.count > 0 for line in life.lines())
    life.check_against(whole)


@linux
def test_a_trial_given_up_after_three_crashes_is_gone_on_with(whole: Life, life: Life) -> None:
    life.workspace.environment["PACE"] = "0.05"  # seconds a step: it does not come to its end meanwhile
    rng = random.Random(0)
    for _ in range(3):
        assert life.kill("worker", "training", rng) is not None
    life.workspace.environment["PACE"] = "0"
    life.finish()
    assert len(life.kept()[1]) == 1
    life.check_against(whole)


@linux
def test_interrupted_once_saves_and_twice_stops_at_once(whole: Life, tmp_path: Path) -> None:
    life = Life(tmp_path, whole.keys, {"checkpoint_seconds": 1000})  # it saves itself when it is told to
    life.workspace.environment["PACE"] = "0.05"  # seconds a step
    for stop in (
        lambda driver: driver.send_signal(signal.SIGTERM),  # as a cluster does that takes its machine back
        lambda driver: os.killpg(driver.pid, signal.SIGINT),  # as Ctrl-C does
        # As a terminal that is closed: the kernel sends it to all, the shell sends it to all once more.
        lambda driver: [os.killpg(driver.pid, signal.SIGHUP) for _ in range(2)],
    ):
        before = life.saved()
        driver = life.start()
        assert waited(lambda: life.phase() == "training", driver)
        stop(driver)
        stopped_well(life, driver)
        last = life.lines()[-1]
        assert before.get(last.trial, 0) < life.saved()[last.trial] == last.count
    # Its next chance to save itself is far away.
    life.workspace.environment = life.workspace.environment | {"PACE": "0", "DAWDLE": "1"}
    driver = life.start()
    assert waited(lambda: sum(line.kind == "step" for line in life.lines()[life.kills[-1].lines :]) == 5, driver)
    os.killpg(driver.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        driver.communicate(timeout=2)
    os.killpg(driver.pid, signal.SIGINT)
    stopped_well(life, driver)
    del life.workspace.environment["DAWDLE"]
    life.finish()
    life.check_against(whole)


def stopped_well(life: Life, driver: subprocess.Popen[str]) -> None:
    """It says how to go on, and leaves nothing that runs."""
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 130, output
    assert "continue with: harness run" in output
    assert "Traceback" not in output
    assert waited(lambda: not session(driver.pid), seconds=60)
    life.driver = None
    life.interrupted()


@linux
def test_of_several_drivers_on_one_store_one_runs_and_the_others_name_it(whole: Life, life: Life) -> None:
    life.workspace.environment["DAWDLE"] = "1"  # the first does not end before the others have begun
    suites = [life.suite, life.suite, life.write_suite("other")]
    drivers = [life.workspace.start("run", suite, "--workers", "1") for suite in suites]
    try:
        assert waited(lambda: sum(driver.poll() is not None for driver in drivers) == 2)
        [first] = [driver for driver in drivers if driver.returncode is None]
        holder = (
            f"`harness run {suites[drivers.index(first)]} --workers 1` (process {first.pid} on {socket.gethostname()}"
        )
        for driver in set(drivers) - {first}:
            output, _ = driver.communicate()
            assert driver.returncode == 2
            assert f"is in use by {holder}, since 20" in output
            assert "Traceback" not in output
        assert waited(lambda: life.lines() and life.lines()[-1].count == 5, first)
    finally:
        for driver in drivers:
            driver.kill()
            driver.wait()
    assert waited(lambda: not session(first.pid), seconds=60)
    lines = len(life.lines())
    following = life.start()  # what a killed driver held does not block the next
    assert waited(lambda: len(life.lines()) > lines, following)


@linux
def test_a_damaged_checkpoint_is_named_and_its_trial_begins_anew(whole: Life, life: Life) -> None:
    life.workspace.environment["PACE"] = "0.05"  # seconds a step
    assert waited(lambda: any(life.results.glob("work/*/checkpoint.pt")), life.start())
    # A checkpoint follows every step: the kill may hit the writing of the next one.
    assert life.kill("driver", "training", random.Random(0)) in {"training", "checkpointing"}
    [checkpoint] = life.results.glob("work/*/checkpoint.pt")
    content = checkpoint.read_bytes()
    middle = len(content) // 2
    checkpoint.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    life.kills.clear()
    life.interrupted()  # with no checkpoint to go on from
    life.workspace.environment["PACE"] = "0"
    output = life.finish()
    assert f"{checkpoint} is damaged" in output
    assert "the training starts again from step 0" in output
    life.check_against(whole)


def test_a_damaged_checkpoint_is_noticed_and_not_used(tmp_path: Path) -> None:
    import torch

    from harness.base import files

    path = tmp_path / "checkpoint.pt"
    state = {"weights": torch.arange(100.0), "step": 7}
    files.save_state(path, state)
    loaded = files.load_state(path, "it begins anew")
    assert loaded is not None
    assert torch.equal(loaded["weights"], state["weights"])
    content = path.read_bytes()
    for damaged in (content[:-10], content[:100], b"", content[:200] + b"\x00" + content[201:]):
        path.write_bytes(damaged)
        assert files.load_state(path, "it begins anew") is None


@linux
def test_ctrl_c_again_and_again_takes_nothing_away(whole: Life, life: Life) -> None:
    driver = life.start()
    assert waited(lambda: life.phase() == "training", driver)
    while driver.poll() is None:
        driver.send_signal(signal.SIGINT)
        time.sleep(0.05)
    stopped_well(life, driver)
    life.finish()
    life.check_against(whole)


PRESSED = """
import os, signal, sys

class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def hook(event, arguments):
    if event == "open" and "/tiny/.harness-" in str(arguments[0]):
        Destroyed()

sys.addaudithook(hook)
"""
"""Ctrl-C in a destructor while the report is written."""


@linux
def test_ctrl_c_while_the_report_is_written_ends_at_once(whole: Life, life: Life) -> None:
    life.finish()
    custom = life.folder / "site" / "sitecustomize.py"
    custom.write_text(PRESSED)
    stopped_well(life, life.start())
    custom.unlink()
    life.finish()
    life.check_against(whole)


KILLED = """
import os, signal, sys

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("suite.yaml") and "w" in (arguments[1] or ""):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
"""
"""SIGKILL while the suite's text is laid down for MLflow."""


@linux
def test_killed_while_the_store_is_told_of_the_suite(whole: Life, life: Life) -> None:
    custom = life.folder / "site" / "sitecustomize.py"
    custom.write_text(KILLED)
    driver = life.start()
    driver.communicate(timeout=300)
    assert driver.returncode == -signal.SIGKILL
    life.driver = None
    life.interrupted()
    custom.unlink()
    life.finish()
    life.check_against(whole)


@linux
@pytest.mark.chaos
@pytest.mark.parametrize("victim", ["driver", "worker", "both"])
def test_killed_at_any_moment(whole: Life, tmp_path: Path, chaos: Chaos, victim: str) -> None:
    def kill(life: Life) -> str | None:
        return life.kill(victim, chaos.rng.choice([None, *PHASES]), chaos.rng)

    survive(whole, tmp_path, chaos, f"SIGKILL of {victim}", kill)


@linux
@pytest.mark.chaos
@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_at_any_moment(whole: Life, tmp_path: Path, chaos: Chaos, times: int) -> None:
    def interrupt(life: Life) -> str | None:
        gap = chaos.rng.uniform(0, 1) if times == 2 else None
        return life.interrupt(chaos.rng.choice([None, *PHASES]), chaos.rng, gap)

    survive(whole, tmp_path, chaos, f"Ctrl-C {times} ×", interrupt)


@linux
@pytest.mark.chaos
def test_a_search_is_killed_at_any_moment(tmp_path: Path, chaos: Chaos) -> None:
    def kill(life: Life) -> str | None:
        return life.kill(chaos.rng.choice(["driver", "worker", "both"]), chaos.rng.choice([None, *PHASES]), chaos.rng)

    whole = Life(tmp_path / "whole", searching=True)
    whole.finish()
    whole.keys = whole.trials()
    assert len(whole.keys) == 5  # three configurations, and the winner with two more seeds
    survive(whole, tmp_path, chaos, "SIGKILL in a search", kill)


def survive(whole: Life, folder: Path, chaos: Chaos, what: str, fault: Callable[[Life], str | None]) -> None:
    """Several faults, in as many lives as it takes; each life ends as one that nobody interrupted."""
    left, number = MOMENTS, 0
    while left > 0:
        life = Life(folder / str(number), whole.keys, searching=whole.searching)
        number += 1
        phase: str | None = ""
        hit = list[str]()
        while left > 0 and phase is not None:  # None: it had come to its end
            life.start(chaos.rng.choice([1, 2]))
            phase = fault(life)
            if phase is not None:
                hit.append(phase)
                left -= 1
        life.finish()
        life.check_against(whole)
        for phase in hit:  # what did not end well is counted by nobody
            chaos.tried(what, phase)

"""The processor time that the driver takes for a trial, with an engine that trains nothing.

    python benchmarks/bench_driver.py [--trials 60]

Every trial has a journal as a tiny one has: 20 points of two curves, seven pictures, four other files. The stores are
real. Two numbers of trials are measured, and their difference counts, so that making the stores does not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_kit import ROOT

from harness.base.states import State
from harness.execution.engine import Ended, Engine, Event, Started, Stepped
from harness.store.journal import Journal
from harness.trial.task import Outcome

if TYPE_CHECKING:
    from harness.trial.task import Task

FEW = 5
ENDS = (".png", "+compressed.webp")
"""Of the two files of a grid of samples."""
OTHERS = ("config.json", "protocol.json", "floors.json", "histograms.json")
SUITE: dict[str, Any] = {
    "suite": "made_up",
    "question": "What does the driver cost?",
    "data": "digits",
    "train": {"steps": 20},
    "base": {"model": "gan"},
    "matrix": {"tricks": [[]]},
    "evaluate": {"samples": 10, "metrics": ["sharpness"]},
}


class MadeUp(Engine):
    """Ends a trial at every call, with a whole journal. ``seconds`` is what that took, which is not the driver's."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.seconds = 0.0

    @property
    def free(self) -> int:
        return 2 - len(self.tasks)

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def wait(self, seconds: float) -> list[Event]:
        began = time.thread_time()
        task = self.tasks.pop(0)
        outcome = Outcome(State.DONE, "", {"sharpness": 1.0}, 0.1, 0.1)
        records = Journal(task.folder)
        records.environment({"device": "cpu", "precision": "float32"})
        for step in range(1, 21):
            records.points([("generator_loss", step, 1.5), ("discriminator_loss", step, 1.2)])
        grids = [f"samples+step+{number:06d}+timestamp+0+grid{end}" for number in range(7) for end in ENDS]
        for name in (*grids, *OTHERS):
            path = task.folder / name
            path.write_bytes(b"{}" if name in OTHERS else bytes(20_000))
            records.file(path, "" if name in OTHERS else "images")
        records.end(outcome)
        self.seconds += time.thread_time() - began
        steps = [Stepped(task.key, step, {"generator_loss": 1.5}) for step in range(1, 21)]
        return [Started(task.key, "cpu"), *steps, Ended(task.key, outcome)]

    def answer(self, key: str, prune: bool) -> None: ...

    def kill(self, key: str) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


class Silent:
    """A listener that says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *words: None


def of(trials: int) -> float:
    """The driver's processor seconds for so many trials, its start included."""
    from harness.execution.driver import Driver
    from harness.suite import read_suite
    from harness.suite.plan import make_plan

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "suite.json"  # JSON is YAML
        path.write_text(json.dumps(SUITE | {"seeds": trials}))
        plan, engine, listener = make_plan(read_suite(path)), MadeUp(), Silent()
        began = time.process_time()
        Driver(plan, Path(folder) / "results", engine, listener).run()
        return time.process_time() - began - engine.seconds


def seconds(code: Path = ROOT, trials: int = 60) -> float:
    """The driver's processor seconds a trial, with the harness of a checkout."""
    command: Sequence[str] = [sys.executable, __file__, "--trials", str(trials)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(code)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60, help="how many trials the longer run has")
    trials = parser.parse_args().trials
    of(FEW)  # what is imported and compiled once
    print((of(trials) - of(FEW)) / (trials - FEW))


if __name__ == "__main__":
    main()

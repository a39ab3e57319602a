"""Workers from their first moment on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.execution import local
from harness.execution.engine import Died, Event
from harness.trial.task import Task


@pytest.mark.parametrize(
    ("code", "said", "reason", "memory"),
    [
        (
            -signal.SIGABRT,
            "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc\n",
            "the worker was ended by SIGABRT, because no memory was left (std::bad_alloc)",
            True,
        ),
        (
            1,
            "Traceback …\nMemoryError\n",
            "the worker ended with exit code 1, because no memory was left (MemoryError)",
            True,
        ),
        (-signal.SIGKILL, "", "the worker was ended by SIGKILL; perhaps the machine had run out of memory", True),
        (-signal.SIGSEGV, "step 3", "the worker was ended by SIGSEGV", False),
        (-200, "", "the worker ended with exit code -200", False),
        (3, "", "the worker ended with exit code 3", False),
    ],
)
def test_why_a_worker_died(code: int, said: str, reason: str, memory: bool) -> None:
    assert local.explain(code, said) == (reason, memory)


def ends(pipe: Connection, log: Path, device: str) -> None:
    """A worker that dies as C++ does without memory."""
    pipe.recv()
    with log.open("a") as file:
        file.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def test_a_worker_that_dies_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "work", ends)
    logs = tmp_path / "work"
    logs.mkdir()
    (logs / "worker-0.log").write_text("an earlier trial: MemoryError\n" * 1000)
    engine = local.LocalEngine(["cpu"], logs)
    engine.submit(cast(Task, SimpleNamespace(key="k")))
    events: list[Event] = []
    while not events:
        events = engine.wait(10.0)
    engine.close()
    reason = "the worker was ended by SIGABRT, because no memory was left (std::bad_alloc)"
    assert events == [Died("k", f"{reason}; see work/worker-0.log in the results folder", killed=True)]


STARTS_TWO = """
import multiprocessing, signal
from harness.execution import local

def tell(pipe):
    pipe.send(signal.pthread_sigmask(signal.SIG_BLOCK, []))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=tell, args=(theirs,))
        with local._signals_blocked():
            process.start()
            here = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        blocked = ours.recv()
        process.join()
        print(*(signal.SIGINT in mask and signal.SIGTERM in mask for mask in (here, blocked)))
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks")
def test_ctrl_c_does_not_reach_a_worker_that_still_starts(tmp_path: Path) -> None:
    # The first start of a process also starts Python's resource tracker, which unblocks the signals when it is up.
    script = tmp_path / "starts_two.py"
    script.write_text(STARTS_TWO)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True", "True", "False"]

"""Workers from their first moment on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.execution.engine import Died, Event, Site
from harness.execution.engines import local
from harness.suite import Resources, Run
from harness.trial.task import Task
from harness.zoo.registry import Settings


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
    engine = local.LocalEngine(Settings(), Site(tmp_path, Run(), Resources(), device="cpu", workers=1))
    engine.submit(cast(Task, SimpleNamespace(key="k")))
    events: list[Event] = []
    while not events:
        events = engine.wait(10.0)
    engine.close()
    reason = "the worker was ended by SIGABRT, because no memory was left (std::bad_alloc)"
    assert events == [Died("k", f"{reason}; see work/worker-0.log in the results folder", killed=True)]


STARTS_TWO = """
import signal
from harness.execution.engines import local

def tell(pipe):
    pipe.send(signal.pthread_sigmask(signal.SIG_BLOCK, []))

if __name__ == "__main__":
    context = local.context()
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


IS_IMPORTED = """
import importlib, sys
from pathlib import Path
from harness.execution.engines import local

def tell(pipe):
    pipe.send(("harness.trial.run" in sys.modules, "torch" in sys.modules))

if __name__ == "__main__":
    context = local.context()
    ours, theirs = context.Pipe()
    context.Process(target=tell, args=(theirs,)).start()
    print(*ours.recv())
    for name in local.IMPORTED:
        importlib.import_module(name)
    import torch
    threads = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("Threads"))
    print(threads.split()[1], torch.cuda.is_initialized())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_workers_are_forked_from_a_process_that_has_imported_and_done_nothing_else(tmp_path: Path) -> None:
    script = tmp_path / "is_imported.py"
    script.write_text(IS_IMPORTED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "1", "False"]


ORPHAN = """
import os, signal, sys, time
from multiprocessing import forkserver
from harness.execution.engines import local

def watched(pipe):
    local._end_with_parent()
    pipe.send(os.getpid())
    time.sleep(600)

if __name__ == "__main__":
    context = local.context()
    ours, theirs = context.Pipe()
    process = context.Process(target=watched, args=(theirs,))
    process.start()
    worker = ours.recv()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    process.join(60)
    for _ in range(600):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            print("gone")
            break
        time.sleep(0.1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
def test_a_worker_ends_with_the_process_that_it_was_forked_from(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["gone"]


def test_a_long_name_of_the_folder_for_temporary_files_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 30)))
    assert local.context().get_start_method() == "spawn"

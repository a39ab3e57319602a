"""Workers from their first moment on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

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

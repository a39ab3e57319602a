"""Ctrl-C where it ends a process at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

PRESSED = """
import os, signal
from harness.base import interrupts

with interrupts.ending_at_once():
    print("before", flush=False)
    os.kill(os.getpid(), signal.SIGINT)
    print("after")
"""


def everything(descriptor: int) -> bytes:
    """All that was written to the other end, which is closed by now. One read may bring only a part of it."""
    parts = []
    # Linux ends a pseudo-terminal with an error, a pipe with nothing.
    with open(descriptor, "rb", buffering=0) as end, contextlib.suppress(OSError):
        while part := end.read(1000):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo-terminals here")
@pytest.mark.parametrize("terminal", [True, False])
def test_it_says_how_to_go_on_and_gives_the_terminal_its_cursor_back(terminal: bool) -> None:
    ours, theirs = os.openpty() if terminal else os.pipe()
    words = [sys.executable, "-c", PRESSED]
    done = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    shown = everything(ours)
    assert done.returncode == 130
    assert done.stderr == "interrupted; continue with: harness\n"
    assert shown.startswith(b"before")
    assert b"after" not in shown
    assert (b"\x1b[?25h" in shown) == terminal

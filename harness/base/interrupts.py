"""Handlers of signals, and ending the process at once on Ctrl-C.

Python would raise KeyboardInterrupt at any point: in a destructor it is printed and lost, in a write to a store the
write is left half done. A run survives SIGKILL, so on Ctrl-C the process ends just as abruptly, but with a message and
an exit code.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from harness.base.messages import discreet, visible

EXIT_CODE = 130
SHOW_CURSOR = b"\x1b[?25h"


_call: str | None = None
"""What runs here instead of the command, if Python code does: a call."""


@contextlib.contextmanager
def called(call: str) -> Iterator[None]:
    """Inside the ``with`` block this call is what runs, and not the command `harness`."""
    global _call
    before, _call = _call, call
    try:
        yield
    finally:
        _call = before


def command_line() -> str:
    """What runs in this process, safe to print: its command line, without passwords (``--storage``), or a call."""
    return _call or visible(discreet(shlex.join(["harness", *sys.argv[1:]])))


def interrupted_message() -> str:
    """The message at the end of an interrupted command."""
    return f"interrupted; continue with: {command_line()}"


def end_at_once(*_: object) -> NoReturn:
    """A signal handler: end this process now. Its workers end with it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it is closed, or was interrupted while writing
            stream.flush()
    with contextlib.suppress(OSError):
        if os.isatty(1):  # the progress bars have hidden the cursor
            os.write(1, SHOW_CURSOR)
        os.write(2, f"{interrupted_message()}\n".encode(errors="backslashreplace"))
    os._exit(EXIT_CODE)


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> Iterator[None]:
    """These signals call the handler inside the ``with`` block, and their earlier handler after it."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Ctrl-C ends the process at once inside the ``with`` block."""
    with handled(end_at_once, signal.SIGINT):
        yield

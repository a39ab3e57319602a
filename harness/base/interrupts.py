"""Signals that end a process: who handles them meanwhile, and Ctrl-C where it ends a run at once.

Python would raise KeyboardInterrupt wherever it is: in a destructor that is printed and forgotten, in a write to a
store it is half done. A run is built to survive SIGKILL, so it ends itself in that way, with a word and an exit code.
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

EXIT_CODE = 130
SHOW_CURSOR = b"\x1b[?25h"


def command_line() -> str:
    """The command that this process is, as one would type it."""
    return shlex.join(["harness", *sys.argv[1:]])


def farewell() -> str:
    """What is said at the end of a command that was interrupted."""
    return f"interrupted; go on with: {command_line()}"


def end_at_once(*_: object) -> NoReturn:
    """A handler of signals: end this process now; its workers end with it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, RuntimeError, ValueError):  # it was in the middle of writing, or is closed
            stream.flush()
    with contextlib.suppress(OSError):
        if os.isatty(1):  # the bars, which go there, have hidden it
            os.write(1, SHOW_CURSOR)
        os.write(2, f"{farewell()}\n".encode(errors="backslashreplace"))
    os._exit(EXIT_CODE)


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> Iterator[None]:
    """Meanwhile these signals call a handler; afterwards what they called before."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Ctrl-C ends the process at once meanwhile."""
    with handled(end_at_once, signal.SIGINT):
        yield

"""A line for the user from wherever something worth saying happens, however deep and in whichever process.

Nothing listens in a notebook: there Python's logging prints it. A worker sends it to its driver, which shows it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

_log = logging.getLogger("harness")


def note(text: str) -> None:
    """Say something."""
    _log.warning("%s", text)


class _Teller(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(record.getMessage())


@contextlib.contextmanager
def told_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Whatever is noted meanwhile goes there."""
    handler, before = _Teller(tell), _log.propagate
    _log.addHandler(handler)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.propagate = before

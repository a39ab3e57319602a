"""Messages for the user, from any place in the code and from any process.

In a worker they go to the driver, which shows them. Without a receiver, as in a notebook, Python's logging prints them.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

_log = logging.getLogger("harness")


def note(text: str) -> None:
    """Send a message to the user."""
    _log.warning("%s", text)


class _Handler(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(record.getMessage())


@contextlib.contextmanager
def messages_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Messages inside the ``with`` block go to ``tell``."""
    handler, before = _Handler(tell), _log.propagate
    _log.addHandler(handler)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.propagate = before

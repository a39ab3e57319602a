"""Messages for the user, from any place in the code and from any process.

In a worker they go to the driver, which shows them. Without a receiver, as in a notebook, Python's logging prints them.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator

_log = logging.getLogger("harness")


def visible(text: str) -> str:
    r"""A text that is safe to print, in one line.

    Whatever a terminal obeys or does not show becomes an escape: control characters, line breaks, marks that turn the
    direction of text, halves of surrogate pairs. A file name could otherwise clear the screen or forge a message.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines: its line breaks remain."""
    return "\n".join(map(visible, text.split("\n")))


def discreet(text: str) -> str:
    """A text without the user names and passwords in its addresses."""
    return re.sub(r"(?<=://)[^\s/@]+@", "", text)


def note(text: str) -> None:
    """Send a message of one line to the user."""
    _log.warning("%s", visible(text))


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

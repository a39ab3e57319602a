"""What the command line prints: never an order to the terminal, and never the end of the work if nobody reads it.

All output of a command goes through here. Texts of others (paths, names, messages of libraries) may hold characters
that a terminal obeys; they are shown as escapes. If the reader of the output is gone (``| head``, a pager that was
left, a terminal that was closed), a run goes on, and writes what it would print to a log; other commands end.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import select
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base.messages import visible, visible_lines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

LOG = "output.log"
"""The file in the results folder with what a run would have printed after its reader was gone."""
WIDE = 2000
"""The width of tables in a file or a pipe, in characters: no table is so wide."""
SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\r")
"""Colours and movements of the cursor, which a log does without."""


class Unread(Exception):
    """The output cannot be written. ``reader_gone``: nobody reads it any more, which is no mistake."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.reader_gone = error.errno == errno.EPIPE


def console(**settings: Any) -> Console:
    """A console for tables, progress and texts. ``settings`` are those of rich's ``Console``.

    It shows every character that a terminal would obey as its escape; styles and movements of rich itself remain. Where
    it prints neither on a terminal nor in a notebook, nothing is folded to a width, unless COLUMNS or ``settings``
    state one.
    """
    made = _escaping()(**settings)
    if not (made.is_terminal or made.is_jupyter) and "width" not in settings and not os.environ.get("COLUMNS"):
        made.width = WIDE
    return made


@functools.cache
def _escaping() -> type[Console]:
    from rich.console import Console  # many commands print plain lines only, and need not wait for rich

    class Escaping(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                safe = segment.control or segment.text.isprintable() or segment.text == "\n"
                yield segment if safe else segment._replace(text=visible_lines(segment.text))

    return Escaping


def echo(text: str, err: bool = False) -> None:
    """Print a text, of one line or several, on standard output or standard error."""
    file = sys.stderr if err else sys.stdout
    if file is not None:
        file.write(f"{visible_lines(text)}\n")
        file.flush()


class _Output(io.RawIOBase):
    """Standard output or standard error. What cannot be written there goes to the log, or raises ``Unread`` once."""

    def __init__(self, descriptor: int, what: str) -> None:
        super().__init__()
        self.descriptor = descriptor
        self.what = what
        self.lost = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.descriptor

    def isatty(self) -> bool:
        return not self.lost and os.isatty(self.descriptor)

    def write(self, content: ReadableBuffer, /) -> int:
        content = bytes(content)
        while not self.lost:
            try:
                return os.write(self.descriptor, content)
            except BlockingIOError:
                select.select([], [self.descriptor], [])
            except OSError as error:
                self.lost = True
                _lose(self, error)
        _append(content)
        return len(content)


_outputs: list[_Output] = []
_log: tuple[Path, str] | None = None
"""Where a run writes what nobody reads, and its command line."""


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Standard output and standard error are guarded inside the ``with`` block, if they are real files or terminals."""
    global _log
    _keep_descriptors()
    before, _log = (sys.stdout, sys.stderr), None
    sys.stdout, sys.stderr = (_guard(stream, name) for stream, name in zip(before, ("output", "messages"), strict=True))
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Unread, ValueError, AttributeError):  # a closed stream is None
                stream.flush()
        sys.stdout, sys.stderr = before
        _outputs.clear()


def _keep_descriptors() -> None:
    """If a standard stream is closed, open the null device in its place: else a database would get its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number


def _guard(stream: Any, what: str) -> Any:
    try:
        descriptor = stream.fileno()
    except (AttributeError, OSError, ValueError):  # there is none, or a test or notebook has replaced it
        return stream
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = _Output(descriptor, what)
    _outputs.append(raw)
    # Characters that the terminal's encoding lacks become "?".
    options = {"line_buffering": stream.line_buffering, "write_through": stream.write_through}
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "replace", newline="\n", **options)


def keep_going(log: Path, command: str) -> None:
    """From now on the work goes on if nobody reads the output: what would be printed is appended to ``log``."""
    global _log
    _log = log, command


def unread() -> bool:
    """Whether the reader of standard output is gone."""
    return any(output.lost and output.what == "output" for output in _outputs)


def _lose(output: _Output, error: OSError) -> None:
    """Say on the other stream and in the log that the work goes on; without a log, end the command."""
    if _log is None:
        if output.what == "output":
            raise Unread(error)
        return
    log, command = _log
    why = "nobody reads" if error.errno in (errno.EPIPE, errno.EIO) else "nothing can be written to"
    text = f"{why} the {output.what} any more ({error.strerror}): the run goes on, and writes it to {log}"
    _append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} `{command}`: {visible(text)}\n".encode(errors="backslashreplace"))
    for other in _outputs:
        if other is not output and not other.lost:
            other.write(f"{visible(text)}\n".encode(errors="backslashreplace"))


def _append(content: bytes) -> None:
    """Append to the log, if there is one; without the colours of a terminal."""
    if _log is None:
        return
    with contextlib.suppress(OSError):  # a full disk: the work itself will say so
        _log[0].parent.mkdir(parents=True, exist_ok=True)
        with _log[0].open("ab") as file:
            file.write(SEQUENCE.sub(b"", content))

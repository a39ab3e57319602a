"""What was worked out of files once and holds as long as they do not change: small values, kept between processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.data._files import cache_folder
from harness.errors import HarnessError
from harness.storage import write_json

Stamp = tuple[str, int, int]
"""The absolute path of a file, its time of change in ns, its size."""


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """What tells whether these files are still the ones that they were.

    Raises:
        HarnessError: one of them cannot be looked at.
    """
    return tuple(_stamp(path.absolute()) for path in paths)


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    return str(path), stat.st_mtime_ns, stat.st_size


_known: dict[Path, str] = {}
"""What this process has computed or read already, by the path of its note."""


def remembered(data_set: str, key: object, compute: Callable[[], str]) -> str:
    """The text that ``compute`` gave under this key (a JSON value), here or in another process; else computed now.

    A note that cannot be read is made anew; where none can be written, the next process computes again.
    """
    words = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    path = cache_folder() / data_set / f"digest-{words[:32]}.json"
    if path not in _known:
        value = _read(path, words)
        if value is None:
            value = compute()
            with contextlib.suppress(OSError):
                write_json(path, {"key": words, "value": value, "sum": _sum(words, value)})
        _known[path] = value
    return _known[path]


def _read(path: Path, words: str) -> str | None:
    """The value in a note under that key; None where there is none, or it is damaged."""
    try:
        note = json.loads(path.read_bytes())
        value = str(note["value"])
        return value if note["key"] == words and note["sum"] == _sum(words, value) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sum(words: str, value: str) -> str:
    """A hash that shows whether a note is as it was written."""
    return hashlib.sha256(f"{words} {value}".encode()).hexdigest()

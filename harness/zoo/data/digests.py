"""What was worked out of files once and holds as long as they do not change: small values, kept between processes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.base.errors import HarnessError
from harness.base.files import COMPUTED_ANEW, cache_folder, write_json
from harness.base.messages import note

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
    path, words = _note(data_set, key)
    if path not in _known:
        value = _read(path, words)
        if value is None:
            value = compute()
            with contextlib.suppress(OSError):
                write_json(path, {"key": words, "value": value, "sum": _sum(words, value)})
        _known[path] = value
    return _known[path]


def refuse_altered(data_set: str, files: tuple[Stamp, ...], now: str) -> None:
    """Refuse files whose digest is no longer what was remembered, though neither size nor time of change says so.

    Raises:
        HarnessError: so it is; they are damaged.
    """
    path, words = _note(data_set, files)
    before = _known.get(path) or _read(path, words)
    if before not in (None, now):
        raise HarnessError(
            f"{data_set}: the files in {Path(files[0][0]).parent} have changed, though neither their sizes nor their "
            "times of change did: one of them is damaged. Put the published ones in their place (`touch` them if they "
            "are there)"
        )


def _note(data_set: str, key: object) -> tuple[Path, str]:
    """The file of a note, and the hash of its key."""
    words = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return cache_folder() / data_set / f"digest-{words[:32]}.json", words


def _read(path: Path, words: str) -> str | None:
    """The value in a note under that key; None where there is none, or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    try:
        kept = json.loads(content)
        value = str(kept["value"])
        if kept["key"] == words and kept["sum"] == _sum(words, value):
            return value
    except (ValueError, KeyError, TypeError):
        pass
    note(f"{path} is damaged (its sum differs): {COMPUTED_ANEW}")
    return None


def _sum(words: str, value: str) -> str:
    """A hash that shows whether a note is as it was written."""
    return hashlib.sha256(f"{words} {value}".encode()).hexdigest()

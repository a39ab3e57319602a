"""A cache of digests of files, kept between processes. An entry is valid as long as the files do not change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import COMPUTED_ANEW, cache_folder, write_json
from harness.base.messages import note

Stamp = tuple[str, int, int]
"""The absolute path of a file, its modification time in ns, its size."""


def stamps(paths: Iterable[Path]) -> tuple[Stamp, ...]:
    """The stamps of these files, which change when the files do.

    Raises:
        HarnessError: a file cannot be read.
    """
    return tuple(_stamp(path.absolute()) for path in paths)


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    return str(path), stat.st_mtime_ns, stat.st_size


_known: dict[Path, str] = {}
"""The values that this process has computed or read, by the path of their note."""


def remembered(data_set: str, key: object, compute: Callable[[], str]) -> str:
    """The text that ``compute`` returned for this key (a JSON value) in any process; computed now if there is none.

    A damaged note is computed again. If no note can be written, the next process computes again.
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
    """Refuse files whose digest has changed although their sizes and modification times have not.

    Raises:
        HarnessError: the files have changed, so they are damaged.
    """
    path, words = _note(data_set, files)
    before = _known.get(path) or _read(path, words)
    if before not in (None, now):
        raise HarnessError(
            f"{data_set}: the files in {Path(files[0][0]).parent} have changed, though neither their sizes nor their "
            "modification times did: one of them is damaged. Replace them with the published files (if they are the "
            "published files, `touch` them)"
        )


def _note(data_set: str, key: object) -> tuple[Path, str]:
    """The file of a note, and the hash of its key."""
    words = digests.of_text(json.dumps(key))
    return cache_folder() / data_set / f"digest-{words[:32]}.json", words


def _read(path: Path, words: str) -> str | None:
    """The value of this key in a note; None if there is no note, or it is damaged."""
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
    """A checksum that shows damage to a note."""
    return digests.of_text(f"{words} {value}")

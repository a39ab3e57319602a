"""Digests of what is written, so that it is known when it is read again: the one way from content to a digest.

Files that others read have forms of their own, which are kept: ``NAME.sha256`` beside weights is what `sha256sum`
writes, a baseline is digested without blanks, and a line of a journal has a short checksum.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

SEAL_LENGTH = 32
"""Hexadecimal digits of a seal: 128 bits."""


def of_bytes(*parts: bytes | memoryview) -> str:
    """SHA-256, in hexadecimal, of these bytes one after the other."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part)
    return content.hexdigest()


def of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, whatever characters it holds."""
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def of_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` gives it.

    Raises:
        OSError: it cannot be read.
    """
    return of_bytes(path.read_bytes())


def of_value(value: Any) -> str:
    """SHA-256 of a value as JSON: the order of a mapping's names does not count, nor the sign of zero."""
    return of_text(json.dumps(_as_kept(value), sort_keys=True))


def seal(value: Any) -> str:
    """The digest of a value that a database keeps beside it: the beginning of ``of_value``."""
    return of_value(value)[:SEAL_LENGTH]


def checksum(content: bytes) -> bytes:
    """CRC-32 as eight hexadecimal digits: tells a line that was cut short, or damaged, from a whole one."""
    return b"%08x" % zlib.crc32(content)


def _as_kept(value: Any) -> Any:
    """A value as SQLite gives it back: without the sign of zero, which JSON would tell apart."""
    match value:
        case float():
            return value + 0.0
        case list() | tuple():
            return [_as_kept(part) for part in value]
        case dict():
            return {name: _as_kept(part) for name, part in value.items()}
    return value

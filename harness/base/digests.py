"""Digests of stored content, to verify it when it is read. All code computes its digests with this module.

Three formats differ: ``NAME.sha256`` beside weights has the format of `sha256sum`, a baseline is digested as JSON
without blanks, and a line of a journal has a short checksum.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

SEAL_LENGTH = 32
"""Hexadecimal digits of a seal: 128 bits."""


def of_bytes(*parts: bytes | memoryview) -> str:
    """SHA-256 (hex) of the concatenation of these bytes."""
    content = hashlib.sha256()
    for part in parts:
        content.update(part)
    return content.hexdigest()


def of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8; unpaired surrogates are allowed."""
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def of_file(path: Path) -> str:
    """SHA-256 of a file, the same as from `sha256sum`.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return of_open(file)


def of_open(file: BufferedReader) -> str:
    """SHA-256 of what an open file has from here on; it is read in pieces."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def of_value(value: Any) -> str:
    """SHA-256 of a value as JSON. The order of keys in a mapping and the sign of zero have no effect."""
    return of_text(json.dumps(_as_kept(value), sort_keys=True))


def seal(value: Any) -> str:
    """The digest of a value that is stored with it in a database: the beginning of ``of_value``."""
    return of_value(value)[:SEAL_LENGTH]


def checksum(content: bytes) -> bytes:
    """CRC-32 as eight hexadecimal digits: it detects a line that is truncated or damaged."""
    return b"%08x" % zlib.crc32(content)


def _as_kept(value: Any) -> Any:
    """A value as SQLite returns it: without the sign of zero, which would change the JSON."""
    match value:
        case float():
            return value + 0.0
        case list() | tuple():
            return [_as_kept(part) for part in value]
        case dict():
            return {name: _as_kept(part) for name, part in value.items()}
    return value

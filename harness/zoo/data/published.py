"""Verifies published files by the MD5 that their publisher states."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.base.errors import HarnessError


def verified(path: Path, md5: str) -> bytes:
    """The bytes of a file, after its MD5 (hex) is checked.

    Raises:
        HarnessError: the file cannot be read, or has another MD5.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise HarnessError(
            f"{path} is not the file that was published: its MD5 is {actual}, expected {md5}; "
            "delete it, so that it can be downloaded again, or replace it with the right one"
        )
    return content

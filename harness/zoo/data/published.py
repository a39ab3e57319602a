"""Published files that are known by the MD5 that their publisher states."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from harness.base.errors import HarnessError
from harness.base.files import cache_folder
from harness.zoo.data.downloads import bring


def verified(path: Path, md5: str) -> bytes:
    """The bytes of a file with that MD5 (hex).

    Raises:
        HarnessError: it cannot be read, or has another.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise HarnessError(
            f"{path} is not the file that was published: its MD5 is {actual}, expected {md5}; "
            "delete it, so that it can be fetched again, or put the right one in its place"
        )
    return content


def download(data_set: str, name: str, md5: str, mirrors: Sequence[str]) -> Path:
    """Bring a file from the first mirror that gives the right bytes into the cache folder.

    It is written under a temporary name, verified, flushed to disk and only then renamed.

    Raises:
        HarnessError: no mirror gave it; the message says what each one answered.
    """
    target = cache_folder() / data_set / name
    answers = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            bring(url, target, lambda part: verified(part, md5))
            return target
        except (OSError, HTTPException, HarnessError) as error:
            answers.append(f"  {url}: {error}")
    raise HarnessError(f"{name} could not be downloaded to {target.parent}:\n" + "\n".join(answers))

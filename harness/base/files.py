"""Atomic writes, files with a digest, and the cache folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.base import digests
from harness.base.messages import note

COMPUTED_ANEW = "it is computed again"
ABANDONED = 600.0
"""Seconds without a write after which a temporary file counts as abandoned (downloads time out after 30)."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: under a temporary name in its folder, flushed to the disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it readable only by its owner
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def create_atomically(path: Path, make: Callable[[Path], None]) -> None:
    """Create a file that needs several writes atomically: in a temporary folder, then renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".tmp", f".{path.name}.", path.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / path.name
        make(made)
        write_bytes(path, made.read_bytes())


def sweep(folder: Path, pattern: str) -> None:
    """Remove the half-written files of killed processes. Other processes may be writing to the folder."""
    with contextlib.suppress(OSError):  # another process may remove the file first; a file that stays does no harm
        for path in folder.glob(pattern):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def no_file(path: Path) -> str | None:
    """What a path names (links are followed) if it is no file, for a message; None if it is one. Opens nothing.

    Opening a pipe without a writer would wait for ever, and reading a device can have effects.

    Raises:
        OSError: there is nothing at this path, or it cannot be looked at.
    """
    mode = os.stat(path).st_mode
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    if stat.S_ISREG(mode):
        return None
    return next((f"{words}, no file" for is_so, words in kinds if is_so(mode)), "a device, no file")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    write_bytes(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode())


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file atomically, with the SHA-256 of its content in the first line."""
    write_bytes(path, digests.of_bytes(content).encode() + b"\n" + content)


def read_sealed(path: Path, instead: str) -> bytes | None:
    """The content that ``write_sealed`` wrote; None if the file is missing or damaged.

    A damaged file is reported to the user, with what happens ``instead``.
    """
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if digests.of_bytes(content).encode() != head:
        note(f"{path} is damaged (its SHA-256 is not the one in its first line): {instead}")
        return None
    return content


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested tensors and plain values with ``write_sealed``."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_sealed(path, buffer.getvalue())


def load_state(path: Path, instead: str, device: Any = "cpu") -> dict[str, Any] | None:
    """What ``save_state`` wrote; None as in ``read_sealed``.

    It loads only tensors and plain values, so a file cannot run code.
    """
    from pickle import UnpicklingError  # torch raises it

    import torch

    content = read_sealed(path, instead)
    if content is None:
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except UnpicklingError:
        note(f"{path} is refused, because it holds more than tensors and plain values: {instead}")
        return None
    return state if isinstance(state, dict) else None


def cache_folder() -> Path:
    """The folder of downloads: HARNESS_CACHE, else XDG_CACHE_HOME/harness, else ~/.cache/harness."""
    if own := os.environ.get("HARNESS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "harness"
    try:
        return Path.home() / ".cache" / "harness"
    except RuntimeError:  # HOME is not set, and this user id has no account
        return Path(tempfile.gettempdir()) / f"harness-{os.getuid()}"

"""Files that are either whole or not there: atomic writes, digests, a cache by content, and what ails a disk."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.base import digests
from harness.base.messages import note

COMPUTED_ANEW = "it is computed anew"
ABANDONED = 600.0
"""Seconds without a write after which nobody goes on with a temporary file; a silent mirror is given up after 30."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its folder, flush it to the disk, and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it readable by its owner alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def made_whole(path: Path, make: Callable[[Path], None]) -> None:
    """Have a file made that takes several writes: under its own name in a temporary folder, then put into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".tmp", f".{path.name}.", path.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / path.name
        make(made)
        write_bytes(path, made.read_bytes())


def sweep(folder: Path, pattern: str) -> None:
    """Remove the half-written files of killed processes from a folder that others may be writing to now."""
    with contextlib.suppress(OSError):  # it may go at any moment, and what stays does no harm
        for path in folder.glob(pattern):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    write_bytes(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode())


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file headed by the SHA-256 of its content, atomically."""
    write_bytes(path, digests.of_bytes(content).encode() + b"\n" + content)


def read_sealed(path: Path, instead: str) -> bytes | None:
    """What ``write_sealed`` wrote; None where there is no file, or its bytes do not have the digest in its head.

    That is said, and what happens ``instead``.
    """
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if digests.of_bytes(content).encode() != head:
        note(f"{path} is damaged (its SHA-256 is not the one in its head): {instead}")
        return None
    return content


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a nest of tensors and plain values, sealed."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_sealed(path, buffer.getvalue())


def load_state(path: Path, instead: str, device: Any = "cpu") -> dict[str, Any] | None:
    """What ``save_state`` wrote, or None as ``read_sealed``.

    Tensors and plain values only: reading a file runs no code.
    """
    from pickle import UnpicklingError  # what torch raises

    import torch

    content = read_sealed(path, instead)
    if content is None:
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except UnpicklingError:
        note(f"{path} holds more than tensors and plain values, and none of it was run: {instead}")
        return None
    return state if isinstance(state, dict) else None


def cache_folder() -> Path:
    """Where downloads go: HARNESS_CACHE, else XDG_CACHE_HOME/harness, else ~/.cache/harness."""
    if own := os.environ.get("HARNESS_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "harness"
    try:
        return Path.home() / ".cache" / "harness"
    except RuntimeError:  # HOME is not set, and the system knows no user of this number
        return Path(tempfile.gettempdir()) / f"harness-{os.getuid()}"

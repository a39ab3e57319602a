"""Files that are either whole or not there: atomic writes, digests, and a cache by content."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images


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


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    write_bytes(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode())


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a nest of tensors and plain values, headed by the SHA-256 of its bytes, atomically."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    write_bytes(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def load_state(path: Path, device: Any = "cpu") -> dict[str, Any] | None:
    """What ``save_state`` wrote, or None where there is no file or its bytes do not have the digest in its head.

    Tensors and plain values only: reading a file runs no code.
    """
    import torch

    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest().encode() != head:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    return state


def cached_tensors(
    folder: Path | None, key: tuple[str, str, Images], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors kept in a folder under (kind, digest of the extractor, digest of the images), else computed."""
    if folder is None:
        return compute()
    kind, extractor, images = key
    path = folder / f"{kind}-{extractor[:16]}-{images.digest[:24]}.pt"
    found = load_state(path)
    if found is None:
        found = compute()
        save_state(path, found)
    return found

"""The judges: pretrained classifiers that say what samples show. Importing this needs no torch.

A judge is a pair of networks. The feature network gives the features of Fréchet distance, KID, precision and recall
and the class probabilities of the Inception score. The coverage network, of another architecture, trained apart from
it, says which class an image shows, and how surely it shows one at all.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.registry import nearest

if TYPE_CHECKING:
    from harness.judge.judge import Judge

SHIPPED = Path(__file__).parent / "weights"
ROLES = ("features", "coverage")


def names() -> list[str]:
    """The judges that are there."""
    return sorted({path.name.rpartition("-")[0] for path in SHIPPED.glob("*-features.safetensors")})


def files(name: str) -> dict[str, Path]:
    """Role -> weights file of a judge.

    Raises:
        HarnessError: there is no such judge, or one of its files is missing.
    """
    known = names()
    if name not in known:
        raise HarnessError(f"unknown judge {name!r}{nearest(name, known)} (known: {', '.join(known) or 'none'})")
    found = {role: SHIPPED / f"{name}-{role}.safetensors" for role in ROLES}
    for path in found.values():
        if not path.is_file():
            raise HarnessError(f"the judge {name!r} lacks its weights {path}: reinstall the harness")
    return found


@functools.cache
def digest(name: str) -> str:
    """SHA-256 (hex) over both weights files of a judge, read once per process."""
    content = hashlib.sha256()
    for _, path in sorted(files(name).items()):
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def load(name: str, device: Any) -> Judge:
    """A judge on a device.

    Raises:
        HarnessError: unknown name, or weights that are missing, damaged or of another shape.
    """
    from harness.judge.judge import Judge

    return Judge(name, files(name), digest(name), device)

"""From a trial's seed to the seed of each of its random streams."""

from __future__ import annotations

import hashlib


def derived(seed: int, role: str) -> int:
    """A seed in 0 … 2⁶³ − 1 for one purpose: different roles give unrelated streams."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{role}".encode()).digest()[:8]) % 2**63

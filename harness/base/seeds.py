"""Derives the seeds of a trial's random streams from the seed of the trial."""

from __future__ import annotations

import hashlib


def derived(seed: int, role: str) -> int:
    """The seed, in 0 … 2⁶³ − 1, of the stream with this role. Different roles give independent streams."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{role}".encode()).digest()[:8]) % 2**63

"""Derives the seeds of a trial's random streams from the seed of the trial."""

from __future__ import annotations

from harness.base import digests


def derived(seed: int, role: str) -> int:
    """The seed, in 0 … 2⁶³ − 1, of the stream with this role. Different roles give independent streams."""
    return int(digests.of_text(f"{seed}/{role}")[:16], 16) % 2**63

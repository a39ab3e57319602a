"""The random streams of a trial, and how their seeds are derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from harness.base import digests


class Seeds(NamedTuple):
    """The seed of each random stream of a trial; in an ordinary trial all are the seed of the trial.

    Attributes:
        weights: of what a model draws before its first step: initial weights, and, in models that have them, the
            choice of the labelled images and the order of a second data set.
        order: of the order of the training images.
        latents: of all other random numbers in training: latents, dropout, random numbers of penalties and tricks.
        samples: of the latents that are evaluated.
    """

    weights: int
    order: int
    latents: int
    samples: int

    @classmethod
    def of(cls, seed: int, own: Mapping[str, int] | None = None) -> Seeds:
        """The seeds of a trial with this seed; ``own``: stream -> its seed, for streams with seeds of their own."""
        return cls(seed, seed, seed, seed)._replace(**(own or {}))

    @property
    def own(self) -> dict[str, int]:
        """Stream -> its seed, for the streams whose seed is not that of the weights."""
        return {stream: seed for stream, seed in self._asdict().items() if seed != self.weights}


def derived(seed: int, role: str) -> int:
    """The seed, in 0 … 2⁶³ − 1, of the stream with this role. Different roles give independent streams."""
    return int(digests.of_text(f"{seed}/{role}")[:16], 16) % 2**63

"""The random state for the initialisation of a network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from harness.base.seeds import derived


@contextlib.contextmanager
def seeded(seed: int, role: str) -> Iterator[None]:
    """Inside the ``with`` block, torch's global random state on the CPU is that of the seed and the role."""
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed, which would also seed the GPUs
        torch.default_generator.manual_seed(derived(seed, role))
        yield

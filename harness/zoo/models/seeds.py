"""The random state in which a network is initialised."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from harness.base.seeds import derived


@contextlib.contextmanager
def seeded(seed: int, role: str) -> Iterator[None]:
    """Torch's global random state on the CPU, set from the seed and the role for a while, then put back."""
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed, which would seed the GPUs too
        torch.default_generator.manual_seed(derived(seed, role))
        yield

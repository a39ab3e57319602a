"""The order of the data in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Shuffled:
    """Endless positions in a data set: every epoch has a new order and contains every position once.

    Args:
        size: images in the data set.
        rng: the generator of the orders.
        device: where the positions are to be; without it, on the generator's device. An epoch is copied there as a
            whole, so that a generator on the CPU gives a GPU the same orders without a copy at every step.
    """

    def __init__(self, size: int, rng: torch.Generator, device: torch.device | None = None) -> None:
        self._size = size
        self._rng = rng
        self._left = torch.empty(0, dtype=torch.long, device=device or rng.device)

    def next(self, n: int) -> Tensor:
        """The next n positions, int64. They may span the end of an epoch."""
        while len(self._left) < n:
            epoch = torch.randperm(self._size, device=self._rng.device, generator=self._rng)
            self._left = torch.cat([self._left, epoch.to(self._left.device)])
        places, self._left = self._left[:n], self._left[n:]
        return places

    def state_dict(self) -> dict[str, Any]:
        """The rest of the order of this epoch, and the random state."""
        return {"order": self._left, "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned."""
        self._left = state["order"].to(self._left.device)
        self._rng.set_state(state["rng"].cpu())

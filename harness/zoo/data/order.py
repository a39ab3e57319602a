"""The order in which a training sees its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Shuffled:
    """Places in a data set without end: epoch after epoch, each in a new order, every place once in each.

    Args:
        size: images in the data set.
        rng: decides the orders; its device is where the places lie.
    """

    def __init__(self, size: int, rng: torch.Generator) -> None:
        self._size = size
        self._rng = rng
        self._left = torch.empty(0, dtype=torch.long, device=rng.device)

    def next(self, n: int) -> Tensor:
        """The next n places, int64. They may reach over the end of an epoch."""
        while len(self._left) < n:
            epoch = torch.randperm(self._size, device=self._rng.device, generator=self._rng)
            self._left = torch.cat([self._left, epoch])
        places, self._left = self._left[:n], self._left[n:]
        return places

    def state_dict(self) -> dict[str, Any]:
        """The order that is left of this epoch, and the random state."""
        return {"order": self._left, "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that ``state_dict`` gave."""
        self._left = state["order"].to(self._rng.device)
        self._rng.set_state(state["rng"].cpu())

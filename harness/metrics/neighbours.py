"""Distances between two sets of features, block by block, so that no N×N matrix is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

HELD = 2**23
"""The number of distances in memory at once."""


def distances(one: Tensor, other: Tensor) -> Iterator[Tensor]:
    """Euclidean distances (rows of a block, len(other)), float64, for all rows of ``one`` (n, d) in order.

    The distance of equal rows is exactly 0: below a millionth of the rows' length there are only rounding errors.
    """
    far = other.double()
    lengths = far.norm(dim=1)
    for block in torch.split(one.double(), max(1, HELD // len(far))):
        found = torch.cdist(block, far)
        yield found.masked_fill_(found < 1e-6 * lengths, 0)


def nearest(one: Tensor, other: Tensor) -> Tensor:
    """The distance (n,) of each row of ``one`` to its nearest row of ``other``, float64.

    The neighbour is found in float32 by |y|² − 2 x·y. Its distance is then computed from the rows themselves, so that
    it is exactly 0 for a copy.
    """
    squares, found = other.square().sum(1), []
    for block in torch.split(one, max(1, HELD // len(other))):
        neighbours = other[torch.addmm(squares, block, other.T, alpha=-2).argmin(1)]
        found.append((block.double() - neighbours.double()).norm(dim=1))
    return torch.cat(found)


def radii(features: Tensor, neighbours: int) -> Tensor:
    """The distance (n,) of each row to its k-th nearest neighbour among the other rows, k = ``neighbours``."""
    # The nearest row of each row is itself, so the k-th neighbour is at position k + 1.
    return torch.cat([block.kthvalue(neighbours + 1, dim=1).values for block in distances(features, features)])

"""What a discriminator says of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Scores(NamedTuple):
    """What a discriminator says of n images."""

    logits: torch.Tensor
    """Shape (n,): above 0 it holds the image for real."""
    features: torch.Tensor
    """Shape (n, d): the last hidden layer, flattened, after its non-linearity."""

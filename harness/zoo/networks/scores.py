"""The output of a discriminator."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class Scores(NamedTuple):
    """The output of a discriminator for n images."""

    logits: torch.Tensor
    """Shape (n,); above 0 means real."""
    features: torch.Tensor
    """Shape (n, d): the last hidden layer, flattened, after its non-linearity."""

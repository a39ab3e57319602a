"""The extractor for points of the plane: a point is its own feature, so that Fréchet distance and others apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Points:
    """The features of a point are its two coordinates, unchanged."""

    name = "points"
    digest = "points: coordinates in [-1, 1], unchanged"

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (n, 2, 1, 1) -> coordinates (n, 2), as features and also as logits, because there are no classes."""
        coordinates = images.flatten(1).float()
        return coordinates, coordinates

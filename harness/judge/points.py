"""Points of the plane as features of themselves, so that Fréchet distance and its like can be had of them too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Points:
    """The extractor of data sets of points: the two coordinates, unchanged."""

    name = "points"
    digest = "points: coordinates in [-1, 1], unchanged"

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (n, 2, 1, 1) -> coordinates (n, 2), as features and, there being no classes, as logits too."""
        coordinates = images.flatten(1).float()
        return coordinates, coordinates

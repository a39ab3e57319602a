"""The extractors without a network.

For points of the plane a point is its own feature, so that Fréchet distance and others apply.
"""

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


class NoFeatures:
    """Takes the place of the extractor if no metric uses features."""

    name = "none"
    digest = "none: no metric uses features"

    def features(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Fails: the plan chooses this class only if no metric says that it uses features."""
        raise AssertionError("a metric that uses features says `uses_features = False`")

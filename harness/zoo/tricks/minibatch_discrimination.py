"""Minibatch discrimination: gives the discriminator the distance of each image to the others of its mini-batch.

Salimans et al. 2016, section 3.2, with features f(xᵢ) of A dimensions and a learned tensor T (A × B × C):

    Mᵢ = f(xᵢ) T  (B × C),   c_b(xᵢ, xⱼ) = exp(−‖Mᵢ,b − Mⱼ,b‖₁),   o(xᵢ)_b = Σ_{j ≠ i} c_b(xᵢ, xⱼ)

The B numbers o(xᵢ) are added to the features. Real and generated images are in separate mini-batches. The sum excludes
the image itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class DiscriminationSettings(registry.Settings):
    """Sizes of the tensor T."""

    kernels: int = Field(100, ge=1, le=1000, description="numbers added to an image's features (B)")
    dimensions: int = Field(5, ge=1, le=100, description="dimensions in which a kernel's distance is taken (C)")


class MinibatchDiscrimination(Trick):
    """Adds B features to the discriminator."""

    name = "minibatch_discrimination"
    summary = "the discriminator gets the distance of each image to the others of its mini-batch"
    paper = "Salimans et al. 2016, section 3.2"
    capturable = True
    Settings = DiscriminationSettings
    settings: DiscriminationSettings
    requires = frozenset({"discriminator_features"})
    hides = frozenset({"probability"})  # it depends on the other images

    def change_networks(self, game: Game) -> None:
        from harness.zoo.tricks.layers import Nearness

        kernels = self.settings.kernels
        # Only the discriminator's own features are compared, not those that other tricks have added.
        inputs = game.discriminator.features
        game.discriminator.extend(Nearness(inputs, kernels, self.settings.dimensions), kernels)

"""Minibatch discrimination: the discriminator is told how near each image lies to the others of its mini-batch.

Salimans et al. 2016, section 3.2, with features f(xᵢ) of A dimensions and a learned tensor T (A × B × C):

    Mᵢ = f(xᵢ) T  (B × C),   c_b(xᵢ, xⱼ) = exp(−‖Mᵢ,b − Mⱼ,b‖₁),   o(xᵢ)_b = Σ_{j ≠ i} c_b(xᵢ, xⱼ)

The B numbers o(xᵢ) join the features. Real and generated images come in mini-batches of their own. The sum leaves the
image itself out.
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
    summary = "the discriminator is told how near each image lies to the others of its mini-batch"
    paper = "Salimans et al. 2016, section 3.2"
    Settings = DiscriminationSettings
    settings: DiscriminationSettings
    requires = frozenset({"discriminator_features"})
    hides = frozenset({"probability"})  # of an image among others

    def change_networks(self, game: Game) -> None:
        from harness.zoo.tricks.layers import Nearness

        kernels = self.settings.kernels
        # Layers that other tricks put in before see to features of their own, which are not compared.
        inputs = game.discriminator.features
        game.discriminator.extend(Nearness(inputs, kernels, self.settings.dimensions), kernels)

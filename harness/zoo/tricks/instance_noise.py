"""Instance noise: Gaussian noise on all inputs of the discriminator, fading out over the training.

Sønderby et al. 2017, section 3.2 (and Arjovsky and Bottou 2017, section 3). D's inputs are

    x + ε and G(z) + ε,   ε ~ N(0, σ²)

Two distributions on thin sets that do not overlap can be separated perfectly, and then G has no gradient. With the same
noise on both, they overlap. σ falls linearly from ``sigma`` to 0 at ``until`` of the training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class NoiseSettings(registry.Settings):
    """Strength and duration of the noise."""

    sigma: float = Field(0.1, gt=0, le=10, description="standard deviation at the start, images being in [-1, 1]")
    until: float = Field(1.0, gt=0, le=1, description="share of the training at which it has faded out")


class InstanceNoise(Trick):
    """Adds noise to the discriminator's input."""

    name = "instance_noise"
    summary = "Gaussian noise on real and generated images before the discriminator, fading out"
    paper = "Sønderby et al. 2017, section 3.2"
    capturable = True
    Settings = NoiseSettings
    settings: NoiseSettings
    requires = frozenset({"discriminator"})
    hides = frozenset({"probability"})  # of an image with noise

    def discriminator_input(self, images: torch.Tensor, game: Game) -> torch.Tensor:
        sigma = self.settings.sigma * (1 - game.done / self.settings.until).clamp(min=0)
        noise = torch.randn(images.shape, device=images.device, generator=game.rng)
        return images + sigma * noise

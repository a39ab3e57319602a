"""Mode seeking: different latents must give different images.

Mao et al. 2019, equation 3: the generator maximises d(G(z₁), G(z₂)) / d(z₁, z₂). As in the authors' code, its loss has
the term

    1 / (mean|G(z₁) − G(z₂)| / mean|z₁ − z₂| + 10⁻⁵)

with two latents z for each condition: labels and codes, in the columns after z, are the same for both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.tricks.game import Game, Scored


class SeekingSettings(registry.Settings):
    """Settings of mode seeking."""

    weight: float = Field(1.0, gt=0, le=1e6, description="factor of the term")


class ModeSeeking(Trick):
    """Adds the inverse ratio of distances to the generator's loss."""

    name = "mode_seeking"
    summary = "the generator is penalised for similar images from different latents"
    paper = "Mao et al. 2019, equation 3"
    capturable = True
    Settings = SeekingSettings
    settings: SeekingSettings
    requires = frozenset({"generator", "latent"})

    def generator_loss(self, game: Game, real: Scored, fake: Scored) -> Tensor:
        assert fake.drawn is not None
        own, size = fake.drawn.latents, game.latent
        z, condition = own[:, :size], own[:, size:]
        other = game.noise(len(own), size, game.rng)
        images = game.drawn_from(torch.cat([other, condition], 1)).images
        return self.settings.weight * likeness(fake.drawn.images, images, z, other)


def likeness(images: Tensor, others: Tensor, latents: Tensor, other_latents: Tensor) -> Tensor:
    """1 / (mean|images − others| / mean|latents − other latents| + 10⁻⁵)."""
    apart = (images.float() - others.float()).abs().mean() / (latents - other_latents).abs().mean()
    return 1 / (apart + 1e-5)

"""Weight clipping: clips the critic's weights to [−c, c] after each of its steps.

Arjovsky et al. 2017, algorithm 1, line 7:

    w ← clip(w, −c, c)

It is a crude way to keep the critic Lipschitz, as the dual form of the Wasserstein distance requires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class ClippingSettings(registry.Settings):
    """Settings of weight clipping."""

    limit: float = Field(0.01, gt=0, le=10, description="largest absolute value of a weight (c)")


class WeightClipping(Trick):
    """Clips every parameter of the discriminator."""

    name = "weight_clipping"
    summary = "the discriminator's weights are clipped to [-.01, .01] after each of its steps"
    paper = "Arjovsky et al. 2017, algorithm 1"
    capturable = True
    Settings = ClippingSettings
    settings: ClippingSettings
    requires = frozenset({"discriminator"})
    # Clipping the raw weights of a normalised layer would have no meaning.
    conflicts = frozenset({"spectral_norm"})

    def after_discriminator_step(self, game: Game) -> None:
        limit = self.settings.limit
        parameters: list[torch.Tensor] = list(game.discriminator.parameters())
        with torch.no_grad():
            torch._foreach_clamp_min_(parameters, -limit)
            torch._foreach_clamp_max_(parameters, limit)

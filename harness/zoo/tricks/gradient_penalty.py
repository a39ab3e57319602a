"""Gradient penalty: pulls the discriminator's slope to 1, between real and generated images or around the data.

Gulrajani et al. 2017, equation 3:

    λ E_x̂ (‖∇C(x̂)‖₂ − 1)²,   x̂ = ε x + (1 − ε) G(z),   ε ~ U(0, 1)

with ``around: interpolates``. With ``around: data``, x̂ is that of Kodali et al. 2017 (DRAGAN), section 2.3:

    x̂ = x + α · ½ std(x) U(0, 1),   α ~ U(0, 1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from harness.zoo import penalties, registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    import torch

    from harness.zoo.tricks.game import Game, Scored


class GradientPenaltySettings(registry.Settings):
    """Settings of the gradient penalty."""

    weight: float = Field(10.0, gt=0, le=1e6, description="factor of the penalty (λ)")
    around: Literal["interpolates", "data"] = Field("interpolates", description="where the slope is measured")


class GradientPenalty(Trick):
    """Adds the penalty to the discriminator's loss."""

    name = "gradient_penalty"
    summary = "the discriminator's slope is pulled to 1 between real and generated images, or around the data"
    paper = "Gulrajani et al. 2017, equation 3; Kodali et al. 2017"
    capturable = True
    Settings = GradientPenaltySettings
    settings: GradientPenaltySettings
    requires = frozenset({"discriminator"})
    # With batch normalisation the score of an image depends on the other images of the batch.
    conflicts = frozenset({"discriminator_batch_norm"})

    def discriminator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor:
        if self.settings.around == "data":
            points = penalties.perturbed(real.images, game.rng)
        else:
            points = penalties.interpolated(real.images, fake.images, game.rng)
        return self.settings.weight * penalties.one_centred(real.critic, points)

"""R1: the squared slope of the discriminator at real images is kept small.

Mescheder et al. 2018, equation 9:  γ/2 · E_x ‖∇C(x)‖². With ``final`` the weight γ falls (or rises) linearly
to that value over the training, as Huang et al. 2024 (appendix) let it. It acts at every step: lazy, it diverged there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from harness import penalties, registry
from harness.tricks.base import Trick

if TYPE_CHECKING:
    import torch

    from harness.models.gan import GAN, Seen


class R1Settings(registry.Settings):
    """Settings of R1."""

    weight: float = Field(10.0, gt=0, le=1e6, description="γ")
    final: float | None = Field(None, ge=0, le=1e6, description="γ at the end of the training; null: as at its start")


class R1(Trick):
    """Adds the penalty to the discriminator's loss."""

    name = "r1"
    summary = "zero-centred gradient penalty of the discriminator at real images"
    paper = "Mescheder et al. 2018, equation 9"
    Settings = R1Settings
    settings: R1Settings
    requires = frozenset({"discriminator"})
    # With batch normalisation an image's score depends on the others, and its gradient is no longer its own.
    conflicts = frozenset({"discriminator_batch_norm"})

    def discriminator_loss(self, game: GAN, real: Seen, fake: Seen) -> torch.Tensor:
        start = self.settings.weight
        end = start if self.settings.final is None else self.settings.final
        weight = start + (end - start) * game.done
        return weight / 2 * penalties.zero_centred(real.critic, real.images)

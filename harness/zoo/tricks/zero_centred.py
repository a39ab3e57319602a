"""The base class of r1 and r2: a zero-centred gradient penalty on the discriminator's loss.

The gradient is taken at the images themselves, before tricks change them, and goes through these changes: beside
``diff_augment``, that of C(T(x)) at x, as in StyleGAN2-ADA's and R3GAN's code. (The cut-out part of an image has no
gradient then.) A pack of images has one score and so one gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.zoo import penalties, registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    import torch

    from harness.zoo.tricks.game import Game, Scored


class ZeroCentredSettings(registry.Settings):
    """Strength of the penalty over the training."""

    weight: float = Field(10.0, gt=0, le=1e6, description="γ")
    final: float | None = Field(None, ge=0, le=1e6, description="γ at the end of the training; null: as at its start")


class ZeroCentred(Trick):
    """γ/2 · E‖∇C‖² at real or at generated images; γ changes linearly over the training."""

    Settings = ZeroCentredSettings
    settings: ZeroCentredSettings
    requires = frozenset({"discriminator"})
    # With batch normalisation the score of an image depends on the other images of the batch.
    conflicts = frozenset({"discriminator_batch_norm"})
    at: ClassVar[Literal["real", "fake"]]

    def discriminator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor:
        start, end = self.settings.weight, self.settings.final
        weight = start if end is None else start + (end - start) * game.done
        seen = real if self.at == "real" else fake
        packed = len(seen.before) / len(seen.images)
        return weight / 2 * packed * penalties.zero_centred(seen.whole_critic, seen.before)

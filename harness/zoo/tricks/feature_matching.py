"""Feature matching: the generator matches the mean of the discriminator's features over a batch.

Salimans et al. 2016, section 3.1, with f a hidden layer of the discriminator:

    L_G = ‖ E_{x~data} f(x) − E_z f(G(z)) ‖²₂

It compares the batch MEANS of the features, not features sample by sample, and replaces the objective's generator
loss. The discriminator's loss does not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game, Scored


class FeatureMatchingSettings(registry.Settings):
    """Settings of feature matching."""

    weight: float = Field(1.0, gt=0, le=1e4, description="factor of the loss")


class FeatureMatching(Trick):
    """The generator's loss is the squared distance of the batch means of the features."""

    name = "feature_matching"
    summary = "the generator matches batch means of discriminator features instead of fooling the discriminator"
    paper = "Salimans et al. 2016, section 3.1"
    capturable = True
    Settings = FeatureMatchingSettings
    settings: FeatureMatchingSettings
    requires = frozenset({"discriminator_features"})
    claims = frozenset({"generator_loss"})

    def generator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor:
        # With unrolling, the features of real images depend on the generator, too, through the discriminator.
        return self.settings.weight * feature_distance(real.scores.features, fake.scores.features)


def feature_distance(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """‖ mean(real) − mean(fake) ‖²₂ for features of shape (n, d); the two batches may differ in n."""
    return (real.float().mean(0) - fake.float().mean(0)).square().sum()

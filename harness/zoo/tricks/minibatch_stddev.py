"""Minibatch standard deviation: gives the discriminator a measure of the variation in a mini-batch.

Karras et al. 2018, section 3. The standard deviation of each feature over the mini-batch, averaged over the d
features:

    s = (1/d) Σ_k std_i f_k(xᵢ)

This number is added to the features of every image as one more feature, here before D's last layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class MinibatchStandardDeviation(Trick):
    """Adds one feature to the discriminator."""

    name = "minibatch_stddev"
    summary = "the discriminator gets the mean standard deviation of its features over the mini-batch"
    paper = "Karras et al. 2018, section 3"
    capturable = True
    requires = frozenset({"discriminator_features"})
    hides = frozenset({"probability"})  # it depends on the other images

    def change_networks(self, game: Game) -> None:
        from harness.zoo.tricks.layers import StandardDeviation

        game.discriminator.extend(StandardDeviation(), 1)

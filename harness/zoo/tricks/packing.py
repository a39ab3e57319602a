"""Packing (PacGAN): the discriminator gets m images of the same kind at once.

Lin et al. 2018, section 2. The images of a pack, all real or all generated, are concatenated along the channels:

    D(x₁, …, x_m)

If the generator lacks modes, the images of its packs are too similar, which a discriminator of packs can detect and one
of single images cannot. A mini-batch of n images becomes ⌊n / m⌋ packs; nothing else changes, not even the generator.
So arms with and without packs use equally many images per step. The authors' code keeps the number of packs instead,
and uses m times as many images: for their protocol, multiply ``train.batch_size`` by m.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class PackingSettings(registry.Settings):
    """Size of a pack."""

    size: int = Field(2, ge=2, le=16, description="images that the discriminator sees at once (m)")


class Packing(Trick):
    """Stacks the images of a mini-batch along the channels."""

    name = "packing"
    summary = "the discriminator scores packs of 2 images, so that it can detect a lack of variety"
    paper = "Lin et al. 2018, section 2"
    capturable = True
    Settings = PackingSettings
    settings: PackingSettings
    requires = frozenset({"discriminator"})
    hides = frozenset({"probability"})  # of a pack
    # A pack would also need the labels and codes of all its images.
    conflicts = frozenset({"conditional", "codes"})

    def discriminator_channels(self, channels: int) -> int:
        return channels * self.settings.size

    def discriminator_input(self, images: torch.Tensor, game: Game) -> torch.Tensor:
        return packed(images, self.settings.size)


def packed(images: torch.Tensor, size: int) -> torch.Tensor:
    """Images (n, c, h, w) as packs (⌊n / size⌋, size · c, h, w); remaining images are dropped."""
    packs = len(images) // size
    return images[: packs * size].reshape(packs, size * images.shape[1], *images.shape[2:])

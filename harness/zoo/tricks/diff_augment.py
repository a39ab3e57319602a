"""Differentiable augmentation: the discriminator sees every image, real or generated, shifted and partly covered.

Zhao et al. 2020, equations 4 and 5, f and g being the objective's two halves and T random and differentiable:

    L_D = E_x f(−D(T(x))) + E_z f(D(T(G(z)))),   L_G = E_z g(−D(T(G(z))))

Here T is a translation by up to 1/8 of the size and a cutout of a square of half the size. New and cut-out pixels are
background (−1, black), not the middle grey 0. Images with three channels also get a random brightness, saturation and
contrast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.tricks.game import Game

BACKGROUND = -1.0


class AugmentSettings(registry.Settings):
    """How strong the augmentation is."""

    translation: float = Field(0.125, ge=0, le=0.5, description="largest shift, as a share of the size")
    cutout: float = Field(0.5, ge=0, lt=1, description="side of the covered square, as a share of the size")
    colour: bool = Field(True, description="random brightness, saturation and contrast where there are 3 channels")


class DifferentiableAugmentation(Trick):
    """Augments the discriminator's input."""

    name = "diff_augment"
    summary = "real and generated images are shifted and partly covered before the discriminator"
    paper = "Zhao et al. 2020, equations 4 and 5"
    capturable = True
    Settings = AugmentSettings
    settings: AugmentSettings
    requires = frozenset({"discriminator"})
    hides = frozenset({"probability"})  # of a changed image

    @classmethod
    def refusal(cls, settings: AugmentSettings, shape: Shape) -> str | None:
        return "points can be neither shifted nor covered" if (shape.height, shape.width) == (1, 1) else None

    def discriminator_input(self, images: Tensor, game: Game) -> Tensor:
        if self.settings.colour and images.shape[1] == 3:
            images = coloured(images, game.rng)
        images = translated(images, self.settings.translation, game.rng)
        return covered(images, self.settings.cutout, game.rng)


def translated(images: Tensor, ratio: float, rng: torch.Generator) -> Tensor:
    """Shift each image (c, h, w) by whole pixels, up to ``ratio`` of its size; new pixels are background."""
    n, _, height, width = images.shape
    down, right = (_places(n, round(size * ratio), images, rng) for size in (height, width))
    rows = torch.arange(height, device=images.device)[None] - down[:, None]
    columns = torch.arange(width, device=images.device)[None] - right[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None]
    each = torch.arange(n, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[
        each, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]
    ]
    return torch.where(inside, moved.permute(0, 3, 1, 2), BACKGROUND)


def _places(n: int, most: int, images: Tensor, rng: torch.Generator) -> Tensor:
    return torch.randint(-most, most + 1, (n,), device=images.device, generator=rng)


def covered(images: Tensor, ratio: float, rng: torch.Generator) -> Tensor:
    """Cover a rectangle of ``ratio`` of the sides of each image with background; its centre is anywhere in it."""
    n, _, height, width = images.shape
    hidden = []
    for size in (height, width):
        side = round(size * ratio)
        middle = torch.randint(0, size + 1 - side % 2, (n, 1), device=images.device, generator=rng)
        offset = torch.arange(size, device=images.device)[None] - middle + side // 2
        hidden.append((offset >= 0) & (offset < side))
    return torch.where((hidden[0][:, :, None] & hidden[1][:, None])[:, None], BACKGROUND, images)


def coloured(images: Tensor, rng: torch.Generator) -> Tensor:
    """Change brightness (± ½), saturation (0 to 2 times) and contrast (½ to 1½ times) of each image at random."""

    def uniform() -> Tensor:
        return torch.rand(len(images), 1, 1, 1, device=images.device, generator=rng)

    images = images + uniform() - 0.5
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * 2 * uniform()
    middle = images.mean((1, 2, 3), keepdim=True)
    return middle + (images - middle) * (0.5 + uniform())

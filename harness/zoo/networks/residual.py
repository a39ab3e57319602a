"""Residual generator and discriminator without any normalisation (after Huang et al. 2024, section 4).

A block is x + W₃ φ(W₂ φ(W₁ x)): 1×1, 3×3, 1×1, with leaky ReLU φ, all with the same number of channels (the paper's
3×3 is wider, and grouped). Without normalisation, the initial variance of a sum of L blocks would grow with L. Fix-up
initialisation (Zhang et al. 2019) sets W₃ to 0 and scales W₁ and W₂ by L^(−1/4) (L^(−1/(2m−2)) for m = 3 layers per
block), so that every block starts as the identity.
Resampling is bilinear. G starts with a linear map of z to 4×4 and ends with a convolution, without tanh. D's features
are computed from its 4×4 map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.networks.modules import Discriminator


class ResidualSettings(registry.Settings):
    """Sizes of the residual networks."""

    width: int = Field(32, ge=4, le=1024, description="channels of the stage nearest the image; doubled per stage")
    widest: int = Field(128, ge=4, le=4096, description="most channels of a stage")
    blocks: int = Field(1, ge=1, le=16, description="residual blocks a stage")
    slope: float = Field(0.2, ge=0, le=1, description="slope of the leaky ReLU below zero")


class ResidualNetworks(Architecture):
    """A stage per halving of the image, residual blocks in each, no normalisation."""

    name = "residual"
    summary = "residual blocks without normalisation, fix-up initialisation; serves square images from 8×8 up"
    paper = "Huang et al. 2024, section 4"
    Settings = ResidualSettings
    settings: ResidualSettings

    @classmethod
    def refusal(cls, settings: ResidualSettings, shape: Shape) -> str | None:
        if shape.height != shape.width or shape.height < 8:
            return f"it serves square images from 8×8 up, not {shape.height}×{shape.width}"
        return None

    def stages(self) -> list[tuple[int, int]]:
        """(size, channels) from the image down to at most 4 pixels: [(28, 32), (14, 64), (7, 128), (4, 128)]."""
        stages = [(self.shape.height, self.settings.width)]
        while stages[-1][0] > 4:
            size, channels = stages[-1]
            stages.append(((size + 1) // 2, min(2 * channels, self.settings.widest)))
        return stages

    def generator(self, latent: int) -> nn.Module:
        from harness.zoo.networks.modules import Resize

        nn, stages = torch.nn, self.stages()[::-1]
        size, channels = stages[0]
        layers: list[nn.Module] = [
            nn.Linear(latent, channels * size * size),
            nn.Unflatten(1, (channels, size, size)),
        ]
        for size, outputs in stages:
            layers += [Resize(size), *self._change(channels, outputs), *self._blocks(outputs)]
            channels = outputs
        last = nn.Conv2d(channels, self.shape.channels, 3, padding=1)
        # Without normalisation a tanh would saturate: on images with much background, within a hundred steps.
        return nn.Sequential(*layers, nn.LeakyReLU(self.settings.slope), last)

    def discriminator(self, channels: int) -> Discriminator:
        from harness.zoo.networks.modules import Discriminator, Resize

        nn, stages = torch.nn, self.stages()
        inputs = stages[0][1]
        layers: list[nn.Module] = [nn.Conv2d(channels, inputs, 3, padding=1)]
        for position, (size, outputs) in enumerate(stages):
            layers += [Resize(size)] if position else []
            layers += [*self._change(inputs, outputs), *self._blocks(outputs)]
            inputs = outputs
        size = stages[-1][0]
        # a depthwise convolution over the whole of the smallest map: a weight for each place of each channel
        last = nn.Conv2d(inputs, inputs, size, groups=inputs, bias=False)
        layers += [nn.LeakyReLU(self.settings.slope), last, nn.Flatten()]
        return Discriminator(nn.Sequential(*layers), inputs)

    def _change(self, inputs: int, outputs: int) -> list[nn.Module]:
        return [] if inputs == outputs else [torch.nn.Conv2d(inputs, outputs, 1, bias=False)]

    def _blocks(self, channels: int) -> list[nn.Module]:
        from harness.zoo.networks.modules import Residual

        nn, slope = torch.nn, self.settings.slope
        scale = (self.settings.blocks * len(self.stages())) ** -0.25
        blocks: list[nn.Module] = []
        for _ in range(self.settings.blocks):
            first, second = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1)
            last = nn.Conv2d(channels, channels, 1)
            with torch.no_grad():
                for convolution in (first, second, last):
                    nn.init.kaiming_normal_(convolution.weight, slope)
                    convolution.weight.mul_(0 if convolution is last else scale)
                    assert convolution.bias is not None
                    convolution.bias.zero_()
            blocks.append(Residual(first, nn.LeakyReLU(slope), second, nn.LeakyReLU(slope), last))
        return blocks

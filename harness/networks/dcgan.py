"""Deep convolutional generator and discriminator (Radford et al. 2016, section 3).

Strided convolutions in D and transposed ones in G instead of pooling; batch normalisation in both, except at G's
output and D's input; no hidden fully connected layers; ReLU in G with tanh at the end, leaky ReLU .2 in D; weights
from N(0, .02), the scale of the normalisation from N(1, .02).

The paper's networks are for 64×64 images. Here an image is halved (rounded up) until it is at most 4 pixels high,
28 → 14 → 7 → 4, and G retraces that way, so that any square size from 8 up is served. Networks this narrow leave G
weak, so it has a 3×3 convolution before each transposed one but the first (``convolutions: 0`` leaves them out):
docs/results.md has what that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness import registry
from harness.data.base import Shape
from harness.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn


class DCGANSettings(registry.Settings):
    """Sizes and normalisation of the convolutional networks."""

    width: int = Field(32, ge=4, le=1024, description="channels of the layer nearest the image; doubled per stage")
    convolutions: int = Field(1, ge=0, le=4, description="3×3 convolutions before the generator's later stages")
    generator_norm: bool = Field(True, description="batch normalisation in the generator")
    discriminator_norm: bool = Field(True, description="batch normalisation in the discriminator")


class DCGAN(Architecture):
    """A stage per halving of the image, twice the channels each."""

    name = "dcgan"
    summary = "strided convolutions with batch normalisation; serves square images from 8×8 up"
    paper = "Radford et al. 2016, section 3"
    Settings = DCGANSettings
    settings: DCGANSettings

    @classmethod
    def refusal(cls, settings: DCGANSettings, shape: Shape) -> str | None:
        if shape.height != shape.width or shape.height < 8:
            return f"it serves square images from 8×8 up, not {shape.height}×{shape.width}"
        return None

    @property
    def sizes(self) -> list[int]:
        """Heights from the image down to at most 4: [28, 14, 7, 4]."""
        sizes = [self.shape.height]
        while sizes[-1] > 4:
            sizes.append((sizes[-1] + 1) // 2)
        return sizes

    def generator(self, latent: int) -> nn.Module:
        nn, sizes = torch.nn, self.sizes[::-1]
        stages = len(sizes) - 1
        channels = [self.settings.width * 2**stage for stage in reversed(range(stages))] + [self.shape.channels]
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent, 1, 1)),
            # A transposed convolution of a 1×1 map: the paper's projection of z, without a hidden linear layer.
            nn.ConvTranspose2d(latent, channels[0], sizes[0], bias=not self.settings.generator_norm),
            *self._generator_tail(channels[0]),
        ]
        for stage in range(stages):
            inputs, outputs, last = channels[stage], channels[stage + 1], stage == stages - 1
            for _ in range(self.settings.convolutions if stage > 0 else 0):
                layers.append(nn.Conv2d(inputs, inputs, 3, padding=1, bias=not self.settings.generator_norm))
                layers += self._generator_tail(inputs)
            # kernel 4 doubles the size, kernel 3 gives twice the size less one
            kernel = 4 if sizes[stage + 1] == 2 * sizes[stage] else 3
            bias = last or not self.settings.generator_norm
            layers.append(nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=1, bias=bias))
            layers += [nn.Tanh()] if last else self._generator_tail(outputs)
        return initialise(nn.Sequential(*layers))

    def _generator_tail(self, channels: int) -> list[nn.Module]:
        nn = torch.nn
        return [nn.BatchNorm2d(channels), nn.ReLU()] if self.settings.generator_norm else [nn.ReLU()]

    def discriminator(self, channels: int) -> nn.Module:
        from harness.networks._modules import Discriminator

        nn, sizes = torch.nn, self.sizes
        layers: list[nn.Module] = []
        for stage, size in enumerate(sizes[:-1]):
            outputs = self.settings.width * 2**stage
            norm = self.settings.discriminator_norm and stage > 0
            # kernel 4 halves an even size, kernel 3 an odd one (rounded up)
            kernel = 4 if size % 2 == 0 else 3
            layers.append(nn.Conv2d(channels, outputs, kernel, stride=2, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(outputs)] if norm else []
            layers.append(nn.LeakyReLU(0.2))
            channels = outputs
        return initialise(Discriminator(nn.Sequential(*layers, nn.Flatten()), channels * sizes[-1] ** 2))


def initialise(network: nn.Module) -> nn.Module:
    """Weights from N(0, .02), scales of normalisation from N(1, .02), biases 0 (Radford et al. 2016, section 4)."""
    nn = torch.nn
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
    return network

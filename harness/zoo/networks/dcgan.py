"""Deep convolutional generator and discriminator (Radford et al. 2016, section 3).

The paper has six rules; each is a setting here: strided convolutions in D and transposed ones in G instead of pooling;
batch normalisation in both, except at G's output and D's input; no hidden fully connected layers; ReLU in G; tanh at
G's output; leaky ReLU .2 in D. Weights start from N(0, .02), the scale of the normalisation from N(1, .02).

The paper's networks are for 64×64 images. Here D halves an image (rounding up) until it is at most 4 pixels high,
28 → 14 → 7 → 4, and G does the reverse, so any square size from 8 up works. With networks this narrow G is weak, so it
has a 3×3 convolution before each transposed one but the first (``convolutions: 0`` removes them); docs/results.md has
the effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.networks.modules import Discriminator


Network = TypeVar("Network", bound="nn.Module")


class DCGANSettings(registry.Settings):
    """Sizes of the convolutional networks, and one setting for each of the paper's rules."""

    width: int = Field(32, ge=4, le=1024, description="channels of the layer nearest the image; doubled per stage")
    discriminator_width: int | None = Field(
        None, ge=4, le=1024, description="the same for the discriminator; null: the generator's"
    )
    convolutions: int = Field(1, ge=0, le=4, description="3×3 convolutions before the generator's later stages")
    strided: bool = Field(True, description="rule 1: strided and transposed convolutions; false: pooling, upsampling")
    generator_norm: bool = Field(True, description="rule 2: batch normalisation in the generator")
    discriminator_norm: bool = Field(True, description="rule 2: batch normalisation in the discriminator")
    hidden: int = Field(
        0, ge=0, le=8192, description="rule 3: units of a hidden fully connected layer in both networks; 0: none"
    )
    generator_relu: bool = Field(True, description="rule 4: ReLU in the generator; false: leaky ReLU .2")
    tanh: bool = Field(True, description="rule 5: tanh at the generator's end; false: nothing")
    discriminator_leaky: bool = Field(True, description="rule 6: leaky ReLU .2 in the discriminator; false: ReLU")


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

    @classmethod
    def batch_norm(cls, settings: DCGANSettings) -> frozenset[str]:
        return frozenset(role for role in ("generator", "discriminator") if getattr(settings, f"{role}_norm"))

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
        hidden = self.settings.hidden
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Linear(latent, hidden), *self._generator_tail(hidden, nn.BatchNorm1d)]
        layers += [
            # The paper's projection of z is a transposed convolution of a 1×1 map. As a linear layer it is the same
            # function, and several times as fast on a CPU.
            nn.Linear(hidden or latent, channels[0] * sizes[0] ** 2, bias=not self.settings.generator_norm),
            nn.Unflatten(1, (channels[0], sizes[0], sizes[0])),
            *self._generator_tail(channels[0], nn.BatchNorm2d),
        ]
        for stage in range(stages):
            inputs, outputs, last = channels[stage], channels[stage + 1], stage == stages - 1
            for _ in range(self.settings.convolutions if stage > 0 else 0):
                layers.append(nn.Conv2d(inputs, inputs, 3, padding=1, bias=not self.settings.generator_norm))
                layers += self._generator_tail(inputs, nn.BatchNorm2d)
            bias = last or not self.settings.generator_norm
            layers += self._enlarge(inputs, outputs, sizes[stage], sizes[stage + 1], bias)
            layers += [] if last else self._generator_tail(outputs, nn.BatchNorm2d)
        return initialise(nn.Sequential(*layers, *([nn.Tanh()] if self.settings.tanh else [])))

    def _enlarge(self, inputs: int, outputs: int, size: int, enlarged: int, bias: bool) -> list[nn.Module]:
        nn = torch.nn
        if not self.settings.strided:
            return [nn.Upsample((enlarged, enlarged)), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)]
        # kernel 4 doubles the size, kernel 3 gives twice the size less one
        kernel = 4 if enlarged == 2 * size else 3
        return [nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=1, bias=bias)]

    def _generator_tail(self, channels: int, norm: type[nn.Module]) -> list[nn.Module]:
        nn = torch.nn
        activation = nn.ReLU() if self.settings.generator_relu else nn.LeakyReLU(0.2)
        return [norm(channels), activation] if self.settings.generator_norm else [activation]

    def discriminator(self, channels: int) -> Discriminator:
        from harness.zoo.networks.modules import Discriminator

        nn, sizes = torch.nn, self.sizes
        width = self.settings.discriminator_width or self.settings.width
        layers: list[nn.Module] = []
        for stage, size in enumerate(sizes[:-1]):
            outputs = width * 2**stage
            norm = self.settings.discriminator_norm and stage > 0
            layers += self._halve(channels, outputs, size, bias=not norm)
            layers += [nn.BatchNorm2d(outputs)] if norm else []
            layers.append(self._discriminator_activation())
            channels = outputs
        features = channels * sizes[-1] ** 2
        layers.append(nn.Flatten())
        if hidden := self.settings.hidden:
            norms = [nn.BatchNorm1d(hidden)] if self.settings.discriminator_norm else []
            layers += [nn.Linear(features, hidden, bias=not norms), *norms, self._discriminator_activation()]
        return initialise(Discriminator(nn.Sequential(*layers), hidden or features))

    def _halve(self, inputs: int, outputs: int, size: int, bias: bool) -> list[nn.Module]:
        nn = torch.nn
        if not self.settings.strided:
            return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias), nn.MaxPool2d(2, ceil_mode=True)]
        # kernel 4 halves an even size, kernel 3 an odd one (rounded up)
        return [nn.Conv2d(inputs, outputs, 4 if size % 2 == 0 else 3, stride=2, padding=1, bias=bias)]

    def _discriminator_activation(self) -> nn.Module:
        return torch.nn.LeakyReLU(0.2) if self.settings.discriminator_leaky else torch.nn.ReLU()


def initialise(network: Network) -> Network:
    """Weights from N(0, .02), scales of normalisation from N(1, .02), biases 0 (Radford et al. 2016, section 4)."""
    nn = torch.nn
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)
    return network

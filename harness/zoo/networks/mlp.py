"""Plain fully connected networks for points of the plane: hidden layers of one width, a linear output.

The default sizes are those of studies of mode collapse on rings and grids of Gaussians (Metz et al. 2017, appendix A:
two hidden layers of 128 units in both networks). There is no tanh at the output, because it would distort the plane
where the modes are.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.networks.modules import Discriminator


class MLPSettings(registry.Settings):
    """Sizes of the networks."""

    width: int = Field(128, ge=2, le=8192, description="units of a hidden layer")
    layers: int = Field(2, ge=1, le=16, description="hidden layers in each network")
    gain: float = Field(5.0, gt=0, le=1000, description="what the discriminator's input is multiplied by")
    generator_norm: bool = Field(False, description="batch normalisation in the generator's hidden layers")
    slope: float = Field(0.2, ge=0, le=1, description="slope of the leaky ReLU below zero")


class MLP(Architecture):
    """G: latent → w → … → w → point.  D: point → w → … → w → logit."""

    name = "mlp"
    summary = "hidden layers of one width, linear output: for points of the plane"
    paper = "Metz et al. 2017, appendix A"
    Settings = MLPSettings
    settings: MLPSettings

    @classmethod
    def batch_norm(cls, settings: MLPSettings) -> frozenset[str]:
        return frozenset({"generator"} if settings.generator_norm else ())

    def generator(self, latent: int) -> nn.Module:
        nn, image = torch.nn, self.shape[:3]
        hidden = self._hidden(latent, self.settings.generator_norm)
        return nn.Sequential(*hidden, nn.Linear(self.settings.width, prod(image)), nn.Unflatten(1, image))

    def discriminator(self, channels: int) -> Discriminator:
        from harness.zoo.networks.modules import Discriminator, Gain

        inputs = channels * self.shape.height * self.shape.width
        hidden = self._hidden(inputs, norm=False)
        body = torch.nn.Sequential(torch.nn.Flatten(), Gain(self.settings.gain), *hidden)
        return Discriminator(body, self.settings.width)

    def _hidden(self, inputs: int, norm: bool) -> list[nn.Module]:
        nn, width, layers = torch.nn, self.settings.width, list[torch.nn.Module]()
        for _ in range(self.settings.layers):
            layers += [nn.Linear(inputs, width, bias=not norm), *([nn.BatchNorm1d(width)] if norm else [])]
            layers.append(nn.LeakyReLU(self.settings.slope))
            inputs = width
        return layers

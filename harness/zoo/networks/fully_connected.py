"""Fully connected generator and discriminator, four linear layers each, as in the vanilla GAN."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.networks.modules import Discriminator


class FullyConnectedSettings(registry.Settings):
    """Sizes of the fully connected networks."""

    width: int = Field(1024, ge=8, le=8192, multiple_of=4, description="units of the widest hidden layer")
    generator_norm: bool = Field(False, description="batch normalisation in the generator's hidden layers")
    slope: float = Field(0.2, ge=0, le=1, description="slope of the leaky ReLU below zero")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout in the discriminator's hidden layers")


class FullyConnected(Architecture):
    """G: latent → w/4 → w/2 → w → image, tanh.  D: image → w → w/2 → w/4 → logit."""

    name = "fully_connected"
    summary = "four linear layers in each network; serves images of any shape"
    paper = "Goodfellow et al. 2014"
    Settings = FullyConnectedSettings
    settings: FullyConnectedSettings

    @classmethod
    def batch_norm(cls, settings: FullyConnectedSettings) -> frozenset[str]:
        return frozenset({"generator"} if settings.generator_norm else ())

    def generator(self, latent: int) -> nn.Module:
        nn, width, slope = torch.nn, self.settings.width, self.settings.slope
        sizes = [latent, width // 4, width // 2, width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers.append(nn.Linear(inputs, outputs, bias=not self.settings.generator_norm))
            layers += [nn.BatchNorm1d(outputs)] if self.settings.generator_norm else []
            layers.append(nn.LeakyReLU(slope))
        image = self.shape[:3]
        return nn.Sequential(*layers, nn.Linear(width, prod(image)), nn.Tanh(), nn.Unflatten(1, image))

    def discriminator(self, channels: int) -> Discriminator:
        from harness.zoo.networks.modules import Discriminator, Dropout

        nn, width, slope = torch.nn, self.settings.width, self.settings.slope
        sizes = [channels * self.shape.height * self.shape.width, width, width // 2, width // 4]
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope), Dropout(self.settings.dropout)]
        return Discriminator(nn.Sequential(*layers), width // 4)

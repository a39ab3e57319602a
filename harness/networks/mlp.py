"""Plain fully connected networks for points of the plane: hidden layers of one width, a linear output.

The sizes are those with which mode collapse is studied on rings and grids of Gaussians (Metz et al. 2017, appendix
A: two hidden layers of 128 units in both networks). There is no tanh at the output: it would bend the plane where the
modes lie.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness import registry
from harness.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn

    from harness.networks._modules import Discriminator


class MLPSettings(registry.Settings):
    """Sizes of the networks."""

    width: int = Field(128, ge=2, le=8192, description="units of a hidden layer")
    layers: int = Field(2, ge=1, le=16, description="hidden layers in each network")
    slope: float = Field(0.2, ge=0, le=1, description="slope of the leaky ReLU below zero")


class MLP(Architecture):
    """G: latent → w → … → w → point.  D: point → w → … → w → logit."""

    name = "mlp"
    summary = "hidden layers of one width, linear output: for points of the plane"
    paper = "Metz et al. 2017, appendix A"
    Settings = MLPSettings
    settings: MLPSettings

    def generator(self, latent: int) -> nn.Module:
        nn, image = torch.nn, self.shape[:3]
        return nn.Sequential(*self._hidden(latent), nn.Linear(self.settings.width, prod(image)), nn.Unflatten(1, image))

    def discriminator(self, channels: int) -> Discriminator:
        from harness.networks._modules import Discriminator

        inputs = channels * self.shape.height * self.shape.width
        return Discriminator(torch.nn.Sequential(torch.nn.Flatten(), *self._hidden(inputs)), self.settings.width)

    def _hidden(self, inputs: int) -> list[nn.Module]:
        nn, layers = torch.nn, list[torch.nn.Module]()
        for _ in range(self.settings.layers):
            layers += [nn.Linear(inputs, self.settings.width), nn.LeakyReLU(self.settings.slope)]
            inputs = self.settings.width
        return layers

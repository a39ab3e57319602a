"""The smallest adversarial game: the generator is a point, the discriminator a linear function.

The Dirac-GAN of Mescheder et al. 2018, definition 2.1, in as many dimensions as a data point has:

    G(z) = θ,   C(x) = ψᵀ x

For data around 0 and the objective ``wasserstein`` it is the bilinear game min_θ max_ψ −ψᵀθ, with the equilibrium
θ = ψ = 0, which gradient descent orbits (Salimans et al. 2016, section 3, with x and y for θ and −ψ). Both vectors
begin at the distance ½ from it, in random directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.zoo.data.base import Shape
from harness.zoo.networks.base import Architecture

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.zoo.networks.modules import Discriminator

START = 0.5
"""The distance of both vectors from the equilibrium at the beginning."""


class Dirac(Architecture):
    """G: the same point for every latent.  D: point → logit, linear, without a constant."""

    name = "dirac"
    summary = "the generator is one point, the discriminator is linear: a game of a few numbers"
    paper = "Mescheder et al. 2018, definition 2.1"
    scores_only = True

    @classmethod
    def refusal(cls, settings: object, shape: Shape) -> str | None:
        return None if shape.height == shape.width == 1 else "it is made for points of the plane, not for images"

    def generator(self, latent: int) -> nn.Module:
        from harness.zoo.networks.modules import Point

        return Point(START * direction(self.shape.channels))

    def discriminator(self, channels: int) -> Discriminator:
        from harness.zoo.networks.modules import Plain

        linear = torch.nn.Linear(channels, 1, bias=False)
        linear.weight.data = START * direction(channels)[None]
        body = torch.nn.Sequential(torch.nn.Flatten(), linear)
        return Plain(body)  # type: ignore[return-value]  # all of a Discriminator but the features


def direction(dimensions: int) -> Tensor:
    """A random unit vector (dimensions,), from torch's global state."""
    return torch.nn.functional.normalize(torch.randn(dimensions), dim=0)

"""Plain gradient descent in place of Adam, for both players.

Robbins and Monro 1951, with the gradient g of the mini-batch's loss and a constant rate η:

    θ ← θ − η g

It shows what a better optimizer is worth, and in small games it is the dynamics that theory speaks of (Mescheder et al.
2018). Adam divides by the size of past gradients, so its rates are far too small here: the trick has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class DescentSettings(registry.Settings):
    """The two learning rates, which replace the model's and stay the same to the end."""

    generator_rate: float = Field(0.1, gt=0, le=100, description="learning rate of the generator")
    discriminator_rate: float = Field(0.1, gt=0, le=100, description="learning rate of the discriminator")


class GradientDescent(Trick):
    """Takes the step itself, and leaves the model's optimizer without a gradient."""

    name = "sgd"
    summary = "plain gradient descent in place of Adam, with rates of its own"
    paper = "Robbins and Monro 1951"
    capturable = True
    Settings = DescentSettings
    settings: DescentSettings
    requires = frozenset({"generator", "discriminator"})
    # It looks ahead with Adam's steps; and the rates would be nobody's.
    conflicts = frozenset({"unrolling", "ttur"})

    def discriminator_gradients(self, game: Game, parameters: Sequence[torch.nn.Parameter]) -> None:
        descend(parameters, self.settings.discriminator_rate)

    def generator_gradients(self, game: Game, parameters: Sequence[torch.nn.Parameter]) -> None:
        descend(parameters, self.settings.generator_rate)


def descend(parameters: Sequence[torch.nn.Parameter], rate: float) -> None:
    """θ ← θ − rate · gradient, in place; afterwards no parameter has a gradient, so that no other step moves it."""
    moved: list[torch.Tensor] = [parameter for parameter in parameters if parameter.grad is not None]
    with torch.no_grad():
        torch._foreach_add_(moved, [parameter.grad for parameter in moved], alpha=-rate)  # type: ignore[misc]  # not None
    for parameter in moved:
        parameter.grad = None

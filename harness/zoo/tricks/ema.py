"""Samples from a moving average of the generator's weights.

Yazıcı et al. 2019 ("The unusual effectiveness of averaging in GAN training"), equation 2, after every step:

    θ̄ ← decay · θ̄ + (1 − decay) · θ

Training does not change: only samples come from the average.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.optimisation import move_average
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class AverageSettings(registry.Settings):
    """Settings of the moving average."""

    decay: float = Field(0.999, ge=0, lt=1, description="weight of the old average in each step")


class ExponentialMovingAverage(Trick):
    """Keeps an average of the generator, from which samples are generated."""

    name = "ema"
    summary = "samples come from an exponential moving average of the generator's weights"
    paper = "Yazıcı et al. 2019, equation 2"
    capturable = True
    Settings = AverageSettings
    settings: AverageSettings
    requires = frozenset({"generator"})
    claims = frozenset({"sampler"})
    hides = frozenset({"probability"})  # the discriminator was trained against another generator

    average: torch.nn.Module
    steps: torch.Tensor

    def begin(self, game: Game) -> None:
        self.average = copy.deepcopy(game.generator).requires_grad_(False)
        self.steps = torch.zeros((), device=game.compute.device)

    def after_step(self, game: Game) -> None:
        # At first the average would mostly consist of the initial weights: limit the decay to t / (t + 9).
        self.steps += 1
        least = 9 / (self.steps + 9)
        move_average(self.average, game.generator, least.clamp(min=1 - self.settings.decay))

    def sampler(self, game: Game) -> torch.nn.Module:
        return self.average

    def state_dict(self) -> dict[str, Any]:
        return {"average": self.average.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average.load_state_dict(state["average"])
        self.steps.copy_(state["steps"])

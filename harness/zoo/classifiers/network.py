"""A network: the discriminator of the architecture, trained from scratch with Adam on cross-entropy.

Each mini-batch is half real and half synthetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.classifiers.base import Classifier, Round
from harness.zoo.networks.base import evaluating
from harness.zoo.optimisation import descend

if TYPE_CHECKING:
    from torch import Tensor


class NetworkSettings(registry.Settings):
    """Settings of the training."""

    steps: int = Field(100, ge=1, le=1_000_000, description="training steps in a round")
    rate: float = Field(1e-3, gt=0, le=1, description="Adam's learning rate")


class Network(Classifier):
    """The only built-in classifier with a gradient for the generator."""

    name = "network"
    summary = "the architecture's discriminator, trained from scratch"
    Settings = NetworkSettings
    settings: NetworkSettings
    differentiable = True

    def __init__(self, settings: Any, round_: Round) -> None:
        super().__init__(settings, round_)
        self.network = round_.architecture.discriminator(round_.channels).to(round_.compute.device)

    def fit(self, real: Tensor, synthetic: Tensor) -> None:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self.settings.rate, fused=True)
        for _ in range(self.settings.steps):
            images = torch.cat([chosen(part, self.round.size, self.round.rng) for part in (real, synthetic)])
            targets = torch.zeros(len(images), device=images.device)
            targets[: len(images) // 2] = 1
            loss = torch.nn.functional.binary_cross_entropy_with_logits(self.logits(images), targets)
            descend(optimiser, loss)
        self.network.requires_grad_(False)  # from now on gradients go through it to the generator

    def probability(self, images: Tensor) -> Tensor:
        with torch.no_grad(), evaluating(self.network):
            return self.logits(images).sigmoid()

    def logits(self, images: Tensor) -> Tensor:
        with self.round.compute.autocast():
            logits: Tensor = self.network(images).logits
        return logits.float()


def chosen(images: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """A random mini-batch without repetition; all images if there are no more than ``size``."""
    return images[torch.randperm(len(images), device=images.device, generator=rng)[:size]]

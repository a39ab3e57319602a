"""Unrolling: the generator plays against the discriminator as it will be after K more steps.

Metz et al. 2017, equations 7 to 9:

    θ_D^{k+1} = θ_D^k + η ∂f(θ_G, θ_D^k) / ∂θ_D

and G descends f(θ_G, θ_D^K(θ_G, θ_D)), differentiated through all K steps. What D_K says of real images depends on G
too, so that the whole of f counts: G's objective (another than minimax takes the place of f's second term) and f's
first term, E log D_K(x). The steps are those that D's own optimiser would take (Adam, whose running means start from
where D's stand), on the mini-batch at hand. D itself then takes its ordinary step from where it was. Penalties on D's
slope act in the steps ahead, but G is not led through the places at which they are taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.data.base import Labelled
    from harness.zoo.tricks.game import Drawn, Game


class UnrollingSettings(registry.Settings):
    """Settings of unrolling."""

    steps: int = Field(5, ge=1, le=100, description="discriminator steps that the generator looks ahead (K)")


class Moments(NamedTuple):
    """Adam's running means of one parameter's gradients and of their squares, after some steps."""

    mean: Tensor
    square: Tensor
    steps: int


class Unrolling(Trick):
    """Offers the generator the discriminator of K steps ahead."""

    name = "unrolling"
    summary = "the generator plays against the discriminator of 5 steps ahead, and differentiates through these"
    paper = "Metz et al. 2017, equations 7 to 9"
    Settings = UnrollingSettings
    settings: UnrollingSettings
    requires = frozenset({"discriminator", "adam"})
    # What these do to the discriminator's weights the steps ahead would have to do too.
    conflicts = frozenset({"historical_averaging", "weight_clipping"})
    claims = frozenset({"opponent"})

    def opponent(self, game: Game, batch: Labelled, drawn: Drawn) -> dict[str, Tensor]:
        weights = {name: p.detach().requires_grad_() for name, p in game.discriminator.named_parameters()}
        # Running statistics of normalisation move in the steps ahead; the discriminator keeps its own.
        buffers = {name: buffer.clone() for name, buffer in game.discriminator.named_buffers()}
        moments = _moments(game)
        group = game.discriminator_optimiser.param_groups[0]
        for _ in range(self.settings.steps):
            real = game.see(batch.images, batch.labels, weights=weights | buffers)
            fake = game.see(drawn.images, batch.labels, drawn, weights=weights | buffers)
            loss = game.discriminator_loss(real, fake)
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
            for name, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    change, moments[name] = adam(gradient, moments[name], group["lr"], group["betas"], group["eps"])
                    weights[name] = weights[name] + change
        return weights | buffers


def _moments(game: Game) -> dict[str, Moments]:
    """Where the discriminator's optimiser stands, by parameter."""
    state, found = game.discriminator_optimiser.state, dict[str, Moments]()
    # All have taken as many, and to ask a GPU once is enough.
    steps = next((int(held["step"]) for held in state.values()), 0)
    for name, parameter in game.discriminator.named_parameters():
        held = state.get(parameter)
        if held:
            found[name] = Moments(held["exp_avg"].clone(), held["exp_avg_sq"].clone(), steps)
        else:
            found[name] = Moments(torch.zeros_like(parameter), torch.zeros_like(parameter), 0)
    return found


def adam(
    gradient: Tensor, moments: Moments, rate: float, betas: tuple[float, float], eps: float
) -> tuple[Tensor, Moments]:
    """The change of a parameter by a step of Adam (Kingma and Ba 2015, algorithm 1), as a function of its gradient.

    Differentiable: the root is taken of a number a little above 0, where it has a derivative.
    """
    (beta1, beta2), steps = betas, moments.steps + 1
    mean = beta1 * moments.mean + (1 - beta1) * gradient
    square = beta2 * moments.square + (1 - beta2) * gradient.square()
    root = (square / (1 - beta2**steps) + eps**2).sqrt()
    return -rate * mean / (1 - beta1**steps) / (root + eps), Moments(mean, square, steps)

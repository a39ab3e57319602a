"""Unrolling: the generator plays against the discriminator as it will be after K more steps.

Metz et al. 2017, equations 7 to 9:

    θ_D^{k+1} = θ_D^k + η ∂f(θ_G, θ_D^k) / ∂θ_D

and G minimises f(θ_G, θ_D^K(θ_G, θ_D)), differentiated through all K steps. The scores of D_K for real images depend on
G, too, so G's loss is the whole of f: G's objective (an objective other than minimax replaces f's second term) and f's
first term, E log D_K(x). The K steps are those of D's own optimizer (Adam, whose running means start from D's current
ones), on the current mini-batch. D itself then takes its ordinary step from its own weights. Penalties on D's slope are
part of the K steps, but G gets no gradient through the points at which they are computed.
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
    steps: Tensor


class Unrolling(Trick):
    """Provides the generator with the discriminator after K more steps."""

    name = "unrolling"
    summary = "the generator plays against the discriminator of 5 steps ahead, and differentiates through these"
    paper = "Metz et al. 2017, equations 7 to 9"
    capturable = True
    Settings = UnrollingSettings
    settings: UnrollingSettings
    requires = frozenset({"discriminator", "adam"})
    # These change the discriminator's weights, which the K steps do not do.
    conflicts = frozenset({"historical_averaging", "weight_clipping"})
    claims = frozenset({"opponent"})

    def opponent(self, game: Game, batch: Labelled, drawn: Drawn) -> dict[str, Tensor]:
        weights = {name: p.detach().requires_grad_() for name, p in game.discriminator.named_parameters()}
        # The K steps change the running statistics of normalisation; the discriminator keeps its own.
        buffers = {name: buffer.clone() for name, buffer in game.discriminator.named_buffers()}
        moments = _moments(game)
        group = game.discriminator_optimiser.param_groups[0]
        for _ in range(self.settings.steps):
            real = game.scored(batch.images, batch.labels, weights=weights | buffers)
            fake = game.scored(drawn.images, batch.labels, drawn, weights=weights | buffers)
            loss = game.discriminator_loss(real, fake)
            gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
            for name, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    change, moments[name] = adam(gradient, moments[name], group["lr"], group["betas"], group["eps"])
                    weights[name] = weights[name] + change
        return weights | buffers


def _moments(game: Game) -> dict[str, Moments]:
    """The state of the discriminator's optimizer, by parameter."""
    state, found = game.discriminator_optimiser.state, dict[str, Moments]()
    for name, parameter in game.discriminator.named_parameters():
        held = state.get(parameter)
        if held:
            # In float64: 1 − β₂ᵗ is the difference of numbers that are nearly equal.
            found[name] = Moments(held["exp_avg"].clone(), held["exp_avg_sq"].clone(), held["step"].double())
        else:
            zeros = torch.zeros_like(parameter)
            found[name] = Moments(zeros, zeros, zeros.new_zeros((), dtype=torch.float64))
    return found


def adam(
    gradient: Tensor, moments: Moments, rate: float, betas: tuple[float, float], eps: float
) -> tuple[Tensor, Moments]:
    """The change of a parameter by a step of Adam (Kingma and Ba 2015, algorithm 1), as a function of its gradient.

    It is differentiable: the square root is taken of a number slightly above 0, where it has a derivative.
    """
    (beta1, beta2), steps = betas, moments.steps + 1
    mean = beta1 * moments.mean + (1 - beta1) * gradient
    square = beta2 * moments.square + (1 - beta2) * gradient.square()
    root = (square / (1 - beta2**steps) + eps**2).sqrt()
    return -rate * mean / (1 - beta1**steps) / (root + eps), Moments(mean, square, steps)

"""Adversarial losses as pure functions of the discriminator's logits.

Every objective is a pair: what the discriminator minimises, given its logits on real and on generated images (and
the targets it is trained towards), and what the generator minimises. Logits have shape (n,), losses are scalars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Targets(NamedTuple):
    """The probabilities of "real" that the discriminator is trained towards."""

    real: float = 1.0
    fake: float = 0.0


@dataclass(frozen=True)
class Objective:
    """A two-player objective.

    Attributes:
        paper: where it comes from.
        equation: both losses, with C the discriminator's logit and D = sigmoid(C).
        discriminator: (real logits, fake logits, targets) -> loss of the discriminator.
        generator: fake logits -> loss of the generator.
        uses_targets: whether the discriminator is trained towards targets, so that smoothing them means something.
    """

    paper: str
    equation: str
    discriminator: Callable[[Tensor, Tensor, Targets], Tensor]
    generator: Callable[[Tensor], Tensor]
    uses_targets: bool = False


def cross_entropy(real: Tensor, fake: Tensor, targets: Targets) -> Tensor:
    """The discriminator's cross-entropy, −E[t log D + (1 − t) log(1 − D)] on real plus the same on fake images.

    Goodfellow et al. 2014, equation 1 (with targets 1 and 0). Computed from logits by
    −[t log σ(c) + (1 − t) log(1 − σ(c))] = softplus(c) − t c, which does not overflow.
    """
    softplus = torch.nn.functional.softplus
    return (softplus(real) - targets.real * real).mean() + (softplus(fake) - targets.fake * fake).mean()


def minimax(fake: Tensor) -> Tensor:
    """E[log(1 − D(G(z)))] = −E[softplus(C(G(z)))]: Goodfellow et al. 2014, equation 1."""
    return -torch.nn.functional.softplus(fake).mean()


def non_saturating(fake: Tensor) -> Tensor:
    """−E[log D(G(z))] = E[softplus(−C(G(z)))]: Goodfellow et al. 2014, section 3 (end)."""
    return torch.nn.functional.softplus(-fake).mean()


OBJECTIVES: Mapping[str, Objective] = {
    "minimax": Objective(
        "Goodfellow et al. 2014, equation 1",
        "D: −E[log D(x)] − E[log(1 − D(G(z)))];  G: E[log(1 − D(G(z)))]",
        cross_entropy,
        minimax,
        uses_targets=True,
    ),
    "non_saturating": Objective(
        "Goodfellow et al. 2014, section 3",
        "D: −E[log D(x)] − E[log(1 − D(G(z)))];  G: −E[log D(G(z))]",
        cross_entropy,
        non_saturating,
        uses_targets=True,
    ),
}

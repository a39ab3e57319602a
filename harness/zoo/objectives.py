"""Adversarial losses as pure functions of the discriminator's logits.

Every objective is a pair of losses. The discriminator's loss depends on its logits for real and for generated images,
and on the targets. The generator's loss depends on the logits for generated images, and, if it is relative, also on
those for real images. Logits have shape (n,), losses are scalars. C is the logit, D its sigmoid, x a real image, G(z) a
generated one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Targets(NamedTuple):
    """The discriminator's targets: probabilities of "real", or, for least squares, its output."""

    real: float = 1.0
    fake: float = 0.0


@dataclass(frozen=True)
class Objective:
    """A two-player objective.

    Attributes:
        paper: its source.
        equation: both losses.
        discriminator: (real logits, fake logits, targets) -> loss of the discriminator.
        generator: fake logits -> loss of the generator; (fake logits, real logits) if it is relative.
        relative: whether the generator's loss depends on the logits for real images.
        uses_targets: whether the discriminator's loss uses the targets, so that label smoothing has an effect.
        probabilistic: whether sigmoid(C) is the probability that an image is real.
    """

    paper: str
    equation: str
    discriminator: Callable[[Tensor, Tensor, Targets], Tensor]
    generator: Callable[..., Tensor]
    relative: bool = False
    uses_targets: bool = False
    probabilistic: bool = False


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


def wasserstein_critic(real: Tensor, fake: Tensor, targets: Targets) -> Tensor:
    """E[C(G(z))] − E[C(x)]: Arjovsky et al. 2017, equation 2, negated so that it is minimised."""
    return fake.mean() - real.mean()


def wasserstein(fake: Tensor) -> Tensor:
    """−E[C(G(z))]: Arjovsky et al. 2017, algorithm 1. The hinge loss has the same generator loss."""
    return -fake.mean()


def least_squares_critic(real: Tensor, fake: Tensor, targets: Targets) -> Tensor:
    """½ E[(C(x) − b)²] + ½ E[(C(G(z)) − a)²] with b = 1, a = 0: Mao et al. 2017, equations 2 and 9."""
    return ((real - targets.real).square().mean() + (fake - targets.fake).square().mean()) / 2


def least_squares(fake: Tensor) -> Tensor:
    """½ E[(C(G(z)) − 1)²]: Mao et al. 2017, equations 2 and 9."""
    return (fake - 1).square().mean() / 2


def hinge_critic(real: Tensor, fake: Tensor, targets: Targets) -> Tensor:
    """E[max(0, 1 − C(x))] + E[max(0, 1 + C(G(z)))]: Miyato et al. 2018, equation 16."""
    relu = torch.nn.functional.relu
    return relu(1 - real).mean() + relu(1 + fake).mean()


def relativistic_critic(real: Tensor, fake: Tensor, targets: Targets) -> Tensor:
    """E[softplus(−(C(x) − C(G(z))))], a real image paired with a generated one: Huang et al. 2024, equation 2."""
    return torch.nn.functional.softplus(fake - real).mean()


def relativistic(fake: Tensor, real: Tensor) -> Tensor:
    """E[softplus(−(C(G(z)) − C(x)))]: Huang et al. 2024, equation 2; Jolicoeur-Martineau 2019."""
    return torch.nn.functional.softplus(real - fake).mean()


OBJECTIVES: Mapping[str, Objective] = {
    "minimax": Objective(
        "Goodfellow et al. 2014, equation 1",
        "D: −E[log D(x)] − E[log(1 − D(G(z)))];  G: E[log(1 − D(G(z)))]",
        cross_entropy,
        minimax,
        uses_targets=True,
        probabilistic=True,
    ),
    "non_saturating": Objective(
        "Goodfellow et al. 2014, section 3",
        "D: −E[log D(x)] − E[log(1 − D(G(z)))];  G: −E[log D(G(z))]",
        cross_entropy,
        non_saturating,
        uses_targets=True,
        probabilistic=True,
    ),
    "wasserstein": Objective(
        "Arjovsky et al. 2017, equation 2",
        "D: E[C(G(z))] − E[C(x)];  G: −E[C(G(z))]",
        wasserstein_critic,
        wasserstein,
    ),
    "least_squares": Objective(
        "Mao et al. 2017, equation 9",
        "D: ½ E[(C(x) − 1)²] + ½ E[C(G(z))²];  G: ½ E[(C(G(z)) − 1)²]",
        least_squares_critic,
        least_squares,
        uses_targets=True,
    ),
    "hinge": Objective(
        "Miyato et al. 2018, equations 16 and 17",
        "D: E[max(0, 1 − C(x))] + E[max(0, 1 + C(G(z)))];  G: −E[C(G(z))]",
        hinge_critic,
        wasserstein,
    ),
    "relativistic": Objective(
        "Huang et al. 2024, equation 2; Jolicoeur-Martineau 2019",
        "D: E[log(1 + exp(C(G(z)) − C(x)))];  G: E[log(1 + exp(C(x) − C(G(z))))]",
        relativistic_critic,
        relativistic,
        relative=True,
    ),
}

"""Improves samples with a classifier that has no gradient.

Imported only when the model ``recipe`` trains, because it imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.classifiers.base import Classifier

CHUNK = 2**24
"""Numbers in the largest tensor of perturbed samples."""


def improved(
    classifier: Classifier,
    samples: Tensor,
    real: Tensor,
    smoothing: float,
    directions: int,
    stride: float,
    rng: torch.Generator,
) -> Tensor:
    """Move samples to where the classifier gives a higher probability of "real", without using its gradient.

    The smoothed probability p_s(x) = E[p(x + δ)], δ ~ N(0, s²Σ), has the gradient E[δ (p(x + δ) − p(x − δ))] / 2,
    times (s²Σ)⁻¹ (Nesterov and Spokoiny 2017, equation 26, with antithetic pairs). Without that factor it is the
    direction of ascent in the metric of Σ, and samples move along it:

        x' = x + stride · mean over pairs of δ (p(x + δ) − p(x − δ)) / 2

    Every pair has its own s ~ U(0, σ), to cover large and small distances. If p is linear with slope a, x' is on
    average x + stride · σ²/3 · Σa.

    Σ is the covariance of the real images. For points of the plane white noise would work; with hundreds of pixels,
    hardly any of it is in directions in which images differ.

    Args:
        classifier: gives the probability of "real".
        samples: the images to move.
        real: real images, for Σ.
        smoothing: σ, the largest s.
        directions: pairs ±δ per sample.
        stride: the factor of the step.
        rng: a generator on the device.
    """
    spread = (real - real.mean(0)).flatten(1) / len(real) ** 0.5
    moved = []
    for part in torch.split(samples, max(1, CHUNK // (directions * max(spread.shape)))):
        mix = torch.randn(len(part) * directions, len(spread), device=part.device, generator=rng)
        sizes = smoothing * torch.rand(len(mix), 1, device=part.device, generator=rng)
        delta = (sizes * (mix @ spread)).view(len(part), directions, *part.shape[1:])
        gain = [classifier.probability((part[:, None] + sign * delta).flatten(0, 1).clamp(-1, 1)) for sign in (1, -1)]
        weight = (gain[0] - gain[1]).view(len(part), directions, *[1] * (part.dim() - 1)) / 2
        moved.append((part + stride * (delta * weight).mean(1)).clamp(-1, 1))
    return torch.cat(moved)

"""How samples improve under a classifier that has no gradient.

Imported when the model ``recipe`` trains, never before: see the registry.
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
    """Samples moved to where the classifier holds them rather for real: no gradient of its own is asked for.

    The smoothed probability p_s(x) = E[p(x + δ)], δ ~ N(0, s²Σ), has the gradient E[δ (p(x + δ) − p(x − δ))] / 2,
    times (s²Σ)⁻¹ (Nesterov and Spokoiny 2017, equation 26, by antithetic pairs). Without that factor it is the
    direction of ascent in the metric of Σ, and it is what a sample moves along:

        x' = x + stride · mean over pairs of δ (p(x + δ) − p(x − δ)) / 2

    Every pair has its own s ~ U(0, σ), so that both what is far and what is near is felt. Where p is linear with the
    slope a, x' is on average x + stride · σ²/3 · Σa.

    Σ is the covariance of the real images. White noise would do in the plane; among hundreds of pixels hardly any of
    it lies where images differ.

    Args:
        smoothing: σ, the largest s.
        directions: pairs ±δ per sample.
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

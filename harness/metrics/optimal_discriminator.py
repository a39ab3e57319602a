"""How far the discriminator is from the best one against this generator, on data whose density is known.

Goodfellow et al. 2014, proposition 1: for a fixed generator the best discriminator is
D*(x) = p_data(x) / (p_data(x) + p_g(x)). p_data is the data's own formula; p_g is estimated from the samples by a
Gaussian kernel on one half of them (its width by leave-one-out likelihood), and D is compared with D* on the other half
and on as many real points: E over ½ (p_data + p_g) of |D(x) − D*(x)|, in [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

WIDTHS = (0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12)
"""Kernel widths that are tried, in the data's units ([-1, 1])."""
MOST = 4000
"""Samples used at most: the kernel's cost grows with their square."""


class OptimalDiscriminator(Metric):
    """Mean distance of D to the optimal discriminator, and how surely the latter tells real from generated."""

    name = "optimal_discriminator"
    summary = "mean |D − p_data / (p_data + p_g)| on data whose density is known (ring, grid)"
    paper = "Goodfellow et al. 2014, proposition 1"
    requires = frozenset({"probability"})
    values = {
        "optimal_distance": Value("|D − D*|", "lower", "mean distance of D to the optimal discriminator", digits=3),
        "optimal_advantage": Value(
            "D* advantage", "lower", "mean |2 D* − 1|: how well the best discriminator could tell", digits=3
        ),
    }

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        return None if hasattr(data, "log_density") else "its density is not known"

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        data: Any = reference.data
        n = min(len(samples), len(reference) * 2, MOST) // 2
        kernel, rest = samples.pixels[:n], samples.pixels[n : 2 * n]
        points = torch.cat([reference.pixels[:n], rest])
        best = optimal(data.log_density(points).cpu(), log_density(points, kernel, width(kernel)))
        found = model.probability(points).double().cpu()
        return {
            "optimal_distance": float((found - best).abs().mean()),
            "optimal_advantage": float((2 * best - 1).abs().mean()),
        }

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"kernel_widths": list(WIDTHS), "most": MOST}


def optimal(log_data: Tensor, log_generated: Tensor) -> Tensor:
    """D* = p_data / (p_data + p_g) from log-densities (n,)."""
    return torch.sigmoid(log_data.double() - log_generated.double())


def log_density(points: Tensor, kernel: Tensor, sigma: float, leave_out: bool = False) -> Tensor:
    """log p(x) of points (n, …) under Gaussians of width sigma at the kernel's m points; (n,), float64.

    Args:
        points: where.
        kernel: the points that the density is estimated from.
        sigma: standard deviation of each Gaussian.
        leave_out: the points are the kernel's own, and each leaves itself out.
    """
    points, kernel = points.flatten(1).double().cpu(), kernel.flatten(1).double().cpu()
    exponents = -torch.cdist(points, kernel).square() / (2 * sigma**2)
    count = len(kernel)
    if leave_out:
        exponents.fill_diagonal_(-torch.inf)
        count -= 1
    dimensions = points.shape[1]
    scale = torch.tensor(count * (2 * torch.pi * sigma**2) ** (dimensions / 2), dtype=torch.float64).log()
    return exponents.logsumexp(1) - scale


def width(kernel: Tensor) -> float:
    """The width of ``WIDTHS`` under which every point is likeliest, given all others."""
    kernel = kernel[:1000]
    # A point far from all others would alone decide: no likelihood counts for less than e⁻⁵⁰.
    scores = [float(log_density(kernel, kernel, w, leave_out=True).clamp(min=-50).mean()) for w in WIDTHS]
    return WIDTHS[scores.index(max(scores))]

"""How far the discriminator is from the optimal one for this generator, on data whose density is known.

Goodfellow et al. 2014, proposition 1: for a fixed generator the optimal discriminator is
D*(x) = p_data(x) / (p_data(x) + p_g(x)). p_data is known; p_g is estimated from one half of the samples with a Gaussian
kernel, whose width is chosen by leave-one-out likelihood. D is compared with D* on the other half and on as many real
points: E over ½ (p_data + p_g) of |D(x) − D*(x)|, in [0, 1].
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
"""Candidate kernel widths, in the data's units ([-1, 1])."""
MOST = 4000
"""The largest number of samples that is used: the cost of the kernel is quadratic."""


class OptimalDiscriminator(Metric):
    """Mean distance of D to the optimal discriminator, and how well the latter separates real from generated."""

    name = "optimal_discriminator"
    summary = "mean |D − p_data / (p_data + p_g)| on data whose density is known (ring, grid)"
    paper = "Goodfellow et al. 2014, proposition 1"
    requires = frozenset({"probability"})
    uses_features = False
    values = {
        "optimal_distance": Value(
            "|D − D*|",
            "lower",
            "Mean distance of the discriminator D from the best possible one, D*. 0: D is as good as it can be.",
            3,
            least=0,
            most=1,
            scale="ratio",
            grain=1e-3,
        ),
        "optimal_advantage": Value(
            "D* advantage",
            "lower",
            "How well the best possible discriminator could tell samples from data: mean |2 D* − 1|. 0: it "
            "could only guess, so the samples are perfect.",
            3,
            least=0,
            most=1,
            scale="ratio",
            grain=1e-3,
        ),
    }

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        return None if hasattr(data, "log_density") else "its density is not known"

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        points, best = self._best(samples, reference)
        return _distances(model.probability(points).double().cpu(), best)

    def floors(self, real: Images, reference: Reference) -> dict[str, float]:
        """Those of a perfect generator and a perfect discriminator, ½ everywhere: what the kernel's estimate leaves."""
        _, best = self._best(real, reference)
        return _distances(torch.full_like(best, 0.5), best)

    def _best(self, samples: Images, reference: Reference) -> tuple[Tensor, Tensor]:
        """Points, half of them real and half generated, and D* at each; the density of p_g is of other samples."""
        data: Any = reference.data
        n = min(len(samples), len(reference) * 2, MOST) // 2
        kernel, rest = samples.pixels[:n], samples.pixels[n : 2 * n]
        points = torch.cat([reference.pixels[:n], rest])
        return points, optimal(data.log_density(points).cpu(), log_density(points, kernel, width(kernel)))

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"kernel_widths": list(WIDTHS), "most": MOST}


def _distances(found: Tensor, best: Tensor) -> dict[str, float]:
    return {
        "optimal_distance": float((found - best).abs().mean()),
        "optimal_advantage": float((2 * best - 1).abs().mean()),
    }


def optimal(log_data: Tensor, log_generated: Tensor) -> Tensor:
    """D* = p_data / (p_data + p_g) from log-densities (n,)."""
    return torch.sigmoid(log_data.double() - log_generated.double())


def log_density(points: Tensor, kernel: Tensor, sigma: float, leave_out: bool = False) -> Tensor:
    """log p(x) of points (n, …) under Gaussians of width sigma at the kernel's m points; (n,), float64.

    Args:
        points: where to evaluate the density.
        kernel: the points that the density is estimated from.
        sigma: standard deviation of each Gaussian.
        leave_out: leave-one-out: ``points`` are the kernel's points, and each ignores its own Gaussian.
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
    """The width of ``WIDTHS`` with the largest leave-one-out likelihood."""
    kernel = kernel[:1000]
    # Clamp at e⁻⁵⁰: otherwise a single point far from all others would decide.
    scores = [float(log_density(kernel, kernel, w, leave_out=True).clamp(min=-50).mean()) for w in WIDTHS]
    return WIDTHS[scores.index(max(scores))]

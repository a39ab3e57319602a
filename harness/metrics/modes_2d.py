"""Modes and high-quality samples, for mixtures of Gaussians in the plane with known centres.

A sample is of high quality if it lies within three standard deviations of its nearest mode. A mode is covered if it is
the nearest mode of at least one high-quality sample. The literature uses 2 500 samples (``evaluate.samples``).
A perfect sampler has 1 − exp(−9/2) = 98.9 % high-quality samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.metrics.coverage import divergence

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

WITHIN = 3.0
"""Standard deviations."""


class HighQualityModes(Metric):
    """Covered modes, share of high-quality samples, and KL(their modes ‖ uniform).

    Without any high-quality sample there is no histogram; the KL is then log(number of modes), the largest possible
    value.
    """

    name = "high_quality_modes"
    summary = "modes of a 2-D mixture with a sample within 3σ, and the share of samples within 3σ of a mode"
    paper = "Srivastava et al. 2017 (VEEGAN), table 1; Lin et al. 2018 (PacGAN), table 1"
    uses_features = False
    values = {
        "modes": Value(
            "Modes covered",
            "higher",
            "Modes of the data that at least one sample hits (within 3σ). All modes is good; fewer is mode collapse.",
            1,
            False,
            0,
            "classes",
            counts_classes=True,
        ),
        "high_quality": Value(
            "High quality",
            "higher",
            "Samples that lie on a mode (within 3σ). 100 %: no sample lies between the modes.",
            1,
            True,
            least=0,
            most=1,
            scale="share",
        ),
        "mode_kl": Value(
            "KL to uniform",
            "lower",
            "How unevenly the samples on modes are spread over all modes, in nats. 0: evenly.",
            3,
            least=0,
            scale="ratio",
            grain=1e-3,
        ),
    }

    @classmethod
    def refusal(cls, settings: object, data: DataSet) -> str | None:
        # Ask by name: the centres are tensors, and a suite is read without torch.
        known = data.points and {"centres", "sigma"} <= set(dir(data))
        return None if known else "it needs points of the plane whose modes are known (ring, grid)"

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        counts = self._counts(samples, reference)
        good = float(counts.sum())
        return {
            "modes": float((counts > 0).sum()),
            "high_quality": good / len(samples),
            "mode_kl": divergence(counts / good if good else counts, torch.full_like(counts, 1 / len(counts))),
        }

    def histograms(self, samples: Images, reference: Reference) -> dict[str, dict[str, list[Any]]]:
        shares = [self._counts(images, reference) / len(images) for images in (samples, reference)]
        bins = [*(str(mode + 1) for mode in range(len(shares[0]))), "none"]
        own, real = ([*found.tolist(), 1 - float(found.sum())] for found in shares)
        return {"modes": {"bins": bins, "samples": own, "reference": real}}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        _, sigma = _mixture(reference)
        return {"within_sigmas": WITHIN, "sigma": sigma}

    @staticmethod
    def _counts(images: Images, reference: Reference) -> Tensor:
        centres, sigma = _mixture(reference)
        return high_quality(images.pixels.flatten(1).cpu(), centres, sigma)


def high_quality(points: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """For each centre (modes, 2): how many points (n, 2) have it as their nearest and lie within 3σ; float64."""
    distance, mode = torch.cdist(points.double(), centres.double()).min(1)
    return torch.bincount(mode[distance <= WITHIN * sigma], minlength=len(centres)).double()


def _mixture(reference: Reference) -> tuple[Tensor, float]:
    data: Any = reference.data
    return torch.as_tensor(data.centres, dtype=torch.float64), float(data.sigma)

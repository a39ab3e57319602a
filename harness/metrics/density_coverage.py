"""Density and coverage: like precision and recall, but with balls around real images only, so outliers weigh less.

B_i is the ball around real image x_i whose radius is the distance to its k-th nearest real neighbour. With N real
images and M samples y_j:

    density  = 1 / (k M) Σ_j Σ_i 1[y_j in B_i]      coverage = 1 / N Σ_i 1[some y_j in B_i]

The balls are closed. The authors' code has open ones: there, an exact copy of a real set with repeated images, whose
balls have the radius 0, has a density and a coverage of 0. Equal distributions give a density near 1 (it can exceed 1)
and a coverage near 1 − 2^−k = .969 at k = 5 and equal numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.metrics.base import Value
from harness.metrics.fidelity import OfFeatures
from harness.zoo import registry

if TYPE_CHECKING:
    from harness.metrics.images import Images, Reference


class DensityCoverageSettings(registry.Settings):
    """Settings of density and coverage."""

    neighbours: int = Field(5, ge=1, le=100, description="k of the k-nearest-neighbour balls")


class DensityCoverage(OfFeatures):
    """Density: the mean number of real balls around a sample, / k. Coverage: the share of balls with a sample."""

    name = "density_coverage"
    summary = "samples per real image's k-nearest-neighbour ball, and the share of these balls that hold a sample"
    paper = "Naeem et al. 2020, section 3"
    Settings = DensityCoverageSettings
    settings: DensityCoverageSettings
    values = {
        "density": Value(
            "Density",
            "higher",
            "How closely the samples lie among the real images. About 1 is good; far above 1, they crowd "
            "where real images are most alike.",
            3,
            least=0,
            target=1.0,
        ),
        "coverage": Value(
            "Coverage",
            "higher",
            "Real images that have a sample close to them. 1: the samples are as varied as the data.",
            3,
            least=0,
            most=1,
            scale="share",
        ),
    }

    @property
    def balls(self) -> int:
        return self.settings.neighbours

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        held = samples.balls(reference, self.balls)
        return {
            "density": float(held.around.double().mean()) / self._neighbours(reference),
            "coverage": float(held.filled.double().mean()),
        }

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"neighbours": self._neighbours(reference)}

    def _neighbours(self, reference: Reference) -> int:
        return min(self.settings.neighbours, len(reference) - 1)

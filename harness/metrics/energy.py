"""Energy distance between points: it is 0 for equal distributions only, and knows every mode.

    2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖

with samples x, x' and real points y, y', all independent; the means are over pairs of different points, so the
estimate is unbiased and can fall below 0. Fréchet distance and KID look at the first moments only: one broad Gaussian
with mean and covariance of a ring of eight modes is as good to them as the ring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.base import Metric, Value
from harness.metrics.neighbours import distances

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet


class EnergyDistance(Metric):
    """The energy distance of the samples' coordinates to the reference's."""

    name = "energy_distance"
    summary = "energy distance of points: 2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖"
    paper = "Székely and Rizzo 2013"
    values = {
        "energy_distance": Value(
            "Energy distance",
            "lower",
            "Distance between the samples' points and the data's. 0: both have the same distribution.",
            digits=4,
            scale="ratio",
            grain=1e-4,
        )
    }

    @classmethod
    def refusal(cls, settings: object, data: DataSet) -> str | None:
        return None if data.points else "it is made for points of the plane: for images use fid and kid"

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        own, real = (images.pixels.flatten(1).cpu() for images in (samples, reference))
        return {"energy_distance": 2 * _mean(own, real) - _mean_within(own) - _mean_within(real)}


def _mean(one: Tensor, other: Tensor) -> float:
    """The mean distance between a point of one set (n, 2) and one of the other (m, 2)."""
    return sum(float(block.sum()) for block in distances(one, other)) / (len(one) * len(other))


def _mean_within(points: Tensor) -> float:
    """The mean distance between two different points of a set (n, 2); 0 for a single point."""
    return _mean(points, points) * len(points) / max(1, len(points) - 1)

"""The scales on which values are compared: ratio, share, plain, target.

A difference of means is only as good as its scale. FIDs of two arms differ by a factor, and vary by a factor; shares
vary least at 0 and at 1; and a value with a target is good near it, not at an end. So arms are compared on
transformed values, and the effect is told in words of the scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from harness.metrics.base import Value

Array = NDArray[np.float64]
Better = Literal["lower", "higher"]
Kind = Literal["ratio", "share", "plain", "target"]


@dataclass(frozen=True)
class Measure:
    """How the values of one column are compared.

    Attributes:
        better: which direction is better; of a target: "lower", for the distance to it.
        kind: the scale. ratio: logarithms. share: arc sines, for values in [0, 1]. plain: the values. target: the
            distance to ``target``.
        least: the lowest possible value.
        most: the highest possible value.
        target: of a target: the value of real images.
        grain: of a ratio: values below it count as it, because the metric cannot tell them from 0; above 0.
    """

    better: Better = "lower"
    kind: Kind = "plain"
    least: float = -math.inf
    most: float = math.inf
    target: float = math.nan
    grain: float = 1e-6

    @classmethod
    def of(cls, value: Value, classes: int = 0) -> Measure:
        """The measure of a metric's value, on data with so many classes."""
        least, most = value.range(classes)
        if value.target is not None:
            return cls("lower", "target", least, most, value.target)
        return cls(value.better, value.scale, least, most, grain=value.grain)

    @property
    def neutral(self) -> float:
        """The effect of "no difference"."""
        return 1.0 if self.kind == "ratio" else 0.0

    def transformed(self, values: ArrayLike) -> Array:
        """Values on the scale on which their means are compared. NaN stays NaN."""
        x = np.asarray(values, dtype=float)
        if self.kind == "ratio":
            return np.asarray(np.log(np.maximum(x, self.grain)))
        if self.kind == "share":
            return np.asarray(np.arcsin(np.sqrt(np.clip(x, 0.0, 1.0))))
        return np.abs(x - self.target) if self.kind == "target" else x

    def original(self, transformed: float) -> float:
        """The value that has this transformed value; of a target: the distance."""
        if self.kind == "ratio":
            return math.exp(min(transformed, 700.0))
        if self.kind == "share":
            return math.sin(min(max(transformed, 0.0), math.pi / 2)) ** 2
        return max(transformed, 0.0) if self.kind == "target" else transformed

    def cost(self, values: ArrayLike) -> Array:
        """Values as a cost: of two, the lower is the better."""
        x = self.transformed(values)
        return x if self.better == "lower" else -x

    def loss(self, difference: float, cost: float) -> float:
        """What a rise of the mean cost loses, in the unit of the values (of a target: of the distance to it).

        Infinite if the rise is, or if no values of a share are so much worse.

        Args:
            difference: of the mean costs, at least 0; can be infinite.
            cost: the mean cost before.
        """
        end = cost + difference if self.better == "lower" else -cost - difference
        if math.isinf(end) or (self.kind == "share" and not 0 <= end <= math.pi / 2):
            return math.inf
        return abs(self.original(end) - self.mean(cost))

    def mean(self, cost: float) -> float:
        """The value whose cost this is: the mean of values, on their scale; of a target: their distance to it."""
        return self.original(cost if self.better == "lower" else -cost)

    def effect(self, difference: float, baseline: float) -> float:
        """A difference of transformed means as the effect that is shown.

        ratio: the factor arm / baseline. share: the difference of the shares, for the baseline's mean; never outside
        [−baseline, 1 − baseline]. target: the difference of the distances. plain: the difference, within the range
        of the values.

        Args:
            difference: of the transformed means, arm − baseline; can be infinite.
            baseline: the baseline's transformed mean.
        """
        if math.isnan(difference):
            return math.nan
        if self.kind == "ratio":
            return math.exp(min(difference, 700.0))
        if self.kind == "plain":
            return min(max(difference, self.least - baseline), self.most - baseline)
        return self.original(baseline + difference) - self.original(baseline)

    def margins(self, delta: float, baseline: float) -> tuple[float, float]:
        """The differences of transformed means, below and above 0, that count as none.

        Args:
            delta: the difference below which two arms count as equal, in the unit of the values.
            baseline: the baseline's transformed mean.
        """
        if self.kind == "ratio":
            width = math.log1p(delta / self.original(baseline))
            return -width, width
        if self.kind == "share":
            mean = self.original(baseline)
            ends = (self.transformed(min(max(mean + move, 0.0), 1.0)) for move in (-delta, delta))
            below, above = (float(end) - baseline for end in ends)
            # Beyond an end of the range there is no room: the width of the other side counts.
            return (below if mean > delta else -above), (above if mean < 1 - delta else -below)
        return -delta, delta

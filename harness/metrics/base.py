"""The base class of metrics: functions from samples, reference and judge features to named numbers."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.zoo.registry import Plugin

if TYPE_CHECKING:
    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet


@dataclass(frozen=True)
class Value:
    """One number of a metric: its label in tables, and how to read it.

    Attributes:
        summary: what it measures and which value is good, in one or two plain sentences for readers of the report.
        least: the lowest possible value; at a limit the metric cannot tell arms apart, and tables say so.
        most: the highest possible value; "classes": the number of classes of the data.
        scale: how arms are compared. ratio: by a factor (distances and errors, 0 is perfect); share: a part of a
            whole, in [0, 1]; plain: by the difference.
        target: the value of real images, where neither a low nor a high value is good as such: arms are compared by
            their distance to it, and ``scale`` and ``better`` do not count.
        grain: of a ratio: values below it count as it, because the metric cannot tell them from 0.
        counts_classes: whether it counts the classes or modes that a trial covers: a trial that covers fewer than half
            of them has collapsed, unless the suite has a rule of its own.
    """

    label: str
    better: Literal["lower", "higher"]
    summary: str
    digits: int = 2
    percent: bool = False
    least: float = -math.inf
    most: float | Literal["classes"] = math.inf
    scale: Literal["ratio", "share", "plain"] = "plain"
    target: float | None = None
    grain: float = 1e-6
    counts_classes: bool = False

    def range(self, classes: int) -> tuple[float, float]:
        """The lowest and the highest possible value on data with so many classes."""
        return self.least, float(classes) if self.most == "classes" else self.most


class Metric(Plugin, abc.ABC):
    """A metric. Features are extracted once for all metrics: see ``harness.metrics.images.Images``."""

    values: ClassVar[Mapping[str, Value]]
    """Its numbers, by the name of their column."""
    needs_judge: ClassVar[bool] = False
    """Whether it needs a judge of the data's classes."""
    uses_features: ClassVar[bool] = True
    """Whether it uses ``features`` or ``logits`` of images. Without such a metric no network for them is loaded."""
    requires: ClassVar[frozenset[str]] = frozenset()
    """What the model must offer besides samples (see ``Model.capabilities``). The metric is computed, with
    ``samples.model``, only for arms whose model offers it; other arms, and real images, have no value."""

    noise_is_not_worse: ClassVar[Mapping[str, str]] = {}
    """Column -> why real images need not have a better value than noise. All other columns must tell them apart:
    ``harness.testing.MetricContract`` checks it."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    def balls(self) -> int:
        """The k of ``samples.balls(reference, k)`` that it asks for; 0: it does not."""
        return 0

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        """Why it cannot be computed on this data, or None if it can. The plan checks separately for a judge."""
        return "it is made for images" if data.points else None

    @abc.abstractmethod
    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        """The named numbers of ``values`` for the samples, compared with the reference (real images)."""

    def floors(self, real: Images, reference: Reference) -> dict[str, float]:
        """Its numbers for a perfect generator, that is, for real images; none if it requires something of a model."""
        return {} if self.requires else self.compute(real, reference)

    def histograms(self, samples: Images, reference: Reference) -> dict[str, dict[str, list[Any]]]:
        """Bar charts for the report: {name: {"bins": labels, "samples": shares, "reference": shares}}."""
        return {}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        """What the numbers depend on besides the images: settings, features and their hash, sizes."""
        return {}

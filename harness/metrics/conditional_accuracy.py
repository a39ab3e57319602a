"""Conditional accuracy: does a conditional model generate the class that was requested?

The model generates as many images as there are samples, for the classes of the training data in turn. The value is
the share of images in which the judge finds (argmax, no threshold) the requested class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.metrics.images import Images
from harness.zoo.data.pixels import to_uint8

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Reference
    from harness.zoo.models.base import Model

SEED = 2014
BATCH = 500


class ConditionalAccuracy(Metric):
    """Share of images of a requested class that the judge assigns to that class."""

    name = "conditional_accuracy"
    summary = "share of images of a requested class in which the judge finds that class"
    paper = "Mirza and Osindero 2014 (the model); Odena et al. 2017, section 4.1 (the measure)"
    needs_judge = True
    requires = frozenset({"conditional"})
    uses_features = False
    values = {
        "conditional_accuracy": Value(
            "Conditional accuracy",
            "higher",
            "Samples that show the class that was asked for, as the judge sees it. 100 %: the generator always obeys.",
            1,
            True,
            least=0,
            most=1,
            scale="share",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        assert samples.model is not None
        wanted = in_turn(reference.training.labels, len(samples)).to(samples.pixels.device)
        pixels = drawn(samples.model, wanted)
        found = Images(pixels, samples.extractor, samples.judge).probabilities.argmax(1)
        return {"conditional_accuracy": float((found == wanted.cpu()).double().mean())}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {"judge": samples.judge.name, "judge_hash": samples.judge.digest[:16]}


def in_turn(labels: Tensor, n: int) -> Tensor:
    """n labels: the classes that occur, repeated in order."""
    present = labels.bincount().nonzero()[:, 0]
    return present.repeat(-(-n // len(present)))[:n]


def drawn(model: Model, labels: Tensor) -> Tensor:
    """Generate one image, uint8, for each of these classes (n,)."""
    rng = torch.Generator(labels.device).manual_seed(SEED)
    return torch.cat([to_uint8(model.sample_classes(part, rng)) for part in torch.split(labels, BATCH)])

"""Test error of a model that classifies (a semi-supervised model): the share of reference images it gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.metrics.base import Metric, Value
from harness.zoo.data.pixels import as_floats

if TYPE_CHECKING:
    from harness.metrics.images import Images, Reference

BATCH = 500


class TestError(Metric):
    """Share of reference images whose class the model gets wrong."""

    __test__ = False  # pytest: this class is not a test

    name = "test_error"
    summary = "share of reference images whose class the model itself gets wrong"
    paper = "Salimans et al. 2016, section 5"
    requires = frozenset({"classifier"})
    uses_features = False
    values = {
        "test_error": Value(
            "Test error",
            "lower",
            "Reference images that the classifier labels wrongly. 0 % is perfect.",
            2,
            True,
            0,
            1,
            scale="share",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model = samples.model
        assert model is not None
        found = [model.classify(as_floats(part)).argmax(1).cpu() for part in torch.split(reference.pixels, BATCH)]
        return {"test_error": float((torch.cat(found) != reference.labels.cpu()).double().mean())}

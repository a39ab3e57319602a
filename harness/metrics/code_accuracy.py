"""Unsupervised classification error: do the categories that a model found by itself agree with the classes?

Every reference image gets the model's most likely category. Categories and classes are matched one to one, so that as
many images as possible agree (the assignment problem). The error is the share of images that do not agree. Labels are
used only for the matching. A model that learned nothing scores a little below chance, 1 − 1/classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.zoo.data.pixels import as_floats

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.models.base import Model

BATCH = 500


class CodeAccuracy(Metric):
    """Error of the model's own categories as classes, under the best one-to-one matching."""

    name = "code_accuracy"
    summary = "error of the model's own categories as a classifier, matched one to one with the classes"
    paper = "Chen et al. 2016 (InfoGAN), section 7.2"
    requires = frozenset({"codes"})
    uses_features = False
    values = {
        "code_error": Value(
            "Code error",
            "lower",
            "Real images that the learned code puts into another class than their own. 0 %: it has found the "
            "classes without labels.",
            percent=True,
            least=0,
            most=1,
            scale="share",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        table = self._table(samples, reference)
        agreed = sum(float(table[code, label]) for code, label in matched(table))
        return {"code_error": 1 - agreed / len(reference)}

    def histograms(self, samples: Images, reference: Reference) -> dict[str, dict[str, list[Any]]]:
        """For each class: the share of images in its category, and the share of images with this class."""
        table = self._table(samples, reference) / len(reference)
        pairs = sorted(matched(table), key=lambda pair: pair[1])
        return {
            "codes": {
                "bins": [f"{label} (category {code})" for code, label in pairs],
                "samples": [float(table[code].sum()) for code, _ in pairs],
                "reference": [float(table[:, label].sum()) for _, label in pairs],
            }
        }

    @staticmethod
    def _table(samples: Images, reference: Reference) -> Tensor:
        assert samples.model is not None
        return confusion(samples.model, reference.pixels, reference.labels, reference.data.shape.classes)


def confusion(model: Model, pixels: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How many images are of each category and class, (categories, classes), float64."""
    found = torch.cat([model.codes(as_floats(part)).float().cpu() for part in torch.split(pixels, BATCH)])
    pairs = found.argmax(1) * classes + labels.cpu()
    return torch.bincount(pairs, minlength=found.shape[1] * classes).view(-1, classes).double()


def matched(table: Tensor) -> list[tuple[int, int]]:
    """(category, class) pairs, one to one, with the largest sum in the table (categories, classes)."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]

"""Memorisation: are the samples nearer to the training set than new real images are?

The data-copying test of Meehan, Chaudhuri and Dasgupta 2020. L(x) is the distance from x to the nearest training
image. The training set is partitioned into cells by k-means. In each cell, L of held-out images (the test split) and
L of samples are compared by the Mann-Whitney statistic

    U = number of pairs (test image, sample) in which the sample is the farther one        (a tie counts ½)
    Z = (U − n m / 2) / √(n m (n + m + 1) / 12)       C_T = Σ P(cell) Z(cell) / Σ P(cell)

over the cells with enough of both; n and m are the numbers of test images and samples, P is the share of test images.
C_T far below 0 means that the samples are copies; far above 0, that they are far from the data. C_T grows with √n. A
second value with the same weights does not: 1 − U / (n m), the probability that a sample is nearer to the training set
than a held-out image of its cell. The cells are needed because classes differ in their distances: without them, a
generator that draws only ones, which lie close together, would look like a copier.

Distances are between features (as in the paper, which uses a network for images), not pixels: in pixels a copy shifted
by one pixel is far away, and a blurred image is near to many images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from pydantic import Field

from harness.metrics.base import Metric, Value
from harness.metrics.images import Images
from harness.metrics.neighbours import distances, nearest
from harness.zoo import registry

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Reference

SEED = 2020


class MemorisationSettings(registry.Settings):
    """Settings of the data-copying test."""

    cells: int = Field(10, ge=1, le=100, description="cells of the k-means partition of the training images")
    least: int = Field(20, ge=1, le=1000, description="test images, and samples, that a cell must hold to count")


class Held(NamedTuple):
    """The parts that do not depend on the samples."""

    reference: Reference
    training: Tensor
    """Features (n, d) of the training images."""
    centres: Tensor
    """The centres of the cells, (cells, d)."""
    cells: Tensor
    """The cells of the held-out images, (n,)."""
    distances: Tensor
    """The distances of the held-out images to the training set, (n,)."""


class Memorisation(Metric):
    """Nearest-neighbour distances sample → training against test → training, within cells.

    Its floor, the value for real images, is computed from images that are not in the reference. If the reference is
    the test split, these are training images, and the floor is the value of a perfect copier.
    """

    name = "memorisation"
    summary = "are samples nearer to the training images than held-out images are (.5: no; 1: copies)"
    paper = "Meehan, Chaudhuri and Dasgupta 2020 (the data-copying test)"
    Settings = MemorisationSettings
    settings: MemorisationSettings
    values = {
        "memorisation": Value(
            "Memorisation",
            "lower",
            "Chance that a sample is nearer to a training image than a test image is. About 0.5 is good; "
            "near 1, the generator copies training images.",
            3,
            least=0,
            most=1,
            target=0.5,
        ),
        "data_copying": Value(
            "Data copying C_T",
            "higher",
            "Whether samples are nearer to training images than test images are (C_T). About 0 is good; far "
            "below 0 (say −3), the generator copies training images.",
            digits=1,
            target=0.0,
        ),
    }
    noise_is_not_worse = dict.fromkeys(
        values, "noise is not copied; real images that are used as samples may be training images"
    )

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._kept: Held | None = None

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        held = self._held(reference)
        return comparison(
            (_cells(samples.features, held.centres), nearest(samples.features, held.training)[:, 0]),
            (held.cells, held.distances),
            self.settings.least,
        )

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {
            "cells": self.settings.cells,
            "least": self.settings.least,
            "training": len(reference.training.images),
            "held_out": len(self._held(reference).distances),
        }

    def _held(self, reference: Reference) -> Held:
        """Features and distances of training and test images, computed once for all evaluations."""
        if self._kept is None or self._kept.reference is not reference:
            training, test = (
                Images(pixels, reference.extractor, None, reference._cache).features
                for pixels in (reference.training.images, reference.data.load("test").images)
            )
            centres = _centres(training, self.settings.cells)
            self._kept = Held(reference, training, centres, _cells(test, centres), nearest(test, training)[:, 0])
        return self._kept


def comparison(samples: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], least: int) -> dict[str, float]:
    """Both values, from the cells (n,) and distances (n,) of samples and of test images.

    If no cell holds ``least`` of both, all images form one cell.
    """
    every = range(int(test[0].max()) + 1)
    groups = [(samples[1][samples[0] == cell], test[1][test[0] == cell]) for cell in every]
    groups = [both for both in groups if min(map(len, both)) >= least] or [(samples[1], test[1])]
    whole = sum(len(own) for _, own in groups)
    found = [(len(own) / whole, *mann_whitney(far, own)) for far, own in groups]
    return {
        "memorisation": sum(weight * (1 - farther) for weight, farther, _ in found),
        "data_copying": sum(weight * z for weight, _, z in found),
    }


def mann_whitney(samples: Tensor, test: Tensor) -> tuple[float, float]:
    """U / (n m) and Z; U is the number of pairs in which the sample's distance is larger."""
    from scipy.stats import mannwhitneyu

    n, m = len(test), len(samples)
    pairs = float(mannwhitneyu(samples.numpy(), test.numpy(), method="asymptotic").statistic)
    return pairs / (n * m), (pairs - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def _centres(features: Tensor, cells: int) -> Tensor:
    from sklearn.cluster import KMeans

    found = KMeans(min(cells, len(features)), n_init=1, random_state=SEED).fit(features.double().numpy())
    return torch.from_numpy(found.cluster_centers_)


def _cells(features: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([block.argmin(1) for block in distances(features, centres)])

"""Gaussian naive Bayes: probabilities worked out by hand, and what it is blind to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.zoo import registry
from harness.zoo.building import SHAPES
from harness.zoo.classifiers.base import Round
from harness.zoo.compute import Compute


def points(*firsts: float) -> Tensor:
    """Points with these first coordinates; the second is 0."""
    return torch.tensor([[first, 0.0] for first in firsts]).view(-1, 2, 1, 1)


def fitted(real: Tensor, synthetic: Tensor, **settings: Any) -> Any:
    compute = Compute(torch.device("cpu"), torch.float32)
    architecture = registry.choose("networks", "mlp").make(SHAPES[-1])
    choice = registry.choose("classifiers", {"name": "gaussian_naive_bayes", **settings})
    classifier = choice.make(Round(architecture, 2, 32, compute, torch.Generator().manual_seed(0)))
    classifier.fit(real, synthetic)
    return classifier


def test_two_means() -> None:
    # N(0, 1) against N(2, 1): log odds −½ x² + ½ (x − 2)² = 2 − 2x.
    found = fitted(points(-1, 1), points(1, 3)).probability(points(1, 0, 3))
    assert found.tolist() == pytest.approx([1 / (1 + math.exp(2 * x - 2)) for x in (1, 0, 3)], abs=1e-5)


def test_two_spreads() -> None:
    # N(0, 1) against N(0, 4): at 0 twice the density, at x the log odds log 2 − ½ x² (1 − ¼).
    found = fitted(points(-1, 1), points(-2, 2)).probability(points(0, 2))
    assert found.tolist() == pytest.approx([2 / 3, 1 / (1 + math.exp(1.5) / 2)], abs=1e-5)


def test_smoothing_adds_a_share_of_the_largest_variance() -> None:
    # The variance of all four is 2.5, of which .4 is 1: N(0, 2) against N(0, 5), odds √(5/2) at 0.
    found = fitted(points(-1, 1), points(-2, 2), smoothing=0.4).probability(points(0))
    assert float(found) == pytest.approx(1 / (1 + (2 / 5) ** 0.5))


def test_it_does_not_see_what_keeps_mean_and_variance_of_every_pixel() -> None:
    # A ring of four points against the square of four points that touches the same mean and variances.
    ring = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]).view(4, 2, 1, 1)
    square = torch.tensor([[0.5, 0.5], [-0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]]).view(4, 2, 1, 1) * 2**0.5
    found = fitted(ring, square).probability(torch.cat([ring, square]))
    assert found.tolist() == pytest.approx([0.5] * 8)

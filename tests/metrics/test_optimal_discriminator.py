"""The distance to the optimal discriminator: its parts by hand, and D = D* and D = ½ as the two ends."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from harness.judge.points import Points
from harness.metrics.images import Images, Reference
from harness.metrics.optimal_discriminator import log_density, optimal, width
from harness.zoo import registry


def test_the_optimal_discriminator() -> None:
    # p_data 3 times p_g: ¾; equal: ½; no data at all: 0
    best = optimal(torch.tensor([math.log(3), 0.7, -math.inf]), torch.tensor([0.0, 0.7, 0.0]))
    assert best.tolist() == pytest.approx([0.75, 0.5, 0])


def test_kernel_density() -> None:
    # two Gaussians of width ½ at 0 and 1 in one dimension, at 0: mean of φ(0) and φ(2), each by σ
    kernel = torch.tensor([[0.0], [1.0]])
    expected = (1 + math.exp(-2)) / 2 / math.sqrt(2 * math.pi * 0.25)
    assert float(log_density(torch.tensor([[0.0]]), kernel, 0.5).exp()) == pytest.approx(expected)
    alone = math.exp(-2) / math.sqrt(2 * math.pi * 0.25)
    assert float(log_density(kernel, kernel, 0.5, leave_out=True)[0].exp()) == pytest.approx(alone)


def test_the_width_follows_the_samples() -> None:
    rng = torch.Generator().manual_seed(0)
    narrow, wide = (torch.randn(1000, 2, 1, 1, generator=rng) * sigma for sigma in (0.008, 0.3))
    assert width(narrow) < width(wide)


def test_the_best_discriminator_is_at_no_distance_and_one_that_cannot_tell_is_at_the_advantage() -> None:
    choice = registry.choose("data", "ring")
    data = choice.make()
    test, training = data.load("test"), data.load("train")
    generated = torch.randn(4000, 2, 1, 1, generator=torch.Generator().manual_seed(0)) * 0.5

    def exact(points: torch.Tensor) -> torch.Tensor:
        gaussian = -points.flatten(1).double().square().sum(1) / (2 * 0.25) - math.log(2 * math.pi * 0.25)
        return optimal(data.log_density(points), gaussian)

    metric_choice = registry.choose("metrics", "optimal_discriminator")
    metric = metric_choice.make()
    reference = Reference(test.images, Points(), None, test.labels, training, data)
    found = {
        name: metric.compute(
            Images(generated, Points(), None, model=SimpleNamespace(probability=probability)), reference
        )
        for name, probability in (("best", exact), ("blind", lambda points: torch.full((len(points),), 0.5)))
    }
    assert found["best"]["optimal_distance"] < 0.05
    assert found["blind"]["optimal_distance"] == pytest.approx(found["blind"]["optimal_advantage"] / 2)
    assert found["blind"]["optimal_distance"] > 0.3

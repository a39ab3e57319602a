"""Feature matching against hand-worked values, and what it must not be."""

from __future__ import annotations

import torch

from harness.testing import build, train
from harness.tricks.feature_matching import feature_distance


def test_distance_of_the_means() -> None:
    # means (2, 3) and (1, 1): 1² + 2² = 5
    real = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    fake = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    assert feature_distance(real, fake) == 5


def test_batches_with_equal_means_are_not_told_apart() -> None:
    # Compared sample by sample these differ by 1 in every entry; their means are equal.
    real = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    fake = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert feature_distance(real, fake) == 0


def test_it_replaces_the_generator_s_loss() -> None:
    game = build("dcgan", tricks=["feature_matching"])
    scalars = train(game, 1)[0]
    plain = train(build("dcgan"), 1)[0]
    assert scalars["discriminator_loss"] == plain["discriminator_loss"]
    assert scalars["generator_loss"] != plain["generator_loss"]


def test_the_weight_scales_the_loss() -> None:
    one, ten = (
        train(build("dcgan", tricks=[{"name": "feature_matching", "weight": weight}]), 1)[0]["generator_loss"]
        for weight in (1.0, 10.0)
    )
    assert abs(ten - 10 * one) < 1e-4 * ten

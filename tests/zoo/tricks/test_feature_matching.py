"""Feature matching against hand-worked values, and what it must not be."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.testing import train
from harness.zoo.building import build
from harness.zoo.tricks.feature_matching import FeatureMatching, FeatureMatchingSettings, feature_distance


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


def test_against_a_discriminator_that_reacts_the_features_of_real_images_are_led_through_too() -> None:
    # f(x) = (0.3 − 0.1 g) x, as after a step ahead, at x = 1.5 and G = g: L = ((0.3 − 0.1 g)(1.5 − g))².
    # At g = ½ that is (¼ · 1)², its slope 2 · ¼ · (−0.1 · 1 − ¼) = −.175; without the real images' part it is −.1.
    g = torch.tensor(0.5, requires_grad=True)
    real, fake = (
        SimpleNamespace(scores=SimpleNamespace(features=((0.3 - 0.1 * g) * x).reshape(1, 1))) for x in (1.5, g)
    )
    trick = FeatureMatching(FeatureMatchingSettings())
    loss = trick.generator_loss(None, real, fake)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(1 / 16)
    (slope,) = torch.autograd.grad(loss, g)
    assert float(slope) == pytest.approx(-0.175)


@pytest.mark.parametrize("tricks", [["feature_matching"], ["feature_matching", "unrolling"]], ids="+".join)
def test_real_images_have_a_gradient_in_an_unrolled_game_alone(
    tricks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    game, seen = build({"name": "gan", "architecture": {"name": "mlp", "width": 16}}, tricks=tricks), []
    monkeypatch.setattr(
        "harness.zoo.tricks.feature_matching.feature_distance",
        lambda real, fake: seen.append(real) or feature_distance(real, fake),
    )
    train(game, 1)
    assert [features.requires_grad for features in seen] == ["unrolling" in tricks]

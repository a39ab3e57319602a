"""One-sided label smoothing: the real target moves, the fake one stays 0."""

from __future__ import annotations

import pytest

from harness.testing import train
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.objectives import Targets


def test_only_the_real_target_moves() -> None:
    choice = registry.choose("tricks", "one_sided_label_smoothing")
    assert choice.make().targets(Targets()) == Targets(real=0.9, fake=0.0)


def test_the_first_loss_is_the_smoothed_one() -> None:
    plain = train(build("gan"), 1)[0]
    smoothed = train(build("gan", tricks=["one_sided_label_smoothing"]), 1)[0]
    # Same networks, same batch: the loss grows by (1 − α) · E[C(x)], and C(x) starts near 0.
    assert smoothed["discriminator_loss"] != plain["discriminator_loss"]
    assert smoothed["d_real"] == plain["d_real"]
    assert smoothed["d_fake"] == plain["d_fake"]
    assert smoothed["discriminator_loss"] == pytest.approx(plain["discriminator_loss"], abs=0.05)

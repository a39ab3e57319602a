"""Squared error misjudges: it prefers what nobody can read, and stray pixels, to a digit a little further right."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from harness import judge
from harness.zoo import registry

ARBITER = judge.load("mnist", "cpu")
choice = registry.choose("data", "digits")
DIGITS, LABELS = (part[:200] for part in choice.make().load("test"))


class Judged(NamedTuple):
    """Means over the digits that were changed."""

    error: float
    """Squared error, summed over the pixels of an image, intensities in [0, 1]."""
    distance: float
    """Between the judge's features of the image before and after."""
    readable: float
    """The share whose shape the judge accepts."""
    in_style: float
    """The share whose pixels it takes for the data's."""


def judged(changed: Tensor) -> Judged:
    error = ((changed.float() - DIGITS.float()) / 255).square().flatten(1).sum(1)
    features = [ARBITER.features(images)[0] for images in (changed, DIGITS)]
    found = (
        (ARBITER.assess(changed)[1] >= ARBITER.threshold),
        (ARBITER.style(changed) >= ARBITER.style_threshold),
    )
    return Judged(*(float(each.double().mean()) for each in (error, (features[0] - features[1]).norm(dim=1), *found)))


def specks(pixels: int) -> Tensor:
    """White pixels at random places of every image."""
    rng = torch.Generator().manual_seed(0)
    places = torch.stack([torch.randperm(28 * 28, generator=rng)[:pixels] for _ in DIGITS])
    return DIGITS.flatten(1).scatter(1, places, 255).view_as(DIGITS)


def test_a_shift_costs_more_than_a_blur_that_nobody_can_read() -> None:
    shifted, blurred = judged(DIGITS.roll(2, 3)), judged(gaussian_blur(DIGITS, 13, 2.5))
    # The figures of docs/judges.md.
    assert shifted == pytest.approx((33.1, 2.5, 0.985, 1), rel=0.02)
    assert blurred == pytest.approx((16.4, 8.3, 0.095, 0), rel=0.02)


def test_a_shift_by_one_pixel_costs_more_than_six_stray_pixels() -> None:
    shifted, speckled = judged(DIGITS.roll(1, 3)), judged(specks(6))
    assert shifted == pytest.approx((9.7, 1.4, 0.985, 1), rel=0.02)
    assert speckled == pytest.approx((4.7, 3.3, 0.98, 0), rel=0.02)


def test_how_far_digits_are_from_each_other() -> None:
    features = ARBITER.features(DIGITS)[0]
    apart, same = torch.cdist(features, features), LABELS[:, None] == LABELS
    others = same & ~torch.eye(len(LABELS), dtype=torch.bool)
    assert (float(apart[others].mean()), float(apart[~same].mean())) == pytest.approx((4.2, 13.4), rel=0.02)

"""Sharpness: the filter by hand, and blurred digits score lower the more they are blurred."""

from __future__ import annotations

import itertools

import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

from harness import judge
from harness.metrics.images import Images, Reference
from harness.metrics.sharpness import response
from harness.zoo import registry


@pytest.fixture(scope="module", params=["digits", pytest.param("mnist", marks=pytest.mark.mnist)])
def reference(request: pytest.FixtureRequest) -> Reference:
    arbiter = judge.load("mnist", "cpu")
    choice = registry.choose("data", request.param)
    data = choice.make()
    test = data.load("test")
    return Reference(test.images[:1000], arbiter, arbiter, test.labels[:1000], data.load("train"), data)


def measure(pixels: torch.Tensor, reference: Reference) -> float:
    choice = registry.choose("metrics", "sharpness")
    value: float = choice.make().compute(Images(pixels, reference.extractor, None), reference)["sharpness"]
    return value


def test_the_filter_by_hand() -> None:
    # One white pixel in 4 × 4: the four places inside answer −4, 1, 1, 0; mean −.5, variance 18/4 − .25.
    pixels = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    pixels[0, 0, 1, 1] = 255
    assert response(pixels) == pytest.approx(4.25)
    # Three channels are averaged: a third of the response in one of them alone.
    assert response(torch.cat([pixels, 0 * pixels, 0 * pixels], 1)) == pytest.approx(4.25 / 9)
    assert response(torch.cat([pixels] * 3, 1)) == pytest.approx(4.25)
    # A slope is not an edge, and the figure is the mean over images.
    slope = (10 * torch.arange(4)).repeat(4, 1)[None, None].to(torch.uint8)
    assert response(slope) == pytest.approx(0, abs=1e-9)
    assert response(torch.cat([pixels, slope])) == pytest.approx(4.25 / 2)


def test_blur_lowers_it_and_more_blur_more(reference: Reference) -> None:
    pixels = reference.pixels
    assert measure(pixels, reference) == pytest.approx(1)
    values = [1.0, *(measure(gaussian_blur(pixels, 13, sigma), reference) for sigma in (0.4, 0.6, 0.8, 1.0, 1.5, 2.0))]
    assert all(later < earlier for earlier, later in itertools.pairwise(values)), values
    assert values[4] < 0.35  # sigma 1


def test_real_images_of_another_split_are_as_sharp(reference: Reference) -> None:
    assert measure(reference.training.images[:1000], reference) == pytest.approx(1, abs=0.1)


def test_averages_of_images_are_blurred(reference: Reference) -> None:
    # What squared error draws where it cannot tell: the mean of several images.
    of_a_class = reference.pixels[reference.labels == 3][:40]
    means = of_a_class.float().view(4, 10, *of_a_class.shape[1:]).mean(1).round().to(torch.uint8)
    assert measure(means, reference) < 0.7 * measure(of_a_class, reference)

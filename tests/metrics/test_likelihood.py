"""The likelihood of held-out images: what the model is asked, and how images are made binary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.metrics import likelihood
from harness.metrics.images import Images
from harness.zoo import registry


def test_the_mean_over_the_first_images(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    first: list[float] = []

    def log_likelihood(images: Tensor, draws: int, rng: torch.Generator) -> Tensor:
        """−1 nat for each white pixel, −3 for each black one."""
        asked.append((len(images), draws))
        first.append(float(torch.rand(1, generator=rng)))
        return (images - 2).flatten(1).sum(1)

    monkeypatch.setattr(likelihood, "MOST", 3)
    monkeypatch.setattr(likelihood, "AT_ONCE", 2)
    pixels = torch.tensor([[0, 0], [255, 0], [255, 255], [255, 255]], dtype=torch.uint8).view(4, 1, 1, 2)
    images: Any = Images(pixels, None, None)  # type: ignore[arg-type]
    images.model = SimpleNamespace(log_likelihood=log_likelihood)
    metric = registry.choose("metrics", "likelihood").make()
    assert metric.compute(images, images) == {"log_likelihood": pytest.approx(-(6 + 4 + 2) / 3)}
    assert asked == [(2, 64), (1, 64)]
    assert first[0] != first[1]  # one stream of random numbers for all parts
    assert metric.protocol(images, images) == {"images": 3, "draws": 64}


def test_a_pixel_is_white_with_the_probability_of_its_grey_level() -> None:
    pixels = torch.tensor([0, 51, 204, 255], dtype=torch.uint8).repeat(20_000, 1).view(-1, 1, 1, 4)
    drawn = likelihood.binary(pixels)
    assert set(drawn.unique().tolist()) == {-1.0, 1.0}
    white = (drawn == 1).flatten(1).float().mean(0)
    assert white.tolist() == pytest.approx([0, 0.2, 0.8, 1], abs=0.01)
    assert white[0] == 0
    assert white[3] == 1
    assert torch.equal(likelihood.binary(pixels), drawn)

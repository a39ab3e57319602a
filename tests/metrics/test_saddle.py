"""The distance to the saddle point, by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.metrics import saddle
from harness.metrics.images import Images
from harness.zoo import registry


def images(*pixels: int) -> Any:
    return Images(torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1), None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [500, 3])
def test_the_mean_over_as_many_real_as_generated_images(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def probability(shown: Tensor) -> Tensor:
        """D(x) = (1 + x) / 2: black is surely generated, white surely real."""
        seen.extend(shown.flatten().tolist())
        return (1 + shown.flatten()) / 2

    monkeypatch.setattr(saddle, "AT_ONCE", at_once)
    metric = registry.choose("metrics", "saddle").make()
    samples, reference = images(0, 51, 255, 255), images(255, 102)
    samples.model = SimpleNamespace(probability=probability)
    # Real: D = 1 and .4; generated, as many: D = 0 and .2. Distances ½, .1, ½, .3.
    assert metric.compute(samples, reference) == {"saddle_distance": pytest.approx(1.4 / 4)}
    assert seen == pytest.approx([1, -0.2, -1, -0.6])
    assert metric.protocol(samples, reference) == {"of_each": 2}


def test_points_are_shown_as_they_are() -> None:
    points = Images(torch.tensor([[0.25, -0.5], [0.5, 0.5]]).view(2, 2, 1, 1), None, None)  # type: ignore[arg-type]
    points.model = SimpleNamespace(probability=lambda shown: shown.flatten(1)[:, 0])  # type: ignore[assignment]
    metric = registry.choose("metrics", "saddle").make()
    assert metric.compute(points, points) == {"saddle_distance": 0.125}  # ¼ and 0 away, twice

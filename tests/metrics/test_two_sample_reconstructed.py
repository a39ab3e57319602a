"""The two-sample test against reconstructions: what is compared with what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.metrics import two_sample_reconstructed
from harness.metrics.images import Images
from harness.zoo import registry


class Pixels:
    """An extractor whose features are the pixels."""

    name, digest = "pixels", "f" * 64

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1).float(), images.flatten(1).float()


def images(*pixels: int) -> Any:
    return Images(torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1), Pixels(), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("at_once", [500, 2])
def test_samples_are_compared_with_as_many_reconstructions(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def told_apart(*halves: tuple[Tensor, Tensor]) -> float:
        seen.extend(torch.stack([features.flatten(), real], 1) for features, real in halves)
        return 0.75

    monkeypatch.setattr(two_sample_reconstructed, "told_apart", told_apart)
    monkeypatch.setattr(two_sample_reconstructed, "AT_ONCE", at_once)
    metric = registry.choose("metrics", "two_sample_reconstructed").make()
    samples, reference = images(1, 2, 3, 4), images(0, 255, 51, 51, 7)
    samples.model = SimpleNamespace(reconstruct=lambda shown: -shown)  # negatives: 255, 0, 204, 204
    assert metric.compute(samples, reference) == {"reconstructed_accuracy": 0.75}
    assert [len(half) for half in seen] == [4, 4]
    rows = torch.cat(seen).tolist()
    assert sorted(value for value, real in rows if not real) == [1, 2, 3, 4]
    assert sorted(value for value, real in rows if real) == [0, 204, 204, 255]
    assert metric.protocol(samples, reference) == {"tested": 4, "hidden": 20}


def test_equal_images_cannot_be_told_apart_and_others_can() -> None:
    metric = registry.choose("metrics", "two_sample_reconstructed").make()
    grey = torch.randint(0, 100, (400,), generator=torch.Generator().manual_seed(0)).tolist()
    samples = images(*grey)
    found = []
    for change in (lambda shown: shown.flip(0), lambda shown: shown + 1):
        samples.model = SimpleNamespace(reconstruct=change)
        found.append(metric.compute(samples, images(*grey))["reconstructed_accuracy"])
    assert found == [pytest.approx(0.5, abs=0.1), 1.0]

"""The energy distance of points: by hand, and against a cloud that Fréchet distance and KID take for the ring."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness.metrics.energy import EnergyDistance
from harness.zoo import registry


def energy(own: torch.Tensor, real: torch.Tensor) -> float:
    images = [SimpleNamespace(pixels=points[:, :, None, None]) for points in (own, real)]
    found: dict[str, float] = registry.choose("metrics", "energy_distance").make().compute(*images)
    return found["energy_distance"]


def test_by_hand() -> None:
    # Between the sets 3, 5, 1 and 3, in the mean 3; within each 2.
    own, real = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[3.0, 0.0], [5.0, 0.0]])
    assert energy(own, real) == pytest.approx(2 * 3 - 2 - 2)
    # Without pairs of different points the estimate would be biased: a set against its copy is below 0.
    assert energy(own, own) == pytest.approx(2 * 1 - 2 - 2)
    assert energy(own[:1], real[:1]) == pytest.approx(6)


def test_a_cloud_with_the_moments_of_the_ring_is_far_from_it() -> None:
    data = registry.choose("data", "ring").make()
    train, test = (data.load(split).images.flatten(1).float()[:2000] for split in ("train", "test"))
    rng = torch.Generator().manual_seed(0)
    root = torch.linalg.cholesky(test.T.cov())
    cloud = torch.randn(2000, 2, generator=rng) @ root.T + test.mean(0)
    two_modes = test[test[:, 0] > test[:, 0].quantile(0.75)]
    perfect = abs(energy(train, test))
    assert energy(cloud, test) > 10 * perfect
    assert energy(two_modes, test) > 10 * perfect


def test_images_are_refused_with_what_to_use() -> None:
    data = registry.choose("data", "digits").make()
    assert "fid and kid" in str(EnergyDistance.refusal(None, data))

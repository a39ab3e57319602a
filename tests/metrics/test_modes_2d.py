"""High-quality samples and modes: by hand, of perfect and of collapsed samplers, and refused for images."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness.judge.points import Points
from harness.metrics.images import Images
from harness.metrics.modes_2d import high_quality
from harness.zoo import registry

ANGLES = torch.arange(8) * torch.pi / 4
CENTRES = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
SIGMA = 0.01


def points(coordinates: torch.Tensor) -> Images:
    return Images(coordinates.float()[:, :, None, None], Points(), None)


def perfect(n: int, modes: int = 8, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return CENTRES[torch.randint(modes, (n,), generator=rng)] + SIGMA * torch.randn(n, 2, generator=rng)


@pytest.fixture
def reference() -> Any:
    found: Any = points(perfect(2500, seed=1))
    found.data = SimpleNamespace(points=True, centres=CENTRES.tolist(), sigma=SIGMA)
    return found


def metric() -> Any:
    choice = registry.choose("metrics", "high_quality_modes")
    return choice.make()


def test_by_hand() -> None:
    centres = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # σ = .1: within .3 of (0, 0) two, one just beyond; one of (1, 0); none of (0, 1).
    samples = torch.tensor([[0.29, 0.0], [0.0, -0.1], [0.2, 0.23], [1.0, 0.29], [0.0, 0.69]])
    assert high_quality(samples, centres, 0.1).tolist() == [2, 1, 0]


def test_a_perfect_sampler(reference: Any) -> None:
    values = metric().compute(points(perfect(2500)), reference)
    assert values["modes"] == 8
    # P(within 3σ in the plane) = 1 − exp(−9/2) = .9889, ± .0021 at 2 500.
    assert values["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.008)
    assert values["mode_kl"] < 0.01


def test_a_collapsed_sampler(reference: Any) -> None:
    values = metric().compute(points(perfect(2500, modes=2)), reference)
    assert values["modes"] == 2
    assert values["high_quality"] == pytest.approx(0.989, abs=0.008)
    assert values["mode_kl"] == pytest.approx(math.log(4), abs=0.01)


def test_without_a_single_good_sample(reference: Any) -> None:
    values = metric().compute(points(torch.zeros(100, 2)), reference)
    assert values == {"modes": 0, "high_quality": 0, "mode_kl": pytest.approx(math.log(8))}


def test_the_histogram_holds_every_sample_once(reference: Any) -> None:
    half = torch.cat([perfect(500, modes=1), torch.zeros(500, 2)])
    bars = metric().histograms(points(half), reference)["modes"]
    assert bars["bins"] == [*map(str, range(1, 9)), "none"]
    assert sum(bars["samples"]) == pytest.approx(1)
    assert sum(bars["reference"]) == pytest.approx(1)
    assert bars["samples"][1:8] == [0] * 7
    assert bars["samples"][8] == pytest.approx(0.5, abs=0.02)


def test_what_it_refuses(reference: Any) -> None:
    digits = registry.choose("data", "digits")
    assert "modes are known" in metric().refusal(None, digits.make())
    assert "modes are known" in metric().refusal(None, SimpleNamespace(points=True))
    assert metric().refusal(None, reference.data) is None


@pytest.mark.parametrize("name", [name for name in registry.names("data") if name in ("ring", "grid")])
def test_the_data_sets_themselves(name: str) -> None:
    choice = registry.choose("data", name)
    data = choice.make()
    real: Any = Images(data.load("test").images, Points(), None)
    real.data = data
    assert metric().refusal(metric().settings, data) is None
    values = metric().compute(Images(data.load("train").images[:2500], Points(), None), real)
    assert values["modes"] == len(data.centres) == {"ring": 8, "grid": 25}[name]
    assert values["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert values["mode_kl"] < 0.02


@pytest.mark.parametrize(("name", "classes"), [("ring", [1, 4, 6]), ("grid", [0, 7, 12, 24])])
def test_of_a_part_of_the_classes_only_their_modes_count(name: str, classes: list[int]) -> None:
    choice = registry.choose("data", {"name": name, "classes": classes})
    data = choice.make()
    real: Any = Images(data.load("test").images, Points(), None)
    real.data = data
    values = metric().compute(Images(data.load("train").images[:2500], Points(), None), real)
    assert values["modes"] == len(classes)
    assert values["high_quality"] == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert values["mode_kl"] < 0.005

"""Mixtures in the plane: where the modes lie, and the density, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from harness.zoo import registry


def made(name: str, **settings: Any) -> Any:
    choice = registry.choose("data", {"name": name, **settings})
    return choice.make()


def test_the_ring_has_radius_1_and_eight_even_angles() -> None:
    data = made("ring")
    centres = data.centres * 1.25
    assert centres.norm(dim=1).tolist() == pytest.approx([1] * 8)
    angles = torch.atan2(centres[:, 1], centres[:, 0]).rad2deg() % 360
    assert angles.tolist() == pytest.approx([0, 45, 90, 135, 180, 225, 270, 315])
    assert data.sigma == pytest.approx(0.01 / 1.25)


def test_the_grid_is_every_pair_of_five_places() -> None:
    data, places = made("grid"), (-4, -2, 0, 2, 4)
    assert (data.centres * 5).tolist() == [pytest.approx([x, y]) for x in places for y in places]
    assert data.sigma == pytest.approx(0.05 / 5)


@pytest.mark.parametrize(
    ("name", "classes", "modes", "sigma"),
    [("ring", None, 8, 0.008), ("grid", None, 25, 0.01), ("ring", [2, 5], 2, 0.008), ("grid", [3, 12, 20], 3, 0.01)],
)
def test_the_density_at_and_near_a_centre(name: str, classes: list[int] | None, modes: int, sigma: float) -> None:
    # The next mode is dozens of σ away: 1/k of one Gaussian, −log(k · 2πσ²) at its centre, ½ less at a distance of σ.
    data = made(name, classes=classes)
    top = -math.log(modes * 2 * math.pi * sigma**2)
    assert data.log_density(data.centres).tolist() == pytest.approx([top] * modes)
    beside = data.centres + torch.tensor([0.0, sigma])
    assert data.log_density(beside[:, :, None, None]).tolist() == pytest.approx([top - 0.5] * modes)


def test_where_a_class_is_left_out_there_is_no_density() -> None:
    whole, part = made("ring"), made("ring", classes=[0, 2, 4, 6])
    left_out = whole.centres[1::2]
    assert torch.equal(part.centres, whole.centres[::2])
    assert float(part.log_density(left_out).max()) < -1000
    # The other modes carry what the left out ones had: twice the density.
    gain = part.log_density(part.centres) - whole.log_density(part.centres)
    assert gain.tolist() == pytest.approx([math.log(2)] * 4)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_points_lie_around_the_centre_that_their_label_names(name: str) -> None:
    data = made(name)
    images, labels = data.load("test")
    off = images.flatten(1).double() - data.centres[labels]
    assert off.std(0).tolist() == pytest.approx([data.sigma] * 2, rel=0.03)
    assert off.mean(0).tolist() == pytest.approx([0, 0], abs=5 * data.sigma / 100)

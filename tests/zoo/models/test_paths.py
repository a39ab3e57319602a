"""Paths through the latents, by hand, and the pictures of models whose z is their generator's whole input."""

from __future__ import annotations

import pytest
import torch

from harness.zoo.models.paths import ROWS, paths, pictures


def test_lines_go_from_one_to_the_other_and_circles_lead_back() -> None:
    one, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0]]])
    found = paths(one, other)
    line, walk = found["interpolation"][0], found["latent_walk"][0]
    assert line[[0, -1]].tolist() == [[1, 0], [0, 2]]
    assert torch.allclose(line[:, 0] + line[:, 1] / 2, torch.ones(ROWS))
    assert torch.allclose(walk[0], one[0, 0])
    assert torch.allclose(walk[2], other[0, 0], atol=1e-6)  # a quarter of the eight steps
    assert torch.allclose(walk[4], -one[0, 0], atol=1e-6)


@pytest.mark.parametrize("cube", [(0.0, 1.0), (-1.0, 1.0)])
def test_where_z_is_uniform_circles_are_about_its_middle_and_stay_inside(cube: tuple[float, float]) -> None:
    low, high = cube
    one, other = (low + (high - low) * torch.rand(ROWS, 1, 5) for _ in range(2))
    walk = paths(one, other, cube)["latent_walk"]
    assert low <= walk.min() < walk.max() <= high
    assert torch.allclose(walk[:, 4], low + high - one[:, 0], atol=1e-5)  # the opposite point
    corner = torch.full((1, 1, 2), high)
    assert paths(corner, corner, cube)["latent_walk"][0, 1].tolist() == [high, high]  # √2 away from the middle


def test_pictures_are_tiles_of_what_is_drawn() -> None:
    latents = torch.randn(2 * ROWS, 3)
    found = pictures(latents, lambda z: z.view(-1, 3, 1, 1))
    assert {name: tuple(tiles.shape) for name, tiles in found.items()} == dict.fromkeys(
        ("interpolation", "latent_walk"), (ROWS, ROWS, 3, 1, 1)
    )
    assert torch.equal(found["interpolation"][:, 0].flatten(1), latents[:ROWS])

"""Pictures of trials: what stands where in them."""

from __future__ import annotations

import pytest
import torch

from harness.trial import pictures
from harness.trial.pictures import above_nearest
from harness.zoo.data.pixels import as_floats


@pytest.mark.parametrize("block", [3, 4096])
def test_a_copy_has_its_original_below_it(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(pictures, "BLOCK", block)
    rng = torch.Generator().manual_seed(0)
    training = torch.randint(0, 256, (10, 1, 4, 4), generator=rng, dtype=torch.uint8)
    copied = [7, 0, 9, 2]
    samples = as_floats(training[copied])
    changed = samples + 0.02 * torch.randn(samples.shape, generator=rng)
    tiles = above_nearest(changed, training, columns=2)
    assert tiles.shape == (4, 2, 1, 4, 4)
    assert torch.equal(torch.cat([tiles[0], tiles[2]]), changed)
    assert torch.equal(torch.cat([tiles[1], tiles[3]]), samples)


def test_nearest_is_by_the_squared_error_of_the_pixels() -> None:
    training = torch.tensor([[0, 0], [255, 255], [0, 255]], dtype=torch.uint8).reshape(3, 1, 1, 2)
    samples = torch.tensor([[-0.5, -0.9], [0.9, 0.2], [-0.6, 0.1]]).reshape(3, 1, 1, 2)
    tiles = above_nearest(samples, training, columns=3)
    assert tiles[1].flatten(1).tolist() == [[-1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]

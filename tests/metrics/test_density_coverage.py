"""Density and coverage: by hand, against the formula written plainly, and in blocks."""

from __future__ import annotations

import pytest
import torch

from harness.judge.points import Points
from harness.metrics.images import Images
from harness.zoo import registry


def known(features: torch.Tensor) -> Images:
    return Images(features[:, :, None, None], Points(), None)


def measure(samples: torch.Tensor, real: torch.Tensor, neighbours: int = 5) -> dict[str, float]:
    choice = registry.choose("metrics", {"name": "density_coverage", "neighbours": neighbours})
    values: dict[str, float] = choice.make().compute(known(samples), known(real))
    return values


def test_by_hand() -> None:
    # Real 0, 1, 3 on a line with k = 1: radii 1, 1, 2. The sample .5 lies in the balls of 0 and 1, the sample 2 in
    # that of 3 and on the edge of 1's, which counts, the sample 50 in none.
    real = torch.tensor([[0.0], [1.0], [3.0]])
    samples = torch.tensor([[0.5], [2.0], [50.0]])
    assert measure(samples, real, 1) == {"density": pytest.approx(4 / 3), "coverage": 1.0}
    assert measure(samples[1:], real, 1) == {"density": pytest.approx(2 / 2), "coverage": pytest.approx(2 / 3)}
    # k = 2: radii 3, 2, 3; .5 lies in all three, 2 in all three.
    assert measure(samples[:2], real, 2)["density"] == pytest.approx(6 / (2 * 2))


def test_a_copy_of_a_set_with_repeats_covers_all_of_it() -> None:
    features = torch.randn(50, 64, generator=torch.Generator().manual_seed(0)).repeat_interleave(6, 0)
    values = measure(features.clone(), features)
    assert values["coverage"] == 1
    assert values["density"] == pytest.approx(6 / 5)  # each sample lies in the six balls of its image, of radius 0


def test_equal_distributions_and_a_lost_mode() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 2000, 8, generator=rng).unbind()
    alike = measure(one, other)
    assert alike["density"] == pytest.approx(1, abs=0.1)
    assert alike["coverage"] == pytest.approx(1 - 2**-5, abs=0.02)  # the paper's expectation
    two_modes = torch.cat([other[:1000], other[1000:] + 100])
    lost = measure(one, two_modes)
    assert lost["density"] == pytest.approx(1, abs=0.15)
    assert lost["coverage"] == pytest.approx(0.5, abs=0.02)


def test_an_outlier_among_the_real_does_not_make_samples_good() -> None:
    # What density is for: a lone real image far out has a huge ball, which precision takes at its word.
    rng = torch.Generator().manual_seed(0)
    real = torch.cat([torch.randn(500, 2, generator=rng), torch.tensor([[60.0, 0.0]])])
    between = torch.tensor([[30.0, 0.0]]) + 0.1 * torch.randn(500, 2, generator=rng)
    choice = registry.choose("metrics", "precision_recall")
    assert choice.make().compute(known(between), known(real))["precision"] == 1
    assert measure(between, real)["density"] <= 1 / 5

"""Two-sample test: equal distributions give a half within the null interval, others do not."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.judge.points import Points
from harness.metrics.images import Images
from harness.metrics.two_sample import halves, p_value
from harness.zoo import registry


class Known:
    def __init__(self, features: torch.Tensor) -> None:
        self.features = features

    def __len__(self) -> int:
        return len(self.features)


def measure(samples: torch.Tensor, real: torch.Tensor) -> dict[str, float]:
    choice = registry.choose("metrics", "two_sample")
    values: dict[str, float] = choice.make().compute(Known(samples), Known(real))
    return values


def ring(n: int, modes: tuple[int, ...], seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    angle = torch.tensor(modes)[torch.randint(len(modes), (n,), generator=rng)] * torch.pi / 4
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(n, 2, generator=rng)


def test_the_null_distribution_by_hand() -> None:
    assert p_value(0.5, 100) == pytest.approx(0.5)
    # n = 100: standard deviation .05; 1.645 of them leave 5 %.
    assert p_value(0.5 + 1.6449 * 0.05, 100) == pytest.approx(0.05, abs=1e-4)
    assert p_value(0.5 - 1.6449 * 0.05, 100) == pytest.approx(0.95, abs=1e-4)


def test_equal_distributions_are_not_told_apart() -> None:
    # n = 1000 tested: .5 ± .031 in 95 % of draws. Ten draws: the mean within ± .015, at most two outside.
    found = [measure(ring(1000, (0, 3, 5), seed), ring(1000, (0, 3, 5), 100 + seed)) for seed in range(10)]
    accuracies = [values["two_sample_accuracy"] for values in found]
    assert np.mean(accuracies) == pytest.approx(0.5, abs=0.015)
    assert sum(abs(accuracy - 0.5) > 0.031 for accuracy in accuracies) <= 2
    assert np.std(accuracies) > 0


def test_lost_opposite_modes_are_found() -> None:
    # All means are 0: a linear classifier would see nothing. Samples on half of the modes: accuracy up to .75.
    values = measure(ring(1000, (0, 2, 4, 6), 0), ring(1000, tuple(range(8)), 1))
    assert values["two_sample_accuracy"] > 0.7
    assert values["two_sample_p"] < 1e-6


def test_both_kinds_are_tested_in_equal_numbers_and_never_trained_on() -> None:
    samples, real = torch.arange(40.0)[:, None], 1000 + torch.arange(25.0)[:, None]
    train, test = halves(samples, real)
    for (features, is_real), n in ((train, 12), (test, 13)):
        assert is_real.bincount().tolist() == [n, n]
        assert ((features[:, 0] >= 1000) == (is_real == 1)).all()
    assert not set(train[0].flatten().tolist()) & set(test[0].flatten().tolist())


def test_the_protocol_states_the_null_interval() -> None:
    choice = registry.choose("metrics", "two_sample")
    protocol = choice.make().protocol(Known(torch.zeros(500, 2)), Known(torch.zeros(400, 2)))
    assert protocol["tested"] == 400
    assert protocol["null_interval"] == pytest.approx([0.451, 0.549])


def test_no_warning_reaches_the_user_and_constant_features_do_no_harm() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure(torch.ones(40, 3), torch.ones(40, 3))
    assert values["two_sample_accuracy"] == pytest.approx(0.5)


def test_points_of_the_reference_are_kept_in_the_cache_as_their_features(tmp_path: Path) -> None:
    points = ring(20, (0, 3), 0)[:, :, None, None]
    for _ in range(2):  # the second is read from the cache
        kept = Images(points, Points(), None, tmp_path)
        assert torch.equal(kept.features, points.flatten(1))
    [file] = tmp_path.glob("features-*.safetensors")
    assert file.stat().st_size > 0

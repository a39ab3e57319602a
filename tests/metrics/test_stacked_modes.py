"""Stacked modes: the literature's floor, by hand, and real digits stacked."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import judge
from harness.metrics.images import Images
from harness.metrics.stacked_modes import modes, scores
from harness.zoo import registry
from harness.zoo.data.base import Shape

STACKED = SimpleNamespace(points=False, shape=Shape(3, 28, 28, 1000))


def metric() -> Any:
    choice = registry.choose("metrics", "stacked_modes")
    return choice.make()


def test_by_hand() -> None:
    counts = modes(torch.tensor([[0, 0, 0], [1, 2, 3], [1, 2, 3], [9, 9, 9]]))
    assert counts.nonzero().flatten().tolist() == [0, 123, 999]
    # Shares ¼, ½, ¼: log 1000 − entropy (1.5 log 2).
    assert scores(counts) == {"stacked_modes": 3, "stacked_kl": pytest.approx(math.log(1000) - 1.5 * math.log(2))}
    assert scores(torch.ones(1000, dtype=torch.float64)) == {"stacked_modes": 1000, "stacked_kl": pytest.approx(0)}


def test_the_floor_of_a_perfect_sampler() -> None:
    # 26 000 uniform draws: .0191 ± .0009.
    rng = torch.Generator().manual_seed(0)
    found = [scores(modes(torch.randint(10, (26_000, 3), generator=rng))) for _ in range(40)]
    divergences = torch.tensor([values["stacked_kl"] for values in found])
    assert divergences.mean() == pytest.approx(0.0191, abs=0.0004)
    assert divergences.std() == pytest.approx(0.0009, abs=0.0003)
    assert {values["stacked_modes"] for values in found} == {1000}


@pytest.mark.parametrize("wrapped", [True, False])
def test_real_digits_stacked(wrapped: bool) -> None:
    single = judge.load("mnist", "cpu")
    arbiter: Any = SimpleNamespace(single=single, name="stacked", digest="0" * 64) if wrapped else single
    choice = registry.choose("data", "digits")
    test = choice.make().load("test")
    # Every digit beneath a three and a seven: ten modes.
    three, seven = (test.images[test.labels == label][:1] for label in (3, 7))
    n = len(test.images)
    pixels = torch.cat([three.repeat(n, 1, 1, 1), test.images, seven.repeat(n, 1, 1, 1)], 1)
    values = metric().compute(Images(pixels, single, arbiter), None)
    assert values["stacked_modes"] == 10
    assert values["stacked_kl"] == pytest.approx(math.log(100), abs=0.05)
    # Not a threshold, but argmax alone: noise falls on modes too.
    noise = torch.randint(0, 256, (50, 3, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert metric().compute(Images(noise, single, arbiter), None)["stacked_modes"] >= 1


def test_what_it_refuses() -> None:
    digits = registry.choose("data", "digits")
    assert "stacked" in metric().refusal(None, digits.make())
    assert "stacked" in metric().refusal(None, SimpleNamespace(points=False, shape=Shape(3, 32, 32, 10)))
    assert metric().refusal(None, STACKED) is None

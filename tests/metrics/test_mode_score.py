"""MODE score: by hand, against the Inception score, and on digits that lack classes."""

from __future__ import annotations

import math

import pytest
import torch

from harness import judge
from harness.metrics.images import Images, Reference
from harness.metrics.mode_score import score
from harness.zoo import registry

EVEN = torch.full((4,), 0.25, dtype=torch.float64)


def test_by_hand() -> None:
    # Four classes in equal shares, beyond doubt: E KL = log 4, nothing to subtract.
    assert score(torch.eye(4).repeat(5, 1), EVEN) == pytest.approx(4)
    # One class of four: E KL = 0 less KL = log 4.
    assert score(torch.eye(4)[:1].repeat(5, 1), EVEN) == pytest.approx(1 / 4)
    # Two classes of four: log 2 − log 2.
    assert score(torch.eye(4)[:2].repeat(5, 1), EVEN) == pytest.approx(1)
    # Two classes in equal shares, in training 3 : 1: log 2 − (½ log(½ / ¾) + ½ log(½ / ¼)).
    uneven = torch.tensor([0.75, 0.25], dtype=torch.float64)
    by_hand = 2 / math.exp(0.5 * math.log(2 / 3) + 0.5 * math.log(2))
    assert score(torch.eye(2).repeat(5, 1), uneven) == pytest.approx(by_hand)
    # Doubtful images, all alike: they say nothing, and the classes are balanced.
    assert score(EVEN.repeat(5, 1), EVEN) == pytest.approx(1)


def test_in_its_first_form_it_would_be_the_inception_score() -> None:
    probabilities = torch.rand(200, 4, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    training = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    marginal = probabilities.mean(0)

    def mean_divergence(other: torch.Tensor) -> torch.Tensor:
        return (probabilities * (probabilities / other).log()).sum(1).mean()

    penalty = (marginal * (marginal / training).log()).sum()
    first, inception = mean_divergence(training) - penalty, mean_divergence(marginal)
    assert first == pytest.approx(float(inception))
    assert score(probabilities, training) == pytest.approx(float((inception - penalty).exp()))


def test_digits_without_some_classes_score_less() -> None:
    arbiter = judge.load("mnist", "cpu")
    choice = registry.choose("data", "digits")
    data = choice.make()
    training, test = data.load("train"), data.load("test")
    reference = Reference(test.images, arbiter, arbiter, test.labels, training, data)
    metric = registry.choose("metrics", "mode_score")
    scores = [
        metric.make().compute(Images(test.images[test.labels >= gone], arbiter, arbiter), reference)["mode_score"]
        for gone in (0, 5, 9)
    ]
    assert scores[0] > 9.5
    # k classes of ten: k · k / 10 at best.
    assert scores[1] == pytest.approx(2.5, abs=0.4)
    assert scores[2] == pytest.approx(0.1, abs=0.05)

"""The moving average against hand-worked values, and that training does not notice it."""

from __future__ import annotations

import copy

import torch

from harness.testing import equal, train
from harness.zoo.building import build


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_three_steps_by_hand() -> None:
    game = build("gan", tricks=[{"name": "ema", "decay": 0.5}])
    [trick] = game.tricks
    expected = weights(game.generator)
    for step in (1, 2, 3):
        train(game, 1, seed=step)
        decay = min(0.5, step / (step + 9))  # 1/10, 2/11, 3/12
        expected = decay * expected + (1 - decay) * weights(game.generator)
        assert torch.allclose(weights(trick.average), expected, atol=1e-6)


def test_training_is_untouched() -> None:
    plain, averaged = build("dcgan"), build("dcgan", tricks=["ema"])
    for game in (plain, averaged):
        train(game, 3)
    assert equal(plain.generator.state_dict(), averaged.generator.state_dict())


def test_samples_and_published_weights_are_the_average_s() -> None:
    game = build("gan", tricks=["ema"])
    train(game, 2)
    [trick] = game.tricks
    assert game.sampler() is trick.average
    assert equal(game.weights(), dict(trick.average.state_dict()))


def test_statistics_of_normalisation_are_averaged_too() -> None:
    game = build("dcgan", tricks=[{"name": "ema", "decay": 0.0}])
    [trick] = game.tricks
    train(game, 2)
    # With decay 0 the average is the generator itself, its running statistics and counters included.
    assert equal(copy.deepcopy(trick.average.state_dict()), game.generator.state_dict())

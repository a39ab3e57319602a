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
    assert not any(parameter.requires_grad for parameter in trick.average.parameters())  # no step trains it
    assert equal(game.weights(), dict(trick.average.state_dict()))


def test_statistics_of_normalisation_are_averaged_by_hand_and_counters_copied() -> None:
    game = build("dcgan", tricks=[{"name": "ema", "decay": 0.15}])
    [trick] = game.tricks
    kept, current = (
        next(module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d))
        for network in (trick.average, game.generator)
    )
    for buffer, old, new in ((kept.running_mean, 1, 3), (kept.running_var, 10, 20), (kept.num_batches_tracked, 5, 8)):
        buffer.fill_(old)
        [name] = [name for name, one in kept.named_buffers() if one is buffer]
        current.get_buffer(name).fill_(new)
    trick.after_step(game)  # the first decay is 1/10
    assert torch.allclose(kept.running_mean, torch.tensor(0.1 * 1 + 0.9 * 3))
    assert torch.allclose(kept.running_var, torch.tensor(0.1 * 10 + 0.9 * 20))
    assert kept.num_batches_tracked == 8
    trick.after_step(game)  # the second would be 2/11, more than the .15 of the settings
    assert torch.allclose(kept.running_mean, torch.tensor(0.15 * 2.8 + 0.85 * 3))


def test_statistics_of_normalisation_are_averaged_too() -> None:
    game = build("dcgan", tricks=[{"name": "ema", "decay": 0.0}])
    [trick] = game.tricks
    train(game, 2)
    # With decay 0 the average is the generator itself, its running statistics and counters included.
    assert equal(copy.deepcopy(trick.average.state_dict()), game.generator.state_dict())

"""The self-ensemble: which step each member is from, and that training does not notice it."""

from __future__ import annotations

import torch

from harness.testing import equal, train
from harness.zoo.building import build
from harness.zoo.optimisation import tensors
from harness.zoo.tricks.layers import Ensemble

SMALL = {"name": "dcgan", "architecture": {"width": 8}}


def test_members_by_hand() -> None:
    network = torch.nn.Linear(1, 1)
    ensemble = Ensemble(network, 3)
    for member, factor in ((0, 2.0), (2, 5.0)):
        with torch.no_grad():
            network.weight.fill_(factor)
            network.bias.fill_(1)
        ensemble.keep(torch.tensor(member), network)
    with torch.no_grad():
        network.weight.fill_(100)
    ensemble.keep(torch.tensor(1), network)
    # Two rows each, in order: 2x + 1, 100x + 1, 5x + 1.
    inputs = torch.tensor([[1.0], [2.0], [1.0], [2.0], [1.0], [2.0]])
    assert ensemble(inputs).flatten().tolist() == [3, 5, 101, 201, 6, 11]
    assert ensemble(inputs[:2]).flatten().tolist() == [3, 201]
    assert not any(parameter.requires_grad for parameter in ensemble.parameters())


def test_each_member_is_the_generator_at_the_end_of_its_part() -> None:
    game = build(SMALL, tricks=[{"name": "self_ensemble", "members": 2}])
    [trick] = game.tricks
    game.steps = 6
    train(game, 3)
    first = [tensor.clone() for tensor in tensors(game.generator)]
    train(game, 3)
    last = tensors(game.generator)
    assert game.sampler() is trick.ensemble
    for stack, early, late in zip(trick.ensemble.states, first, last, strict=True):
        assert torch.equal(stack[0], early)
        assert torch.equal(stack[1], late)


def test_training_is_untouched() -> None:
    plain, ensemble = build(SMALL), build(SMALL, tricks=["self_ensemble"])
    for game in (plain, ensemble):
        train(game, 3)
    assert equal(plain.generator.state_dict(), ensemble.generator.state_dict())

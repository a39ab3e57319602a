"""Plain gradient descent: a step by hand, and the bilinear game that it orbits."""

from __future__ import annotations

import pytest
import torch

from harness.testing import train
from harness.zoo.building import build
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.tricks.sgd import descend

DIRAC = {"name": "gan", "architecture": "dirac", "objective": "wasserstein", "latent": 1}
PLANE = Shape(2, 1, 1, 8)


def test_a_step_by_hand() -> None:
    one, other = (torch.nn.Parameter(torch.tensor([2.0, 3.0])) for _ in range(2))
    one.grad = torch.tensor([10.0, -1.0])
    descend([one, other], 0.5)
    assert one.tolist() == [2 - 5, 3 + 0.5]
    assert other.tolist() == [2, 3]  # the loss does not depend on it
    assert one.grad is None


def test_no_other_step_moves_the_players() -> None:
    game = build("gan", tricks=["sgd"])
    train(game, 2)
    assert not game.generator_optimiser.state  # Adam has seen no gradient
    assert not game.discriminator_optimiser.state


def players(game: object) -> tuple[torch.Tensor, torch.Tensor]:
    return game.generator.place.detach().clone(), game.discriminator.body[1].weight[0].detach().clone()


@pytest.mark.parametrize(
    ("tricks", "least", "most"),
    [
        ([], 0.6, 0.8),  # it orbits: its distance √(½² + ½²) hardly changes
        ([{"name": "historical_averaging", "weight": 0.1}], 0, 0.02),  # it ends at the equilibrium
    ],
)
def test_the_bilinear_game(tricks: list[dict[str, object]], least: float, most: float) -> None:
    rates = {"generator_rate": 0.1, "discriminator_rate": 0.1}
    game = build(DIRAC, PLANE, tricks=[{"name": "sgd", **rates}, *tricks])
    batch = Labelled(torch.zeros(4, 2, 1, 1), torch.zeros(4, dtype=torch.long))
    point, slope = players(game)
    game.step(batch)
    if not tricks:  # ψ ← ψ − η θ, and then θ ← θ + η ψ
        expected = slope - 0.1 * point
        assert torch.allclose(players(game)[1], expected)
        assert torch.allclose(players(game)[0], point + 0.1 * expected)
    for _ in range(300):
        game.step(batch)
    assert least <= float(torch.cat(players(game)).norm()) <= most

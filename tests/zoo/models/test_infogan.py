"""InfoGAN: its codes, the information term by hand, and who learns from it."""

from __future__ import annotations

import math

import pytest
import torch

from harness.testing import train
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.infogan import InfoGANSettings, information

SMALL = {"name": "infogan", "architecture": {"width": 8, "hidden": 32}}


def test_the_information_term() -> None:
    settings = InfoGANSettings(categories=2, continuous=1, category_weight=2.0, continuous_weight=0.5)
    # category probabilities (¾, ¼), the code the first: −ln ¾. continuous code ½, read as −½: ½ · 1²
    read = torch.tensor([[math.log(3), 0.0, -0.5]])
    codes = torch.tensor([[1.0, 0.0, 0.5]])
    assert float(information(read, codes, settings)) == pytest.approx(2 * -math.log(0.75) + 0.5 * 0.5)
    # two images: the mean over them; two continuous codes: their sum
    settings = InfoGANSettings(categories=2, continuous=2, category_weight=1.0, continuous_weight=1.0)
    read = torch.tensor([[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    codes = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    assert float(information(read, codes, settings)) == pytest.approx(math.log(2) + (1 + 4) / 2 / 2)
    # without the information term the codes are part of the noise
    settings = InfoGANSettings(categories=2, continuous=2, category_weight=0, continuous_weight=0)
    assert float(information(read, codes, settings)) == 0


def test_codes_are_one_category_and_numbers_between_minus_one_and_one() -> None:
    game = build(SMALL)
    latents = game.latents(4000, torch.Generator().manual_seed(0))
    assert latents.shape == (4000, 62 + 10 + 2) == (4000, game.latent_size)
    category, continuous = latents[:, 62:72], latents[:, 72:]
    assert torch.equal(category.sum(1), torch.ones(4000))
    assert (category.sum(0) / 4000 - 0.1).abs().max() < 0.02
    assert -1 <= continuous.min() < -0.98 < 0.98 < continuous.max() <= 1
    assert float(continuous.var()) == pytest.approx(1 / 3, rel=0.05)


def test_q_shares_the_discriminator_s_layers_and_both_learn_from_the_codes() -> None:
    game = build(SMALL)
    assert game.recogniser[0].in_features == game.discriminator.features
    owners = {id(p) for group in game.discriminator_optimiser.param_groups for p in group["params"]}
    assert {id(p) for p in game.recogniser.parameters()} <= owners
    assert not {id(p) for p in game.generator.parameters()} & owners


@pytest.mark.slow
def test_the_codes_become_readable() -> None:
    def read(game: object) -> float:
        latents = game.latents(256, torch.Generator().manual_seed(5))
        images = game.images_from(latents)
        return float((game.codes(images).argmax(1) == latents[:, 62:72].argmax(1)).float().mean())

    game = build(
        {
            "name": "infogan",
            "architecture": {"width": 8, "hidden": 32},
            "generator_rate": 3e-3,
            "discriminator_rate": 1e-3,
        }
    )
    choice = registry.choose("data", "digits")
    digits = choice.make().load("train")
    before = read(game)
    for step in range(120):
        chosen = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(step))[:32]
        game.step(Labelled(as_floats(digits.images[chosen]), digits.labels[chosen]))
    assert before < 0.3
    assert read(game) > 0.6


def test_without_continuous_codes_there_are_none() -> None:
    game = build(SMALL | {"continuous": 0})
    train(game, 2)
    pictures = game.pictures(torch.zeros(64, 1, 28, 28), torch.Generator().manual_seed(0))
    assert set(pictures) == {"interpolation", "latent_walk", "category"}


def test_a_column_of_the_category_picture_shows_one_category_and_a_row_one_z() -> None:
    game = build(SMALL)
    given: list[torch.Tensor] = []
    game.tiles = lambda latents: (given.append(latents), type(game).tiles(game, latents))[1]  # type: ignore[method-assign]
    game.pictures(torch.zeros(64, 1, 28, 28), torch.Generator().manual_seed(0))
    category = given[2]
    assert category.shape == (10, 10, 74)
    assert torch.equal(category[:, 3, 62:72].argmax(1), torch.full((10,), 3))
    assert torch.equal(category[4, 0, :62], category[4, 9, :62])
    first = given[3][:, :, 72]
    assert torch.allclose(first, torch.linspace(-2, 2, 10).expand(10, 10))


def test_packing_is_refused_beside_codes() -> None:
    from harness.zoo.building import SHAPES
    from harness.zoo.compatibility import refusals

    assert refusals(registry.choose("models", "infogan"), (registry.choose("tricks", "packing"),), SHAPES[0])


def test_codes_are_read_in_float32() -> None:
    images = torch.rand(8, 1, 28, 28)
    half, whole = (build("infogan", dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    assert torch.equal(half.codes(images), whole.codes(images))

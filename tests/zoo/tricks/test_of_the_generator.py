"""Tricks on the generator's side, and of both players: their equations on toy tensors, by hand."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness.testing import BATCH, train
from harness.zoo.building import build
from harness.zoo.data.base import Labelled
from harness.zoo.tricks.layers import Normalised, WithReference
from harness.zoo.tricks.mode_seeking import ModeSeeking, SeekingSettings, likeness
from harness.zoo.tricks.unrolling import Moments, adam


def test_mode_seeking_is_the_inverse_ratio_of_distances() -> None:
    images, others = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])  # mean distance 1.5
    latents, other_latents = torch.tensor([[2.0]]), torch.tensor([[-1.0]])  # 3
    assert float(likeness(images, others, latents, other_latents)) == pytest.approx(1 / (0.5 + 1e-5))


def test_a_collapsed_generator_is_charged_most() -> None:
    image, latents = torch.ones(4, 2), torch.randn(4, 3)
    assert float(likeness(image, image, latents, latents + 1)) == pytest.approx(1e5)


def test_labels_behind_the_latents_are_no_distance_between_them() -> None:
    # One dimension of z and a label's two behind it: the latents lie 3 apart, whatever the labels' columns hold.
    drawn = SimpleNamespace(images=torch.tensor([[1.0]]), latents=torch.tensor([[2.0, 1.0, 0.0]]))
    game = SimpleNamespace(
        latent=1,
        rng=None,
        noise=lambda n, columns, rng: torch.tensor([[-1.0]]),
        drawn_from=lambda latents: SimpleNamespace(images=torch.tensor([[0.0]]), latents=latents),
    )
    trick = ModeSeeking(SeekingSettings(weight=2.0))
    term = trick.generator_loss(game, None, SimpleNamespace(drawn=drawn))  # type: ignore[arg-type]
    assert float(term) == pytest.approx(2 / (1 / 3 + 1e-5))


@pytest.mark.parametrize(
    "model",
    [{"name": "cgan", "architecture": {"width": 16}}, {"name": "infogan", "latent": 62}],
    ids=lambda m: m["name"],
)
def test_the_second_image_has_another_z_and_the_same_labels_and_codes(model: dict[str, Any]) -> None:
    game = build(model, tricks=["mode_seeking"])
    z, given = game.settings.latent, []
    game.generator.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    drawn = game.draw(torch.tensor([3, 7, 7]))
    game.tricks[0].generator_loss(game, None, SimpleNamespace(drawn=drawn))
    first, second = given
    assert torch.equal(first[:, z:], second[:, z:])
    assert not torch.equal(first[:, :z], second[:, :z])
    assert second.shape[1] > z


def through(layer: Normalised, values: torch.Tensor, reference: int) -> torch.Tensor:
    """The outputs for the first ``reference`` entries, which are the reference batch, and for the others."""
    layer.learning = True
    own = layer(values[:reference])
    layer.learning = False
    return torch.cat([own, layer(values[reference:])])


def test_virtual_batch_norm_joins_the_reference_batch_and_the_image() -> None:
    layer = Normalised(nn.BatchNorm1d(1, eps=0.0))
    # reference 1 and 3: mean 2, mean square 5, variance 1. Image 5: mean (5 + 2·2)/3 = 3, square (25 + 2·5)/3 = 35/3,
    # variance 35/3 − 9 = 8/3
    output = through(layer, torch.tensor([[1.0], [3.0], [5.0]]), 2).flatten().tolist()
    assert output == pytest.approx([-1, 1, 2 / (8 / 3) ** 0.5])


def test_virtual_batch_norm_of_maps_takes_statistics_over_places_too() -> None:
    layer = Normalised(nn.BatchNorm2d(1, eps=0.0))
    reference, image = torch.tensor([[0.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    maps = torch.stack([reference, image])[:, None]
    # reference: mean 1, square 2. Image: means 5 and 26 -> joined half and half: mean 3, square 14, variance 5
    assert through(layer, maps, 1)[1].flatten().tolist() == pytest.approx([1 / 5**0.5, 3 / 5**0.5])


def test_no_image_depends_on_those_beside_it() -> None:
    game = build("dcgan", tricks=["virtual_batch_norm"])
    assert isinstance(game.generator, WithReference)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in game.generator.modules())
    latents = game.latents(6, torch.Generator().manual_seed(0))
    with torch.no_grad():
        together, alone = game.generator(latents), game.generator(latents[2:3])
    assert torch.allclose(together[2:3], alone, atol=1e-5)


def test_the_reference_batch_passes_once_a_step_and_again_after_the_weights_have_changed() -> None:
    game = build({"name": "dcgan", "generator_steps": 2}, tricks=["virtual_batch_norm"])
    passed: list[torch.Tensor] = []
    original = game.generator.network.forward
    game.generator.network.forward = lambda latents: (passed.append(latents), original(latents))[1]
    train(game, 2)
    # The discriminator's step draws, then each of two generator steps: the second one after a change of the weights.
    kinds = [latents is game.generator.reference for latents in passed]
    assert kinds == [True, False, False, True, False] * 2
    images = torch.stack([game.sample(3, torch.Generator().manual_seed(0)) for _ in range(2)])
    assert torch.equal(images[0], images[1])
    with torch.no_grad():
        for parameter in game.generator.parameters():
            parameter.mul_(1.5)
    assert not torch.equal(game.sample(3, torch.Generator().manual_seed(0)), images[0])


def test_the_gradient_reaches_the_weights_through_the_reference_batch_too() -> None:
    """Against the derivative by differences, of a step whose discriminator part drew without a gradient."""
    layer = Normalised(nn.BatchNorm1d(1, eps=0.1).double())
    linear = nn.Linear(1, 1, bias=False).double()
    network = WithReference(nn.Sequential(linear, layer), torch.tensor([[1.0], [4.0]], dtype=torch.float64))
    z = torch.tensor([[3.0]], dtype=torch.float64)

    def output(weight: float) -> float:
        with torch.no_grad():
            linear.weight.fill_(weight)
            network.forget()
            return float(network(z))

    by_differences = (output(0.5 + 1e-2) - output(0.5 - 1e-2)) / 2e-2
    output(0.5)  # keeps the statistics
    network(z).sum().backward()
    assert float(linear.weight.grad) == pytest.approx(by_differences, rel=1e-2)  # statistics are in float32


def test_the_reference_batch_is_never_redrawn_and_the_game_s_latents_stay_paired() -> None:
    game, plain = build("dcgan", tricks=["virtual_batch_norm"]), build("dcgan")
    reference = game.generator.reference.clone()
    assert torch.equal(game.latents(4, game.rng), plain.latents(4, plain.rng))
    train(game, 2)
    assert torch.equal(game.generator.reference, reference)


def test_historical_averaging_keeps_the_mean_of_all_past_values() -> None:
    game = build(
        {"name": "gan", "architecture": {"width": 32}}, tricks=[{"name": "historical_averaging", "weight": 2.0}]
    )
    trick = game.tricks[0]
    past = [copy.deepcopy(list(game.generator.parameters()))]
    for seed in range(3):
        train(game, 1, seed)
        past.append(copy.deepcopy(list(game.generator.parameters())))
    means = [torch.stack(values).mean(0) for values in zip(*past, strict=True)]
    for mean, average in zip(means, trick.averages["generator"], strict=True):
        assert torch.allclose(mean, average, atol=1e-6)
    distance = sum(float((p - m).square().sum()) for p, m in zip(past[-1], means, strict=True))
    assert float(trick.generator_loss(game, None, None)) == pytest.approx(2 * distance, rel=1e-3)


def test_latent_reconstruction_learns_to_read_the_latents() -> None:
    game = build(
        {"name": "gan", "architecture": {"width": 64}, "latent": 2},
        tricks=[{"name": "latent_reconstruction", "rate": 3e-3, "weight": 10.0}],
    )
    trick = game.tricks[0]

    def error() -> float:
        latents = game.latents(256, torch.Generator().manual_seed(0))
        with torch.no_grad():
            return float((trick.network.eval()(game.generator(latents)) - latents).square().mean())

    before = error()
    trick.network.train()
    train(game, 150)
    assert before > 0.8  # the variance of z is 1
    assert error() < 0.4 * before


def test_labels_behind_the_latents_need_not_be_read_back() -> None:
    game = build({"name": "cgan", "architecture": {"width": 32}, "latent": 2}, tricks=["latent_reconstruction"])
    trick = game.tricks[0]
    drawn = game.draw(torch.tensor([3, 7]))
    assert drawn.latents.shape == (2, 12)  # z, and the label of ten classes
    assert trick.network(drawn.images).shape == (2, 2)
    trick.network = lambda images: drawn.latents[:, :2] + torch.tensor([1.0, 3.0])
    # the mean of 1 and 9
    assert float(trick.generator_loss(game, None, SimpleNamespace(drawn=drawn))) == pytest.approx(5)


def test_an_unrolled_step_is_adam_s_own() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))
    optimiser = torch.optim.Adam([parameter], lr=0.1, betas=(0.5, 0.9))
    moments = Moments(torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), 0)
    unrolled = parameter.detach().clone()
    for gradient in torch.tensor([[1.0, -3.0, 0.2], [0.5, 1.0, -1.0], [2.0, 0.1, 0.3]], dtype=torch.float64):
        parameter.grad = gradient
        optimiser.step()
        change, moments = adam(gradient, moments, 0.1, (0.5, 0.9), 1e-8)
        unrolled = unrolled + change
    assert torch.allclose(unrolled, parameter, atol=1e-7)


def test_unrolling_looks_ahead_and_leaves_the_discriminator_where_it_was() -> None:
    game = build("dcgan", tricks=["unrolling"])
    train(game, 2)
    weights = {name: p.detach().clone() for name, p in game.discriminator.named_parameters()}
    buffers = {name: b.clone() for name, b in game.discriminator.named_buffers()}
    batch = Labelled(torch.rand(BATCH, 1, 28, 28), torch.zeros(BATCH).long())
    ahead = game.tricks[0].opponent(game, batch, game.draw(batch.labels))
    scores = game.scored(batch.images, batch.labels, weights=ahead).scores
    assert all(torch.equal(weights[name], p) for name, p in game.discriminator.named_parameters())
    assert any("running_mean" in name for name in buffers)
    assert all(torch.equal(buffers[name], b) for name, b in game.discriminator.named_buffers())
    # They move ahead with the weights.
    assert not any(torch.equal(buffers[name], ahead[name]) for name in buffers)
    assert scores.logits.grad_fn is not None
    rate = game.discriminator_optimiser.param_groups[0]["lr"]
    moved = max(float((ahead[name] - weights[name]).abs().max()) for name in weights)
    assert rate < moved < 50 * rate
    # The loss through these weights reaches the generator along the discriminator's reaction too.
    assert all(ahead[name].grad_fn is not None for name in weights)


@pytest.mark.parametrize("objective", ["minimax", "non_saturating"])
def test_what_an_unrolled_discriminator_says_of_real_images_counts(objective: str) -> None:
    # f = E log D_K(x) + (the generator's objective) with D_K(x) = σ(w x), where a step ahead w = 0.3 − 0.1 g.
    g = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    game = build({"name": "gan", "objective": objective, "architecture": {"name": "mlp", "width": 16}})
    real, fake = (
        SimpleNamespace(scores=SimpleNamespace(logits=((0.3 - 0.1 * g) * x).reshape(1)), reacts=True) for x in (1.5, g)
    )
    (gradient,) = torch.autograd.grad(game._generator_loss(real, fake), g, retain_graph=True)

    def value(at: float) -> float:
        log = torch.nn.functional.logsigmoid
        c, d = (torch.tensor((0.3 - 0.1 * at) * x, dtype=torch.float64) for x in (1.5, at))
        return float(log(c) + (log(-d) if objective == "minimax" else -log(d)))

    assert float(gradient) == pytest.approx((value(0.7 + 1e-5) - value(0.7 - 1e-5)) / 2e-5, rel=1e-6)
    real.reacts = False
    (half,) = torch.autograd.grad(game._generator_loss(real, fake), g, allow_unused=True)
    assert float(half) != pytest.approx(float(gradient), rel=1e-3)


def test_unrolling_s_gradient_is_the_derivative_through_the_discriminator_s_reaction() -> None:
    # One generator parameter g (an image G = g), D(x) = w x with one unrolled step: by finite differences.
    def play(g: torch.Tensor) -> torch.Tensor:
        w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        moments = Moments(torch.tensor(0.2, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64), 7)
        loss = torch.nn.functional.softplus(-w * 1.5) + torch.nn.functional.softplus(w * g)
        (gradient,) = torch.autograd.grad(loss, w, create_graph=True)
        change, _ = adam(gradient, moments, 0.1, (0.5, 0.9), 1e-8)
        return torch.nn.functional.softplus(-(w + change) * g)

    assert torch.autograd.gradcheck(play, torch.tensor(0.7, dtype=torch.float64, requires_grad=True))

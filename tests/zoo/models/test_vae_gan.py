"""The VAE-GAN: likeness by features, and which loss moves which network."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from harness.testing import equal
from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.vae_gan import discriminator_loss, feature_likelihood, generator_loss
from harness.zoo.networks.scores import Scores

SMALL = {"name": "vae_gan", "architecture": {"name": "mlp", "width": 16}, "latent": 3, "gamma": 0.5}
NETWORKS = ("encoder", "decoder", "discriminator")


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([math.log(p / (1 - p)) for p in probabilities])


def batch(model: Any, n: int = 8) -> Labelled:
    return Labelled(as_floats(model.training.images[:n]), model.training.labels[:n])


def test_likeness_by_hand() -> None:
    real, again = torch.tensor([[1.0, 0.0], [3.0, 1.0]]), torch.tensor([[0.0, 2.0], [3.0, 1.0]])
    assert float(feature_likelihood(real, again)) == pytest.approx((0.5 * 5 + 0) / 2)


def test_losses_of_the_game_by_hand() -> None:
    real, again, fresh = logits(0.8, 0.5), logits(0.25, 0.5), logits(0.1, 0.4)
    expected = -(math.log(0.8) + math.log(0.5) + math.log(0.75) + math.log(0.5) + math.log(0.9) + math.log(0.6)) / 2
    assert float(discriminator_loss(real, again, fresh)) == pytest.approx(expected)
    expected = -(math.log(0.25) + math.log(0.5) + math.log(0.1) + math.log(0.4)) / 2
    assert float(generator_loss(again, fresh)) == pytest.approx(expected)


class FirstPixels(nn.Module):
    """A discriminator whose features are twice the first two pixels, and whose logit is the first."""

    def forward(self, images: torch.Tensor) -> Scores:
        pixels = images.flatten(1)
        return Scores(pixels[:, 0], 2 * pixels[:, :2])


def test_likeness_is_that_of_the_discriminator_s_features() -> None:
    model: Any = build(SMALL)
    model.discriminator = FirstPixels()
    real, again, fresh = (torch.zeros(1, 1, 28, 28) for _ in range(3))
    real[0, 0, 0, :2] = torch.tensor([0.5, 1.0])
    again[0, 0, 0, :3] = torch.tensor([0.0, -0.5, 1.0])  # the third pixel is no feature
    fresh[0, 0, 0, 0] = 1.0
    likeness, realism = model._judged(real, again, fresh)
    assert float(likeness) == pytest.approx((1.0**2 + 3.0**2) / 2)
    # −log D(x̃) = log 2 at logit 0; −log D(x_p) = log(1 + e⁻¹) at logit 1.
    assert float(realism) == pytest.approx(math.log(2) + math.log(1 + math.exp(-1)))


def losses(model: Any, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """L_prior, L_llike, L_G and L_D of the networks as they are, with the noise that a step would draw."""
    state = model.rng.get_state()
    mean, log_variance = model.encoder(images).chunk(2, 1)
    deviation = (log_variance / 2).exp()
    again = model.decoder(mean + deviation * torch.randn(mean.shape, generator=model.rng)).tanh()
    fresh = model.decoder(torch.randn(mean.shape, generator=model.rng)).tanh()
    model.rng.set_state(state)
    real_p, again_p, fresh_p = (model.discriminator(part).logits.sigmoid() for part in (images, again, fresh))
    features = [model.discriminator(part).features for part in (images, again)]
    return {
        "prior": (mean**2 + deviation**2 - 1 - log_variance).sum(1).mean() / 2,
        "likeness": 0.5 * ((features[0].detach() - features[1]) ** 2).sum(1).mean(),
        "generator": -(again_p.log() + fresh_p.log()).mean(),
        "discriminator": -(real_p.log() + (1 - again_p).log() + (1 - fresh_p).log()).mean(),
    }


def test_each_network_goes_down_its_own_loss() -> None:
    # A discriminator that hardly moves, so that the other two meet the one that the losses were computed with.
    model: Any = build(SMALL | {"discriminator_rate": 1e-12})
    data = batch(model)
    loss = losses(model, data.images)
    own = {
        "encoder": loss["prior"] + loss["likeness"],
        "decoder": 0.5 * loss["likeness"] + loss["generator"],
        "discriminator": loss["discriminator"],
    }
    expected = {
        name: torch.autograd.grad(own[name], list(getattr(model, name).parameters()), retain_graph=True)
        for name in NETWORKS
    }
    scalars = model.step(data)
    for name in NETWORKS:
        for weight, gradient in zip(getattr(model, name).parameters(), expected[name], strict=True):
            assert float(gradient.abs().max()) > 0
            assert torch.allclose(weight.grad, gradient, rtol=1e-3, atol=1e-5), name
    for scalar, name in (
        ("kl", "prior"),
        ("likeness_loss", "likeness"),
        ("generator_loss", "generator"),
        ("discriminator_loss", "discriminator"),
    ):
        assert float(scalars[scalar]) == pytest.approx(float(loss[name].detach()), rel=1e-4), scalar
        assert not scalars[scalar].requires_grad


def test_the_other_two_meet_the_discriminator_that_has_moved() -> None:
    model: Any = build(SMALL | {"discriminator_rate": 0.01})
    data = batch(model)
    before = losses(model, data.images)
    moved: Any = build(SMALL | {"discriminator_rate": 0.01})
    scalars = model.step(data)
    moved.discriminator.load_state_dict(model.discriminator.state_dict())  # encoder and decoder as at the start
    after = losses(moved, data.images)
    assert float(scalars["generator_loss"]) == pytest.approx(float(after["generator"].detach()), rel=1e-4)
    assert float(scalars["likeness_loss"]) == pytest.approx(float(after["likeness"].detach()), rel=1e-4)
    assert float(after["generator"].detach()) != pytest.approx(float(before["generator"].detach()), rel=1e-2)


def stepped(gamma: float) -> Any:
    model: Any = build(SMALL | {"gamma": gamma})
    model.step(batch(model))
    return model


def test_gamma_weighs_for_the_decoder_alone() -> None:
    without, much = stepped(0.0), stepped(100.0)
    for name, same in (("encoder", True), ("discriminator", True), ("decoder", False)):
        states = (getattr(model, name).state_dict() for model in (without, much))
        assert equal(*states) == same, name


def test_each_optimiser_has_one_network() -> None:
    model: Any = build(SMALL)
    for name in NETWORKS:
        optimiser = getattr(model, f"{name}_optimiser")
        weights = [weight for group in optimiser.param_groups for weight in group["params"]]
        assert [id(weight) for weight in weights] == [id(weight) for weight in getattr(model, name).parameters()]
        assert optimiser.param_groups[0]["lr"] == getattr(model.settings, f"{name}_rate")


def test_a_step_leaves_the_discriminator_trainable() -> None:
    model = stepped(1.0)
    assert all(weight.requires_grad for weight in model.discriminator.parameters())


def test_its_discriminator_drops_nothing() -> None:
    model: Any = build(SMALL | {"architecture": "fully_connected"})
    dropouts = [module for module in model.discriminator.modules() if isinstance(module, nn.Dropout)]
    assert dropouts
    assert not any(module.p for module in dropouts)
    images = batch(model).images
    assert model.discriminator.training
    assert float(model._judged(images, images, images)[0].detach()) == 0  # the same image is like itself


def test_its_pictures() -> None:
    model: Any = build(SMALL)
    pictures = model.pictures(as_floats(model.training.images), torch.Generator())
    assert {name: tuple(tiles.shape) for name, tiles in pictures.items()} == {
        "reconstruction": (8, 8, 1, 28, 28),
        "interpolation": (8, 10, 1, 28, 28),
        "latent_walk": (3, 10, 1, 28, 28),
    }


def test_shapes_that_it_serves_and_that_it_refuses() -> None:
    def refusals(model: Any) -> list[bool]:
        choice = registry.choose("models", model)
        return [choice.plugin.refusal(choice.settings, shape) is not None for shape in SHAPES]

    assert refusals("vae_gan") == [False, False, False, True, True]  # neither 12×20 nor points: it is a DCGAN
    assert refusals(SMALL) == [False] * 5


@pytest.mark.slow
def test_it_learns_digits() -> None:
    choice = registry.choose("data", "digits")
    digits = choice.make().load("train")
    images = as_floats(digits.images)
    model: Any = build({"name": "vae_gan", "architecture": {"width": 16}})
    likenesses = []
    for step in range(100):
        part = slice(step * 32 % 1024, step * 32 % 1024 + 32)
        scalars = model.step(Labelled(images[part], digits.labels[part]))
        likenesses.append(float(scalars["likeness_loss"]))
    assert sum(likenesses[-10:]) < 0.5 * sum(likenesses[:10])
    held = images[1024:]
    again = model.reconstruct(held)
    error = (held - again).square().mean()
    assert error < 0.9 * (held - images.mean(0)).square().mean()  # better than any constant answer
    assert error < 0.8 * (held - again.roll(1, 0)).square().mean()  # and it is the image's own

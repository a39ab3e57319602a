"""The autoencoder: squared error, the distribution fitted to codes; and the networks that all encoders share."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from harness.base.errors import HarnessError
from harness.testing import equal, train
from harness.zoo import registry
from harness.zoo.building import SHAPES, build, random_batch
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats
from harness.zoo.models import autoencoder
from harness.zoo.models.autoencoder import normal, squared_error
from harness.zoo.models.encoding import before_tanh, encoder

POINTS = SHAPES[-1]


def test_squared_error_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [0.5, -0.5]]).view(2, 1, 1, 2)
    decoded = torch.tensor([[0.0, 0.0], [0.0, 1.5]]).view(2, 1, 1, 2)
    # 1 + 0 and 0.25 + 4: summed over pixels, mean over images.
    assert float(squared_error(images, decoded)) == pytest.approx((1 + 4.25) / 2)


def test_moments_of_codes_by_hand() -> None:
    mean, root = normal(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]]))
    assert mean.tolist() == [1, 2]
    assert torch.allclose(root @ root.T, torch.tensor([[1.0, 0.0], [0.0, 4.0]]), atol=1e-6)
    mean, root = normal(torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0]]))
    assert torch.allclose(mean, torch.tensor([1.0, 2.0]))
    assert torch.allclose(root @ root.T, torch.tensor([[2 / 3, 1.0], [1.0, 2.0]]), atol=1e-6)


def test_codes_of_which_one_dimension_says_what_another_says() -> None:
    mean, root = normal(torch.tensor([[0.0, 0.0], [2.0, -2.0]]))
    assert mean.tolist() == [1, -1]
    assert torch.allclose(root @ root.T, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]), atol=1e-6)
    drawn = mean + torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) @ root.T
    assert torch.allclose(drawn[:, 0], -drawn[:, 1], atol=1e-5)


def test_samples_are_drawn_from_the_distribution_of_the_codes() -> None:
    model: Any = build({"name": "autoencoder", "latent": 3})
    model.encode = lambda images: images.flatten(1)[:, 100:103] @ torch.tensor([[1.0, 1, 0], [0, 1, 0], [0, 0, 2]])
    model.decode = lambda codes: codes
    codes = model.encode(as_floats(model.training.images))
    centred = codes - codes.mean(0)
    drawn = model.sample(50_000, torch.Generator().manual_seed(0))
    assert torch.allclose(drawn.mean(0), codes.mean(0), atol=0.03)
    assert torch.allclose(drawn.T.cov(), centred.T @ centred / len(codes), atol=0.03)


def test_the_distribution_is_fitted_to_a_share_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "CODED", 10)
    model: Any = build("autoencoder")  # 64 images: every seventh
    seen: list[torch.Tensor] = []
    original = model.encode
    model.encode = lambda images: (seen.append(images), original(images))[1]
    model.fitted()
    assert torch.equal(torch.cat(seen), as_floats(model.training.images[::7]))
    model.fitted()
    assert len(seen) == 1  # kept


def test_the_fit_is_of_the_network_as_it_is_now() -> None:
    model: Any = build("autoencoder")
    state = copy.deepcopy(model.state_dict())
    before = model.fitted()
    train(model, 1)
    after = model.fitted()
    assert not torch.equal(before[0], after[0])
    model.load_state_dict(state)
    assert equal(model.fitted(), before)


def test_published_weights_are_enough_to_sample() -> None:
    model: Any = build("autoencoder")
    train(model, 2)
    weights = model.weights()
    codes = torch.randn(5, 20, generator=torch.Generator().manual_seed(3)) @ weights["code_root"].T
    model.decoder.load_state_dict({name: value for name, value in weights.items() if not name.startswith("code_")})
    with torch.no_grad():
        images = model.decoder(codes + weights["code_mean"]).tanh()
    assert torch.allclose(images, model.sample(5, torch.Generator().manual_seed(3)), atol=1e-6)


def test_its_loss_is_the_squared_error_of_its_reconstruction() -> None:
    model: Any = build("autoencoder")
    images = as_floats(model.training.images[:8])
    expected = (images - model.reconstruct(images)).square().flatten(1).sum(1).mean()
    scalars = model.step(Labelled(images, model.training.labels[:8]))
    assert scalars.keys() == {"reconstruction_loss"}
    assert float(scalars["reconstruction_loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert not scalars["reconstruction_loss"].requires_grad


@pytest.fixture(scope="module")
def digits() -> Labelled:
    choice = registry.choose("data", "digits")
    training: Labelled = choice.make().load("train")
    return training


def test_it_learns_digits(digits: Labelled) -> None:
    model: Any = build("autoencoder")
    images = as_floats(digits.images)
    # The best of all constant answers: what ignores its input comes to this at most.
    constant = float(squared_error(images, images.mean(0, keepdim=True)))
    for step in range(100):
        part = slice(step * 64 % 1024, step * 64 % 1024 + 64)
        model.step(Labelled(images[part], digits.labels[part]))
    assert float(squared_error(images, model.reconstruct(images))) < 0.6 * constant


@pytest.mark.parametrize("name", ["autoencoder", "vae", "vae_gan"])
def test_pictures_of_reconstruction_and_interpolation(name: str) -> None:
    model: Any = build(name, Shape(1, 8, 8, 10))
    train(model, 1)
    images = as_floats(random_batch(model.shape, 64, torch.Generator().manual_seed(1)).images)
    pictures = model.pictures(images, torch.Generator().manual_seed(0))
    reconstruction, interpolation = pictures["reconstruction"], pictures["interpolation"]
    assert reconstruction.shape == (8, 8, 1, 8, 8)
    assert torch.equal(reconstruction[::2].flatten(0, 1), images[:32])
    assert torch.allclose(reconstruction[1::2].flatten(0, 1), model.reconstruct(images[:32]), atol=1e-5)
    assert interpolation.shape == (8, 10, 1, 8, 8)
    assert torch.equal(interpolation[:, 0], images[:16:2])
    assert torch.equal(interpolation[:, -1], images[1:16:2])
    assert torch.allclose(interpolation[:, 1], model.reconstruct(images[:16:2]), atol=1e-5)
    assert torch.allclose(interpolation[:, -2], model.reconstruct(images[1:16:2]), atol=1e-5)


def test_pictures_of_few_images() -> None:
    model: Any = build("autoencoder")
    images = as_floats(model.training.images)
    rng = torch.Generator()
    shapes = {n: {name: tiles.shape[:2] for name, tiles in model.pictures(images[:n], rng).items()} for n in (1, 5, 17)}
    assert shapes == {
        1: {"reconstruction": (2, 1)},
        5: {"reconstruction": (2, 5), "interpolation": (2, 10)},
        17: {"reconstruction": (4, 8), "interpolation": (8, 10)},
    }


@pytest.mark.parametrize("name", ["autoencoder", "vae", "vae_gan"])
@pytest.mark.parametrize("architecture", ["mlp", "fully_connected", "dcgan", "residual"])
def test_every_architecture_can_encode(name: str, architecture: str) -> None:
    model: Any = build({"name": name, "architecture": architecture, "latent": 5})
    train(model, 1)
    images = as_floats(model.training.images[:6])
    codes = model.encode(images)
    assert codes.shape == (6, 5)
    assert torch.equal(model.encode(images), codes)  # no dropout, and no part of the batch
    assert torch.allclose(model.encode(images[:2]), codes[:2], atol=1e-5)
    assert model.reconstruct(images).shape == images.shape
    dropouts = [module.p for module in model.encoder.modules() if isinstance(module, nn.Dropout)]
    assert not any(dropouts)


def test_shapes_that_it_serves_and_that_it_refuses() -> None:
    choice = registry.choose("models", "autoencoder")
    assert [choice.plugin.refusal(choice.settings, shape) for shape in SHAPES] == [None] * len(SHAPES)
    choice = registry.choose("models", {"name": "autoencoder", "architecture": "dcgan"})
    reason = choice.plugin.refusal(choice.settings, POINTS)
    assert reason == "architecture 'dcgan': it serves square images from 8×8 up, not 1×1"


def test_an_architecture_without_a_body_cannot_encode() -> None:
    made_up: Any = SimpleNamespace(shape=SHAPES[0], discriminator=lambda channels: nn.Linear(channels, 1))
    with pytest.raises(HarnessError, match=r"architecture 'made_up': .* choose another architecture"):
        encoder("made_up", made_up, 4)


def test_the_last_tanh_alone_is_taken_off() -> None:
    def kinds(network: nn.Module) -> list[type[nn.Module]]:
        return [type(module) for module in before_tanh(network).modules() if not isinstance(module, nn.Sequential)]

    assert kinds(nn.Sequential(nn.Linear(2, 2), nn.Tanh())) == [nn.Linear, nn.Identity]
    assert kinds(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Unflatten(1, (2, 1)))) == [
        nn.Linear,
        nn.Identity,
        nn.Unflatten,
    ]
    assert kinds(nn.Sequential(nn.Tanh(), nn.Linear(2, 2))) == [nn.Tanh, nn.Linear]
    inner = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    assert kinds(nn.Sequential(nn.Tanh(), inner)) == [nn.Tanh, nn.Linear, nn.Identity]
    assert kinds(nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Tanh())) == [nn.Linear, nn.Identity]
    assert nn.Identity not in kinds(nn.Sequential(nn.Tanh(), nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2))))


@pytest.mark.parametrize("architecture", ["mlp", "fully_connected", "dcgan", "residual"])
def test_the_decoder_is_the_generator_of_a_gan_with_the_same_seed(architecture: str) -> None:
    game: Any = build({"name": "gan", "architecture": architecture, "latent": 7})
    model: Any = build({"name": "autoencoder", "architecture": architecture, "latent": 7})
    codes = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    game.generator.eval()
    with torch.no_grad():
        drawn = game.generator(codes)
    drawn = drawn.tanh() if architecture in ("mlp", "residual") else drawn  # these generators end in no tanh
    assert torch.allclose(model.decode(codes), drawn, atol=1e-6)

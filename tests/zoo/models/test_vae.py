"""The variational autoencoder: KL term, likelihoods and bound against values worked out by hand; learning."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from harness.testing import train
from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.encoding import kl_to_prior
from harness.zoo.models.vae import LEAST_VARIANCE, bernoulli, gaussian

POINTS = SHAPES[-1]
TINY = Shape(1, 1, 2, 10)
"""Images of two pixels."""


def test_kl_by_hand() -> None:
    mean = torch.tensor([[0.0, 1.0, 0.0, -2.0]])
    log_variance = torch.tensor([[0.0, 0.0, 1.0, math.log(0.25)]])
    # ½ (μ² + σ² − 1 − log σ²)
    expected = [0.0, 0.5, (math.e - 2) / 2, (4 + 0.25 - 1 + math.log(4)) / 2]
    assert kl_to_prior(mean, log_variance)[0].tolist() == pytest.approx(expected)


def test_kl_is_what_drawing_estimates() -> None:
    mean, deviation = 0.7, 0.4
    q, prior = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    drawn = mean + deviation * torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    estimate = float((q.log_prob(drawn) - prior.log_prob(drawn)).mean())
    exact = float(kl_to_prior(torch.tensor(mean), torch.tensor(2 * math.log(deviation))))
    assert estimate == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [(1.0, -math.log(0.8)), (-1.0, -math.log(0.2)), (0.0, -(math.log(0.8) + math.log(0.2)) / 2)],
)
def test_cross_entropy_of_a_pixel_by_hand(pixel: float, expected: float) -> None:
    before = torch.full((1, 1, 1, 1), math.log(2))  # tanh(log 2) = 0.6: white with probability 0.8
    assert float((1 + before.tanh()) / 2) == pytest.approx(0.8)
    assert float(bernoulli(torch.full((1, 1, 1, 1), pixel), before)) == pytest.approx(expected)


def test_cross_entropy_is_summed_over_pixels_and_averaged_over_images() -> None:
    images = torch.tensor([[1.0, -1.0], [1.0, 1.0]]).view(2, 1, 1, 2)
    before = torch.full((2, 1, 1, 2), math.log(2))
    expected = -(math.log(0.8) + math.log(0.2) + 2 * math.log(0.8)) / 2
    assert float(bernoulli(images, before)) == pytest.approx(expected)


def test_cross_entropy_of_a_decoder_that_is_certain() -> None:
    white = torch.ones(1, 1, 1, 1)
    assert float(bernoulli(white, 50 * white)) == pytest.approx(0, abs=1e-6)
    # tanh(50) is 1 in every precision, but the logits are not rounded: −log of the logistic function of −100.
    assert float(bernoulli(white, -50 * white)) == pytest.approx(100)


def test_normal_likelihood_by_hand() -> None:
    images = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).view(2, 1, 1, 2)
    found = float(gaussian(images, torch.zeros_like(images)))
    assert found == pytest.approx(1 + math.log(2 * math.pi * 0.25))  # D = 2, MSE = ¼
    density = torch.distributions.Normal(0.0, 0.5).log_prob(images)
    assert found == pytest.approx(-float(density.flatten(1).sum(1).mean()))


def test_no_variance_makes_the_batch_likelier_than_its_own() -> None:
    images = as_floats(torch.tensor([[0, 30, 200, 90, 255, 7]], dtype=torch.uint8)).view(1, 1, 2, 3)
    before = torch.linspace(-1, 1, 6).view(1, 1, 2, 3)
    best = float(gaussian(images, before))
    others = [
        -float(torch.distributions.Normal(before.tanh(), deviation).log_prob(images).sum())
        for deviation in torch.linspace(0.05, 2, 100)
    ]
    assert best <= min(others)
    assert best == pytest.approx(min(others), abs=0.01)


def test_normal_likelihood_of_a_decoder_that_is_right() -> None:
    images = torch.zeros(1, 1, 1, 2)
    assert float(gaussian(images, images)) == pytest.approx(1 + math.log(2 * math.pi * LEAST_VARIANCE))


def knowing(mean: float, log_variance: float, before: float, **settings: Any) -> Any:
    """A VAE for images of two pixels with one code, whose encoder and decoder say the same of every image and code."""
    model: Any = build({"name": "vae", "latent": 1} | settings, TINY)
    with torch.no_grad():
        said, made = model.encoder[-1], model.decoder[-2]
        for layer in (said, made):
            layer.weight.zero_()
        said.bias.copy_(torch.tensor([mean, log_variance]))
        made.bias.fill_(before)
    return model


@pytest.mark.parametrize("beta", [1.0, 4.0, 0.0])
def test_the_bound_of_a_known_encoder(beta: float) -> None:
    model = knowing(mean=1.0, log_variance=0.0, before=math.log(2), beta=beta)
    images = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).view(4, 1, 1, 2)
    scalars = model.step(Labelled(images, torch.zeros(4, dtype=torch.long)))
    # Half of all pixels are white: each costs −log .8 or −log .2. KL(N(1, 1) ‖ N(0, 1)) = ½.
    reconstruction = -(math.log(0.8) + math.log(0.2))
    assert float(scalars["reconstruction_loss"]) == pytest.approx(reconstruction)
    assert float(scalars["kl"]) == pytest.approx(0.5)
    assert float(scalars["loss"]) == pytest.approx(reconstruction + beta * 0.5)
    assert not any(value.requires_grad for value in scalars.values())


def test_the_bound_with_a_normal_likelihood() -> None:
    model = knowing(mean=0.0, log_variance=1.0, before=0.0, likelihood="gaussian")
    images = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).view(2, 1, 1, 2)
    scalars = model.step(Labelled(images, torch.zeros(2, dtype=torch.long)))
    expected = 1 + math.log(math.pi / 2) + (math.e - 2) / 2
    assert float(scalars["loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_step_goes_down_the_bound_s_gradient() -> None:
    # With a decoder that ignores its code only the KL term moves the encoder: μ and log σ² towards 0.
    model = knowing(mean=1.0, log_variance=2.0, before=0.0)
    model.step(Labelled(torch.ones(3, 1, 1, 2), torch.zeros(3, dtype=torch.long)))
    slope = model.encoder[-1].bias.grad.tolist()
    assert slope == pytest.approx([1.0, (math.exp(2.0) - 1) / 2])  # ∂KL/∂μ = μ, ∂KL/∂log σ² = ½ (σ² − 1)
    # Two white pixels with p = ½: ∂(−log p)/∂a = −2 (1 − p) each.
    assert model.decoder[-2].bias.grad.tolist() == pytest.approx([-1.0, -1.0])
    moved = model.encoder[-1].bias.tolist()
    assert moved == pytest.approx([1.0 - 1e-3, 2.0 - 1e-3], abs=1e-5)  # Adam's first step is its rate


def test_codes_are_drawn_from_the_posterior_and_gradients_pass_through() -> None:
    model: Any = build("vae")
    mean, log_variance = (torch.full((20_000, 20), value, requires_grad=True) for value in (0.5, math.log(0.09)))
    drawn = model.draw(mean, log_variance)
    assert float(drawn.detach().mean()) == pytest.approx(0.5, abs=0.005)
    assert float(drawn.detach().std()) == pytest.approx(0.3, rel=0.01)
    drawn.sum().backward()
    assert bool((mean.grad == 1).all())
    noise = (drawn - mean).detach() / 0.3
    assert torch.allclose(log_variance.grad, noise * 0.15, atol=1e-4)  # ∂z/∂log σ² = ½ σ ε


def test_the_encoder_s_mean_is_the_code_and_the_decoder_s_the_image() -> None:
    model = knowing(mean=1.0, log_variance=0.0, before=math.log(2))
    images = torch.zeros(3, 1, 1, 2)
    assert model.encode(images).tolist() == [[1.0]] * 3
    assert torch.allclose(model.reconstruct(images), torch.full((3, 1, 1, 2), 0.6))


def test_samples_are_the_decoder_s_for_codes_from_the_prior() -> None:
    model: Any = build({"name": "vae", "latent": 4})
    model.decode = lambda codes: codes
    codes = model.sample(50_000, torch.Generator().manual_seed(0))
    assert torch.allclose(codes.mean(0), torch.zeros(4), atol=0.02)
    assert torch.allclose(codes.T.cov(), torch.eye(4), atol=0.03)


def test_the_walk_goes_along_the_dimensions_that_carry_most() -> None:
    model: Any = build({"name": "vae", "latent": 3})
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([1.0, 3.0, 2.0, 0.0, 0.0, 0.0]))
    walked: list[torch.Tensor] = []
    original = model.decode
    model.decode = lambda codes: (walked.append(codes), original(codes))[1]
    pictures = model.pictures(as_floats(model.training.images), torch.Generator())
    assert pictures["latent_walk"].shape == (3, 10, 1, 28, 28)
    codes = next(part for part in walked if len(part) == 30).view(3, 10, 3)
    for row, dimension in enumerate((1, 2, 0)):
        assert torch.allclose(codes[row, :, dimension], torch.linspace(-2.5, 2.5, 10))
        assert int((codes[row] != 0).sum()) == 10


def test_points_ask_for_a_normal_likelihood() -> None:
    def refusal(settings: dict[str, Any], shape: Shape) -> str | None:
        choice = registry.choose("models", {"name": "vae"} | settings)
        reason: str | None = choice.plugin.refusal(choice.settings, shape)
        return reason

    assert refusal({}, POINTS) == "a coordinate is not a probability: set likelihood: gaussian for points"
    assert refusal({"likelihood": "gaussian"}, POINTS) is None
    assert [refusal({}, shape) for shape in SHAPES[:-1]] == [None] * 4
    reason = refusal({"likelihood": "gaussian", "architecture": "dcgan"}, POINTS)
    assert reason == "architecture 'dcgan': it serves square images from 8×8 up, not 1×1"


def test_it_is_trained_on_points() -> None:
    model: Any = build({"name": "vae", "likelihood": "gaussian", "latent": 2}, POINTS)
    assert all(math.isfinite(value) for scalars in train(model, 5) for value in scalars.values())
    assert model.sample(6, torch.Generator().manual_seed(0)).shape == (6, 2, 1, 1)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_it_learns_digits(likelihood: str) -> None:
    choice = registry.choose("data", "digits")
    digits = choice.make().load("train")
    images = as_floats(digits.images)
    model: Any = build({"name": "vae", "likelihood": likelihood, "architecture": {"width": 100}})
    losses, divergences = [], []
    for step in range(100):
        part = slice(step * 64 % 1024, step * 64 % 1024 + 64)
        scalars = model.step(Labelled(images[part], digits.labels[part]))
        losses.append(float(scalars["loss"]))
        divergences.append(float(scalars["kl"]))
    early, late = sum(losses[:10]) / 10, sum(losses[-10:]) / 10
    assert late < early - 50  # nats
    assert divergences[-1] > 1  # the code is used
    error = (images - model.reconstruct(images)).square().mean()
    assert error < 0.8 * (images - images.mean(0)).square().mean()  # better than any constant answer


def test_the_default_encoder_sees_images_as_they_are() -> None:
    for name in ("vae", "autoencoder"):
        architecture = registry.choose("models", name).settings.architecture
        assert (architecture.settings.width, architecture.settings.layers, architecture.settings.gain) == (400, 1, 1.0)

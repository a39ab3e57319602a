"""The VAE with a known fault: bent images by hand, which are bent, and its likelihood against exact values."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.zoo.building import build
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models import bent_vae
from harness.zoo.models.bent_vae import bent
from harness.zoo.models.vae import VAE

TINY = Shape(1, 1, 2, 10)
"""Images of two pixels."""


def image(rows: str) -> Tensor:
    """One image (1, 1, h, w) in [-1, 1] from rows of digits, a space between two rows; 2 is white."""
    return torch.tensor([[[[int(value) - 1.0 for value in row] for row in rows.split()]]])


def test_the_middle_row_moves_and_the_centre_of_mass_stays() -> None:
    upright = image("000200000 000200000 000200000")
    # The parabola is 0, 1, 0, its mean over the ink ⅓: with 3 pixels the rows move by −1, 2, −1.
    right = image("002000000 000002000 002000000")
    left = image("000020000 020000000 000020000")
    assert torch.allclose(bent(upright, torch.tensor([3.0])), right, atol=1e-5)
    assert torch.allclose(bent(upright, torch.tensor([-3.0])), left, atol=1e-5)
    # Half of that lies between pixels: −½, 1, −½.
    assert torch.allclose(bent(upright, torch.tensor([1.5])), image("001100000 000020000 001100000"), atol=1e-5)


def test_the_middle_is_that_of_the_ink() -> None:
    # All ink in the middle row: nothing moves. In the first and the middle row: mean ½, they move by ∓ 1.
    assert torch.allclose(bent(image("00000 00200 00000"), torch.tensor([2.0])), image("00000 00200 00000"), atol=1e-5)
    assert torch.allclose(bent(image("00200 00200 00000"), torch.tensor([2.0])), image("02000 00020 00000"), atol=1e-5)


def test_what_comes_from_beyond_the_border_is_black_and_nothing_moves_without_an_amount() -> None:
    images = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(bent(images, torch.zeros(2)), images)
    far = bent(torch.cat([images, images]), torch.full((4,), 100.0))
    assert torch.allclose(far[:, :, [0, 2, 4]], torch.tensor(-1.0))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_this_share_of_the_ones_is_bent_to_either_side(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    amounts: list[Tensor] = []
    monkeypatch.setattr(bent_vae, "bent", lambda images, amount: (amounts.append(amount), images + 0.25)[1])
    stepped: list[Labelled] = []
    monkeypatch.setattr(VAE, "step", lambda self, batch: stepped.append(batch))
    model: Any = build({"name": "bent_vae", "share": share, "bend": 3}, TINY)
    labels = torch.tensor([0, 1, 2, 1]).repeat(2000)
    images = torch.zeros(8000, 1, 1, 2)
    model.step(Labelled(images, labels))
    (amount,) = amounts
    assert not amount[labels != 1].any()
    ones = amount[labels == 1]
    assert set(ones.unique().tolist()) <= {-3.0, 0.0, 3.0}
    found = [float((ones == value).float().mean()) for value in (-3, 3)]
    assert found == pytest.approx([share / 2] * 2, abs=0.03)
    assert torch.equal(stepped[0].images, images + 0.25)
    assert torch.equal(stepped[0].labels, labels)


def linear(weight: float, bias: float, mean: float, log_variance: float) -> Any:
    """One code; the decoder's two logits are both 2 (weight z + bias), the encoder says the same of every image."""
    model: Any = build({"name": "bent_vae", "latent": 1, "architecture": {"layers": 1, "width": 2, "slope": 1.0}}, TINY)
    with torch.no_grad():
        said = model.encoder[-1]
        said.weight.zero_()
        said.bias.copy_(torch.tensor([mean, log_variance]))
        first, last = (layer for layer in model.decoder.modules() if isinstance(layer, torch.nn.Linear))
        for layer in (first, last):
            layer.weight.zero_()
            layer.bias.zero_()
        first.weight[0, 0] = 1.0
        last.weight[:, 0] = weight
        last.bias.fill_(bias)
    return model


IMAGES = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2))).view(4, 1, 1, 2)


def test_with_a_decoder_that_ignores_the_code_and_the_prior_as_posterior_it_is_exact() -> None:
    # tanh(log 2) = .6: white with probability .8, whatever the code; all weights are p(x).
    model = linear(weight=0.0, bias=math.log(2), mean=0.0, log_variance=0.0)
    found = model.log_likelihood(IMAGES, 3, torch.Generator().manual_seed(0)).exp()
    assert found.tolist() == pytest.approx([0.04, 0.16, 0.16, 0.64])


def test_one_draw_by_hand() -> None:
    # z = μ + σ ε with μ = 1, σ = 2: log p(z) − log q(z) = ½ (ε² − z²) + log 2.
    model = linear(weight=0.0, bias=math.log(2), mean=1.0, log_variance=2 * math.log(2))
    noise = float(torch.randn(1, generator=torch.Generator().manual_seed(5)))
    ratio = (noise**2 - (1 + 2 * noise) ** 2) / 2 + math.log(2)
    found = model.log_likelihood(IMAGES[:1], 1, torch.Generator().manual_seed(5))
    assert found.tolist() == pytest.approx([math.log(0.04) + ratio])


def test_many_draws_come_to_the_integral_over_the_code() -> None:
    model = linear(weight=1.0, bias=0.3, mean=0.5, log_variance=0.5)
    found = model.log_likelihood(IMAGES, 100_000, torch.Generator().manual_seed(0)).exp()
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    white = torch.sigmoid(2 * (z + 0.3))
    density = torch.distributions.Normal(0.0, 1.0).log_prob(z).exp() * (z[1] - z[0])
    both = [(density * p * q).sum() for p in (1 - white, white) for q in (1 - white, white)]
    assert found.tolist() == pytest.approx([float(value) for value in both], rel=0.02)
    assert float(found.sum()) == pytest.approx(1, abs=0.01)


def test_only_a_bernoulli_likelihood_is_one_of_binary_images() -> None:
    models = [build({"name": "bent_vae", "likelihood": kind}) for kind in ("bernoulli", "gaussian")]
    offered = [model.capabilities(model.settings) for model in models]
    assert offered == [{"reconstruction", "likelihood"}, {"reconstruction"}]

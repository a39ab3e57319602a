"""Generation without a generator: the ascent, the pool, the mix of negatives, and what the discriminator learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.discriminator_only import DiscriminatorOnly
from harness.zoo.networks.scores import Scores

SMALL: dict[str, Any] = {"name": "discriminator_only", "architecture": {"name": "mlp", "width": 32}}
PLANE = SHAPES[4]


def made(shape: Shape = PLANE, **settings: Any) -> DiscriminatorOnly:
    model = build(SMALL | settings, shape)
    assert isinstance(model, DiscriminatorOnly)
    return model


def points(*coordinates: tuple[float, float]) -> Tensor:
    return torch.tensor(coordinates).view(-1, 2, 1, 1)


class Bowl(nn.Module):
    """f(x) = −½ ‖x − c‖², whose slope is c − x."""

    def __init__(self, *centre: float) -> None:
        super().__init__()
        self.centre = torch.tensor(centre)

    def forward(self, images: Tensor) -> Scores:
        return Scores(-(images.flatten(1) - self.centre).square().sum(1) / 2, images.flatten(1))


def test_one_step_has_its_size_whatever_the_slope() -> None:
    model = made(ascent_steps=1, ascent_rate=0.1)
    model.discriminator = Bowl(0.6, 0.8)
    # from 0: slope (.6, .8), root mean square √½; from (.6, .4): slope (0, .4), root mean square .4 √½
    moved = model.ascend(points((0.0, 0.0), (0.6, 0.4))).flatten(1)
    root = 2**0.5
    expected = torch.tensor([[0.06 * root, 0.08 * root], [0.6, 0.4 + 0.1 * root]])
    assert torch.allclose(moved, expected, atol=1e-6)
    assert (moved - points((0.0, 0.0), (0.6, 0.4)).flatten(1)).square().mean(1).sqrt().tolist() == pytest.approx(
        [0.1] * 2
    )


def test_the_steps_fall_to_nothing() -> None:
    # .1 · (1 + ¾ + ½ + ¼) = .25 along (.6, .8) √2
    model = made(ascent_steps=4, ascent_rate=0.1)
    model.discriminator = Bowl(0.6, 0.8)
    moved = model.ascend(points((0.0, 0.0))).flatten()
    assert moved.tolist() == pytest.approx([0.15 * 2**0.5, 0.2 * 2**0.5], abs=1e-6)


def test_the_ascent_is_clipped_and_rests_where_there_is_no_slope() -> None:
    model = made(ascent_steps=1, ascent_rate=0.1)
    model.discriminator = Bowl(5.0, 0.0)
    assert model.ascend(points((0.95, 0.0))).flatten().tolist() == [1, 0]
    model.discriminator = Bowl(0.25, 0.5)
    assert model.ascend(points((0.25, 0.5))).flatten().tolist() == [0.25, 0.5]


def test_the_ascent_leaves_noise_and_discriminator_as_they_were() -> None:
    model = made()
    noise = torch.zeros(3, 2, 1, 1)
    images = model.ascend(noise)
    assert not noise.requires_grad
    assert not noise.any()
    assert not images.requires_grad
    assert model.discriminator.training
    assert all(p.requires_grad and p.grad is None for p in model.discriminator.parameters())


def test_the_pool_replaces_the_oldest() -> None:
    def column(*values: float) -> Tensor:
        return points(*((value, 0.0) for value in values))

    model = made(pool=5)
    assert model.negatives.shape == (5, 2, 1, 1)
    model._keep(column(0.1, 0.2, 0.3))
    assert model.negatives[:3, 0, 0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    model._keep(column(0.4, 0.5, 0.6))
    assert model.negatives[:, 0, 0, 0].tolist() == pytest.approx([0.6, 0.2, 0.3, 0.4, 0.5])
    model._keep(column(0.7))
    assert model.negatives[:, 0, 0, 0].tolist() == pytest.approx([0.6, 0.7, 0.3, 0.4, 0.5])
    model._keep(column(-0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7))  # more than it holds: the last ones
    assert sorted(model.negatives[:, 0, 0, 0].tolist()) == pytest.approx([-0.7, -0.6, -0.5, -0.4, -0.3])


def test_the_pool_begins_as_noise() -> None:
    negatives = made(pool=4000).negatives
    assert negatives.abs().max() <= 1
    assert float(negatives.var()) == pytest.approx(1 / 3, rel=0.03)


@pytest.mark.parametrize(("n", "new"), [(8, 4), (7, 4), (1, 1)])
def test_negatives_are_half_new_and_half_from_the_pool(n: int, new: int) -> None:
    model = made(pool=50)
    model.negatives = torch.full((50, 2, 1, 1), -1.0)
    fresh = torch.linspace(0.1, 1, n).view(-1, 1, 1, 1).expand(-1, 2, -1, -1)
    mixed = model._mixed(fresh, n)[:, 0, 0, 0]
    assert len(mixed) == n
    assert int((mixed > 0).sum()) == new
    assert len(mixed[mixed > 0].unique()) == new, "no new one twice"


def test_a_step_feeds_back_what_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = made(pool=20, discriminator_steps=2), []
    found = torch.full((4, 2, 1, 1), 0.75)
    monkeypatch.setattr(model, "ascend", lambda noise: found[: len(noise)])
    original = model._descend
    monkeypatch.setattr(
        model, "_descend", lambda real, negative: (seen.append((real, negative)), original(real, negative))[1]
    )
    assert model.batches_per_step == 2
    real = torch.rand(8, 2, 1, 1, generator=torch.Generator().manual_seed(0)) / 2
    scalars = model.step(Labelled(real, torch.zeros(8, dtype=torch.long)))
    assert torch.equal(torch.cat([part for part, _ in seen]), real)
    assert all(int((negative == 0.75).all(1).sum()) >= 2 for _, negative in seen)
    assert torch.equal(model.negatives[:4], found)
    assert model.oldest == 4
    assert set(scalars) == {"discriminator_loss", "d_real", "d_fake"}


def test_a_descent_lowers_the_loss_of_both_kinds() -> None:
    model = made(discriminator_rate=1e-3)
    real, negative = points(*[(0.5, 0.5)] * 8), points(*[(-0.5, -0.5)] * 8)
    logits = [model._logits(part).detach() for part in (real, negative)]
    first = model._descend(real, negative)
    # −log σ(f) of real and −log σ(−f) of negatives, written out
    by_hand = -(logits[0].sigmoid().log().mean() + (-logits[1]).sigmoid().log().mean())
    assert float(first["discriminator_loss"]) == pytest.approx(float(by_hand), rel=1e-5)
    assert float(first["d_real"]) == pytest.approx(float(logits[0].sigmoid().mean()), rel=1e-5)
    last = [model._descend(real, negative) for _ in range(50)][-1]
    assert last["d_real"] > 0.9
    assert last["d_fake"] < 0.1


def trained_on_digits(steps: int) -> tuple[DiscriminatorOnly, Tensor]:
    """A model after so many steps on the embedded digits, and digits that it was not trained on."""
    choice = registry.choose("data", "digits")
    data = choice.make()
    images = as_floats(data.load("train").images)
    model = made(data.shape, architecture={"name": "fully_connected", "width": 64}, discriminator_rate=1e-3, pool=256)
    rng = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = images[torch.randperm(len(images), generator=rng)[:64]]
        model.step(Labelled(chosen, torch.zeros(64, dtype=torch.long)))
    return model, as_floats(data.load("test").images)[:200]


def test_it_learns_digits() -> None:
    model, real = trained_on_digits(60)
    model.discriminator.eval()
    noise = model._noise(200, torch.Generator().manual_seed(1))
    found = model.ascend(noise)
    on_real, on_noise, on_found = (model._logits(part).detach() for part in (real, noise, found))
    assert (on_found > on_noise).all(), "the ascent climbs"
    assert on_real.min() > on_noise.max()
    # what is found lies nearer to digits than what it was found from
    near = [torch.cdist(part.flatten(1), real.flatten(1)).min(1).values.mean() for part in (noise, found)]
    assert near[1] < 0.75 * near[0]


def test_equal_seeds_sample_equally() -> None:
    one, other = (trained_on_digits(5)[0].sample(3, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one, other)

"""CycleGAN: its terms by hand on toy networks, its pool, its second domain."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.testing import equal, train
from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled, Shape, Split
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.cyclegan import Pool, falling

SMALL = {"name": "cyclegan", "width": 4, "blocks": 1, "discriminator_width": 4}
X, Y = 0.4, -0.6
"""What every pixel of the toy source and of the toy target is."""


class Toy(nn.Module):
    """factor · pixel + shift, as a generator or as a discriminator of single pixels."""

    def __init__(self, factor: float, shift: float = 0.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * images + self.shift


def toy(**settings: Any) -> Any:
    """G(z) = z / 2, F(z) = z + .3; D_Y(z) = 2 z, D_X(z) = z + 1."""
    model: Any = build(SMALL | settings)
    model.generators = [Toy(0.5), Toy(1.0, 0.3)]
    model.discriminators = [Toy(2.0), Toy(1.0, 1.0)]
    model.generator_optimiser = model._adam(model.generators)
    model.discriminator_optimiser = model._adam(model.discriminators)
    model._of_the_source = lambda n: constant(X, n)
    return model


def constant(value: float, n: int = 3) -> Tensor:
    return torch.full((n, 1, 4, 4), value)


def numbered(first: int, n: int) -> Tensor:
    """Images that can be told apart: of 1×1 pixel, counted from ``first``."""
    return torch.arange(first, first + n).float().reshape(n, 1, 1, 1)


def source(split: Split) -> Labelled:
    choice = registry.choose("data", "digits")
    loaded: Labelled = choice.make().load(split)
    return loaded


def test_the_terms_by_hand() -> None:
    model = toy()
    terms = model.step(Labelled(constant(Y), torch.zeros(3, dtype=torch.long)))
    # G(x) = .2, F(y) = −.3; D_Y(.2) = .4, D_X(−.3) = .7.
    assert float(terms["adversarial_loss"]) == pytest.approx((0.4 - 1) ** 2 + (0.7 - 1) ** 2)
    # F(.2) = .5, G(−.3) = −.15.
    assert float(terms["cycle_loss"]) == pytest.approx(0.1 + 0.45)
    # F(x) = .7, G(y) = −.3.
    assert float(terms["identity_loss"]) == pytest.approx(0.3 + 0.3)
    assert float(terms["generator_loss"]) == pytest.approx(0.45 + 10 * 0.55 + 5 * 0.6)
    # D_Y(y) = −1.2, D_X(x) = 1.4, and on translations as above: those from before the generators' step.
    d_y, d_x = ((-1.2 - 1) ** 2 + 0.4**2) / 2, ((1.4 - 1) ** 2 + 0.7**2) / 2
    assert float(terms["discriminator_loss"]) == pytest.approx(d_y + d_x)


def test_the_weights_of_the_terms_are_settings() -> None:
    for settings, wanted in (
        ({"cycle": 0, "identity": 0}, 0.45),
        ({"cycle": 1, "identity": 0}, 0.45 + 0.55),
        ({"cycle": 0, "identity": 2}, 0.45 + 2 * 0.6),
    ):
        terms, _ = toy(**settings)._generator_step(constant(X), constant(Y))
        assert float(terms["generator_loss"]) == pytest.approx(wanted)


def test_the_gradients_by_hand() -> None:
    model = toy()
    model.step(Labelled(constant(Y), torch.zeros(3, dtype=torch.long)))
    g, f = model.generators
    # By G's factor w = ½: (2 w x − 1)², 10 |w x + .3 − x|, 10 |w (y + .3) − y|, 5 |w y − y|.
    assert float(g.factor.grad) == pytest.approx(2 * (0.4 - 1) * 2 * X + 10 * X + 10 * (Y + 0.3) + 5 * Y)
    # By F's shift s = .3: (y + s + 1 − 1)², 10 |x / 2 + s − x|, 10 |(y + s) / 2 − y|, 5 |x + s − x|.
    assert float(f.shift.grad) == pytest.approx(2 * (Y + 0.3) + 10 + 10 / 2 + 5)
    d_y, d_x = model.discriminators
    # ½ ((a y − 1)² + (a G(x))²) with a = 2, and ½ ((x + b − 1)² + (F(y) + b)²) with b = 1: none of it the generators'.
    assert float(d_y.factor.grad) == pytest.approx((2 * Y - 1) * Y + 0.4 * 0.2)
    assert float(d_x.shift.grad) == pytest.approx(X + 0.7)


def test_each_optimiser_moves_its_own_two_networks() -> None:
    model: Any = build(SMALL)

    def held(optimiser: torch.optim.Optimizer) -> set[int]:
        return {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}

    def parameters(networks: list[nn.Module]) -> set[int]:
        return {id(parameter) for network in networks for parameter in network.parameters()}

    assert held(model.generator_optimiser) == parameters(model.generators)
    assert held(model.discriminator_optimiser) == parameters(model.discriminators)

    def states() -> list[list[dict[str, Tensor]]]:
        players = (model.generators, model.discriminators)
        return [[copy.deepcopy(network.state_dict()) for network in player] for player in players]

    images = torch.rand(2, 4, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    before = states()
    _, fakes = model._generator_step(images[0], images[1])
    between = states()
    assert equal(before[1], between[1])
    assert not any(equal(one, other) for one, other in zip(before[0], between[0], strict=True))
    assert all(parameter.grad is None for network in model.discriminators for parameter in network.parameters())
    assert all(parameter.requires_grad for network in model.discriminators for parameter in network.parameters())
    assert not any(fake.requires_grad for fake in fakes)
    model._discriminator_step((images[1], images[0]), fakes)
    after = states()
    assert equal(between[0], after[0])
    assert not any(equal(one, other) for one, other in zip(between[1], after[1], strict=True))


def test_the_rate_falls_over_the_second_half() -> None:
    assert [falling(step, 100, 0.5) for step in (0, 50, 75, 99)] == pytest.approx([1, 1, 0.5, 0.02])
    assert [falling(step, 100, 1.0) for step in (0, 99)] == [1, 1]
    model: Any = build(SMALL)
    assert model.steps == 100
    for taken, rate in ((0, 2e-4), (75, 1e-4)):
        model.taken = taken
        train(model, 1)
        groups = [*model.generator_optimiser.param_groups, *model.discriminator_optimiser.param_groups]
        assert [group["lr"] for group in groups] == pytest.approx([rate] * 2)


def test_discriminators_see_translations_out_of_their_pools() -> None:
    model = toy()
    for pool in model.pools:
        pool.exchange = lambda images: torch.full_like(images, 0.1)
    terms = model._discriminator_step((constant(Y), constant(X)), (constant(0.9), constant(0.9)))
    # D_Y(.1) = .2, D_X(.1) = 1.1.
    wanted = ((-1.2 - 1) ** 2 + 0.2**2) / 2 + ((1.4 - 1) ** 2 + 1.1**2) / 2
    assert float(terms["discriminator_loss"]) == pytest.approx(wanted)
    assert [pool.size for pool in model.pools] == [50, 50]


def test_a_pool_gives_back_what_comes_until_it_is_full() -> None:
    pool = Pool(5, torch.Generator().manual_seed(0))
    for first, n in ((0, 3), (3, 2)):
        assert torch.equal(pool.exchange(numbered(first, n)), numbered(first, n))
    assert torch.equal(pool.images, numbered(0, 5))
    # What fills it up within a batch passes too; the rest of the batch may be exchanged.
    pool = Pool(2, torch.Generator().manual_seed(0))
    assert torch.equal(pool.exchange(numbered(0, 20))[:2], numbered(0, 2))


def test_a_full_pool_exchanges_every_other_image() -> None:
    pool = Pool(50, torch.Generator().manual_seed(0))
    pool.exchange(numbered(0, 50))
    exchanged, ages = 0, []
    for first in range(50, 20_050, 10):
        images, before = numbered(first, 10), pool.images.clone()
        given = pool.exchange(images)
        old = given != images
        exchanged += int(old.sum())
        ages.append((images - given)[old])
        # Nothing is lost and nothing comes twice: each image is either given or kept.
        held = torch.cat([before, images]).flatten()
        assert torch.equal(torch.cat([given, pool.images]).flatten().sort().values, held.sort().values)
    assert exchanged / 20_000 == pytest.approx(0.5, abs=0.015)  # four standard deviations
    # One in ten of the kept goes out at a time (5 of 50), whichever: ten exchanges of ten on the average.
    assert float(torch.cat(ages).mean()) == pytest.approx(100, rel=0.1)


def test_a_pool_of_nothing_exchanges_nothing() -> None:
    pool = Pool(0, torch.Generator().manual_seed(0))
    for first in (0, 10):
        assert torch.equal(pool.exchange(numbered(first, 10)), numbered(first, 10))


def test_a_pool_depends_on_its_generator_and_takes_up_its_state() -> None:
    def given(pool: Pool, first: int = 0) -> Tensor:
        return torch.cat([pool.exchange(numbered(at, 4)) for at in range(first, first + 40, 4)])

    pool, same, other = (Pool(6, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    whole = given(pool)
    assert torch.equal(whole, given(same))
    assert not torch.equal(whole, given(other))
    assert not torch.equal(whole, numbered(0, 40))
    state = copy.deepcopy(pool.state_dict())
    resumed = Pool(6, torch.Generator().manual_seed(9))
    resumed.load_state_dict(state)
    assert torch.equal(given(pool, 40), given(resumed, 40))
    assert equal(pool.state_dict(), resumed.state_dict())


def test_a_pool_keeps_no_hold_of_what_it_was_given() -> None:
    pool = Pool(4, torch.Generator().manual_seed(0))
    images = numbered(0, 4)
    pool.exchange(images)
    pool.exchange(numbered(4, 4))
    assert torch.equal(images, numbered(0, 4))


def test_every_image_of_the_source_comes_once_an_epoch() -> None:
    model: Any = build(SMALL)
    images = source("train").images
    batches = torch.cat([model._of_the_source(599), model._of_the_source(599)])
    assert torch.equal(*(_sorted(part) for part in (batches, as_floats(images))))
    assert not torch.equal(batches, as_floats(images))
    assert model._of_the_source(7).shape == (7, 1, 28, 28)


def test_translations_of_the_source_s_test_split() -> None:
    model: Any = build(SMALL)
    images, labels = source("test")
    n = len(images)
    shown = model.translate(n + 10, torch.Generator().manual_seed(0))
    assert shown.source.shape == shown.translated.shape == shown.back.shape == (n + 10, 1, 28, 28)
    assert shown.labels.shape == (n + 10,)
    assert shown.labels.dtype == torch.int64
    # Each once before one comes twice, with its own label.
    assert torch.equal(_sorted(shown.source[:n]), _sorted(as_floats(images)))
    known = {image.numpy().tobytes(): int(label) for image, label in zip(as_floats(images), labels, strict=True)}
    assert [known[image.numpy().tobytes()] for image in shown.source] == shown.labels.tolist()
    assert not torch.equal(shown.labels[:n], labels)  # in another order
    with torch.no_grad():
        translated = model.generators[0](shown.source[:5])
        back = model.generators[1](translated)
    assert torch.allclose(shown.translated[:5], translated, atol=1e-5)
    assert torch.allclose(shown.back[:5], back, atol=1e-5)
    again = model.translate(20, torch.Generator().manual_seed(1))
    assert not torch.equal(again.labels, shown.labels[:20])


def test_samples_are_translations_of_the_training_split() -> None:
    model = toy()
    model.generators = [nn.Identity(), nn.Identity()]
    known = {image.numpy().tobytes() for image in as_floats(source("train").images)}
    assert {image.numpy().tobytes() for image in model.sample(600, torch.Generator().manual_seed(0))} <= known


def test_its_picture_shows_source_translation_and_the_way_back() -> None:
    model: Any = build(SMALL)
    tiles = model.pictures(torch.zeros(64, 1, 28, 28), torch.Generator().manual_seed(0))["translation"]
    assert tiles.shape == (3, 16, 1, 28, 28)
    shown = model.translate(16, torch.Generator().manual_seed(0))
    assert torch.equal(tiles, torch.stack([shown.source, shown.translated, shown.back]))


def test_both_domains_must_have_one_shape() -> None:
    def refusal(shape: Shape, **settings: Any) -> str | None:
        choice = registry.choose("models", SMALL | settings)
        found: str | None = choice.plugin.refusal(choice.settings, shape)
        return found

    assert refusal(SHAPES[0]) is None
    assert refusal(Shape(1, 28, 28, 3)) is None  # classes are no matter of shape
    for shape in (Shape(3, 28, 28, 10), Shape(1, 32, 32, 10)):
        words = f"{shape.channels}×{shape.height}×{shape.width}"
        assert (
            refusal(shape) == f"the source 'digits' holds 1×28×28 images, the data {words} images: both must be equal"
        )
    assert "not 2×1×1" in (refusal(SHAPES[4]) or "")
    assert "not points" in (refusal(SHAPES[0], source="ring") or "")
    assert "multiples of 8" in (refusal(SHAPES[0], halvings=3) or "")


def test_it_learns_to_leave_the_target_s_images_as_they_are() -> None:
    # The identity term alone, on the real digits: the error must fall by half.
    model: Any = build(SMALL | {"cycle": 0, "rate": 1e-2, "decay_from": 1})
    images = as_floats(source("train").images[:4])
    batch = Labelled(images, torch.zeros(4, dtype=torch.long))
    first, *_, last = (float(model.step(batch)["identity_loss"]) for _ in range(15))
    assert last < first / 2


def _sorted(images: Tensor) -> Tensor:
    """The images in the order of their content."""
    return torch.stack(sorted(images, key=lambda image: image.numpy().tobytes()))

"""The conditional game: who gets the labels, and that they come to mean something."""

from __future__ import annotations

import pytest
import torch

from harness import judge
from harness.metrics.images import Images
from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats, to_uint8

SMALL = {"name": "cgan", "architecture": {"width": 64}, "embedding": 4}


def test_the_label_joins_the_latent_through_its_embedding() -> None:
    game = build(SMALL)
    latents = game.latents(3, torch.Generator().manual_seed(0), torch.tensor([1, 7, 7]))
    assert latents.shape == (3, 110)
    assert latents[:, 100:].argmax(1).tolist() == [1, 7, 7]
    assert latents[:, 100:].sum(1).tolist() == [1, 1, 1]
    seen: list[torch.Tensor] = []
    game.generator.generator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    game.generator(latents)
    assert torch.equal(seen[0][:, :100], latents[:, :100])
    expected = game.generator.embedding.weight.T[torch.tensor([1, 7, 7])]
    assert torch.allclose(seen[0][:, 100:], expected)


def test_the_label_is_one_more_channel_of_the_discriminator_s_image() -> None:
    game = build(SMALL)
    images, labels = torch.rand(2, *SHAPES[0][:3]), torch.tensor([4, 9])
    given = game.discriminator_images(images, labels)
    assert given.shape == (2, 2, 28, 28)
    label_map = game.discriminator.body[0]
    output = label_map(given)
    assert torch.equal(output[:, :1], images)
    assert torch.equal(output[:, 1].flatten(1), label_map.embedding.weight[labels])


def test_labels_of_a_thousand_classes_are_the_same_on_real_and_generated_images_in_bfloat16() -> None:
    game = build(SMALL, Shape(3, 28, 28, 1000), dtype=torch.bfloat16)
    labels = torch.tensor([257, 999])
    for images in (torch.zeros(2, 3, 28, 28), torch.zeros(2, 3, 28, 28, dtype=torch.bfloat16)):
        assert game.discriminator_images(images, labels)[:, 3, 0, 0].tolist() == [257, 999]


def test_labels_that_are_not_asked_for_follow_the_training_data() -> None:
    game = build(SMALL)
    game.training = Labelled(game.training.images, torch.tensor([2] * 48 + [5] * 16))
    labels = game.latents(4000, torch.Generator().manual_seed(0))[:, 100:].argmax(1)
    shares = labels.bincount(minlength=10) / 4000
    assert float(shares[2]) == pytest.approx(0.75, abs=0.03)
    assert float(shares[5]) == pytest.approx(0.25, abs=0.03)


def test_packing_is_refused_beside_labels() -> None:
    from harness.zoo.compatibility import refusals

    reasons = refusals(registry.choose("models", "cgan"), (registry.choose("tricks", "packing"),), SHAPES[0])
    assert reasons == ["the trick 'packing' conflicts with 'conditional'"]


def test_a_class_is_drawn_when_it_is_asked_for() -> None:
    # Two classes, all black and all white: after a little training each is drawn on demand.
    game = build({"name": "cgan", "architecture": {"width": 64, "dropout": 0.0}, "latent": 4, "generator_rate": 2e-3})
    images = torch.zeros(32, *SHAPES[0][:3], dtype=torch.uint8)
    labels = torch.arange(32) % 2
    images[labels == 1] = 255
    game.training = Labelled(images, labels)
    for _ in range(150):
        game.step(Labelled(as_floats(images), labels))
    drawn = game.sample_classes(torch.tensor([0, 1] * 8), torch.Generator().manual_seed(0)).flatten(1).mean(1)
    assert float(drawn[::2].max()) < 0 < float(drawn[1::2].min())


@pytest.mark.slow
def test_digits_are_drawn_when_they_are_asked_for() -> None:
    # At nine seeds .60 to .97 of the images were of the class asked for; chance is .1.
    digits = registry.choose("data", "digits")
    training = digits.make().load("train")
    game, rng = build("cdcgan"), torch.Generator().manual_seed(0)
    for _ in range(100):
        chosen = torch.randint(len(training.labels), (32,), generator=rng)
        game.step(Labelled(as_floats(training.images[chosen]), training.labels[chosen]))
    arbiter, wanted = judge.load("mnist", "cpu"), torch.arange(10).repeat(20)
    images = to_uint8(game.sample_classes(wanted, torch.Generator().manual_seed(0)))
    found = Images(images, arbiter, arbiter).probabilities.argmax(1)
    assert float((found == wanted).float().mean()) > 0.4

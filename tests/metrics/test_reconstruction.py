"""The error of reconstruction: by models whose answers are known, and by a trained one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import judge
from harness.metrics import reconstruction
from harness.metrics.images import Images, Reference
from harness.metrics.reconstruction import squared_error
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats

ARBITER = judge.load("mnist", "cpu")


class Answering:
    """A model that reconstructs by a function, and keeps what it was asked."""

    def __init__(self, answer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.answer, self.asked = answer, list[torch.Tensor]()

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        self.asked.append(images)
        return self.answer(images)


def of(pixels: torch.Tensor) -> Reference:
    """These images as the reference."""
    choice = registry.choose("data", "digits")
    data = choice.make()
    labels = torch.zeros(len(pixels), dtype=torch.long)
    return Reference(pixels, ARBITER, ARBITER, labels, Labelled(pixels, labels), data)


def noise(n: int, channels: int = 1, size: int = 4) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), generator=rng, dtype=torch.uint8)


def measure(model: Any, reference: Reference) -> float:
    choice = registry.choose("metrics", "reconstruction")
    samples = Images(reference.pixels[:1], ARBITER, ARBITER, model=model)
    values = choice.make().compute(samples, reference)
    assert values.keys() == choice.plugin.values.keys() == {"reconstruction_mse"}
    return float(values["reconstruction_mse"])


def test_squares_by_hand() -> None:
    # Errors of 2 and -1 in [-1, 1] are 1 and -½ in [0, 1].
    assert squared_error(torch.tensor([1.0, -1.0, 0.5]), torch.tensor([-1.0, 0.0, 0.5])) == pytest.approx(1.25)


def test_the_identity_loses_nothing() -> None:
    assert measure(Answering(lambda images: images), of(noise(7))) == 0


@pytest.mark.parametrize("offset", [0.2, -0.2])
def test_a_known_offset(offset: float) -> None:
    # 0.2 of the 2 from black to white: a tenth.
    assert measure(Answering(lambda images: images + offset), of(noise(7))) == pytest.approx(0.01, rel=1e-4)


def test_the_worst_answer() -> None:
    pixels = (noise(5) > 127).to(torch.uint8) * 255
    assert measure(Answering(torch.neg), of(pixels)) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mean_over_pixels_whatever_the_shape(channels: int) -> None:
    pixels = noise(6, channels, 5)
    black = Answering(lambda images: torch.full_like(images, -1))
    assert measure(black, of(pixels)) == pytest.approx(float((pixels.double() / 255).square().mean()), rel=1e-5)


def test_every_image_counts_the_same_and_is_seen_once() -> None:
    # 501 images come in two parts, of which the second is one image.
    pixels = torch.zeros(501, 1, 2, 2, dtype=torch.uint8)
    pixels[-1] = 255
    model = Answering(lambda images: torch.full_like(images, -1))
    assert measure(model, of(pixels)) == pytest.approx(1 / 501)
    assert torch.equal(torch.cat(model.asked), as_floats(pixels))


def test_of_a_large_reference_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconstruction, "MOST", 4)
    pixels = torch.cat([torch.full((4, 1, 2, 2), 255), torch.zeros(3, 1, 2, 2)]).to(torch.uint8)
    model = Answering(lambda images: torch.full_like(images, -1))
    reference = of(pixels)
    assert measure(model, reference) == 1
    choice = registry.choose("metrics", "reconstruction")
    metric = choice.make()
    samples = Images(pixels, ARBITER, ARBITER)
    assert metric.protocol(samples, reference) == {"reconstructed": 4}
    assert metric.protocol(samples, of(pixels[:3])) == {"reconstructed": 3}


def test_points_are_refused_and_images_are_not() -> None:
    choice = registry.choose("metrics", "reconstruction")
    ring, digits = (registry.choose("data", name) for name in ("ring", "digits"))
    assert choice.plugin.refusal(choice.settings, ring.make()) == "it is made for images"
    assert choice.plugin.refusal(choice.settings, digits.make()) is None


def test_it_is_asked_of_models_that_encode() -> None:
    required = registry.choose("metrics", "reconstruction").plugin.requires
    for name, offered in (("autoencoder", True), ("vae", True), ("vae_gan", True), ("dcgan", False)):
        choice = registry.choose("models", name)
        assert (required <= choice.plugin.capabilities(choice.settings)) == offered, name


def test_it_falls_while_an_autoencoder_learns() -> None:
    choice = registry.choose("data", "digits")
    data = choice.make()
    training, test = data.load("train"), data.load("test")
    reference = Reference(test.images, ARBITER, ARBITER, test.labels, training, data)
    model: Any = build({"name": "autoencoder", "architecture": {"width": 100}})
    found = [measure(model, reference)]
    for steps in (20, 80):
        for step in range(steps):
            part = slice(step * 64 % 1024, step * 64 % 1024 + 64)
            model.step(Labelled(as_floats(training.images[part]), training.labels[part]))
        found.append(measure(model, reference))
    assert found[0] > 2 * found[1] > 2 * found[2]

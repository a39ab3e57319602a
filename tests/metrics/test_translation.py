"""Translation quality, of models whose translations are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import judge
from harness.metrics.images import Images
from harness.testing import equal
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.base import Translation
from harness.zoo.models.cyclegan import CycleGAN

ARBITER = judge.load("mnist", "cpu")


@pytest.fixture(scope="module")
def held_out() -> Labelled:
    choice = registry.choose("data", "digits")
    loaded: Labelled = choice.make().load("test")
    return loaded


class Translator:
    """A model whose source domain is known: ``there`` makes images and labels the translations, ``back`` the way back.

    Like any other it translates as many images as it is asked for, in an order of its own.
    """

    compute = Compute(torch.device("cpu"), torch.float32)

    def __init__(self, source: Labelled, there: Any, back: Any = lambda source, translated: source) -> None:
        self.source, self.there, self.back, self.asked = source, there, back, 0

    def translate(self, n: int, rng: torch.Generator) -> Translation:
        self.asked = n
        order = torch.randperm(len(self.source.labels), generator=rng)[:n]
        source, labels = as_floats(self.source.images[order]), self.source.labels[order]
        translated = self.there(source, labels)
        return Translation(source, labels, translated, self.back(source, translated))


def metric(**settings: Any) -> Any:
    choice = registry.choose("metrics", {"name": "translation"} | settings)
    return choice.make()


def measure(model: Any, **settings: Any) -> dict[str, float]:
    # What the model sampled is of no matter.
    samples = Images(torch.zeros(10, 1, 28, 28, dtype=torch.uint8), ARBITER, ARBITER, model=model)
    values: dict[str, float] = metric(**settings).compute(samples, SimpleNamespace())
    return values


def accuracy(source: Labelled) -> float:
    """How often the judge is right on these images."""
    seen = ARBITER.assess(source.images)[0].argmax(1)
    return float((seen == source.labels).double().mean())


def test_what_it_asks_for() -> None:
    plugin = registry.choose("metrics", "translation").plugin
    assert plugin.requires == {"translation"} == CycleGAN.capabilities(registry.choose("models", "cyclegan").settings)
    assert plugin.needs_judge
    model = Translator(Labelled(torch.zeros(5, 1, 28, 28, dtype=torch.uint8), torch.zeros(5).long()), lambda x, c: x)
    measure(model, images=3)
    assert model.asked == 3
    measure(model)
    assert model.asked == 2000


def test_a_translation_that_changes_nothing(held_out: Labelled) -> None:
    found = measure(Translator(held_out, lambda images, labels: images))
    assert found == {"class_preserved": pytest.approx(accuracy(held_out)), "cycle_error": 0}
    assert found["class_preserved"] > 0.97


def test_translations_into_other_classes(held_out: Labelled) -> None:
    def following(images: Tensor, labels: Tensor) -> Tensor:
        """Of each class an image of the next."""
        first = torch.stack([(held_out.labels == label).nonzero()[0, 0] for label in range(10)])
        return as_floats(held_out.images[first[(labels + 1) % 10]])

    assert measure(Translator(held_out, following))["class_preserved"] < 0.02


def test_a_permutation_of_two_classes(held_out: Labelled) -> None:
    def swapped(images: Tensor, labels: Tensor) -> Tensor:
        """Ones and sevens for each other, the rest as they are."""
        result = images.clone()
        for one, other in ((1, 7), (7, 1)):
            result[labels == one] = as_floats(held_out.images[held_out.labels == other][:1])
        return result

    rest = Labelled(*(part[(held_out.labels != 1) & (held_out.labels != 7)] for part in held_out))
    wanted = accuracy(rest) * len(rest.labels) / len(held_out.labels)
    assert measure(Translator(held_out, swapped))["class_preserved"] == pytest.approx(wanted)


def test_everything_translated_into_one_image(held_out: Labelled) -> None:
    three = as_floats(held_out.images[held_out.labels == 3][:1])
    found = measure(Translator(held_out, lambda images, labels: three.expand_as(images)))
    assert found["class_preserved"] == pytest.approx(float((held_out.labels == 3).double().mean()))


def test_the_error_of_the_round_trip_by_hand() -> None:
    # In [-1, 1] two of 784 pixels of the first image are off by .5 and 1, of the second none: 1.5 / 2 over 2 · 784.
    source = Labelled(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1]))

    def back(images: Tensor, translated: Tensor) -> Tensor:
        result = images.clone()
        result[0, 0, 3, 4:6] += torch.tensor([0.5, 1.0])
        return result

    found = measure(Translator(source, lambda images, labels: -images, back))
    assert found["cycle_error"] == pytest.approx(0.75 / (2 * 784))
    # Black turned white: the largest error that there is.
    white = Translator(source, lambda images, labels: images, lambda images, translated: -images)
    assert measure(white)["cycle_error"] == 1


def test_what_it_depends_on() -> None:
    samples = Images(torch.zeros(10, 1, 28, 28, dtype=torch.uint8), ARBITER, ARBITER)
    assert metric(images=7).protocol(samples, SimpleNamespace()) == {
        "images": 7,
        "judge": "mnist",
        "judge_hash": ARBITER.digest[:16],
    }


def test_of_a_cyclegan_twice_the_same() -> None:
    model = build({"name": "cyclegan", "width": 4, "blocks": 1, "discriminator_width": 4})
    before = [model.rng.get_state(), torch.get_rng_state()]
    found = measure(model, images=100)
    assert measure(model, images=100) == found
    assert equal(before, [model.rng.get_state(), torch.get_rng_state()])
    assert found["class_preserved"] < 0.5  # untrained, it draws nothing
    assert 0.1 < found["cycle_error"] <= 1

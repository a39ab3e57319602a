"""Interpolation: the pairs by hand, models whose codes are the images, and what squared error does not see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import judge
from harness.metrics.images import Images, Reference
from harness.metrics.interpolation import pairs
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.pixels import as_floats

ARBITER = judge.load("mnist", "cpu")


def measure(name: str, model: Any, reference: Reference) -> dict[str, float]:
    choice = registry.choose("metrics", name)
    samples = Images(reference.pixels[:1], ARBITER, ARBITER, model=model)
    values: dict[str, float] = choice.make().compute(samples, reference)
    assert values.keys() == choice.plugin.values.keys()
    return values


def test_pairs_of_one_class_and_of_two() -> None:
    labels = torch.tensor([0, 1, 0, 1, 1])
    one, other = pairs(labels, same=True)
    # Two zeros are one pair, three ones are two.
    assert sorted(labels[one].tolist()) == sorted(labels[other].tolist()) == [0, 1, 1]
    assert torch.equal(labels[one], labels[other])
    assert (one != other).all()
    one, other = pairs(labels, same=False)
    assert (labels[one] != labels[other]).all()
    assert len(one) > 0
    many = torch.arange(10).repeat(1000)
    for same in (True, False):
        one, other = pairs(many, same)
        assert len(one) == len(other) == 2000
        assert torch.equal(many[one] == many[other], torch.full((2000,), same))
        assert many[one].bincount().min() > 100  # of every class


def test_one_class_alone_has_no_two_classes() -> None:
    choice = registry.choose("data", {"name": "digits", "classes": [3]})
    metric = registry.choose("metrics", "interpolation")
    assert metric.plugin.refusal(metric.settings, choice.make()) == "it needs images of two classes"


class Pixels:
    """The code of an image is the image: half way between two codes is their average."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes


class Nearest(Pixels):
    """Decodes to the nearest digit that it knows: whatever the code is, a digit is drawn."""

    def __init__(self, reference: Reference) -> None:
        self.known = as_floats(reference.pixels[::10])

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return self.known[torch.cdist(codes.flatten(1), self.known.flatten(1)).argmin(1)]


def test_averages_of_two_images_show_no_class_and_what_is_drawn_from_digits_does(reference: Reference) -> None:
    faded = measure("interpolation", Pixels(), reference)
    assert faded["at_the_ends"] > 0.9 > 0.6 > faded["between_classes"]
    assert faded["between_classes"] < faded["between_same"]
    drawn = measure("interpolation", Nearest(reference), reference)
    assert min(drawn.values()) > 0.9


class Latents:
    """The first column of its input chooses a digit where it is near −1 or 1, and nothing in the middle."""

    latent = 1

    def __init__(self, reference: Reference) -> None:
        self.digit = as_floats(reference.pixels[:1])

    def latents(self, n: int, rng: torch.Generator) -> torch.Tensor:
        half = torch.ones(n // 2, 1)
        return torch.cat([torch.cat([-half, half]), torch.full((n, 1), 7.0)], 1)

    def images_from(self, latents: torch.Tensor) -> torch.Tensor:
        assert (latents[:, 1] == 7).all()  # what is not z stays as it is
        shown = (latents[:, :1].abs() > 0.5).float()[..., None, None]
        return shown * self.digit - (1 - shown)


def test_half_way_between_latents(reference: Reference) -> None:
    empty = Latents(reference)
    assert measure("latent_interpolation", empty, reference) == {"between_latents": 0}
    same = SimpleNamespace(latent=0, latents=empty.latents, images_from=empty.images_from)
    assert measure("latent_interpolation", same, reference) == {"between_latents": 1}


@pytest.mark.parametrize("model", ["autoencoder", "vae"])
def test_a_model_that_encodes_is_asked_for_its_means(model: str, reference: Reference) -> None:
    found = measure("interpolation", build({"name": model, "architecture": {"width": 20}}), reference)
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("model", ["infogan", "cgan"])
def test_a_gan_with_labels_or_codes_is_asked_in_its_own_way(model: str, reference: Reference) -> None:
    choice = {"name": model, "architecture": {"width": 8}}
    assert 0 <= measure("latent_interpolation", build(choice), reference)["between_latents"] <= 1

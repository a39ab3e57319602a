"""Stacked digits: which digit stands in which channel, and that every mode is there."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from harness.zoo import registry
from harness.zoo.data.base import Labelled


@cache
def stacked() -> Any:
    choice = registry.choose("data", {"name": "stacked_mnist", "source": "digits", "train": 20_000, "test": 1000})
    return choice.make()


def digits(split: str) -> Labelled:
    choice = registry.choose("data", "digits")
    loaded: Labelled = choice.make().load(split)
    return loaded


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_label_is_made_of_the_digits_in_the_three_channels(split: str) -> None:
    images, labels = stacked().load(split)
    source = digits(split)
    known: dict[bytes, int] = {
        image.numpy().tobytes(): int(label) for image, label in zip(source.images, source.labels, strict=True)
    }
    assert images.shape[1:] == (3, 28, 28)
    assert images.dtype == torch.uint8
    for image, label in zip(images[:500], labels[:500].tolist(), strict=True):
        red, green, blue = (known[channel.numpy().tobytes()] for channel in image)
        assert label == 100 * red + 10 * green + blue


def test_there_are_a_thousand_modes_and_as_many_images_as_asked_for() -> None:
    training, test = stacked().load("train"), stacked().load("test")
    assert (len(training.labels), len(test.labels)) == (20_000, 1000)
    counts = training.labels.bincount(minlength=1000)
    assert len(counts) == stacked().shape.classes == 1000
    assert int(counts.min()) >= 1  # 20 of each are expected
    assert int(counts.max()) < 60


def test_it_is_always_the_same_and_another_source_is_other_data() -> None:
    again = registry.choose("data", {"name": "stacked_mnist", "source": "digits", "train": 20_000, "test": 1000})
    made = again.make()
    assert torch.equal(made.load("test").images, stacked().load("test").images)
    assert made.digest() == stacked().digest()
    other = registry.choose("data", {"name": "stacked_mnist", "source": "digits", "train": 30_000, "test": 1000})
    assert other.make().digest() != made.digest()

"""Memorisation: copies show, held-out images do not, and a collapsed generator is no copier."""

from __future__ import annotations

import math

import pytest
import torch

from harness import judge
from harness.metrics.images import Images, Reference
from harness.metrics.memorisation import Memorisation, comparison, mann_whitney
from harness.zoo import registry
from harness.zoo.data.base import Labelled

ARBITER = judge.load("mnist", "cpu")


@pytest.fixture(scope="module")
def split() -> tuple[Labelled, Labelled, Reference]:
    """Training digits, as many others that nobody trained on, and the reference (the test split)."""
    choice = registry.choose("data", "digits")
    data = choice.make()
    every, test = data.load("train"), data.load("test")
    order = torch.randperm(len(every.labels), generator=torch.Generator().manual_seed(0))
    training, others = (Labelled(every.images[part], every.labels[part]) for part in (order[:599], order[599:]))
    return training, others, Reference(test.images, ARBITER, ARBITER, test.labels, training, data)


def measure(pixels: torch.Tensor, reference: Reference, **settings: int) -> dict[str, float]:
    choice = registry.choose("metrics", {"name": "memorisation"} | settings)
    values: dict[str, float] = choice.make().compute(Images(pixels, ARBITER, ARBITER), reference)
    return values


def test_mann_whitney_by_hand() -> None:
    # Test 1, 4; samples 2, 3, 4: pairs with the sample farther: 1 < 2, 1 < 3, 1 < 4, and 4 = 4 counts a half.
    samples, test = torch.tensor([2.0, 3.0, 4.0]), torch.tensor([1.0, 4.0])
    share, z = mann_whitney(samples, test)
    assert share == pytest.approx(3.5 / 6)
    assert z == pytest.approx((3.5 - 3) / math.sqrt(2 * 3 * 6 / 12))


def test_cells_weigh_as_they_hold_test_images() -> None:
    cells = torch.tensor([0] * 6 + [1] * 2 + [2]), torch.tensor([0] * 2 + [1] * 4 + [3])
    far = torch.tensor([0.0] * 6 + [9.0] * 2 + [0.0]), torch.tensor([5.0] * 7)
    # Cell 0: every sample nearer (1), 2 test images; cell 1: every sample farther (0), 4 test images.
    values = comparison((cells[0], far[0]), (cells[1], far[1]), least=2)
    assert values["memorisation"] == pytest.approx(2 / 6)
    # No cell holds five of both: one cell for all, where 7 of 9 samples are nearer.
    assert comparison((cells[0], far[0]), (cells[1], far[1]), least=5)["memorisation"] == pytest.approx(7 / 9)


def test_held_out_images_read_as_none(split: tuple[Labelled, Labelled, Reference]) -> None:
    _, others, reference = split
    values = measure(others.images, reference)
    assert values["memorisation"] == pytest.approx(0.5, abs=0.05)
    assert abs(values["data_copying"]) < 1


def test_copies_show(split: tuple[Labelled, Labelled, Reference]) -> None:
    training, others, reference = split
    copies = measure(training.images, reference)
    assert copies["memorisation"] == pytest.approx(1)
    assert copies["data_copying"] < -5
    shifted = measure(training.images.roll(1, dims=3), reference)
    assert shifted["memorisation"] > 0.8
    assert shifted["data_copying"] < -3
    # The more copies, the more it shows.
    mixed = measure(torch.cat([training.images[:300], others.images[:300]]), reference)
    assert 0.6 < mixed["memorisation"] < 0.9


def test_one_class_alone_is_no_copying(split: tuple[Labelled, Labelled, Reference]) -> None:
    # Digits that lie close together: without cells they would pass for copies.
    _, others, reference = split
    nearest = {label: measure(others.images[others.labels == label], reference, cells=1) for label in range(10)}
    densest = max(nearest, key=lambda label: nearest[label]["memorisation"])
    assert nearest[densest]["memorisation"] > 0.6
    values = measure(others.images[others.labels == densest], reference)
    assert values["memorisation"] < nearest[densest]["memorisation"] - 0.05
    assert abs(values["data_copying"]) < abs(nearest[densest]["data_copying"]) / 2


def test_training_and_test_images_are_measured_once(
    split: tuple[Labelled, Labelled, Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, others, reference = split
    metric = Memorisation(Memorisation.Settings())
    seen: list[int] = []
    original = ARBITER.features
    monkeypatch.setattr(ARBITER, "features", lambda images: (seen.append(len(images)), original(images))[1])
    first = metric.compute(Images(others.images[:100], ARBITER, ARBITER), reference)
    assert metric.compute(Images(others.images[:100], ARBITER, ARBITER), reference) == first
    assert sorted(seen) == sorted([599, len(reference), 100, 100])

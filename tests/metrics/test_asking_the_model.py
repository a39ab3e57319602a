"""Metrics that ask the model for more than samples: by small models whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import judge
from harness.metrics.code_accuracy import matched
from harness.metrics.conditional_accuracy import in_turn
from harness.metrics.images import Images, Reference
from harness.zoo import registry
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats

ARBITER = judge.load("mnist", "cpu")


class Knowing:
    """A model that knows the reference: what it answers is ``answer(labels)``."""

    def __init__(self, reference: Reference, answer: Any) -> None:
        self.reference, self.answer, self.batches, self.at = reference, answer, [], 0

    def sample_classes(self, labels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        self.batches.append(labels)
        images, known = self.reference.training
        chosen = []
        for label in self.answer(labels).tolist():
            pool = (known == label).nonzero()[:, 0]
            chosen.append(pool[torch.randint(len(pool), (), generator=rng)])
        return as_floats(images[torch.stack(chosen)])

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.float32
        assert images.min() == -1
        labels = self.reference.labels[self.at : self.at + len(images)]
        assert torch.equal(images, as_floats(self.reference.pixels[self.at : self.at + len(images)]))
        self.at = (self.at + len(images)) % len(self.reference)
        return torch.nn.functional.one_hot(self.answer(labels), 12).float()

    codes = classify


def measure(name: str, model: Any, reference: Reference, n: int = 1000) -> dict[str, float]:
    choice = registry.choose("metrics", name)
    samples = Images(reference.pixels[:1].repeat(n, 1, 1, 1), ARBITER, ARBITER, model=model)
    values: dict[str, float] = choice.make().compute(samples, reference)
    return values


def test_what_they_require() -> None:
    for name, capability in (
        ("conditional_accuracy", "conditional"),
        ("code_accuracy", "codes"),
        ("test_error", "classifier"),
    ):
        assert registry.choose("metrics", name).plugin.requires == {capability}


def test_a_model_that_draws_what_it_is_asked_for(reference: Reference) -> None:
    model = Knowing(reference, lambda labels: labels)
    right = measure("conditional_accuracy", model, reference)["conditional_accuracy"]
    assert right > 0.97  # as often as the judge is right
    asked = torch.cat(model.batches)
    assert asked.bincount().tolist() == [100] * 10
    again = measure("conditional_accuracy", Knowing(reference, lambda labels: labels), reference)
    assert again["conditional_accuracy"] == right


def test_models_that_draw_something_else(reference: Reference) -> None:
    always_three = Knowing(reference, lambda labels: torch.full_like(labels, 3))
    found = measure("conditional_accuracy", always_three, reference)["conditional_accuracy"]
    assert found == pytest.approx(0.1, abs=0.02)
    next_one = Knowing(reference, lambda labels: (labels + 1) % 10)
    assert measure("conditional_accuracy", next_one, reference)["conditional_accuracy"] < 0.02


def test_only_classes_of_the_training_data_are_asked_for(reference: Reference) -> None:
    assert in_turn(torch.tensor([5, 2, 2, 9]), 8).tolist() == [2, 5, 9, 2, 5, 9, 2, 5]
    training = Labelled(*(part[reference.training.labels % 2 == 1] for part in reference.training))
    odd = Reference(reference.pixels, ARBITER, ARBITER, reference.labels, training, reference.data)
    model = Knowing(reference, lambda labels: labels)
    assert measure("conditional_accuracy", model, odd, 600)["conditional_accuracy"] > 0.97
    assert set(torch.cat(model.batches).tolist()) == {1, 3, 5, 7, 9}


def test_matching_by_hand() -> None:
    # Greedy would give category 0 class 0 (5) and be left with 0; the best is 4 + 4.
    table = torch.tensor([[5.0, 4.0], [4.0, 0.0]])
    assert sorted(matched(table)) == [(0, 1), (1, 0)]
    # A category more than classes: it is matched with none.
    assert sorted(matched(torch.tensor([[0.0, 1.0], [9.0, 0.0], [2.0, 7.0]]))) == [(1, 0), (2, 1)]


def test_codes_need_not_bear_the_names_of_classes(reference: Reference) -> None:
    renamed = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    model = Knowing(reference, lambda labels: renamed[labels])
    assert measure("code_accuracy", model, reference)["code_error"] == pytest.approx(0)
    # Four and nine in one category: the fewer of them are wrong.
    merged = Knowing(reference, lambda labels: renamed[torch.where(labels == 9, 4, labels)])
    wrong = min(int((reference.labels == label).sum()) for label in (4, 9))
    assert measure("code_accuracy", merged, reference)["code_error"] == pytest.approx(wrong / len(reference))
    blind = Knowing(reference, torch.zeros_like)
    commonest = int(reference.labels.bincount().max())
    assert measure("code_accuracy", blind, reference)["code_error"] == pytest.approx(1 - commonest / len(reference))


def test_the_histogram_of_codes(reference: Reference) -> None:
    choice = registry.choose("metrics", "code_accuracy")
    merged = Knowing(reference, lambda labels: torch.where(labels == 9, 4, labels))
    bars = choice.make().histograms(SimpleNamespace(model=merged), reference)["codes"]
    shares = reference.labels.bincount().double() / len(reference)
    assert bars["reference"] == pytest.approx(shares.tolist())
    assert bars["bins"][:3] == ["0 (category 0)", "1 (category 1)", "2 (category 2)"]
    assert bars["samples"][:3] == pytest.approx(shares[:3].tolist())
    # One category has both: it goes to the commoner of the two, and the other gets an empty one.
    assert sorted((bars["samples"][4], bars["samples"][9])) == pytest.approx([0, float(shares[4] + shares[9])])


def test_test_error(reference: Reference) -> None:
    assert measure("test_error", Knowing(reference, lambda labels: labels), reference) == {"test_error": 0}
    confusing = Knowing(reference, lambda labels: torch.where(labels == 7, 1, labels))
    sevens = float((reference.labels == 7).double().mean())
    assert measure("test_error", confusing, reference)["test_error"] == pytest.approx(sevens)
    always_wrong = Knowing(reference, lambda labels: (labels + 1) % 10)
    assert measure("test_error", always_wrong, reference) == {"test_error": 1}

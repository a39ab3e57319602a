"""Code effects: slant, ink and the matching by hand, and models whose codes do what is known."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from harness import judge
from harness.metrics import code_effects
from harness.metrics.code_effects import agreement, effect, ink, slant
from harness.metrics.images import Images, Reference
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.pixels import as_floats

ARBITER = judge.load("mnist", "cpu")


def drawn(*rows: str) -> torch.Tensor:
    """One image: a letter x is white."""
    return torch.tensor([[[[255 * (mark == "x") for mark in row] for row in rows]]]).to(torch.uint8)


def test_slant_by_hand() -> None:
    # The ink is at (1, −1), (0, 0), (−1, 1) from its centre, y downwards: −(−1 − 1) / (1 + 1).
    assert slant(drawn("..x", ".x.", "x..")).tolist() == [1]
    assert slant(drawn("x..", ".x.", "..x")).tolist() == [-1]
    assert slant(drawn(".x.", ".x.", ".x.")).tolist() == [0]
    # Half as steep, and not in the middle: (1, −1), (−1, 1) per two rows and one column each, −(−½ − ½) / (1 + 1).
    assert slant(drawn("...x", "....", "..x.")).tolist() == pytest.approx([0.5])
    # Ink without height leans nowhere, nor does no ink.
    assert slant(torch.cat([drawn("xxx", "...", "..."), drawn("...", "...", "...")])).tolist() == [0, 0]
    # Three channels are averaged, and darker ink counts less: 2 × ⅓ at either end does not change the shear.
    assert slant(drawn("..x", ".x.", "x..").repeat(1, 3, 1, 1) // 3).tolist() == pytest.approx([1])


def test_ink_by_hand() -> None:
    assert ink(torch.cat([drawn("xx", ".."), drawn("x.", "..")])).tolist() == [0.5, 0.25]


def test_an_effect_by_hand() -> None:
    # The changes 3 and 1 have the mean 2; (0, 4) has the standard deviation 2.
    low, high, real = torch.tensor([[1.0, 2.0], [4.0, 3.0], [0.0, 4.0]]).double()
    assert effect(low, high, real) == effect(high, low, real) == 1
    # Changes that cancel are no effect of the code; nothing can be said where all real images are equal.
    assert effect(low, torch.tensor([4.0, -1.0]).double(), real) == 0
    assert effect(low, high, real[:1]) == 0


def test_the_agreement_by_hand() -> None:
    # Category 0 draws the class 1 twice, category 1 the classes 1 and 0: 2 + 1 of 4.
    assert agreement(torch.tensor([0, 0, 1, 1]), torch.tensor([1, 1, 1, 0]), 2) == 0.75
    assert agreement(torch.tensor([0, 1, 2, 3]), torch.tensor([2, 2, 2, 2]), 4) == 0.25
    # Three categories of two classes: a category is left over.
    assert agreement(torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 1, 1]), 2) == 4 / 6


class Turned:
    """Draws a digit of the class 3 · category mod 10, moved sideways per row by the second code."""

    settings = SimpleNamespace(categories=10, continuous=2)

    def __init__(self, reference: Reference) -> None:
        labels = reference.labels
        self.digits = torch.stack([reference.pixels[labels == label][0] for label in range(10)])

    def sample_codes(self, codes: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        images = self.digits[3 * codes[:, :10].argmax(1) % 10].clone()
        for row in range(28):
            shifts = (codes[:, 11] * 0.25 * (13.5 - row)).round().long()
            columns = (torch.arange(28) - shifts[:, None]) % 28
            images[:, 0, row] = images[:, 0, row].gather(1, columns)
        return as_floats(images)


def measure(model: object, reference: Reference) -> dict[str, float]:
    choice = registry.choose("metrics", "code_effects")
    samples = Images(reference.pixels[:1], ARBITER, ARBITER, model=model)  # type: ignore[arg-type]
    values: dict[str, float] = choice.make().compute(samples, reference)
    assert values.keys() == choice.plugin.values.keys()
    return values


def test_a_code_that_turns_digits(reference: Reference) -> None:
    found = measure(Turned(reference), reference)
    # Sheared by a quarter of a pixel per row to either side: half a pixel, whatever the digit was.
    assert found["code_slant"] == pytest.approx(0.5 / float(slant(reference.pixels).std(correction=0)), rel=0.05)
    assert found["code_ink"] < 0.05
    assert found["code_class"] > 0.95


def test_an_untrained_generator_ignores_its_codes(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_effects, "IMAGES", 100)
    model = build({"name": "infogan", "architecture": {"width": 8, "hidden": 32}})
    found = measure(model, reference)
    assert found["code_class"] < 0.3
    assert measure(model, reference) == found
    without = measure(build({"name": "infogan", "architecture": {"width": 8}, "continuous": 0}), reference)
    assert without["code_slant"] == without["code_ink"] == 0


def test_samples_of_given_codes_have_these_codes() -> None:
    model = build({"name": "infogan", "architecture": {"width": 8, "hidden": 32}})
    codes = torch.cat([torch.eye(10), torch.zeros(10, 2)], 1)
    z = model.noise(10, 62, torch.Generator().manual_seed(3))
    expected = model.images_from(torch.cat([z, codes], 1))
    assert torch.equal(model.sample_codes(codes, torch.Generator().manual_seed(3)), expected)

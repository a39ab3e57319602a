"""The curvature of 1s by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.metrics.curvature import Curvature, bows
from harness.zoo import registry
from harness.zoo.data.base import Shape


def image(rows: str) -> Tensor:
    """One image (1, 1, h, w) from rows of digits, a space between two rows; 5 is white."""
    return torch.tensor([[[[51 * int(value) for value in row] for row in rows.split()]]], dtype=torch.uint8)


STRAIGHT = image("50000 05000 00500")
CORNER = image("50000 05000 50000")
"""Centre line 0, 1, 0: the best straight line is ⅓, its distances −⅓, ⅔, −⅓."""


def test_a_straight_line_of_any_slant_has_none() -> None:
    upright, flat = image("05000 05000 05000"), image("00000 05550 00000")
    assert bows(torch.cat([STRAIGHT, upright, flat])).tolist() == pytest.approx([0] * 3, abs=1e-6)


def test_no_ink_has_none() -> None:
    assert bows(image("000 000")).tolist() == [0]


def test_a_corner() -> None:
    assert bows(CORNER).tolist() == pytest.approx([(2 / 9) ** 0.5])


def test_rows_weigh_as_much_as_their_ink_and_lie_at_its_centre() -> None:
    # Centres of mass 1, 1½, 1; weights 1, 2, 1 (white is 1). By symmetry the line is upright, at 1¼: distances ¼ each.
    assert bows(image("05000 05500 05000")).tolist() == pytest.approx([0.25])
    # Grey of a fifth above and below: weights ⅕, 1, ⅕; the line is at 1/1.4, distances 5/7, 2/7, 5/7.
    expected = ((0.4 * (5 / 7) ** 2 + (2 / 7) ** 2) / 1.4) ** 0.5
    assert bows(image("10000 05000 10000")).tolist() == pytest.approx([expected])


def of(pixels: Tensor, read: list[int]) -> Any:
    """Images that the judge takes for these classes."""
    probabilities = torch.nn.functional.one_hot(torch.tensor(read), 3).float()
    judge = SimpleNamespace(name="j", digest="0123456789abcdef" + "x" * 48)
    return SimpleNamespace(pixels=pixels, probabilities=probabilities, judge=judge)


def test_the_mean_over_ones_beside_that_of_real_ones() -> None:
    metric = registry.choose("metrics", "curvature").make()
    real = of(torch.cat([STRAIGHT, CORNER, CORNER]), [1, 1, 0])  # a half corner
    samples = of(torch.cat([CORNER, CORNER, STRAIGHT]), [1, 1, 2])
    assert metric.compute(samples, real) == {"curvature": pytest.approx(2)}
    assert metric.compute(of(CORNER, [0]), real) == {"curvature": 0}  # no 1 at all
    assert metric.protocol(samples, real) == {"judge": "j", "judge_hash": "0123456789abcdef"}


@pytest.mark.parametrize(
    ("judge", "channels", "kept", "good"),
    [("mnist", 1, None, True), ("mnist", 1, (0, 1), True), ("mnist", 1, (0, 3), False), ("mnist", 3, None, False)],
)
def test_it_is_for_digits_with_ones(judge: str, channels: int, kept: tuple[int, ...] | None, good: bool) -> None:
    data: Any = SimpleNamespace(judge=judge, shape=Shape(channels, 28, 28, 10), kept=kept)
    assert (Curvature.refusal(None, data) is None) == good
    data.judge = None
    assert Curvature.refusal(None, data) == "it is made for digits with a 1 among them"

"""Thick and thin strokes, by hand."""

from __future__ import annotations

import torch

from harness.zoo.data.strokes import redrawn


def image(rows: str) -> torch.Tensor:
    """One image (1, 1, h, w) from rows of digits, a space between two rows."""
    return torch.tensor([[[[int(value) for value in row] for row in rows.split()]]], dtype=torch.uint8)


def test_one_pixel_becomes_a_cross() -> None:
    thick = redrawn(image("00000 00000 00900 00000 00000"), "thick")
    assert torch.equal(thick, image("00000 00900 09990 00900 00000"))


def test_a_cross_is_cut_at_the_border_and_the_brightest_wins() -> None:
    assert torch.equal(redrawn(image("9000 0000 0005"), "thick"), image("9900 9005 0055"))


def test_a_block_of_two_by_two_becomes_one_pixel() -> None:
    thin = redrawn(image("0000 0990 0990 0000"), "thin")
    assert torch.equal(thin, image("0000 0900 0000 0000"))


def test_strokes_that_are_one_wide_vanish_and_the_darkest_wins() -> None:
    assert torch.equal(redrawn(image("00900 00900 00900"), "thin"), image("00000 00000 00000"))
    # Beyond the border is black.
    assert torch.equal(redrawn(image("987 654 321"), "thin"), image("540 210 000"))


def test_each_image_by_itself_and_normal_strokes_as_they_are() -> None:
    both = torch.cat([image("000 090 000"), image("000 000 000")])
    assert torch.equal(redrawn(both, "normal"), both)
    assert torch.equal(redrawn(both, "thick"), torch.cat([image("090 999 090"), image("000 000 000")]))

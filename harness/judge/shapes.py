"""Shapes that are close to digits and are none: for the shape network, whose question is "a digit, and which?".

Families as in ``outliers``. ``NEAR`` is shown in training, with the characters of ``glyphs``; ``KEPT_BACK`` never is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.judge import outliers
from harness.judge.outliers import SIZE, Family, Source

# --- shown in training ---------------------------------------------------------------------------------------------


def mirrored(source: Source, n: int) -> Tensor:
    """Digits mirrored left to right, and 4 and 7 upside down (0, 1 and 8 would stay digits)."""
    half = n // 2
    sideways = source.digits(n - half, (2, 3, 4, 5, 6, 7, 9))[0].flip(-1)
    return torch.cat([sideways, source.digits(half, (4, 7))[0].flip(-2)])


def turned(source: Source, n: int) -> Tensor:
    """2, 3, 4 and 7 on their heads, and digits on either side."""
    third = n // 3
    over = source.digits(third, (2, 3, 4, 7))[0].rot90(2, (2, 3))
    left = source.digits(third, (2, 3, 4, 5, 6, 7, 9))[0].rot90(1, (2, 3))
    return torch.cat([over, left, source.digits(n - 2 * third, (2, 3, 4, 5, 6, 7, 9))[0].rot90(3, (2, 3))])


def ghosts(source: Source, n: int) -> Tensor:
    """A digit with a weaker one of another class behind it, moved a little."""
    one, other = source.pairs(n)
    moves = (source.integer(-5, 6), source.integer(-8, 9))
    return one.maximum((0.3 + 0.4 * source.uniform(n, 1, 1, 1)) * other.roll(moves, (2, 3)))


def holed(source: Source, n: int) -> Tensor:
    """Digits with two to four round holes in their ink (no ones: a part of a one is a one)."""
    image, _ = source.digits(n, (0, 2, 3, 4, 5, 6, 7, 8, 9))
    places = torch.arange(float(SIZE))
    for _ in range(source.integer(2, 5)):
        centre = torch.multinomial(image.flatten(1) + 1e-4, 1, generator=source.rng)[:, 0]
        down, across = (centre // SIZE)[:, None, None], (centre % SIZE)[:, None, None]
        radius = 2 + 1.8 * source.uniform(n, 1, 1)
        hole = (places[:, None] - down) ** 2 + (places - across) ** 2 < radius**2
        image = image * ~hole[:, None]
    return image


def echoes(source: Source, n: int) -> Tensor:
    """A digit with a weaker copy of itself, moved by four to seven pixels."""
    image, _ = source.digits(n, (0, 2, 3, 4, 5, 6, 8, 9))
    moves = (source.integer(4, 8), source.integer(4, 8) * (2 * source.integer(0, 2) - 1))
    return image.maximum((0.5 + 0.3 * source.uniform(n, 1, 1, 1)) * image.roll(moves, (2, 3)))


def halves_apart(source: Source, n: int) -> Tensor:
    """Digits whose upper and lower halves have moved apart sideways, by seven to eleven pixels."""
    image, _ = source.digits(n, (0, 2, 3, 4, 5, 6, 8, 9))
    move = source.integer(7, 12)
    return torch.cat([image[:, :, :14].roll(move // 2, 3), image[:, :, 14:].roll(-(move - move // 2), 3)], 2)


def walks(source: Source, n: int) -> Tensor:
    """One or two strokes of a pen whose direction drifts at random."""
    ink = _walk(source, n)
    return torch.where(source.uniform(n, 1, 1, 1) < 0.4, ink.maximum(_walk(source, n)), ink)


NEAR: Mapping[str, tuple[Family, int]] = {
    "mirrored": (mirrored, 11),
    "turned": (turned, 16),
    "ghosts": (ghosts, 20),
    "echoes": (echoes, 8),
    "holed": (holed, 12),
    "halves_apart": (halves_apart, 5),
    "walks": (walks, 19),
    "strokes": (outliers.strokes, 10),
    "lines": (outliers.lines, 10),
    "bent": (outliers.bent, 6),
    "smeared": (outliers.smeared, 3),
    "torn": (outliers.torn, 3),
    "overlaid": (outliers.overlaid, 4),
    "blended": (outliers.blended, 5),
    "shuffled_quarters": (outliers.shuffled_quarters, 6),
    "erased": (outliers.erased, 5),
    "crumbled": (outliers.crumbled, 6),
    "side_by_side": (outliers.side_by_side, 5),
    "uniform_noise": (outliers.uniform_noise, 3),
    "gaussian_noise": (outliers.gaussian_noise, 3),
    "clouds": (outliers.clouds, 3),
    "flat": (outliers.flat, 3),
    "shuffled_patches": (outliers.shuffled_patches, 3),
    "noisy": (outliers.noisy, 3),
    "rings": (outliers.rings, 3),
    "solids": (outliers.solids, 3),
}
"""Name -> the family, and how many of its images each mini-batch has beside 160 digits."""


# --- never shown ---------------------------------------------------------------------------------------------------


def splines(source: Source, n: int) -> Tensor:
    """A stroke along a uniform cubic B-spline with five to eight random control points."""
    count = source.integer(5, 9)
    control = 4 + 20 * source.uniform(n, count, 2)
    t = torch.linspace(0, 1, 14)[:-1]
    basis = torch.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    pieces = [torch.einsum("tk,nkd->ntd", basis, control[:, i : i + 4]) for i in range(count - 3)]
    return _inked(source, torch.cat(pieces, 1))


def stars(source: Source, n: int) -> Tensor:
    """Five to seven straight strokes from one point."""
    centre = 11 + 6 * source.uniform(n, 1, 2)
    count = source.integer(5, 8)
    angles = 2 * math.pi * (source.uniform(n, 1) + (torch.arange(count) + 0.5 * source.uniform(n, count)) / count)
    tips = centre + 10 * torch.stack([angles.sin(), angles.cos()], 2)
    along = torch.linspace(0, 1, 14)[None, None, :, None]
    return _inked(source, (centre[:, :, None] * (1 - along) + tips[:, :, None] * along).flatten(1, 2))


KEPT_BACK: Mapping[str, Family] = {
    family.__name__: family for family in (splines, stars, outliers.polygons, outliers.strips, outliers.double_vision)
}


def printed(images: Tensor) -> Family:
    """The family of these characters (m, 1, 28, 28), uint8: chosen at random, distorted as often as digits are."""

    def family(source: Source, n: int) -> Tensor:
        chosen = images[torch.randint(len(images), (n,), generator=source.rng)].float() / 255
        distorted = source.uniform(n) < source.distort
        if distorted.any():
            chosen[distorted] = source.moved(chosen[distorted])
        return chosen

    return family


# --- building blocks -----------------------------------------------------------------------------------------------


def _walk(source: Source, n: int) -> Tensor:
    """A stroke of 28 steps: direction is the sum of turns, which change slowly."""
    turns = F.interpolate(source.normal(n, 1, 7), 28, mode="linear", align_corners=True)[:, 0]
    turns = turns * (0.15 + 0.35 * source.uniform(n, 1))
    direction = 2 * math.pi * source.uniform(n, 1) + turns.cumsum(1)
    steps = torch.stack([direction.sin(), direction.cos()], 2) * (0.6 + source.uniform(n, 1, 1))
    path = steps.cumsum(1)
    low, high = path.amin(1, keepdim=True), path.amax(1, keepdim=True)
    path = (path - (low + high) / 2) * (20 / (high - low).amax(2, keepdim=True)).clamp(max=1)
    return _inked(source, 14 + path + 2 * (source.uniform(n, 1, 2) - 0.5))


def _inked(source: Source, points: Tensor) -> Tensor:
    """Images (n, 1, 28, 28) of pen strokes through points (n, t, 2) of rows and columns."""
    places = torch.arange(float(SIZE))
    squares = (places[:, None] - points[:, :, 0, None, None]) ** 2 + (places - points[:, :, 1, None, None]) ** 2
    width = 0.7 + 0.9 * source.uniform(len(points), 1, 1)
    ink: Tensor = (1.3 * torch.exp(-squares.amin(1) / (2 * width**2))).clamp(0, 1)[:, None]
    return ink

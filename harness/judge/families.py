"""Outliers for any labelled data set: images that belong to none of its classes, made from the data itself.

``outliers`` has those for digits; the families that are not about digits are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.judge import outliers
from harness.judge.outliers import Family, Source


@dataclass
class AnySource(Source):
    """Images of any labelled data set, and a random generator.

    Args:
        mirror: whether distortion also mirrors half of the images left to right.
    """

    mirror: bool = False

    def _distorted(self, images: Tensor) -> Tensor:
        moved = self.moved(images, "border")
        if not self.mirror:
            return moved
        return torch.where(self.uniform(len(images), 1, 1, 1) < 0.5, moved.flip(-1), moved)


# --- shown in training ---------------------------------------------------------------------------------------------


def scattered(source: Source, n: int) -> Tensor:
    """Every pixel from another image, at its own place: each pixel alone is plausible, the whole is not."""
    _, height, width = source.shape
    return _collage(source, n, height, width)


def patchwork(source: Source, n: int) -> Tensor:
    """Every one of sixteen patches from another image, at its own place."""
    return _collage(source, n, 4, 4)


def blurred(source: Source, n: int) -> Tensor:
    """Images blurred beyond recognition: reduced to 3×3 pixels and smoothly enlarged."""
    small = F.interpolate(source.digits(n)[0], (3, 3), mode="area")
    return F.interpolate(small, source.shape[1:], mode="bicubic") * (0.8 + 0.6 * source.uniform(n, 1, 1, 1))


def averaged(source: Source, n: int) -> Tensor:
    """The mean of four to eight images with raised contrast, like the output of a generator that mixes the modes."""
    mean = torch.stack([source.digits(n)[0] for _ in range(source.integer(4, 9))]).mean(0)
    grey = mean.mean((2, 3), keepdim=True)
    return grey + (1 + 1.5 * source.uniform(n, 1, 1, 1)) * (mean - grey)


def early(source: Source, n: int) -> Tensor:
    """Blobs of three sizes and a fine grid around the data's mean, like the first images of a generator."""
    (channels, height, width), mean = source.shape, source.digits(64)[0].mean(0)
    blobs = torch.zeros(n, *source.shape)
    for side in (3, 6, 12):
        strength = 0.25 * source.uniform(n, 1, 1, 1)
        coarse = source.normal(n, channels, side, side)
        blobs = blobs + strength * F.interpolate(coarse, (height, width), mode="bilinear")
    grid = source.normal(n, channels, 2, 2).repeat(1, 1, -(-height // 2), -(-width // 2))[:, :, :height, :width]
    return mean * 1.5 * source.uniform(n, 1, 1, 1) + blobs + 0.1 * source.uniform(n, 1, 1, 1) * grid


SHOWN: Mapping[str, Family] = {
    family.__name__: family
    for family in (
        outliers.uniform_noise,
        outliers.gaussian_noise,
        outliers.clouds,
        outliers.flat,
        outliers.shuffled_patches,
        outliers.blended,
        outliers.torn,
        outliers.noisy,
        outliers.rings,
        scattered,
        patchwork,
        blurred,
        averaged,
        early,
    )
}

NOWHERE_NEAR = (
    *("uniform_noise", "gaussian_noise", "clouds", "flat", "shuffled_patches"),
    *("noisy", "rings", "scattered", "early"),
)
"""The families of SHOWN that are far from every class: on these the feature network learns equal probabilities."""


# --- never shown ---------------------------------------------------------------------------------------------------


def in_strips(source: Source, n: int) -> Tensor:
    """Images cut into four strips across, in another order."""
    strips = source.digits(n)[0].tensor_split(4, 2)
    return torch.cat([strips[i] for i in (2, 0, 3, 1)], 2)


def doubled(source: Source, n: int) -> Tensor:
    """Each image blended with itself, shifted sideways by a third."""
    image, _ = source.digits(n)
    return 0.5 * (image + image.roll(source.shape[2] // 3, 3))


def pixelated(source: Source, n: int) -> Tensor:
    """Images of 3×3 pixels, enlarged to squares."""
    return F.interpolate(F.interpolate(source.digits(n)[0], (3, 3), mode="area"), source.shape[1:])


NEVER_SHOWN: Mapping[str, Family] = {
    family.__name__: family
    for family in (
        outliers.gratings,
        outliers.checkerboards,
        outliers.pink_noise,
        outliers.salted,
        outliers.four_at_once,
        in_strips,
        doubled,
        pixelated,
    )
}


def _collage(source: Source, n: int, rows: int, columns: int) -> Tensor:
    """Images whose cells are chosen at random from eight images."""
    which = (8 * source.uniform(n, 1, rows, columns)).floor()
    which = F.interpolate(which, source.shape[1:])
    collage = torch.zeros(n, *source.shape)
    for number in range(8):
        collage = torch.where(which == number, source.digits(n)[0], collage)
    return collage

"""Changes of style: they change the pixels of a digit, but not which digit it shows.

A style is a function of a source of random numbers, images (n, c, h, w) in [0, 1] and a strength in [0, 1]; it returns
as many images, which may leave [0, 1]. At strength 1, a person still reads every digit at once. Networks that judge the
shape see these in training, for digits and for shapes that are no digit alike, so that style says nothing about shape.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.judge.outliers import Source

Style = Callable[[Source, Tensor, float], Tensor]


def noise(source: Source, images: Tensor, strength: float) -> Tensor:
    """Independent normal noise with a standard deviation of up to 25 of 255."""
    return images + 25 / 255 * strength * source.normal(*images.shape)


def background(source: Source, images: Tensor, strength: float) -> Tensor:
    """A grey of up to 45 of 255 behind the ink."""
    grey = 45 / 255 * strength
    return grey + (1 - grey) * images


def contrast(source: Source, images: Tensor, strength: float) -> Tensor:
    """Ink with as little as 0.4 of its strength."""
    return images * (1 - 0.6 * strength)


def ripple(source: Source, images: Tensor, strength: float) -> Tensor:
    """A regular pattern of up to ± 18 of 255, like the one that transposed convolutions leave."""
    height, width = images.shape[2:]
    period = 2 ** source.integer(1, 3)
    rows, columns = ((torch.arange(side) % period < period // 2).float() * 2 - 1 for side in (height, width))
    pattern = (rows[:, None].expand(height, width), columns.expand(height, width), rows[:, None] * columns)
    chosen: Tensor = pattern[source.integer(0, 3)]
    return images + 18 / 255 * strength * chosen


def blur(source: Source, images: Tensor, strength: float) -> Tensor:
    """A normal blur with a standard deviation of up to 1.7 pixels."""
    return smoothed(images, 1.7 * strength)


def sharpness(source: Source, images: Tensor, strength: float) -> Tensor:
    """Edges that overshoot."""
    return images + 1.5 * strength * (images - smoothed(images, 1.0))


def speckle(source: Source, images: Tensor, strength: float) -> Tensor:
    """Single pixels of any brightness in up to 5 % of the places, as fully connected generators leave them."""
    there = source.uniform(*images.shape) < 0.05 * strength
    return torch.where(there, source.uniform(*images.shape), images)


def binary(source: Source, images: Tensor, strength: float) -> Tensor:
    """Black and white only, from a threshold between 0.3 and 0.6; at a low strength, steeper edges."""
    threshold = 0.3 + 0.3 * source.uniform(len(images), 1, 1, 1)
    return torch.sigmoid((images - threshold) * (4 + 60 * strength))


def thickness(source: Source, images: Tensor, strength: float) -> Tensor:
    """Thicker or thinner strokes, by up to a pixel on one side."""
    thicker = F.max_pool2d(F.pad(images, (1, 0, 1, 0)), 2, 1)
    thinner = -F.max_pool2d(F.pad(-images, (1, 0, 1, 0)), 2, 1)
    changed = torch.where(source.uniform(len(images), 1, 1, 1) < 0.6, thicker, thinner)
    return images + strength * (changed - images)


def shift(source: Source, images: Tensor, strength: float) -> Tensor:
    """Every image moved by up to 6 of 28 pixels in each direction; what leaves the image is lost."""
    n, _, height, width = images.shape
    most = 6 / 28 * strength
    places = (source.uniform(n, 2) * 2 - 1) * most
    pixels = (places * torch.tensor([width, height])).round() / torch.tensor([width, height]) * 2
    moves = torch.eye(2, 3).repeat(n, 1, 1)
    moves[:, :, 2] = pixels
    grid = F.affine_grid(moves, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="border", align_corners=False)


def jpeg(source: Source, images: Tensor, strength: float) -> Tensor:
    """The loss of JPEG's luminance at a quality from 95 down to 20, without its coding."""
    n, channels, height, width = images.shape
    quality = 95 - 75 * strength
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    steps = (_QUANTISATION * scale).clamp(1, 255)
    padded = F.pad(images.clamp(0, 1) * 255 - 128, (0, -width % 8, 0, -height % 8), mode="replicate")
    blocks = padded.unfold(2, 8, 8).unfold(3, 8, 8)
    cosines = _cosines()
    kept = ((cosines @ blocks @ cosines.T) / steps).round() * steps
    rows = (cosines.T @ kept @ cosines).permute(0, 1, 2, 4, 3, 5)
    back = rows.reshape(n, channels, *padded.shape[2:])
    return (back[:, :, :height, :width] + 128) / 255


STYLES: Mapping[str, Style] = {
    style.__name__: style
    for style in (noise, background, contrast, ripple, blur, sharpness, speckle, binary, thickness, shift, jpeg)
}


SHARE = 0.12
"""The share of images that each style changes in ``restyled``; twice as many are shifted."""


def restyled(source: Source, images: Tensor) -> Tensor:
    """Images of which each style changes a random share, one style after the other, in [0, 1].

    A fifth of the images keep their style.
    """
    images = images.clone()
    for position in source.order(len(STYLES)).tolist():
        twice = 1 + (tuple(STYLES)[position] == "shift")
        chosen = source.uniform(len(images)) < twice * SHARE
        if chosen.any():
            style = tuple(STYLES.values())[position]
            images[chosen] = style(source, images[chosen], float(source.uniform(1))).clamp(0, 1)
    return images


def smoothed(images: Tensor, deviation: float) -> Tensor:
    """Images (n, c, h, w) blurred by a normal kernel with this standard deviation in pixels."""
    if deviation < 0.05:
        return images
    reach = math.ceil(3 * deviation)
    offsets = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-(offsets**2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    across = kernel.view(1, 1, 1, -1).repeat(channels, 1, 1, 1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, across, groups=channels), across.transpose(2, 3), groups=channels)


_QUANTISATION = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
"""JPEG's example table for luminance (ITU-T T.81, table K.1)."""


@functools.cache
def _cosines() -> Tensor:
    """The orthonormal discrete cosine transform of eight values, (8, 8)."""
    frequency, place = torch.arange(8.0)[:, None], torch.arange(8.0)
    matrix = 0.5 * torch.cos((2 * place + 1) * frequency * math.pi / 16)
    matrix[0] /= math.sqrt(2)
    return matrix

"""Draws grids of images, and scatter plots of points in the plane, as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.zoo.data.pixels import as_floats, to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

BLOCK = 4096
"""Training images that are compared at a time."""
THUMBNAIL = 256
"""The longest side of a small picture, in pixels."""
PLANE = 256
"""Pixels along each side of a scatter plot, which shows [-1, 1]²."""


def in_rows(images: Tensor, columns: int) -> Tensor:
    """Images (n, channels, height, width) as tiles (rows, columns, …): as many full rows as there are images for.

    Fewer images than columns are one row.
    """
    columns = min(columns, len(images))
    rows = len(images) // columns
    return images[: rows * columns].reshape(rows, columns, *images.shape[1:])


def above_nearest(samples: Tensor, training: Tensor, columns: int) -> Tensor:
    """Samples in rows, below each row the training images that are nearest to its samples, as tiles.

    Nearest is the smallest squared error of the pixels. A sample that is a copy has its original below it.

    Args:
        samples: (n, channels, height, width) in [-1, 1].
        training: (m, channels, height, width) as uint8.
        columns: samples in a row; n is a multiple of it.

    Returns: (2 n / columns, columns, channels, height, width) in [-1, 1], on the device of the samples.
    """
    own = samples.float().flatten(1)
    best = torch.full((len(own),), torch.inf, device=own.device)
    found = torch.zeros(len(own), dtype=torch.long)
    for start in range(0, len(training), BLOCK):
        block = as_floats(training[start : start + BLOCK].to(own.device)).flatten(1)
        # The square of a sample is the same for all training images.
        distances, places = (block.square().sum(1) - 2 * own @ block.T).min(1)
        found = torch.where((distances < best).cpu(), start + places.cpu(), found)
        best = torch.minimum(distances, best)
    originals = as_floats(training[found].to(own.device))
    rows = [in_rows(images, columns) for images in (samples.float(), originals)]
    return torch.stack(rows, 1).flatten(0, 1)


def save_tiles(tiles: Tensor, path: Path) -> None:
    """Draw images into a file; see ``tiled``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tiled(tiles).save(path)


def tiled(tiles: Tensor) -> Image:
    """One picture of images in [-1, 1], shape (rows, columns, channels, height, width).

    One channel is drawn in grey, three in colour. With any other number, only the first channel is drawn.
    """
    from PIL import Image

    if tiles.shape[2] not in (1, 3):
        tiles = tiles[:, :, :1]
    rows, columns, channels, height, width = tiles.shape
    pixels = to_uint8(tiles).cpu().permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels).numpy()
    return Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels)


def untiled(path: Path, shape: tuple[int, int, int]) -> Tensor:
    """The images that ``save_tiles`` drew: (n, channels, height, width) as uint8, row by row.

    Args:
        path: the PNG.
        shape: channels, 1 or 3, height and width of an image.
    """
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    with Image.open(path, formats=["PNG"]) as grid:
        pixels = torch.from_numpy(np.array(grid))
    rows, columns = len(pixels) // height, pixels.shape[1] // width
    tiles = pixels.reshape(rows, height, columns, width, channels).permute(0, 2, 4, 1, 3)
    return tiles.reshape(rows * columns, channels, height, width).contiguous()


def save_thumbnail(path: Path) -> Path:
    """Draw a picture again, small: the second file of MLflow's ``log_image``, which its interface shows.

    Returns: the file, a WebP.
    """
    from PIL import Image

    small = path.with_name(f"{path.stem}+compressed.webp")
    with Image.open(path) as image:
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        image.save(small)
    return small


def save_points(points: Tensor, path: Path) -> None:
    """Draw points into a file; see ``scattered``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scattered(points).save(path)


def scattered(points: Tensor) -> Image:
    """A picture of points (n, 2, 1, 1) in [-1, 1]², dark on white, with the second coordinate upwards.

    A pixel with more points is darker. A single point is already half dark, so that a mode with few points shows.
    """
    from PIL import Image

    places = ((points.flatten(1).float().cpu().clamp(-1, 1) + 1) / 2 * (PLANE - 1)).round().long()
    counts = torch.zeros(PLANE, PLANE)
    counts.index_put_((PLANE - 1 - places[:, 1], places[:, 0]), torch.ones(len(places)), accumulate=True)
    shade = 255 * (-counts).exp2()
    return Image.fromarray(shade.round().to(torch.uint8).numpy())

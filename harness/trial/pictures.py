"""Draws grids of images, and scatter plots of points in the plane, as PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.zoo.data.pixels import to_uint8

if TYPE_CHECKING:
    from torch import Tensor

PLANE = 256
"""Pixels along each side of a scatter plot, which shows [-1, 1]²."""


def in_rows(images: Tensor, columns: int) -> Tensor:
    """Images (n, channels, height, width) as tiles (rows, columns, …): as many full rows as there are images for.

    Fewer images than columns are one row.
    """
    columns = min(columns, len(images))
    rows = len(images) // columns
    return images[: rows * columns].reshape(rows, columns, *images.shape[1:])


def save_tiles(tiles: Tensor, path: Path) -> None:
    """Draw images in [-1, 1], shape (rows, columns, channels, height, width).

    One channel is drawn in grey, three in colour. With any other number, only the first channel is drawn.
    """
    from PIL import Image

    if tiles.shape[2] not in (1, 3):
        tiles = tiles[:, :, :1]
    rows, columns, channels, height, width = tiles.shape
    pixels = to_uint8(tiles).cpu().permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels).save(path)


def save_points(points: Tensor, path: Path) -> None:
    """Draw points (n, 2, 1, 1) in [-1, 1]², dark on white, with the second coordinate upwards.

    A pixel with more points is darker. A single point is already half dark, so that a mode with few points shows.
    """
    from PIL import Image

    places = ((points.flatten(1).float().cpu().clamp(-1, 1) + 1) / 2 * (PLANE - 1)).round().long()
    counts = torch.zeros(PLANE, PLANE)
    counts.index_put_((PLANE - 1 - places[:, 1], places[:, 0]), torch.ones(len(places)), accumulate=True)
    shade = 255 * (-counts).exp2()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shade.round().to(torch.uint8).numpy()).save(path)

"""Digits with thicker or thinner strokes, by grey morphology: two domains of the same content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from harness.zoo.data.base import DataSettings

if TYPE_CHECKING:
    from torch import Tensor

Stroke = Literal["normal", "thick", "thin"]


class StrokeSettings(DataSettings):
    """Settings of data sets of digits."""

    stroke: Stroke = Field(
        "normal", description="thick: dilated by a 3×3 cross; thin: eroded by a square of 2×2; strokes are 2 to 4 wide"
    )


def redrawn(images: Tensor, stroke: Stroke) -> Tensor:
    """uint8 images (n, 1, h, w), white on black, with these strokes."""
    if stroke == "normal":
        return images
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    height, width = images.shape[2:]

    def shifted(down: int, right: int) -> Tensor:
        return padded[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    if stroke == "thick":
        places, join = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)], torch.maximum
    else:
        places, join = [(0, 0), (0, 1), (1, 0), (1, 1)], torch.minimum
    result = shifted(*places[0])
    for place in places[1:]:
        result = join(result, shifted(*place))
    return result

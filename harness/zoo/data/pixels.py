"""Converts between stored images (uint8) and the inputs of networks (floats in [-1, 1])."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def as_floats(stored: Tensor) -> Tensor:
    """Stored data as floats in [-1, 1]: uint8 images are converted, points do not change."""
    return from_uint8(stored) if stored.dtype == torch.uint8 else stored


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] (clipped to this range) as uint8 in 0 … 255, rounded to the nearest."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """uint8 in 0 … 255 as floats in [-1, 1]."""
    return pixels.float() / 127.5 - 1

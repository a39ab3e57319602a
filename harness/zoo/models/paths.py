"""Paths through the latent space, for the pictures ``interpolation`` and ``latent_walk`` of models with a latent z."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 8
"""Rows of a picture, and also its columns."""


def paths(one: Tensor, other: Tensor, cube: tuple[float, float] | None = None) -> dict[str, Tensor]:
    """``interpolation``: a straight line between two latents per row; ``latent_walk``: a circle through them.

    Args:
        one: one latent per row, (rows, 1, z).
        other: the other latent of each row.
        cube: the smallest and the largest coordinate if z is uniform: the centre of the circles is the centre of this
            cube, and points outside it are clamped to it.

    Returns:
        name -> latents (rows, columns, z).
    """
    share = torch.linspace(0, 1, ROWS, device=one.device).view(1, ROWS, 1)
    angle = share * (2 * math.pi * (ROWS - 1) / ROWS)  # the step after the last column leads back to the first
    middle = sum(cube) / 2 if cube else 0.0
    walk = middle + angle.cos() * (one - middle) + angle.sin() * (other - middle)
    return {"interpolation": (1 - share) * one + share * other, "latent_walk": walk.clamp(*cube) if cube else walk}


def tiles(draw: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """Generate images from latents (rows, columns, d), in rows and columns."""
    return draw(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])  # type: ignore[no-untyped-call, no-any-return]


def pictures(
    latents: Tensor, draw: Callable[[Tensor], Tensor], cube: tuple[float, float] | None = None
) -> dict[str, Tensor]:
    """Both pictures for a generator whose input is only z, from 2 · ``ROWS`` latents."""
    one, other = latents.reshape(2, ROWS, 1, -1)
    return {name: tiles(draw, path) for name, path in paths(one, other, cube).items()}

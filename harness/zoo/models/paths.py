"""Paths through the latents, for the pictures ``interpolation`` and ``latent_walk`` of models that draw from z."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 8
"""Of a picture, and its columns."""


def paths(one: Tensor, other: Tensor, cube: tuple[float, float] | None = None) -> dict[str, Tensor]:
    """``interpolation``: straight lines between two latents, one a row; ``latent_walk``: circles through two.

    Args:
        one: a latent a row, (rows, 1, z).
        other: the other of each row.
        cube: the least and the greatest coordinate where z is uniform: circles are about the middle of it, and what
            of them lies outside is brought to its faces.

    Returns:
        name -> latents (rows, columns, z).
    """
    share = torch.linspace(0, 1, ROWS, device=one.device).view(1, ROWS, 1)
    angle = share * (2 * math.pi * (ROWS - 1) / ROWS)  # the step after the last column leads back to the first
    middle = sum(cube) / 2 if cube else 0.0
    walk = middle + angle.cos() * (one - middle) + angle.sin() * (other - middle)
    return {"interpolation": (1 - share) * one + share * other, "latent_walk": walk.clamp(*cube) if cube else walk}


def tiles(draw: Callable[[Tensor], Tensor], latents: Tensor) -> Tensor:
    """What a generator draws from latents (rows, columns, d), as rows and columns of images."""
    return draw(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])  # type: ignore[no-untyped-call, no-any-return]


def pictures(
    latents: Tensor, draw: Callable[[Tensor], Tensor], cube: tuple[float, float] | None = None
) -> dict[str, Tensor]:
    """Both pictures, of a generator whose input is z alone, from 2 · ``ROWS`` latents."""
    one, other = latents.reshape(2, ROWS, 1, -1)
    return {name: tiles(draw, path) for name, path in paths(one, other, cube).items()}

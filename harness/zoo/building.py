"""Builds a model from its name, without a suite: for contracts and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.zoo import registry
from harness.zoo.compatibility import with_own
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.zoo.registry import Choice
    from harness.zoo.tricks.base import Trick


SHAPES = (Shape(1, 28, 28, 10), Shape(3, 32, 32, 10), Shape(1, 8, 8, 10), Shape(2, 12, 20, 3), Shape(2, 1, 1, 8))
"""Data shapes that models are tested on, unless they refuse them; the last is points of the plane."""


def build(
    model: str | dict[str, Any] | Choice[Model],
    shape: Shape = SHAPES[0],
    tricks: Any = (),
    seed: int = 0,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    made: Sequence[Trick] = (),
) -> Model:
    """A model before its first step.

    Args:
        model: as in a suite.
        shape: the shape of the data, which are random.
        tricks: as in a suite.
        seed: the seed of the weights and of the random numbers in training.
        device: where the model computes.
        dtype: float32, or bfloat16 for mixed precision.
        made: more tricks, as objects, which need no name in the registry; their hooks are called first.
    """
    choice: Choice[Model] = registry.choose("models", model)
    chosen = with_own(choice, tuple(registry.choose("tricks", trick) for trick in tricks))
    all_tricks = [*made, *(trick.make() for trick in chosen)]
    compute = Compute(torch.device(device), dtype)
    training = random_batch(shape, 64, torch.Generator().manual_seed(99))
    training = Labelled(*(tensor.to(device) for tensor in training))
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    return choice.make(shape, training, 100, all_tricks, compute, seed, rng)


def random_batch(shape: Shape, n: int, rng: torch.Generator) -> Labelled:
    """Random images in the stored format (uint8; floats for points), and labels."""
    channels, height, width, classes = shape
    if (height, width) == (1, 1):  # points
        images = torch.rand(n, channels, 1, 1, generator=rng) * 2 - 1
    else:
        images = torch.randint(0, 256, (n, channels, height, width), generator=rng, dtype=torch.uint8)
    return Labelled(images, torch.randint(0, classes, (n,), generator=rng))

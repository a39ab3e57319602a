"""The two architectures of judges, for images of 8×8 and larger. They share only the convolutional block.

Images of 28×28 are halved three times, to 4×4. Other sizes are halved until the longer side is nearest to 4 (by
ratio): for smaller images fewer of the same convolutions have a stride of 2; each further halving adds a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

FEATURES = 64
"""Dimensions of the features. More dimensions mean a larger bias of the Fréchet distance."""


class Size(NamedTuple):
    """The input size of a network and its width: all numbers of channels are multiplied by ``factor``."""

    channels: int = 1
    height: int = 28
    width: int = 28
    factor: int = 1

    @property
    def halvings(self) -> int:
        """The number of halvings."""
        return round(math.log2(max(self.height, self.width) / 4))


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class FeatureNetwork(nn.Module):
    """Starts with a strided 5×5 convolution; fully connected features. Trained to equal probabilities on outliers.

    Images (n, channels, height, width) in [0, 1] -> features (n, 64), at least 0, and logits (n, classes).
    """

    def __init__(self, classes: int, size: Size = Size()) -> None:  # noqa: B008 (an immutable tuple)
        super().__init__()
        widths = [size.factor * width for width in (24, 32, 48, 64, 96)]
        strides = _strides((2, 1, 2, 1, 2), size.halvings)
        height, width = (_halved(side, size.halvings) for side in (size.height, size.width))
        self.body = nn.Sequential(
            *_chain(size.channels, widths, strides, first_kernel=5),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(widths[-1] * height * width, FEATURES),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(images)
        return features, self.head(features)


class CoverageNetwork(nn.Module):
    """Starts at full resolution, pools to 2×2; one output per class and one for "none of them".

    Images (n, channels, height, width) in [0, 1] -> logits (n, classes + 1).
    """

    def __init__(self, classes: int, size: Size = Size()) -> None:  # noqa: B008 (an immutable tuple)
        super().__init__()
        widths = [size.factor * width for width in (24, 32, 48, 64, 96, 96)]
        self.body = nn.Sequential(
            *_chain(size.channels, widths, _strides((1, 2, 1, 2, 1, 2), size.halvings)),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.head = nn.Linear(widths[-1] * 4, classes + 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(images))
        return logits


def _chain(inputs: int, widths: Sequence[int], strides: Sequence[int], first_kernel: int = 3) -> list[nn.Module]:
    """One block for every stride; blocks after the last width keep that width."""
    layers: list[nn.Module] = []
    for position, stride in enumerate(strides):
        outputs = widths[min(position, len(widths) - 1)]
        layers += block(inputs, outputs, 3 if position else first_kernel, stride)
        inputs = outputs
    return layers


def _strides(usual: Sequence[int], halvings: int) -> list[int]:
    """The strides of a chain with this number of halvings: the usual ones, cut short or with more blocks at the end."""
    strides, left = [], halvings
    for stride in usual:
        strides.append(stride if left > 0 else 1)
        left -= strides[-1] - 1
    return strides + [2] * left


def _halved(side: int, times: int) -> int:
    """The length of a side after this number of convolutions with stride 2."""
    for _ in range(times):
        side = -(-side // 2)
    return side

"""The judges' two architectures, for images of 28×28. They share nothing but the convolutional block."""

from __future__ import annotations

import torch
from torch import nn

FEATURES = 64
"""Dimensions of the features: the Fréchet distance's bias grows with them."""


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


class FeatureNetwork(nn.Module):
    """Strided 5×5 start, fully connected features. On what is no digit its classes were trained to be equally likely.

    Images (n, 1, 28, 28) in [0, 1] -> features (n, 64), at least 0, and logits (n, classes).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *block(1, 24, 5, 2),
            *block(24, 32),
            *block(32, 48, 3, 2),
            *block(48, 64),
            *block(64, 96, 3, 2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(96 * 4 * 4, FEATURES),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(images)
        return features, self.head(features)


class CoverageNetwork(nn.Module):
    """Full resolution start, pooled to 2×2, and one output more than there are classes: "none of them".

    Images (n, 1, 28, 28) in [0, 1] -> logits (n, classes + 1).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *block(1, 24),
            *block(24, 32, 3, 2),
            *block(32, 48),
            *block(48, 64, 3, 2),
            *block(64, 96),
            *block(96, 96, 3, 2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.2),
        )
        self.head = nn.Linear(96 * 4, classes + 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(images))
        return logits

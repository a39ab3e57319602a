"""Torch modules that the architectures share. Imported when a network is built, never before: see the registry."""

from __future__ import annotations

import torch
from torch import nn

from harness.networks.base import Scores


class Discriminator(nn.Module):
    """A body that turns images into features (n, d), and a head that turns features into one logit each."""

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(features, 1)

    def forward(self, images: torch.Tensor) -> Scores:
        features = self.body(images)
        return Scores(self.head(features).squeeze(1), features)

"""Torch modules of conditional and informative games. Imported when a network is built, never before."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LabelledLatents(nn.Module):
    """A generator whose input ends in a label, one-hot: z (n, latent) and the label's embedding go in together."""

    def __init__(self, generator: nn.Module, latent: int, classes: int, embedding: int) -> None:
        super().__init__()
        self.generator = generator
        self.latent = latent
        self.embedding = nn.Linear(classes, embedding, bias=False)

    def forward(self, latents: Tensor) -> Tensor:
        embedded = self.embedding(latents[:, self.latent :])
        images: Tensor = self.generator(torch.cat([latents[:, : self.latent], embedded], 1))
        return images


class LabelMap(nn.Module):
    """Images whose last channel is filled with the label's number -> with the label's embedding, an image itself."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, height * width)

    def forward(self, images: Tensor) -> Tensor:
        labels = images[:, -1, 0, 0].long()
        plane = self.embedding(labels).reshape(-1, 1, *images.shape[2:])
        return torch.cat([images[:, :-1], plane.to(images.dtype)], 1)

"""Torch modules for conditional GANs. Imported only when a network is built, because they import torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LabelledLatents(nn.Module):
    """A generator with the input z and a one-hot label: the network gets z and the embedding of the label."""

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
    """Replaces the last channel of images, filled with the label's number, by the label's embedding as a plane."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, height * width)

    def forward(self, images: Tensor) -> Tensor:
        labels = images[:, -1, 0, 0].long()
        plane = self.embedding(labels).reshape(-1, 1, *images.shape[2:])
        return torch.cat([images[:, :-1], plane.to(images.dtype)], 1)

"""Torch modules that the architectures share. Imported only when a network is built, because they import torch."""

from __future__ import annotations

import torch
from torch import nn

from harness.base.errors import HarnessError
from harness.zoo.networks.scores import Scores


class Discriminator(nn.Module):
    """A body from images to features (n, d), and a head from features to logits.

    Tricks may insert layers between them that add features (``extend``). Feature matching compares the features before
    these layers, which depend on one image each.
    """

    def __init__(self, body: nn.Module, features: int) -> None:
        super().__init__()
        self.body = body
        self.features = features
        self.tail = nn.Sequential()
        self.head = nn.Linear(features, 1)

    def extend(self, layer: nn.Module, added: int) -> None:
        """Insert a layer between features and head, from features (n, d) to (n, d + added)."""
        self.tail.append(layer)
        old = self.head
        self.head = nn.Linear(old.in_features + added, 1)
        with torch.no_grad():  # keep the existing weights, so that arms start as equal as possible
            self.head.weight[:, : old.in_features] = old.weight
            self.head.bias.copy_(old.bias)

    def forward(self, images: torch.Tensor) -> Scores:
        features = self.body(images)
        return Scores(self.head(self.tail(features)).squeeze(1), features)


class Plain(nn.Module):
    """A discriminator without features, around any network from images to one logit per image."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.tail = nn.Sequential()

    @property
    def features(self) -> int:
        """It has none.

        Raises:
            HarnessError: always.
        """
        raise HarnessError(
            "the discriminator's features are needed here, and the architecture has none (scores_only): let its "
            "discriminator be a harness.plugins.Discriminator"
        )

    def forward(self, images: torch.Tensor) -> Scores:
        logits = self.body(images).flatten()
        return Scores(logits, logits.new_empty(len(logits), 0))


class Dropout(nn.Dropout):
    """Sets each value to 0 with probability p, and divides the others by 1 − p, in training.

    The random numbers are those of ``rng`` where a model sets it, so that trials which share a process, and their CUDA
    graphs, do not share them. On a CPU torch's own takes one random number of its slowest kind per value, which is a
    tenth of a step of the fully connected GAN. Here 64 random bits serve four values, and p is a multiple of 2⁻¹⁶; it
    takes a third of the time.
    """

    rng: torch.Generator | None = None

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return values
        n = values.numel()
        bits = torch.empty(-(-n // 4), dtype=torch.int64, device=values.device)
        bits = bits.random_(-(2**63), None, generator=self.rng).view(torch.int16)
        kept = bits[:n].view(values.shape) >= round(self.p * 2**16) - 2**15
        return values * kept.to(values.dtype).mul_(1 / (1 - self.p))


def draw_from(rng: torch.Generator, network: nn.Module) -> None:
    """Let the dropout of a network draw from this generator."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.rng = rng


class Point(nn.Module):
    """The same point for every latent; its coordinates are the parameters.

    Args:
        start: the coordinates at first, (d,).
    """

    def __init__(self, start: torch.Tensor) -> None:
        super().__init__()
        self.place = nn.Parameter(start)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.place[None, :, None, None].expand(len(latents), -1, 1, 1)


class Gain(nn.Module):
    """Multiplies its input by a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.factor


class Resize(nn.Module):
    """Bilinear resampling to a square size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-1] == self.size:
            return images
        return nn.functional.interpolate(images, (self.size, self.size), mode="bilinear", antialias=False)


class Residual(nn.Module):
    """x + layers(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = images + self.layers(images)
        return result

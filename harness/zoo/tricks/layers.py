"""Torch modules that tricks insert into networks. Imported only when needed, because they import torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StandardDeviation(nn.Module):
    """Features (n, d) -> (n, d + 1): the mean over features of their standard deviation over the mini-batch."""

    def forward(self, features: Tensor) -> Tensor:
        variance = features.float().var(0, correction=0)
        deviation = (variance + 1e-8).sqrt().mean()  # √ has no derivative at 0
        return torch.cat([features, deviation.to(features.dtype).expand(len(features), 1)], 1)


class Nearness(nn.Module):
    """Features (n, ≥ d) -> (n, … + kernels): Σ_{j ≠ i} exp(−‖Mᵢ,b − Mⱼ,b‖₁) joins them, M made of the first d."""

    def __init__(self, features: int, kernels: int, dimensions: int) -> None:
        super().__init__()
        self.features = features
        self.kernels = kernels
        # This scale makes the initial distances between images a few units.
        self.projection = nn.Parameter(torch.randn(features, kernels * dimensions) / features**0.5)

    def forward(self, features: Tensor) -> Tensor:
        n = len(features)
        projected = (features[:, : self.features] @ self.projection.to(features.dtype)).float()
        projected = projected.reshape(n, self.kernels, -1)
        one, other = torch.triu_indices(n, n, 1, device=features.device)  # each pair once: half the work
        kernels = (-(projected[one] - projected[other]).abs().sum(2)).exp()
        near = kernels.new_zeros(n, self.kernels).index_add(0, one, kernels).index_add(0, other, kernels)
        return torch.cat([features, near.to(features.dtype)], 1)


class Normalised(nn.Module):
    """Virtual batch normalisation. It replaces a batch normalisation and keeps its scale and shift.

    The first ``reference`` entries of a batch are the reference batch, normalised by their own statistics. Every other
    entry is normalised by the statistics of the reference batch and itself.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, reference: int) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.reference = reference

    def forward(self, values: Tensor) -> Tensor:
        n, places = self.reference, tuple(range(2, values.dim()))
        if places:
            variances, means = torch.var_mean(values.float(), places, correction=0)
        else:
            means = values.float()
            variances = torch.zeros_like(means)
        squares = variances + means.square()
        mean, square = means[:n].mean(0, keepdim=True), squares[:n].mean(0, keepdim=True)
        own = 1 / (n + 1)
        mean = torch.cat([mean.expand_as(means[:n]), own * means[n:] + (1 - own) * mean])
        square = torch.cat([square.expand_as(means[:n]), own * squares[n:] + (1 - own) * square])
        scale = (square - mean.square() + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * scale
        shape = (*means.shape, *(1 for _ in places))
        return torch.addcmul(shift.to(values.dtype).view(shape), values, scale.to(values.dtype).view(shape))


class WithReference(nn.Module):
    """A generator that adds its reference latents to every batch, and drops their images."""

    def __init__(self, network: nn.Module, reference: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("reference", reference)
        self.reference: Tensor

    def forward(self, latents: Tensor) -> Tensor:
        images: Tensor = self.network(torch.cat([self.reference, latents]))
        return images[len(self.reference) :]

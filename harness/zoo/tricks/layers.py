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
    """Features (n, ≥ d) -> (n, … + kernels): Σ_{j ≠ i} exp(−‖Mᵢ,b − Mⱼ,b‖₁) + shift joins them, M made of the first d.

    The first mini-batch in training sets scale and shift of every kernel, as in the authors' code: the nearest other
    image is 2 away in the mean, and the new features have the mean 0. Without it, the sum is nearly the number of
    images where features are small, and the layer says nothing.
    """

    def __init__(self, features: int, kernels: int, dimensions: int) -> None:
        super().__init__()
        self.features = features
        self.kernels = kernels
        self.projection = nn.Parameter(torch.randn(features, kernels * dimensions) / features**0.5)
        self.shift = nn.Parameter(torch.zeros(kernels))
        self.fitted = False

    def forward(self, features: Tensor) -> Tensor:
        if self.training and not self.fitted:
            self._fit(features.detach())
        near = self._near(features) + self.shift
        return torch.cat([features, near.to(features.dtype)], 1)

    def _near(self, features: Tensor) -> Tensor:
        """The sums (n, kernels), float32."""
        n = len(features)
        distances, one, other = self._distances(features)
        kernels = (-distances).exp()
        return kernels.new_zeros(n, self.kernels).index_add(0, one, kernels).index_add(0, other, kernels)

    def _distances(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """‖Mᵢ,b − Mⱼ,b‖₁ (pairs, kernels), and i and j (pairs,); each pair once: half the work."""
        n = len(features)
        projected = (features[:, : self.features] @ self.projection.to(features.dtype)).float()
        projected = projected.reshape(n, self.kernels, -1)
        one, other = torch.triu_indices(n, n, 1, device=features.device)
        return (projected[one] - projected[other]).abs().sum(2), one, other

    @torch.no_grad()
    def _fit(self, features: Tensor) -> None:
        self.fitted = True
        distances, one, other = self._distances(features)
        places = torch.cat([one, other])[:, None].expand(-1, self.kernels)
        least = distances.new_full((len(features), self.kernels), torch.inf)
        least = least.scatter_reduce(0, places, torch.cat([distances, distances]), "amin").mean(0)
        scale = torch.where((least > 0) & least.isfinite(), 2 / least, torch.ones_like(least))
        shaped = self.projection.view(self.features, self.kernels, -1)
        shaped.mul_(scale[:, None])
        self.shift.copy_(-self._near(features).mean(0))

    def get_extra_state(self) -> bool:
        """Whether scale and shift are set, for checkpoints."""
        return self.fitted

    def set_extra_state(self, state: bool) -> None:
        """Restore it."""
        self.fitted = state


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

"""Torch modules that tricks insert into networks. Imported only when needed, because they import torch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from harness.zoo.optimisation import tensors


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
        # The few dimensions go first: then a sum over them adds long rows, in half the time.
        rows = projected.reshape(n, self.kernels, -1).permute(2, 0, 1).contiguous()
        one, other = torch.triu_indices(n, n, 1, device=features.device)
        return (rows.index_select(1, one) - rows.index_select(1, other)).abs().sum(0), one, other

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

    In the pass of the reference batch (``learning``) it normalises by the statistics of that batch and keeps them. In
    other passes it normalises every entry by the statistics of the reference batch and that entry.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.learning = False
        self.reference: tuple[int, Tensor, Tensor] | None = None
        """Entries of the reference batch, and their mean and mean square, (1, channels) each."""

    def forward(self, values: Tensor) -> Tensor:
        means, squares = self._moments(values)
        if self.learning:
            mean, square = means.mean(0, keepdim=True), squares.mean(0, keepdim=True)
            self.reference = len(values), mean, square
        else:
            assert self.reference is not None
            n, mean, square = self.reference
            own = 1 / (n + 1)
            mean, square = own * means + (1 - own) * mean, own * squares + (1 - own) * square
        scale = (square - mean.square() + self.eps).rsqrt() * self.weight
        shift = self.bias - mean * scale
        shape = (len(scale), -1, *(1 for _ in range(2, values.dim())))
        return torch.addcmul(shift.to(values.dtype).view(shape), values, scale.to(values.dtype).view(shape))

    @staticmethod
    def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and mean square of each entry over the places of each channel, float32, (n, channels)."""
        values = values.float()
        if values.dim() == 2:
            return values, values.square()
        # As (n, places, channels), which is how channels_last lies in memory: over the two axes of an image the same
        # means take ten times as long.
        flat = values.permute(0, 2, 3, 1).flatten(1, 2)
        return flat.mean(1), flat.square().mean(1)


class WithReference(nn.Module):
    """A generator whose layers normalise by a reference batch.

    In training, the pass of the reference batch serves all passes with the same weights: a step draws once or more for
    the discriminator and once for the generator between two changes of the generator's weights.
    """

    def __init__(self, network: nn.Module, reference: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("reference", reference)
        self.reference: Tensor
        self._learned = False

    def forward(self, latents: Tensor) -> Tensor:
        if not (self.training and self._learned):
            self._learn()
            self._learned = self.training
        images: Tensor = self.network(latents)
        return images

    def forget(self) -> None:
        """The weights will change: the next pass computes the statistics anew."""
        self._learned = False

    def _learn(self) -> None:
        layers = [module for module in self.network.modules() if isinstance(module, Normalised)]
        for layer in layers:
            layer.learning = True
        try:
            # The generator's step needs the gradient, also if the discriminator's step, without one, drew first.
            with torch.set_grad_enabled(self.training):
                self.network(self.reference)
        finally:
            for layer in layers:
                layer.learning = False


class Ensemble(nn.Module):
    """Several states of one network. A batch is divided into equal parts, in order, one for each state.

    Args:
        network: every state is its present one.
        members: the number of states.
    """

    def __init__(self, network: nn.Module, members: int) -> None:
        super().__init__()
        self.members = members
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.names = [name for name, _ in (*network.named_parameters(), *network.named_buffers())]
        stacks = [tensor.detach().repeat(members, *[1] * tensor.ndim) for tensor in tensors(network)]
        self.states = nn.ParameterList(nn.Parameter(stack, requires_grad=False) for stack in stacks)

    def keep(self, member: Tensor, network: nn.Module) -> None:
        """Let the state of the member with this number (a scalar on the device) be that of the network."""
        with torch.no_grad():
            for stack, now in zip(self.states, tensors(network), strict=True):
                stack.index_copy_(0, member.view(1), now.detach().unsqueeze(0))

    def forward(self, latents: Tensor) -> Tensor:
        parts = []
        for member, part in enumerate(latents.chunk(self.members)):
            state = {name: stack[member] for name, stack in zip(self.names, self.states, strict=True)}
            parts.append(torch.func.functional_call(self.network, state, (part,)))
        return torch.cat(parts)

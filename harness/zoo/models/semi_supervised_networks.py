"""Torch modules of the semi-supervised GAN. Imported only when a network is built, because they import torch."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class WeightNormalised(nn.Module):
    """A linear layer y = g · V x / ‖V‖ + b, with one row of V per unit (Salimans and Kingma 2016, equation 2)."""

    def __init__(self, inputs: int, outputs: int, scaled: bool = False) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.randn(outputs, inputs) * 0.1)
        # Only the last layer learns its scale: features that can grow could never be matched.
        self._scale: Tensor
        if scaled:
            self.learned_scale = nn.Parameter(torch.ones(outputs))
        else:
            self.register_buffer("_scale", torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    @property
    def scale(self) -> Tensor:
        """g, shape (outputs,)."""
        return self.learned_scale if hasattr(self, "learned_scale") else self._scale

    def forward(self, values: Tensor) -> Tensor:
        rows = self.direction * (self.scale / self.direction.norm(dim=1))[:, None]
        return nn.functional.linear(values, rows, self.bias)

    def adapt(self, values: Tensor) -> Tensor:
        """Set scale and bias so that the outputs for these inputs have mean 0 and variance 1; returns the outputs."""
        with torch.no_grad():
            outputs = self(values)
            self.scale.div_(outputs.std(0) + 1e-6)
            self.bias.copy_(-outputs.mean(0) / (outputs.std(0) + 1e-6))
            result: Tensor = self(values)
        return result


class Shifted(nn.Module):
    """Batch normalisation with a learned shift β and no scale γ: units that can grow would saturate every pixel."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(units, eps=1e-6, affine=False)
        self.shift = nn.Parameter(torch.zeros(units))

    def forward(self, values: Tensor) -> Tensor:
        normalised: Tensor = self.norm(values)
        return normalised + self.shift


class HalfTanh(nn.Module):
    """tanh(x / 2): the logistic function on [-1, 1]."""

    def forward(self, values: Tensor) -> Tensor:
        return torch.tanh(values / 2)


class Classifier(nn.Module):
    """Images (n, …) -> logits (n, classes) and the features (n, d) of the last hidden layer.

    Images in [-1, 1] are rescaled to [0, 1]. In training, Gaussian noise is added to them (σ .3) and after every hidden
    layer (σ .5).
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(WeightNormalised(a, b) for a, b in pairwise((inputs, *widths)))
        self.head = WeightNormalised(widths[-1], classes, scaled=True)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        values = self._noisy(_unit(images), 0.3)
        features = values
        for layer in self.hidden:
            features = torch.relu(layer(values))
            values = self._noisy(features, 0.5)
        return self.head(values).float(), features.float()

    def adapt(self, images: Tensor) -> None:
        """Data-dependent initialisation (Salimans and Kingma 2016, section 3), with the noise that training adds."""
        values = self._noisy(_unit(images), 0.3)
        for layer in self.hidden:
            assert isinstance(layer, WeightNormalised)
            values = self._noisy(torch.relu(layer.adapt(values)), 0.5)
        self.head.adapt(values)

    def _noisy(self, values: Tensor, sigma: float) -> Tensor:
        return values + sigma * torch.randn_like(values) if self.training else values


def _unit(images: Tensor) -> Tensor:
    return (images.flatten(1) + 1) / 2


def generator(latent: int, width: int, image: tuple[int, int, int]) -> nn.Module:
    """z -> two layers of batch-normalised softplus units -> a weight-normalised layer: an image in [-1, 1]."""
    size = image[0] * image[1] * image[2]
    layers: list[nn.Module] = []
    for inputs in (latent, width):
        linear = nn.Linear(inputs, width, bias=False)
        nn.init.xavier_uniform_(linear.weight)
        layers += [linear, Shifted(width), nn.Softplus()]
    return nn.Sequential(*layers, WeightNormalised(width, size, scaled=True), HalfTanh(), nn.Unflatten(1, image))

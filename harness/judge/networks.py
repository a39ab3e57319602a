"""The networks of judges, for images of 8×8 and larger. They share only the convolutional block.

``FeatureNetwork`` gives features, ``ShapeNetwork`` says which class an image shows, ``StyleNetwork`` whether its pixels
look like those of the data. The first two have two architectures, so that two judges can differ.

Images of 28×28 are halved three times, to 4×4. Other sizes are halved until the longer side is nearest to 4 (by
ratio): for smaller images fewer of the same convolutions have a stride of 2; each further halving adds a convolution.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

FEATURES = 64
"""Dimensions of the features that come from the classes. More mean a larger bias of the Fréchet distance."""
GRID = 4
"""Rows and columns of the grid whose mean greys are features."""
OCTAVES = 3
"""Octaves of detail whose energies are features."""


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


class ImageStatistics(nn.Module):
    """Mean greys on a grid of 4×4, for each channel, and the energies of three octaves of detail.

    The features of classes are 0 for everything that shows no class, and say nothing of how far it is from doing so.
    These statistics never saturate: noise is farther from the data than grey, and grey than a blob on black. They are
    divided by ``scale``, twice their standard deviation on the training data, so that near the data the features of
    classes decide.

    Images (n, channels, height, width) in [0, 1] -> (n, 16 channels + 3).
    """

    scale: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(GRID**2 * channels + OCTAVES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = [nn.functional.adaptive_avg_pool2d(images, GRID).flatten(1)]
        for _ in range(OCTAVES):
            smooth = _smoothed(images)
            found.append((images - smooth).square().mean((1, 2, 3))[:, None])
            images = smooth[:, :, ::2, ::2]
        return torch.cat(found, 1) / self.scale

    def fit(self, images: torch.Tensor) -> None:
        """Set the scale by these images of the training data, floats in [0, 1]."""
        self.scale.fill_(1)
        spread = self(images).var(0)
        # One scale for all greys: a corner that is always black has no spread of its own.
        greys = spread[:-OCTAVES].mean().expand(len(spread) - OCTAVES)
        self.scale.copy_(2 * torch.cat([greys, spread[-OCTAVES:]]).sqrt().clamp(min=1e-3))


def _smoothed(images: torch.Tensor) -> torch.Tensor:
    """Images after a binomial blur, 1 4 6 4 1, in both directions; beyond the edge, the pixels of the edge go on.

    As products with two matrices: convolutions of one channel took 3 times as long on a CPU.
    """
    down, across = (_blur(side, images.device) for side in images.shape[2:])
    return down @ images.contiguous() @ across.T


@functools.cache
def _blur(side: int, device: torch.device) -> torch.Tensor:
    """The matrix (side, side) that blurs a column of pixels."""
    with torch.inference_mode(False):  # it is kept, and training may ask for it after an evaluation
        weights = torch.tensor([1.0, 4, 6, 4, 1]) / 16
        places = (torch.arange(side)[:, None] + torch.arange(-2, 3)).clamp(0, side - 1)
        return torch.zeros(side, side).scatter_add_(1, places, weights.expand(side, 5)).to(device)


class FeatureNetwork(nn.Module):
    """Starts with a strided 5×5 convolution; fully connected features. Trained to equal probabilities on outliers.

    Images (n, channels, height, width) in [0, 1] -> features (n, 64 + 16 channels + 3) and logits (n, classes). The
    first 64 features come from the layer below the logits, and are at least 0; the others are ``ImageStatistics``.
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
        self.statistics = ImageStatistics(size.channels)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(images)
        return torch.cat([features, self.statistics(images)], 1), self.head(features)


class ShapeNetwork(nn.Module):
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


class ResidualBody(nn.Module):
    """Residual blocks of which each halves the image; then the mean and the largest value of every channel.

    Images (n, channels, height, width) in [0, 1] -> (n, 2 · 96 · factor).
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        widths = [size.factor * width for width in (24, 40, 64, 96)]
        self.stem = nn.Sequential(*block(size.channels, widths[0]))
        pairs = itertools.pairwise(widths[: 1 + max(1, min(3, size.halvings))])
        self.blocks = nn.Sequential(*(ResidualBlock(inputs, outputs) for inputs, outputs in pairs))
        self.width = 2 * widths[len(self.blocks)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.blocks(self.stem(images))
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


class ResidualBlock(nn.Module):
    """A strided convolution, and two more whose result is added to it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.halve = nn.Sequential(*block(inputs, outputs, 3, 2))
        last = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.add = nn.Sequential(*block(outputs, outputs), last, nn.BatchNorm2d(outputs))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        halved = self.halve(maps)
        return nn.functional.relu(halved + self.add(halved))


class ResidualFeatures(nn.Module):
    """The feature network of the second judge: see ``FeatureNetwork`` for what goes in and out."""

    def __init__(self, classes: int, size: Size = Size()) -> None:  # noqa: B008 (an immutable tuple)
        super().__init__()
        self.body = ResidualBody(size)
        self.features = nn.Sequential(nn.Linear(self.body.width, FEATURES), nn.BatchNorm1d(FEATURES), nn.ReLU())
        self.head = nn.Linear(FEATURES, classes)
        self.statistics = ImageStatistics(size.channels)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(self.body(images))
        return torch.cat([features, self.statistics(images)], 1), self.head(features)


class ResidualShape(nn.Module):
    """The shape network of the second judge: see ``ShapeNetwork`` for what goes in and out."""

    def __init__(self, classes: int, size: Size = Size()) -> None:  # noqa: B008 (an immutable tuple)
        super().__init__()
        self.body = ResidualBody(size)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.body.width, classes + 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(images))
        return logits


class StyleNetwork(nn.Module):
    """Looks at patches of 9×9 pixels only, so it sees pixels and edges, and no shapes.

    Images (n, channels, height, width) in [0, 1] -> logits (n, 1) that the pixels are those of the data.
    """

    def __init__(self, size: Size = Size()) -> None:  # noqa: B008 (an immutable tuple)
        super().__init__()
        widths = [size.factor * width for width in (16, 24, 32)]
        self.body = nn.Sequential(*block(size.channels, widths[0]), *block(widths[0], widths[1]), nn.AvgPool2d(2))
        self.patches = nn.Sequential(*block(widths[1], widths[2]))
        self.head = nn.Linear(2 * widths[2], 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.patches(self.body(images))
        # The strongest patch beside the mean one: a single speckle is another style.
        logits: torch.Tensor = self.head(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1))
        return logits


def network(role: str, architecture: str, classes: int, size: Size) -> nn.Module:
    """The network of a role (features, shape, style) in an architecture (plain, residual), with new weights."""
    if role == "style":
        return StyleNetwork(size)
    kind = {
        ("features", "plain"): FeatureNetwork,
        ("shape", "plain"): ShapeNetwork,
        ("features", "residual"): ResidualFeatures,
        ("shape", "residual"): ResidualShape,
    }[role, architecture]
    made: nn.Module = kind(classes, size)
    return made


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


def folded(network: nn.Module) -> nn.Module:
    """The network, in evaluation mode, for inference only: changed in place, the same function up to rounding.

    Every batch normalisation is folded into the layer before it, and ReLU overwrites its input. On one core the three
    networks of the judge of MNIST take .8 of the time.
    """
    for chain in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for place, (layer, norm) in enumerate(itertools.pairwise(list(chain))):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                chain[place], chain[place + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                chain[place], chain[place + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
            elif isinstance(norm, nn.ReLU):
                norm.inplace = True
    return network


def _halved(side: int, times: int) -> int:
    """The length of a side after this number of convolutions with stride 2."""
    for _ in range(times):
        side = -(-side // 2)
    return side

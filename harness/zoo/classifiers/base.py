"""The base class of binary classifiers. The model ``recipe`` trains a new one on the images of each round."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from harness.zoo.registry import Plugin

if TYPE_CHECKING:
    from harness.zoo.compute import Compute
    from harness.zoo.networks.base import Architecture


class Round(NamedTuple):
    """What a classifier is given of the training that it is part of."""

    architecture: Architecture
    """The generator's architecture; its discriminator takes images of the data's shape."""
    channels: int
    """Channels of the images."""
    size: int
    """Real images in a mini-batch, for classifiers that are trained on mini-batches."""
    compute: Compute
    rng: torch.Generator
    """On the device: the source of all its random numbers."""


class Classifier(Plugin, abc.ABC):
    """An untrained classifier. Images are floats (n, channels, height, width) in [-1, 1] on the device.

    Attributes:
        differentiable: whether it has ``logits``, so that the generator can be trained by their gradient.
    """

    differentiable: ClassVar[bool] = False

    def __init__(self, settings: Any, round_: Round) -> None:
        self.settings = settings
        self.round = round_

    @abc.abstractmethod
    def fit(self, real: torch.Tensor, synthetic: torch.Tensor) -> None:
        """Train on these images, equally many of both."""

    @abc.abstractmethod
    def probability(self, images: torch.Tensor) -> torch.Tensor:
        """The probability (n,), float32, in [0, 1], that each image is real."""

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n,), float32, differentiable with respect to the images; above 0 means real."""
        raise NotImplementedError


class SciKit(Classifier):
    """A classifier of scikit-learn: it gets the pixels as a vector, and computes on the CPU.

    Subclasses choose the estimator, which must have ``predict_proba``.
    """

    @abc.abstractmethod
    def estimator(self, n: int, seed: int) -> Any:
        """A new estimator for n images in total; the seed is for its random numbers."""

    def fit(self, real: torch.Tensor, synthetic: torch.Tensor) -> None:
        images = torch.cat([real, synthetic])
        seed = torch.randint(2**31 - 1, (), device=images.device, generator=self.round.rng)
        self.fitted = self.estimator(len(images), int(seed))
        self.fitted.fit(_vectors(images), [1] * len(real) + [0] * len(synthetic))

    def probability(self, images: torch.Tensor) -> torch.Tensor:
        estimated = self.fitted.predict_proba(_vectors(images))
        return torch.as_tensor(estimated[:, 1], dtype=torch.float32, device=images.device)


def _vectors(images: torch.Tensor) -> Any:
    """Images as rows of a NumPy array."""
    return images.flatten(1).float().cpu().numpy()

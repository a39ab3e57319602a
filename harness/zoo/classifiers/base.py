"""What a binary classifier is to the recipe: it is trained once, from scratch, on the images of one round."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from harness.zoo.registry import Plugin

if TYPE_CHECKING:
    from harness.zoo.compute import Compute
    from harness.zoo.networks.base import Architecture


class Round(NamedTuple):
    """What a classifier may know of the training that it is part of."""

    architecture: Architecture
    """The generator's; its discriminator has the shape of the images."""
    channels: int
    size: int
    """Real images in a mini-batch, for what is trained by mini-batches."""
    compute: Compute
    rng: torch.Generator
    """Of the device: where all its random numbers come from."""


class Classifier(Plugin, abc.ABC):
    """One that knows nothing yet. Images are floats (n, channels, height, width) in [-1, 1] on the device.

    Attributes:
        differentiable: whether ``logits`` can be had, so that the generator can be led by their gradient.
    """

    differentiable: ClassVar[bool] = False

    def __init__(self, settings: Any, round_: Round) -> None:
        self.settings = settings
        self.round = round_

    @abc.abstractmethod
    def fit(self, real: torch.Tensor, synthetic: torch.Tensor) -> None:
        """Learn to tell these apart; as many of both."""

    @abc.abstractmethod
    def probability(self, images: torch.Tensor) -> torch.Tensor:
        """How probable it is, (n,), float32, in [0, 1], that each of these images is real."""

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n,) in float32 with gradients by the images: above 0 it holds the image for real."""
        raise NotImplementedError


class SciKit(Classifier):
    """One of scikit-learn's: it sees the pixels as a vector, and computes on the CPU.

    Subclasses say which estimator; it must have ``predict_proba``.
    """

    @abc.abstractmethod
    def estimator(self, n: int, seed: int) -> Any:
        """A fresh one, for n images in all; the seed is for what is random in it."""

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

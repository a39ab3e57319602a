"""The base class of architectures: a generator and a discriminator for certain data shapes."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from harness.zoo.data.base import Shape
from harness.zoo.registry import Choice, Plugin

if TYPE_CHECKING:
    import torch

    from harness.zoo.networks.modules import Discriminator


class Architecture(Plugin, abc.ABC):
    """Builds the two networks of the adversarial game. Creating it builds no network and needs no torch.

    Attributes:
        scores_only: whether its discriminator is any module that gives one logit per image, as a tensor. Then it has no
            features, and tricks that need them are refused.
    """

    scores_only: ClassVar[bool] = False

    def __init__(self, settings: Any, shape: Shape) -> None:
        self.settings = settings
        self.shape = shape

    def guard(self) -> None:
        from harness.zoo.networks import checks

        checks.watch(self)

    @classmethod
    def refusal(cls, settings: Any, shape: Shape) -> str | None:
        """Why it cannot be used for images of this shape, or None if it can."""
        return None

    @classmethod
    def batch_norm(cls, settings: Any) -> frozenset[str]:
        """Which of ``generator`` and ``discriminator`` have batch normalisation with these settings."""
        return frozenset()

    @abc.abstractmethod
    def generator(self, latent: int) -> torch.nn.Module:
        """A network from latents (n, latent) to images (n, channels, height, width).

        The range of images is [-1, 1]; sampling clips values outside it.
        """

    @abc.abstractmethod
    def discriminator(self, channels: int) -> Discriminator:
        """A network from images (n, channels, height, width) to ``Scores``; with ``scores_only`` to n logits.

        ``channels`` is the number of channels of its input, which is larger than the data's if images are packed.
        """


def refusal(choice: Choice[Architecture], shape: Shape) -> str | None:
    """Why the chosen architecture cannot be used for images of this shape, or None if it can."""
    reason = choice.plugin.refusal(choice.settings, shape)
    return f"architecture {choice.name!r}: {reason}" if reason else None


@contextlib.contextmanager
def evaluating(network: torch.nn.Module) -> Iterator[None]:
    """The network is in evaluation mode inside the ``with`` block; then every module gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

"""The interface of the adversarial game that tricks use, and the types that the game passes to them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from harness.zoo.compute import Compute
    from harness.zoo.data.base import Shape
    from harness.zoo.networks.base import Architecture
    from harness.zoo.networks.modules import Discriminator
    from harness.zoo.networks.scores import Scores


class Game(Protocol):
    """The adversarial game. Any two-player model with this interface can be trained with tricks.

    ``harness.zoo.models.gan.GAN`` has it. Such a model sets ``Model.takes_tricks`` and calls the tricks' hooks, in the
    order of ``harness.zoo.tricks.base.Trick``; the output of one trick is the input of the next.
    Every image is in [-1, 1] and has the shape (channels, height, width).
    """

    shape: Shape
    """The shape of the training images."""
    compute: Compute
    """The device and the number format."""
    architecture: Architecture
    """The architecture that built the two networks."""
    generator: torch.nn.Module
    discriminator: Discriminator
    discriminator_optimiser: torch.optim.Optimizer
    """Made after every trick's ``begin`` and ``rates``."""
    rng: torch.Generator
    """The random numbers of training, on the device."""

    @property
    def latent(self) -> int:
        """The number of columns of z. If the generator also gets labels and codes, they are in the columns after z."""

    @property
    def done(self) -> Tensor:
        """The share of the training that is done: a scalar in [0, 1], on the device."""

    def noise(self, n: int, columns: int, rng: torch.Generator) -> Tensor:
        """z from the game's distribution, shape (n, columns)."""

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """n inputs of the generator: z, then labels and codes if there are any."""

    def drawn_from(self, latents: Tensor) -> Drawn:
        """Generate images from these latents (n, d), as in training."""

    def scored(
        self, images: Tensor, labels: Tensor, drawn: Drawn | None = None, *, weights: Mapping[str, Tensor] | None = None
    ) -> Scored:
        """Pass images through ``discriminator_input`` of every trick, to be scored (with these weights, if any)."""

    def discriminator_input(self, images: Tensor) -> Tensor:
        """Images after ``discriminator_input`` of every trick. Random changes are drawn anew at every call."""

    def discriminate(self, images: Tensor, labels: Tensor, weights: Mapping[str, Tensor] | None = None) -> Scores:
        """The scores of images (n, …) by the discriminator, or by one with these weights."""

    def discriminator_loss(self, real: Scored, fake: Scored) -> Tensor:
        """The discriminator's total loss, a scalar: the objective's, and the terms of variant and tricks."""


class Rates(NamedTuple):
    """Learning rates."""

    generator: float
    discriminator: float


class Drawn(NamedTuple):
    """Generated images and their latents."""

    images: Tensor
    latents: Tensor


class Scored:
    """The discriminator's input and its scores, which are computed at their first use.

    Attributes:
        images: after all tricks that change the discriminator's input.
        before: the same images before these tricks.
        labels: the classes (n,) that they show or were requested to show; n is the number before the tricks.
        drawn: for generated images, the output of the generator before the tricks; None for real ones.
    """

    def __init__(
        self,
        game: Game,
        before: Tensor,
        labels: Tensor,
        drawn: Drawn | None = None,
        gradient: bool = True,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._game = game
        self._gradient = gradient
        self._weights = weights
        self.before = before
        self.images = game.discriminator_input(before)
        self.labels = labels
        self.drawn = drawn

    @property
    def reacts(self) -> bool:
        """Whether the discriminator depends on the generator (in unrolling)."""
        return self._weights is not None

    @cached_property
    def scores(self) -> Scores:
        """Logits (n,) in float32 and features (n, d)."""
        import torch  # not at the top: planning imports this file without torch

        with contextlib.nullcontext() if self._gradient else torch.no_grad():
            return self._game.discriminate(self.images, self.labels, self._weights)

    @staticmethod
    def together(one: Scored, other: Scored) -> None:
        """Score both in one pass of the discriminator: half as many operations, each twice as large.

        The scores are those of two passes if the score of an image does not depend on the others in its batch.
        """
        import torch

        images, labels = torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels])
        scores = one._game.discriminate(images, labels, one._weights)
        sizes = [len(one.images), len(other.images)]
        for seen, logits, features in zip(
            (one, other), torch.split(scores.logits, sizes), torch.split(scores.features, sizes), strict=True
        ):
            seen.scores = scores._replace(logits=logits, features=features)

    def critic(self, images: Tensor) -> Tensor:
        """The discriminator's logits for other images with the same labels; gradient penalties differentiate it."""
        return self._game.discriminate(images, self.labels, self._weights).logits

    def whole_critic(self, images: Tensor) -> Tensor:
        """The discriminator's logits for other images that have not passed through the tricks yet."""
        return self.critic(self._game.discriminator_input(images))

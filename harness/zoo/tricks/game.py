"""What a trick may ask of the game that it changes, and what the game hands to it."""

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
    """The adversarial game, as tricks see it: any two-player model that offers this can be trained with them.

    ``harness.zoo.models.gan.GAN`` does. Such a model says so (``Model.takes_tricks``) and asks the tricks' hooks, in
    the order in which ``harness.zoo.tricks.base.Trick`` lists them; each one's output is the input of the next.
    Every image is in [-1, 1] and has the shape (channels, height, width).
    """

    shape: Shape
    """Of the images that are learned from."""
    compute: Compute
    """Where, and in which number format."""
    architecture: Architecture
    """What built the two networks."""
    generator: torch.nn.Module
    discriminator: Discriminator
    discriminator_optimiser: torch.optim.Optimizer
    rng: torch.Generator
    """The random numbers of training, on the device."""

    @property
    def latent(self) -> int:
        """Columns of z; labels and codes, where the generator is given any, stand behind them."""

    @property
    def done(self) -> float:
        """The share of the training that is behind, in [0, 1]."""

    def noise(self, n: int, columns: int, rng: torch.Generator) -> Tensor:
        """z of the game's distribution, shape (n, columns)."""

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """n inputs of the generator: z, and what stands behind it."""

    def drawn_from(self, latents: Tensor) -> Drawn:
        """The generator's images of these latents (n, d), as it is trained on them."""

    def see(
        self, images: Tensor, labels: Tensor, drawn: Drawn | None = None, *, weights: Mapping[str, Tensor] | None = None
    ) -> Seen:
        """Images on their way to the discriminator (with these weights, if any), through every trick."""

    def discriminate(self, images: Tensor, labels: Tensor, weights: Mapping[str, Tensor] | None = None) -> Scores:
        """What the discriminator, or one with these weights, says of images (n, …)."""

    def discriminator_loss(self, real: Seen, fake: Seen) -> Tensor:
        """The discriminator's whole loss, a scalar: the objective's, and what variant and tricks add."""


class Rates(NamedTuple):
    """Learning rates."""

    generator: float
    discriminator: float


class Drawn(NamedTuple):
    """Generated images and the latents that they were made from."""

    images: Tensor
    latents: Tensor


class Seen:
    """Images as the discriminator gets them, and, once asked for, what it says of them.

    Attributes:
        images: after all tricks that change the discriminator's input.
        labels: the classes (n,) that they show or were asked to show; n is that before the tricks.
        drawn: of generated images, what came out of the generator, before the tricks; None for real ones.
    """

    def __init__(
        self,
        game: Game,
        images: Tensor,
        labels: Tensor,
        drawn: Drawn | None = None,
        gradient: bool = True,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._game = game
        self._gradient = gradient
        self._weights = weights
        self.images = images
        self.labels = labels
        self.drawn = drawn

    @property
    def reacts(self) -> bool:
        """Whether the discriminator is one that depends on the generator."""
        return self._weights is not None

    @cached_property
    def scores(self) -> Scores:
        """Logits (n,) in float32 and features (n, d)."""
        import torch  # not at the top: planning reads this file, and needs no torch

        with contextlib.nullcontext() if self._gradient else torch.no_grad():
            return self._game.discriminate(self.images, self.labels, self._weights)

    def critic(self, images: Tensor) -> Tensor:
        """The discriminator's logits for other images with the same labels: what gradient penalties differentiate."""
        return self._game.discriminate(images, self.labels, self._weights).logits

"""What a generative model is to the harness: it builds itself for a data shape, steps, samples, and keeps its state."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.registry import Plugin

if TYPE_CHECKING:
    from harness.zoo.tricks.base import Trick


class Translation(NamedTuple):
    """Images of one domain drawn in another: (n, channels, height, width) in [-1, 1]."""

    source: torch.Tensor
    labels: torch.Tensor
    """The classes (n,) of the source images, int64."""
    translated: torch.Tensor
    back: torch.Tensor
    """Translated back into the source domain."""


class Model(Plugin, abc.ABC):
    """A way of training a generative model.

    Attributes:
        takes_tricks: whether it asks the hooks of ``tricks`` as it trains. It must then be a ``Game``
            (``harness.zoo.tricks.game``). Beside a model that does not, every trick is refused.
        offers: what ``capabilities`` may say beyond the words of ``harness.zoo.capabilities``, each with what it
            promises. A plug-in that offers something new to tricks or metrics of its own states the word here.

    Training draws its random numbers from torch's global state on the CPU and from ``rng`` on the device; both are
    saved with a checkpoint. Networks are initialised from seeds that derive from ``seed`` and the network's role, so
    that arms with the same generator start from the same weights.
    """

    takes_tricks: ClassVar[bool] = False
    offers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        settings: Any,
        shape: Shape,
        training: Labelled,
        steps: int,
        tricks: list[Trick],
        compute: Compute,
        seed: int,
        rng: torch.Generator,
    ) -> None:
        self.settings = settings
        self.shape = shape
        self.training = training
        """The whole training split as stored, on the device. Most models see it by way of ``step``'s batches only."""
        self.steps = steps
        """How many steps the training has, for what changes over its course."""
        self.tricks = tricks
        self.compute = compute
        self.seed = seed
        self.rng = rng

    @classmethod
    def capabilities(cls, settings: Any) -> frozenset[str]:
        """What tricks and metrics may require of the model with these settings.

        Words of ``harness.zoo.capabilities``, which has what each promises, and of ``offers``.
        """
        return frozenset()

    @classmethod
    def refusal(cls, settings: Any, shape: Shape) -> str | None:
        """Why it cannot be trained on images of this shape, or None if it can."""
        return None

    @property
    def batches_per_step(self) -> int:
        """How many mini-batches of real images one step consumes; ``step`` gets them as one."""
        return 1

    @abc.abstractmethod
    def step(self, batch: Labelled) -> dict[str, torch.Tensor]:
        """Train once. The images are floats in [-1, 1] on the device.

        Returns:
            Named scalars (0-d tensors on the device, detached) worth a curve. Nothing here waits for the device.
        """

    @abc.abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """Images (n, channels, height, width) in [-1, 1], drawn with ``rng`` (of the model's device) alone.

        It leaves the networks' modes and every other random state as they were.
        """

    def sample_classes(self, labels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """An image (n, channels, height, width) of each of these classes (n,), as ``sample`` draws them."""
        raise NotImplementedError

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) for real images, floats in [-1, 1]."""
        raise NotImplementedError

    def codes(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, categories) of the model's own, unnamed categories for real images in [-1, 1]."""
        raise NotImplementedError

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Real images in [-1, 1], encoded and decoded again, of the same shape."""
        raise NotImplementedError

    def translate(self, n: int, rng: torch.Generator) -> Translation:
        """n images of the source domain in the target domain, and back."""
        raise NotImplementedError

    def pictures(self, images: torch.Tensor, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """What is worth seeing of the trained model beside samples.

        Args:
            images: real images (64, channels, height, width) in [-1, 1] that it was not trained on.
            rng: of the model's device.

        Returns:
            name -> tiles (rows, columns, channels, height, width) in [-1, 1], each kept as a picture.
        """
        return {}

    @abc.abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights that samples are drawn from, to be published with the run."""

    @abc.abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on exactly as if it had not been interrupted."""

    @abc.abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that ``state_dict`` gave."""


@contextlib.contextmanager
def in_float32(model: Model) -> Iterator[None]:
    """The model computes in float32 for a while, as everything that is measured is."""
    compute = model.compute
    model.compute = dataclasses.replace(compute, dtype=torch.float32)
    try:
        yield
    finally:
        model.compute = compute

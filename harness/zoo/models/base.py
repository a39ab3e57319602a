"""The base class of generative models: a model is built for a data shape, trains in steps, samples, and has a state."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.registry import UNTUNED, Origin, Plugin

if TYPE_CHECKING:
    from harness.zoo.tricks.base import Trick


class Translation(NamedTuple):
    """Images of one domain, translated into another: (n, channels, height, width) in [-1, 1]."""

    source: torch.Tensor
    labels: torch.Tensor
    """The classes (n,) of the source images, int64."""
    translated: torch.Tensor
    back: torch.Tensor
    """The translations, translated back into the source domain."""


class Model(Plugin, abc.ABC):
    """A generative model and its training.

    Attributes:
        takes_tricks: whether it calls the hooks of ``tricks`` in training. It must then be a ``Game``
            (``harness.zoo.tricks.game``). With a model that does not call them, every trick is refused.
        capturable: whether a step can be one graph (``harness.trial.graph``), which takes a fraction of the
            time: all that a step changes is in tensors on the device, it reads no value back from there, and it
            gives the same scalars and shapes at every step. A class says it for itself: it is not inherited.
        rates_from: where the default learning rates come from; presets have their own.
        offers: new capabilities that ``harness.zoo.capabilities`` does not have: name -> what it means. A plug-in that
            offers something new to its own tricks or metrics defines the name here.

    Training takes its random numbers from torch's global state on the CPU and from ``rng`` on the device; both are
    saved in checkpoints. The initial weights of a network come from a seed that is derived from ``seed`` and the
    network's role, so that arms with the same generator start from the same weights.
    """

    takes_tricks: ClassVar[bool] = False
    capturable: ClassVar[bool] = False
    rates_from: ClassVar[Origin] = UNTUNED
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
        """The whole training split as stored, on the device. Most models use only the batches of ``step``."""
        self.steps = steps
        """The number of steps of the training, for schedules."""
        self.tricks = tricks
        self.compute = compute
        self.seed = seed
        self.rng = rng

    @classmethod
    def capabilities(cls, settings: Any) -> frozenset[str]:
        """What the model offers to tricks and metrics with these settings.

        Names of ``harness.zoo.capabilities``, which says what each means, and of ``offers``.
        """
        return frozenset()

    @classmethod
    def refusal(cls, settings: Any, shape: Shape) -> str | None:
        """Why it cannot be trained on images of this shape, or None if it can."""
        return None

    @property
    def batches_per_step(self) -> int:
        """The number of mini-batches of real images per step; ``step`` gets them as one batch."""
        return 1

    @abc.abstractmethod
    def step(self, batch: Labelled) -> dict[str, torch.Tensor]:
        """Do one training step. The images are floats in [-1, 1] on the device.

        Returns:
            Scalars for the curves (0-d tensors on the device, detached), by name. A step must not wait for the device.
        """

    @abc.abstractmethod
    def sample(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """Generate images (n, channels, height, width) in [-1, 1]; all random numbers come from ``rng``.

        ``rng`` is on the model's device. The networks' modes and all other random states do not change.
        """

    def sample_classes(self, labels: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Generate one image for each of these classes (n,), as in ``sample``: (n, channels, height, width)."""
        raise NotImplementedError

    def classify(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) for real images, floats in [-1, 1]."""
        raise NotImplementedError

    def codes(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, categories) of the categories that the model found, for real images in [-1, 1]."""
        raise NotImplementedError

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Real images in [-1, 1], encoded and decoded again, of the same shape."""
        raise NotImplementedError

    def translate(self, n: int, rng: torch.Generator) -> Translation:
        """Translate n images of the source domain into the target domain, and back."""
        raise NotImplementedError

    def pictures(self, images: torch.Tensor, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Pictures of the trained model for the report, besides samples.

        Args:
            images: real images (64, channels, height, width) in [-1, 1] that it was not trained on.
            rng: a generator on the model's device.

        Returns:
            name -> tiles (rows, columns, channels, height, width) in [-1, 1]; each is saved as a picture.
        """
        return {}

    @abc.abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights that generate samples; they are published with the run."""

    @abc.abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The complete state: with it, a resumed training gives the same numbers as an uninterrupted one."""

    @abc.abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned."""


@contextlib.contextmanager
def in_float32(model: Model) -> Iterator[None]:
    """The model computes in float32 inside the ``with`` block, as in every evaluation."""
    compute = model.compute
    model.compute = dataclasses.replace(compute, dtype=torch.float32)
    try:
        yield
    finally:
        model.compute = compute

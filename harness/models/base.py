"""What a generative model is to the harness: it builds itself for a data shape, steps, samples, and keeps its state."""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.data.base import Labelled, Shape
from harness.registry import Plugin

if TYPE_CHECKING:
    import torch

    from harness.tricks.base import Trick


@dataclass(frozen=True)
class Compute:
    """Where and in which precision a model computes."""

    device: torch.device
    dtype: torch.dtype
    """float32, or bfloat16 for mixed precision (parameters stay float32)."""

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which forward passes run."""
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


class Model(Plugin, abc.ABC):
    """A way of training a generative model.

    Training draws its random numbers from torch's global state on the CPU and from ``rng`` on the device; both are
    saved with a checkpoint. Networks are initialised from seeds that derive from ``seed`` and the network's role, so
    that arms with the same generator start from the same weights.
    """

    def __init__(
        self,
        settings: Any,
        shape: Shape,
        tricks: list[Trick],
        compute: Compute,
        seed: int,
        rng: torch.Generator,
    ) -> None:
        self.settings = settings
        self.shape = shape
        self.tricks = tricks
        self.compute = compute
        self.seed = seed
        self.rng = rng

    @classmethod
    def capabilities(cls, settings: Any) -> frozenset[str]:
        """What tricks may require of the model with these settings, for example ``discriminator_features``."""
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

    @abc.abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """The weights that samples are drawn from, to be published with the run."""

    @abc.abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that training needs to go on exactly as if it had not been interrupted."""

    @abc.abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up the state that ``state_dict`` gave."""

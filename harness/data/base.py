"""What a data set is to the harness: labelled images in two fixed splits, known by the digest of their content."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from harness.registry import Plugin

if TYPE_CHECKING:
    import torch

Split = Literal["train", "test"]


class Shape(NamedTuple):
    """The shape of one image, and how many classes its labels name."""

    channels: int
    height: int
    width: int
    classes: int


class Labelled(NamedTuple):
    """Images (n, channels, height, width) and labels (n,), int64.

    A stored image is uint8; a stored point (see ``DataSet.points``) is float32 in [-1, 1], shape (n, 2, 1, 1). What
    a model's step gets is always floats in [-1, 1].
    """

    images: torch.Tensor
    labels: torch.Tensor


class DataSet(Plugin, abc.ABC):
    """A data set. It is made from its settings; making it reads nothing and needs no torch.

    The model trains on ``train``; metrics compare with ``test`` (or with ``train`` where a suite says so).
    """

    judge: ClassVar[str | None] = None
    """The name of the judges that come with the harness and know this data, or None where there are none."""
    points: ClassVar[bool] = False
    """Whether these are points of the plane, kept as floats, and no images."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    @abc.abstractmethod
    def shape(self) -> Shape:
        """The shape of the images."""

    @property
    @abc.abstractmethod
    def sizes(self) -> dict[Split, int]:
        """How many images each split holds."""

    @abc.abstractmethod
    def digest(self) -> str:
        """SHA-256 (hex) of what the data is: equal digests, equal tensors. Part of every trial's key."""

    @abc.abstractmethod
    def load(self, split: Split) -> Labelled:
        """The images and labels of a split, on the CPU, in a fixed order.

        Raises:
            HarnessError: the files are missing or do not have the digest that they should have.
        """

    def present(self) -> bool:
        """Whether it can be loaded without a network."""
        return True

    def fetch(self) -> str:
        """Bring the data to this machine if it is not there yet, and verify it; say in a sentence where it lies.

        Raises:
            HarnessError: it can be had neither here nor from the network; the message says what to do.
        """
        self.load("train")
        return f"{self.name}: comes with the harness, nothing to fetch"

"""The base class of data sets: labelled images in two fixed splits, identified by the digest of their content."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator

from harness.base import digests
from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.registry import Plugin

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Split = Literal["train", "test"]


class Shape(NamedTuple):
    """The shape of one image, and the number of classes."""

    channels: int
    height: int
    width: int
    classes: int


class Labelled(NamedTuple):
    """Images (n, channels, height, width) and labels (n,), int64.

    A stored image is uint8; a stored point (see ``DataSet.points``) is float32 in [-1, 1], shape (n, 2, 1, 1). The
    step of a model always gets floats in [-1, 1].
    """

    images: torch.Tensor
    labels: torch.Tensor


class DataSettings(registry.Settings):
    """Settings of every data set: they choose a part of it."""

    classes: tuple[int, ...] | None = Field(
        None, min_length=1, description="numbers of the classes to keep (the numbers do not change); null: all"
    )
    limit: int | None = Field(
        None, ge=1, description="most training images, spread evenly over the classes; the test split stays whole"
    )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if classes is not None and len(set(classes)) < len(classes):
            raise ValueError("a class is listed twice")
        return None if classes is None else tuple(sorted(classes))


class DataSet(Plugin, abc.ABC):
    """A data set. Creating it from its settings reads nothing and needs no torch.

    The model trains on ``train``; metrics compare with ``test`` (or with ``train`` if the suite says so). A subclass
    returns the ``whole`` of a split; this class chooses the part that the settings ask for.
    """

    Settings: ClassVar[type[registry.Settings]] = DataSettings
    judge: ClassVar[str | None] = None
    """The name of the judge for this data that comes with the harness, or None if there is none."""
    points: ClassVar[bool] = False
    """Whether the data are points of the plane, stored as floats, instead of images."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    @abc.abstractmethod
    def shape(self) -> Shape:
        """The shape of the images, and the number of all classes, including those that the settings leave out."""

    @abc.abstractmethod
    def whole_digest(self) -> str:
        """SHA-256 (hex) of the data with default settings."""

    @abc.abstractmethod
    def whole(self, split: Split) -> Labelled:
        """All images and labels of a split, on the CPU, in a fixed order.

        Raises:
            HarnessError: the files are missing or have another digest than expected.
        """

    def refusal(self) -> str | None:
        """Why the settings do not fit this data, or None if they do."""
        unknown = [label for label in self.settings.classes or () if not 0 <= label < self.shape.classes]
        if unknown:
            return f"it has the classes 0 to {self.shape.classes - 1}, not {unknown[0]}"
        return None

    def digest(self) -> str:
        """SHA-256 (hex) of the data with these settings: equal digests mean equal tensors. Part of every key."""
        changed = self.settings.model_dump(mode="json", exclude_defaults=True)
        if not changed:
            return self.whole_digest()
        return digests.of_value([self.whole_digest(), changed])

    def load(self, split: Split) -> Labelled:
        """The images and labels of a split that the settings ask for, on the CPU, in a fixed order.

        Raises:
            HarnessError: the files are missing or have another digest than expected, or no image is left.
        """
        whole = self.whole(split)
        classes, limit = self.settings.classes, self.settings.limit if split == "train" else None
        if classes is None and limit is None:
            return whole
        chosen = _part(whole.labels.numpy(), classes, limit)
        if not len(chosen):
            raise HarnessError(f"{self.name}: no image of the {split} split is of the classes {list(classes or ())}")
        return Labelled(whole.images[chosen], whole.labels[chosen])

    def present(self) -> bool:
        """Whether it can be loaded without a network."""
        return True

    def fetch(self) -> str:
        """Download the data if it is not on this machine, and verify it; returns a sentence that says where it is.

        Raises:
            HarnessError: it is not here and cannot be downloaded; the message says what to do.
        """
        self.load("train")
        return f"{self.name}: comes with the harness, nothing to fetch"


def _part(labels: NDArray[np.int64], classes: tuple[int, ...] | None, limit: int | None) -> NDArray[np.int64]:
    """The positions, in order, of the images of these classes: at most ``limit``, at random, evenly over classes."""
    import numpy as np

    kept = np.arange(len(labels)) if classes is None else np.flatnonzero(np.isin(labels, classes))
    if limit is None or limit >= len(kept):
        return kept
    order = np.random.Generator(np.random.PCG64(0)).permutation(kept)
    turn = np.zeros(len(order), dtype=np.int64)  # how many images of the same class come earlier in this order
    for label in np.unique(labels[kept]):
        own = labels[order] == label
        turn[own] = np.arange(own.sum())
    return np.sort(order[np.argsort(turn, kind="stable")[:limit]])

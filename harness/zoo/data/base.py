"""The base class of data sets: labelled images in two fixed splits, identified by the digest of their content."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.validation import nearest, shown
from harness.zoo import registry
from harness.zoo.registry import Plugin

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
CLASSES_NAMED = 10
"""The largest number of classes that a message names."""


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


def _number_or_name(value: Any) -> int | str:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise PydanticCustomError(
            "class", "{text}", {"text": f"expected the number or name of a class, got {shown(value)}"}
        )
    return value


class DataSettings(registry.Settings):
    """Settings of every data set: they choose a part of it."""

    classes: tuple[Annotated[int | str, BeforeValidator(_number_or_name)], ...] | None = Field(
        None, min_length=1, description="numbers or names of the classes to keep (numbers do not change); null: all"
    )
    limit: int | None = Field(
        None, ge=1, description="most training images, spread evenly over the classes; the test split stays whole"
    )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[int | str, ...] | None) -> tuple[int | str, ...] | None:
        if classes is None:
            return None
        if len(set(classes)) < len(classes):
            raise ValueError("a class is listed twice")
        numbers = sorted(each for each in classes if isinstance(each, int))
        return *numbers, *sorted(each for each in classes if isinstance(each, str))


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

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class, by its number. Without names of their own, classes are called by their numbers."""
        return tuple(str(number) for number in range(self.shape.classes))

    @property
    def kept(self) -> tuple[int, ...] | None:
        """The numbers of the classes that the settings keep, sorted; None: all.

        Raises:
            HarnessError: a class is unknown, or its number is the name of another class.
        """
        wanted: tuple[int | str, ...] | None = self.settings.classes
        if wanted is None:
            return None
        return tuple(sorted(self._number(each) for each in wanted))

    def _number(self, wanted: int | str) -> int:
        """The number of the class with this number or name."""
        names = self.class_names
        if isinstance(wanted, str):
            if wanted not in names:
                some = ", ".join(names[:CLASSES_NAMED]) + ", …" * (len(names) > CLASSES_NAMED)
                raise HarnessError(f"it has no class {wanted!r}{nearest(wanted, list(names))} (classes: {some})")
            return names.index(wanted)
        # A folder 10 may have the number 2 if no folder 2 to 9 is there.
        called = next((number for number, name in enumerate(names) if name.isdecimal() and int(name) == wanted), wanted)
        if called != wanted:
            other = f", which is called {names[wanted]!r}" if wanted in range(len(names)) else ""
            raise HarnessError(
                f"{wanted} could mean the class called {names[called]!r}, or the class number {wanted}{other}: write "
                f"its name in quotes, as in classes: [{names[called]!r}]"
            )
        if wanted not in range(len(names)):
            raise HarnessError(f"it has the classes 0 to {len(names) - 1}, not {wanted}")
        return wanted

    def refusal(self) -> str | None:
        """Why the settings do not fit this data, or None if they do."""
        try:
            kept = self.kept or ()
        except HarnessError as error:
            return str(error)
        twice = next((number for number in kept if kept.count(number) > 1), None)
        return None if twice is None else f"the class {self.class_names[twice]!r} is listed twice"

    def digest(self) -> str:
        """SHA-256 (hex) of the data with these settings: equal digests mean equal tensors. Part of every key."""
        changed = self.settings.model_dump(mode="json", exclude_defaults=True)
        if not changed:
            return self.whole_digest()
        if self.kept is not None:  # a class by its name is the same part as by its number
            changed["classes"] = list(self.kept)
        return digests.of_value([self.whole_digest(), changed])

    def load(self, split: Split) -> Labelled:
        """The images and labels of a split that the settings ask for, on the CPU, in a fixed order.

        Raises:
            HarnessError: the files are missing or have another digest than expected, or no image is left.
        """
        whole = self.whole(split)
        classes, limit = self.kept, self.settings.limit if split == "train" else None
        if classes is None and limit is None:
            return whole
        chosen = _part(whole.labels.numpy(), classes, limit)
        if not len(chosen):
            names = [self.class_names[number] for number in classes or ()]
            raise HarnessError(f"{self.name}: no image of the {split} split is of the classes {', '.join(names)}")
        return Labelled(whole.images[chosen], whole.labels[chosen])

    def present(self) -> bool:
        """Whether it can be loaded without a network."""
        return True

    def sources(self) -> dict[str, Path]:
        """The files that it reads, by the places below the cache folder where another machine finds them.

        That machine has no HARNESS_DATA, or has the cache folder as such. Empty if the data set needs no files, if they
        are not here, or if every machine must have them in a place of its own.
        """
        return {}

    def fetch(self) -> str:
        """Download the data if it is not on this machine, and verify it; returns a sentence that says where it is.

        Raises:
            HarnessError: it is not here and cannot be downloaded; the message says what to do.
        """
        for split in SPLITS:
            self.load(split)
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

"""Stacked MNIST: three digits as the three channels of one image, which makes 1000 modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from harness.base import digests
from harness.zoo import registry
from harness.zoo.data.base import DataSet, DataSettings, Labelled, Shape, Split

if TYPE_CHECKING:
    from pathlib import Path

    from harness.zoo.registry import Choice

SEEDS: dict[Split, int] = {"train": 0, "test": 1}


class StackedSettings(DataSettings):
    """The source of the digits, and the numbers of images."""

    source: Literal["mnist", "digits"] = Field("mnist", description="the data set of the digits")
    train: int = Field(60_000, ge=1000, le=1_000_000, description="images of the training split")
    test: int = Field(10_000, ge=1000, le=1_000_000, description="images of the test split")


class StackedMnist(DataSet):
    """Every channel has a random digit from the source's split; the label is 100 r + 10 g + b."""

    name = "stacked_mnist"
    summary = "three digits as the channels of one image: 1000 modes, 3×28×28"
    paper = "Srivastava et al. 2017, section 4.2; Metz et al. 2017, section 3.3.2"
    Settings = StackedSettings
    settings: StackedSettings
    judge = "mnist"

    @property
    def shape(self) -> Shape:
        return Shape(channels=3, height=28, width=28, classes=1000)

    @property
    def source(self) -> DataSet:
        """The data set of the digits."""
        source: Choice[DataSet] = registry.choose("data", self.settings.source)
        return source.make()

    def whole_digest(self) -> str:
        return digests.of_text(f"stacked {self.source.digest()}")

    def whole(self, split: Split) -> Labelled:
        import numpy as np

        images, labels = self.source.load(split)
        n = self.settings.train if split == "train" else self.settings.test
        rng = np.random.Generator(np.random.PCG64(SEEDS[split]))
        chosen = torch.tensor(rng.integers(len(labels), size=(n, 3)))
        hundreds, tens, ones = labels[chosen].unbind(1)
        return Labelled(images[chosen].squeeze(2), 100 * hundreds + 10 * tens + ones)

    def present(self) -> bool:
        return self.source.present()

    def sources(self) -> dict[str, Path]:
        return _sources(self.source)

    def fetch(self) -> str:
        return f"{self.name}: made of {self.source.fetch()}"


def _sources(digits: DataSet) -> dict[str, Path]:
    # Not in the method: what it calls there by its own name would count as part of the trial's code.
    return digits.sources()

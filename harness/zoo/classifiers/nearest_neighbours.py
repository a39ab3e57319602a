"""k nearest neighbours by Euclidean distance; the probability is the share of real images among them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.zoo import registry
from harness.zoo.classifiers.base import SciKit


class NeighboursSettings(registry.Settings):
    """The number of neighbours."""

    neighbours: int = Field(15, ge=1, le=10_000, description="neighbours; odd, so that there are no ties")


class NearestNeighbours(SciKit):
    """scikit-learn's k-nearest-neighbours classifier; fewer neighbours if there are not enough images."""

    name = "nearest_neighbours"
    summary = "the vote of the 15 nearest images (scikit-learn)"
    paper = "Fix and Hodges 1951"
    Settings = NeighboursSettings
    settings: NeighboursSettings

    def estimator(self, n: int, seed: int) -> Any:
        from sklearn.neighbors import KNeighborsClassifier

        return KNeighborsClassifier(min(self.settings.neighbours, n - 1))  # n - 1 is odd, too

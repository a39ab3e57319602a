"""A random forest on the pixels (Breiman 2001)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.zoo import registry
from harness.zoo.classifiers.base import SciKit


class ForestSettings(registry.Settings):
    """Size of the forest."""

    trees: int = Field(50, ge=1, le=10_000, description="number of trees")
    leaf: int = Field(2, ge=1, le=100_000, description="least number of images in a leaf")


class RandomForest(SciKit):
    """scikit-learn's random forest; the probability is the mean over its trees."""

    name = "random_forest"
    summary = "50 trees on the pixels (scikit-learn)"
    paper = "Breiman 2001"
    Settings = ForestSettings
    settings: ForestSettings

    def estimator(self, n: int, seed: int) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(self.settings.trees, min_samples_leaf=self.settings.leaf, random_state=seed)

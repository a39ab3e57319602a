"""Logistic regression on the pixels: what it cannot part by a hyperplane it does not see."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.zoo import registry
from harness.zoo.classifiers.base import SciKit


class LogisticSettings(registry.Settings):
    """How it is fitted."""

    iterations: int = Field(200, ge=1, le=100_000, description="iterations of the solver at most")


class LogisticRegression(SciKit):
    """scikit-learn's, with its penalty of 1."""

    name = "logistic_regression"
    summary = "linear in the pixels (scikit-learn)"
    Settings = LogisticSettings
    settings: LogisticSettings

    def estimator(self, n: int, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression as Estimator

        return Estimator(max_iter=self.settings.iterations)

"""Logistic regression on the pixels: it detects only differences that a hyperplane separates."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.zoo import registry
from harness.zoo.classifiers.base import SciKit


class LogisticSettings(registry.Settings):
    """Settings of the solver."""

    iterations: int = Field(200, ge=1, le=100_000, description="largest number of iterations of the solver")


class LogisticRegression(SciKit):
    """scikit-learn's logistic regression, with its default penalty of 1."""

    name = "logistic_regression"
    summary = "linear in the pixels (scikit-learn)"
    Settings = LogisticSettings
    settings: LogisticSettings

    def estimator(self, n: int, seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression as Estimator

        return Estimator(max_iter=self.settings.iterations)

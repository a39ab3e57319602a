"""Gaussian naive Bayes: a generative classifier, which models each kind of image and compares their densities.

Real and synthetic images each get a normal distribution with independent pixels, N(μ, σ²) with a mean and a variance
for every pixel; Bayes' rule turns the two densities into a probability. What moves neither mean nor variance of a pixel
it cannot see (Ng and Jordan 2002 compare it with logistic regression, its discriminative counterpart).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from harness.zoo import registry
from harness.zoo.classifiers.base import SciKit


class BayesSettings(registry.Settings):
    """Smoothing of the variances."""

    smoothing: float = Field(
        1e-9, ge=0, le=10, description="share of the largest variance of a pixel that is added to all variances"
    )


class GaussianNaiveBayes(SciKit):
    """scikit-learn's Gaussian naive Bayes; both kinds are equally likely beforehand."""

    name = "gaussian_naive_bayes"
    summary = "generative: independent normal pixels for real and for synthetic images (scikit-learn)"
    paper = "Ng and Jordan 2002"
    Settings = BayesSettings
    settings: BayesSettings

    def estimator(self, n: int, seed: int) -> Any:
        from sklearn.naive_bayes import GaussianNB

        return GaussianNB(var_smoothing=self.settings.smoothing)

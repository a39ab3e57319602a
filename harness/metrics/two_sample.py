"""Classifier two-sample test: can a classifier that never saw these images tell samples from real ones?

Samples and real images are used in equal numbers. Half of each train a classifier, the other half test it. If both
come from the same distribution, its accuracy on the n test images is distributed as N(1/2, 1/(4 n)): 95 % of the
values lie within .5 ± .98/√n (.5 ± .0098 for 10 000 samples against 10 000 real images). The p-value is the probability
of an accuracy at least as high if the distributions are equal.

The classifier is the paper's: one hidden layer of 20 ReLU units, Adam, at most 100 epochs. Its inputs are standardised
features (of the judge or of Inception; for points, the coordinates). A logistic regression would not be enough: it
cannot see a ring that lost opposite modes, because the means stay the same.

A judge's features differ on the images that it was trained on: MNIST's training images against its test images score
.55, not .5, with the judge of MNIST. Compare values with the floor, the value for real images.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Value
from harness.metrics.fidelity import OfFeatures

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference

SEED = 2017
HIDDEN = 20
EPOCHS = 100
RATE = 0.01
"""Learning rate: with the usual .001, 100 epochs of a thousand images are too few to learn anything."""


class TwoSample(OfFeatures):
    """Test accuracy of a classifier that is trained to tell samples from real images."""

    name = "two_sample"
    summary = "accuracy of a small classifier that tells samples from real images (.5: it cannot), and its p-value"
    paper = "Lopez-Paz and Oquab 2017, section 3"
    values = {
        "two_sample_accuracy": Value(
            "Two-sample accuracy",
            "lower",
            "How often a classifier can tell samples from real images. 0.5 is good: it can only guess; 1: it "
            "always knows.",
            3,
            most=1,
            target=0.5,
        ),
        "two_sample_p": Value(
            "Two-sample p",
            "higher",
            "Chance of such an accuracy if samples and real images were alike. A high value is good; below "
            "0.05, they differ.",
            3,
            least=0,
            scale="share",
        ),
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        train, test = halves(samples.features, reference.features)
        right = told_apart(train, test)
        return {"two_sample_accuracy": right, "two_sample_p": p_value(right, len(test[1]))}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        smaller = min(len(samples), len(reference))
        tested = 2 * (smaller - smaller // 2)
        half_width = round(1.96 / (2 * math.sqrt(tested)), 4)
        return {"tested": tested, "null_interval": [0.5 - half_width, 0.5 + half_width], "hidden": HIDDEN}


def halves(samples: Tensor, real: Tensor) -> list[tuple[Tensor, Tensor]]:
    """A training and a test half: features (n, d) and whether they are real (n,), both kinds in equal numbers."""
    rng = torch.Generator().manual_seed(SEED)
    smaller = min(len(samples), len(real))
    parts: list[list[Tensor]] = [[], []]
    for features in (samples, real):
        drawn = features[torch.randperm(len(features), generator=rng)[:smaller]].double()
        for part, half in zip(parts, (drawn[: smaller // 2], drawn[smaller // 2 :]), strict=True):
            part.append(half)
    return [(torch.cat(part), torch.arange(2).repeat_interleave(len(part[0]))) for part in parts]


def told_apart(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> float:
    """Train the classifier on ``train``; its accuracy on ``test``."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    features, real = train
    mean, spread = features.mean(0), features.std(0, correction=0).clamp(min=1e-8)
    classifier = MLPClassifier((HIDDEN,), max_iter=EPOCHS, learning_rate_init=RATE, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(((features - mean) / spread).numpy(), real.numpy())
    return float(classifier.score(((test[0] - mean) / spread).numpy(), test[1].numpy()))


def p_value(accuracy: float, n: int) -> float:
    """P(at least this accuracy) under N(1/2, 1/(4 n))."""
    return 0.5 * math.erfc((accuracy - 0.5) * 2 * math.sqrt(n) / math.sqrt(2))

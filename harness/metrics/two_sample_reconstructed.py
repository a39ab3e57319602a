"""Two-sample test of samples against reconstructions of real images: a discriminator that does not look for blur.

A VAE draws blurred images, and a classifier that compares them with real ones needs to see nothing else. Here both
sides are drawn by the same decoder: from codes of the prior (the samples), and from the codes of held-out real images.
What still tells them apart is what the samples show. The classifier is that of ``harness.metrics.two_sample``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.metrics.images import Images
from harness.metrics.two_sample import HIDDEN, halves, told_apart
from harness.zoo.data.pixels import from_uint8, to_uint8

if TYPE_CHECKING:
    from harness.metrics.images import Reference

AT_ONCE = 500
"""Images that the model is given at once."""


class TwoSampleReconstructed(Metric):
    """Test accuracy of a classifier that is trained to tell samples from reconstructions of the reference."""

    name = "two_sample_reconstructed"
    summary = "accuracy of a small classifier that tells samples from reconstructions of real images (.5: it cannot)"
    paper = "Lopez-Paz and Oquab 2017, section 3; against reconstructions: none"
    requires = frozenset({"reconstruction"})
    values = {
        "reconstructed_accuracy": Value(
            "Accuracy against reconstructions",
            "lower",
            "How often a classifier can tell samples from real images that the same model has encoded and drawn again, "
            "so that blur is on both sides. 0.5 is good: it can only guess; 1: it always knows.",
            3,
            most=1,
            target=0.5,
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        n = min(len(samples), len(reference))
        parts = torch.split(reference.pixels[:n], AT_ONCE)
        drawn = torch.cat([to_uint8(model.reconstruct(from_uint8(part))) for part in parts])
        reconstructed = Images(drawn, samples.extractor, None)
        train, test = halves(samples.features, reconstructed.features)
        return {"reconstructed_accuracy": told_apart(train, test)}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        smaller = min(len(samples), len(reference))
        return {"tested": 2 * (smaller - smaller // 2), "hidden": HIDDEN}

"""Reconstruction error: how well a model encodes and decodes images that it was not trained on.

    mean over images and pixels of (x − x̂)²,  intensities from 0 (black) to 1 (white)

It says nothing about samples: a model that reproduces every pixel may still generate noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.metrics.base import Metric, Value
from harness.zoo.data.pixels import from_uint8

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference

MOST = 10_000
"""The largest number of images; the first images of the reference are used."""
AT_ONCE = 500


class Reconstruction(Metric):
    """Mean squared error of encoding and decoding the reference."""

    name = "reconstruction"
    summary = "mean squared error of reference images encoded and decoded again"
    paper = "Hinton and Salakhutdinov 2006 (squared error on test images)"
    requires = frozenset({"reconstruction"})
    uses_features = False
    values = {
        "reconstruction_mse": Value(
            "Reconstruction MSE",
            "lower",
            "Squared error of a pixel, intensities in [0, 1], after an image was encoded and drawn again. 0 "
            "is perfect.",
            4,
            least=0,
            most=1,
            scale="ratio",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model = samples.model
        assert model is not None, "it is computed for models only"
        total, pixels = 0.0, reference.pixels[:MOST]
        for part in pixels.split(AT_ONCE):  # type: ignore[no-untyped-call]
            images = from_uint8(part)
            total += squared_error(images, model.reconstruct(images))
        return {"reconstruction_mse": total / pixels.numel()}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"reconstructed": min(MOST, len(reference))}


def squared_error(images: Tensor, reconstructed: Tensor) -> float:
    """The sum of squares over all pixels of images in [-1, 1], in units of [0, 1]."""
    return float(((images - reconstructed).double() / 2).square().sum())

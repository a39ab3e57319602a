"""Sharpness: detects blur, as squared-error losses cause it, from pixels only.

The image, channels averaged, in [0, 1], is convolved with the Laplace filter

     0  1  0
     1 −4  1        (without padding)
     0  1  0

and the variance of the response over the image is its sharpness; blur makes the response smaller. The value is the
mean over the samples divided by the mean over the reference: 1 is as sharp as real images, below 1 is blurrier. It
does not measure quality: noise has a stronger response than any image, so a value well above 1 means noise or ragged
edges. It also depends on the content: ones, with little ink, have .66 of the mean of all digits, so read it beside the
histogram of classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.metrics.base import Metric, Value

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

BATCH = 2000


class Sharpness(Metric):
    """Variance of the Laplace filter's response, samples / reference."""

    name = "sharpness"
    summary = "variance of the Laplace filter's response, samples / reference (below 1: blurrier than real)"
    paper = "Tolstikhin et al. 2018 (Wasserstein auto-encoders), sharpness of samples"
    uses_features = False
    values = {
        "sharpness": Value(
            "Sharpness",
            "higher",
            "How sharp the samples are, compared with real images. 1: equally sharp; below 1: blurred; above "
            "1: noise or hard edges.",
            3,
            least=0,
            target=1.0,
        )
    }
    noise_is_not_worse = {"sharpness": "the Laplace filter responds to noise more strongly than to any image"}

    @classmethod
    def refusal(cls, settings: object, data: DataSet) -> str | None:
        if data.points:
            return "it is made for images"
        small = min(data.shape.height, data.shape.width) < 4
        return "its 3×3 filter needs images of 4 × 4 pixels at least" if small else None

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        real = response(reference.pixels)
        # If every reference image has a single colour, no sample can be blurrier: the value is 1.
        return {"sharpness": response(samples.pixels) / real if real > 0 else 1.0}


def response(pixels: Tensor) -> float:
    """The mean over uint8 images (n, c, h, w) of the variance of the Laplace filter's response."""
    total = 0.0
    for batch in torch.split(pixels, BATCH):
        grey = batch.float().mean(1) / 255
        middle = grey[:, 1:-1, 1:-1]
        around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        total += float((around - 4 * middle).flatten(1).var(1, correction=0).double().sum())
    return total / len(pixels)

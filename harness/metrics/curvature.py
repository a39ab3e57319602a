"""Curvature of the 1s among the samples, compared with real 1s.

A 1 is a stroke from top to bottom. Its centre line is the centre of mass x̄(y) of the ink I of each row y, with the
weight w(y) = Σₓ I(x, y). The line a + b y that fits it best, by least squares with these weights, is a straight 1 of
any slant. The curvature of an image is how far the centre line is from that line, in pixels:

    √( Σ_y w(y) (x̄(y) − a − b y)² / Σ_y w(y) )

The value is the mean over the samples that the judge takes for a 1, divided by the mean over those real images. It
looks at no other class, and says nothing about how good the 1s are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

ONE = 1


class Curvature(Metric):
    """Mean distance of the centre line of the 1s from a straight line, samples / reference."""

    name = "curvature"
    summary = "how curved the samples' 1s are, compared with real 1s"
    paper = "none: the residual of a straight line, fitted to the centre of mass of each row"
    needs_judge = True
    uses_features = False
    values = {
        "curvature": Value(
            "Curvature of 1s",
            "lower",
            "How curved the 1s among the samples are, compared with real 1s. 1: equally; 2: twice as curved. 0 without "
            "any 1.",
            least=0,
            target=1.0,
        )
    }
    noise_is_not_worse = {"curvature": "noise has no 1s: its value is 0, as far from 1 as that of very curved ones"}

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        digits = data.judge == "mnist" and data.shape.channels == 1
        kept = data.kept
        return None if digits and (kept is None or ONE in kept) else "it is made for digits with a 1 among them"

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        real, found = (bows(images.pixels[_ones(images)]) for images in (reference, samples))
        return {"curvature": float(found.mean() / real.mean()) if len(found) else 0.0}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        judge = samples.judge
        assert judge is not None
        return {"judge": judge.name, "judge_hash": judge.digest[:16]}


def _ones(images: Images) -> Tensor:
    """Which images (n,) the judge takes for a 1, whatever their quality; on the device of the images."""
    return (images.probabilities.argmax(1) == ONE).to(images.pixels.device)


def bows(pixels: Tensor) -> Tensor:
    """The curvature (n,) of uint8 images (n, 1, h, w), float64, in pixels; of an image without ink 0."""
    ink = pixels[:, 0].double() / 255
    height, width = ink.shape[1:]
    rows, columns = (torch.arange(size, dtype=torch.float64, device=ink.device) for size in (height, width))
    weight = ink.sum(2)
    line = (ink * columns).sum(2) / weight.clamp(min=1e-12)
    share = weight / weight.sum(1, keepdim=True).clamp(min=1e-12)

    def centred(values: Tensor) -> Tensor:
        return values - (share * values).sum(1, keepdim=True)

    across, down = centred(line), centred(rows.expand_as(line))
    slope = (share * across * down).sum(1) / (share * down.square()).sum(1).clamp(min=1e-12)
    return (share * (across - slope[:, None] * down).square()).sum(1).sqrt()

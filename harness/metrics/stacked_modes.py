"""Modes of Stacked-MNIST: three digits as the channels of an image, 10 × 10 × 10 modes.

This is the literature's protocol, for comparison: each channel is classified separately (argmax, no threshold), a mode
with one sample is covered, and the KL divergence is from the modes of the samples to the uniform distribution over all
1000, in nats. It uses 26 000 samples (``evaluate.samples``).

A perfect sampler does not score 0: at 26 000 samples the KL of uniform draws is .0191 ± .0009, about 999 / (2 n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.metrics.coverage import divergence

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

DIGITS = 10
MODES = DIGITS**3


class StackedModes(Metric):
    """Modes that hold a sample, and KL(samples' modes ‖ uniform)."""

    name = "stacked_modes"
    summary = "modes of 1000 that Stacked-MNIST samples cover (argmax per channel), and their KL to uniform"
    paper = "Metz et al. 2017 (unrolled GAN); Lin et al. 2018 (PacGAN), table 2"
    needs_judge = True
    uses_features = False
    values = {
        "stacked_modes": Value(
            "Modes of 1000",
            "higher",
            "The combinations of three digits, of 1000, that at least one sample shows. 1000 is good; fewer "
            "is mode collapse.",
            1,
            least=1,
            most="classes",
            counts_classes=True,
        ),
        "stacked_kl": Value(
            "KL to uniform",
            "lower",
            "How unevenly the samples are spread over the 1000 combinations, in nats. 0: evenly.",
            3,
            least=0,
            scale="ratio",
            grain=1e-3,
        ),
    }

    @classmethod
    def refusal(cls, settings: object, data: DataSet) -> str | None:
        stacked = not data.points and data.shape.channels == 3 and data.shape.classes == MODES
        return None if stacked else "it needs three digits stacked as channels, 1000 classes (stacked_mnist)"

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        # The judge of stacked data classifies all three channels; ``single`` is the judge of one.
        judge: Any = getattr(samples.judge, "single", samples.judge)
        digits = torch.stack([_digits(judge, samples.pixels[:, [channel]]) for channel in range(3)], 1)
        return scores(modes(digits))

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {"judge": samples.judge.name, "judge_hash": samples.judge.digest[:16], "threshold": None}


def modes(digits: Tensor) -> Tensor:
    """How many of the digit triples (n, 3) fall on each of the 1000 modes, (1000,), float64."""
    place = torch.tensor([DIGITS**2, DIGITS, 1])
    return torch.bincount((digits * place).sum(1), minlength=MODES).double()


def scores(counts: Tensor) -> dict[str, float]:
    """Covered modes and KL to uniform, from the counts (modes,) of at least one sample."""
    return {
        "stacked_modes": float((counts > 0).sum()),
        "stacked_kl": divergence(counts / counts.sum(), torch.full_like(counts, 1 / len(counts))),
    }


def _digits(judge: Any, pixels: Tensor) -> Tensor:
    probabilities: Tensor = judge.assess(pixels)[0]
    return probabilities.argmax(1).cpu()

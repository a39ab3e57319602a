"""How far the discriminator is from ½, its value at the saddle point of the game.

Goodfellow et al. 2014, section 4.1: the optimal discriminator is D*(x) = p_data(x) / (p_data(x) + p_g(x)); the game has
its only optimum at p_g = p_data, and there D*(x) = ½ wherever there are real or generated images. The metric is

    E over ½ (p_data + p_g) of |D(x) − ½|,  in [0, ½]

It says whether the game has come to rest, and nothing about samples by itself: a discriminator that learned nothing is
at ½ as well. Read it beside a metric of the samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.zoo.data.pixels import as_floats

if TYPE_CHECKING:
    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

AT_ONCE = 500
"""Images that the discriminator is given at once."""


class Saddle(Metric):
    """Mean distance of D to ½ on as many real as generated images."""

    name = "saddle"
    summary = "mean |D − ½| on real and generated images: 0 at the saddle point of the game"
    paper = "Goodfellow et al. 2014, section 4.1 and figure 1 (d)"
    requires = frozenset({"probability"})
    uses_features = False
    values = {
        "saddle_distance": Value(
            "|D − ½|",
            "lower",
            "Mean distance of the discriminator D from ½ on real and generated images. 0: it cannot tell them apart; "
            "0.5: it is certain of each. A discriminator that learned nothing is at 0, too.",
            3,
            least=0,
            most=0.5,
            scale="ratio",
            grain=1e-3,
        )
    }

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        return None

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        n = min(len(samples), len(reference))
        images = torch.cat([reference.pixels[:n], samples.pixels[:n]])
        parts = [model.probability(as_floats(part)) for part in torch.split(images, AT_ONCE)]
        return {"saddle_distance": float((torch.cat(parts).double() - 0.5).abs().mean())}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"of_each": min(len(samples), len(reference))}

"""Log-likelihood of held-out images, as a model with a likelihood states it.

Images of the reference are made binary once, each pixel white with a probability of its grey level (Salakhutdinov and
Murray 2008, section 5), so that the model's probability is one of images. The value is the mean over images of the
model's lower bound of log p(x), in nats an image, with K = 64 draws of the code.

It says whether real images are likely for the model. It does not say whether the model's own images are real: a model
that draws p(x) in half of its samples, and anything in the other half, loses no more than log 2 = .69 nats (Theis et
al. 2016, section 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference

MOST = 2000
"""The largest number of images; the first images of the reference are used."""
DRAWS = 64
AT_ONCE = 100
"""Images that the model is given at once."""
SEED = 2016


class Likelihood(Metric):
    """Mean over held-out images of the model's bound of log p(x)."""

    name = "likelihood"
    summary = "log-likelihood of held-out binary images, in nats an image (importance-weighted bound)"
    paper = "Burda et al. 2016, equation 8; Salakhutdinov and Murray 2008, section 5 (binary images)"
    requires = frozenset({"likelihood"})
    uses_features = False
    values = {
        "log_likelihood": Value(
            "Log-likelihood",
            "higher",
            "How likely the model finds real images that it was not trained on, in nats an image. A high value is "
            "good; it does not say that the model's own images are.",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        images = binary(reference.pixels[:MOST])
        rng = torch.Generator(images.device).manual_seed(SEED)
        found = [model.log_likelihood(part, DRAWS, rng) for part in torch.split(images, AT_ONCE)]
        return {"log_likelihood": float(torch.cat(found).double().mean())}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"images": min(MOST, len(reference)), "draws": DRAWS}


def binary(pixels: Tensor) -> Tensor:
    """uint8 images as floats of −1 and 1; a pixel is 1 with the probability of its grey level. Always the same."""
    drawn = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(SEED)).to(pixels.device)
    return torch.where(drawn < pixels / 255, 1.0, -1.0)

"""A variational autoencoder with a known fault: some of the 1s that it is trained on are bent, so it draws curved 1s.

It asks which measure notices a fault of this kind. If a share s of the training 1s is bent, a perfect model of what it
saw gives a straight 1 the density (1 − s) p(x) in place of p(x): its held-out log-likelihood falls by −log(1 − s) per
1, .69 nats for s = ½, however many of its own 1s are curved (Theis et al. 2016, section 3.2, for any mixture). A
classifier of real against generated images may notice each of them.

A bent image is a real one, its rows moved to the side along a parabola, with the centre of mass where it was:

    row y moves by ± bend (1 − u²) − c,   u = −1 … 1 from the first to the last row,   the sign at random

c is the mean of ± bend (1 − u²) over the image's ink. ``share: 0`` is the plain VAE.

Its likelihood is the importance-weighted bound (Burda et al. 2016, equation 8) with K draws of the code,

    log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x),   z_k ~ q(z|x)

which grows with K from the evidence lower bound to log p(x).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo.data.base import Labelled
from harness.zoo.models.base import in_float32
from harness.zoo.models.vae import VAE, VAESettings
from harness.zoo.networks.base import evaluating

if TYPE_CHECKING:
    from torch import Tensor

ONE = 1
"""The class that is bent."""


class BentVAESettings(VAESettings):
    """Settings of the VAE and of its fault."""

    share: float = Field(0.5, ge=0, le=1, description="share of the training 1s that are bent")
    bend: float = Field(8.0, ge=0, le=100, description="pixels that the middle row moves further than the first")


class BentVAE(VAE):
    """A VAE that sees a share of the 1s bent."""

    name = "bent_vae"
    summary = "a VAE that sees some of the 1s bent: a generator with a known fault"
    paper = "Kingma and Welling 2014; the fault: Theis et al. 2016, section 3.2 (a mixture with wrong images)"
    offers = {"likelihood": "Model.log_likelihood: a lower bound of log p(x) for binary images"}
    Settings = BentVAESettings
    settings: BentVAESettings

    @classmethod
    def capabilities(cls, settings: BentVAESettings) -> frozenset[str]:
        binary = {"likelihood"} if settings.likelihood == "bernoulli" else set()
        return super().capabilities(settings) | binary

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        draws = torch.rand(2, len(batch.labels), device=batch.images.device, generator=self.rng)
        chosen = (batch.labels == ONE) & (draws[0] < self.settings.share)
        amount = torch.where(draws[1] < 0.5, -self.settings.bend, self.settings.bend) * chosen
        return super().step(Labelled(bent(batch.images, amount), batch.labels))

    def log_likelihood(self, images: Tensor, draws: int, rng: torch.Generator) -> Tensor:
        """The importance-weighted bound (n,) of log p(x) in nats, for images of −1 and 1; all draws from ``rng``."""
        with torch.no_grad(), in_float32(self), evaluating(self.encoder), evaluating(self.decoder):
            mean, log_variance = self.posterior(images)
            noise = torch.randn(draws, *mean.shape, device=mean.device, generator=rng)
            codes = mean + (log_variance / 2).exp() * noise
            # log p(z) − log q(z|x): the constants ½ log 2π cancel.
            ratio = (noise.square() + log_variance - codes.square()).sum(2) / 2
            logits = 2 * self.before(codes.flatten(0, 1)).view(draws, *images.shape)
            white = ((images + 1) / 2).expand_as(logits)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, white, reduction="none")
            return (ratio - loss.flatten(2).sum(2)).logsumexp(0) - math.log(draws)


def bent(images: Tensor, amount: Tensor) -> Tensor:
    """Images (n, c, h, w) in [-1, 1], rows moved along a parabola whose middle is ``amount`` (n,) pixels to the right.

    The centre of mass of the ink stays, up to what leaves the image. Between pixels values are interpolated; what
    comes in from beyond the border is black. An image of amount 0 does not change.
    """
    n, _, height, width = images.shape
    ink = (images + 1) / 2
    rows, columns = (torch.linspace(1 / s - 1, 1 - 1 / s, s, device=images.device) for s in (height, width))
    ends = rows / rows[-1] if height > 1 else rows
    parabola = 1 - ends.square()
    of_rows = ink.sum((1, 3))
    middle = (of_rows * parabola).sum(1) / of_rows.sum(1).clamp(min=1e-6)
    shift = amount[:, None] * (parabola - middle[:, None]) * 2 / width
    across = columns - shift[:, :, None]
    grid = torch.stack([across, rows[:, None].expand(n, height, width)], 3)
    moved = torch.nn.functional.grid_sample(ink, grid.to(ink.dtype), padding_mode="zeros", align_corners=False)
    return torch.where((amount == 0)[:, None, None, None], images, 2 * moved - 1)

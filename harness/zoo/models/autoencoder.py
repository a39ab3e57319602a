"""The plain autoencoder: encodes an image as a few numbers and decodes them again.

    min_{E,G} mean over images of ‖x − G(E(x))‖²

(Hinton and Salakhutdinov 2006; with squared error instead of their cross-entropy.) The networks are the VAE's, but the
encoder gives the code itself, not its distribution. The distribution of codes is unknown: there is no prior to sample
from. Samples therefore come from a normal distribution with the mean and the covariance of the codes of the training
images. Compared with the VAE, this shows the effect of the VAE's KL term.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from harness.zoo.data.pixels import as_floats
from harness.zoo.models.encoding import Encoding, EncodingSettings, one_hidden_layer
from harness.zoo.networks.base import Architecture
from harness.zoo.optimisation import adam, descend
from harness.zoo.registry import Choice

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.data.base import Labelled

CODED = 10_000
"""The largest number of training images for the fit of the normal distribution."""


class AutoencoderSettings(EncodingSettings):
    """Settings of the autoencoder."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(one_hidden_layer)] = Field(
        {},  # type: ignore[arg-type]  # the validator turns it into a Choice
        description="the networks it is made of; by default one hidden layer of 400 units on each side",
    )
    rate: float = Field(1e-3, gt=0, le=1, description="learning rate of Adam")


class Autoencoder(Encoding):
    """Trained with squared error; samples come from a normal distribution that is fitted to the codes."""

    name = "autoencoder"
    summary = "autoencoder with squared error; samples from a normal distribution fitted to the codes"
    paper = "Hinton and Salakhutdinov 2006"
    Settings = AutoencoderSettings
    settings: AutoencoderSettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimiser = adam(weights, self.settings.rate)
        self._fitted: tuple[Tensor, Tensor] | None = None

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        self._fitted = None
        loss = squared_error(batch.images, self.before(self.said(batch.images)).tanh())
        descend(self.optimiser, loss)
        return {"reconstruction_loss": loss.detach()}

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        mean, root = self.fitted()
        return self.decode(mean + self.noise(n, rng) @ root.T)

    def fitted(self) -> tuple[Tensor, Tensor]:
        """Mean (latent,) and root of the covariance (latent, latent) of the codes of training images.

        At most 10 000 images are used, at equal intervals.
        """
        if self._fitted is None:
            images = self.training.images
            chosen = images[:: -(-len(images) // CODED)]
            codes = torch.cat([self.encode(as_floats(part)) for part in chosen.split(500)])  # type: ignore[no-untyped-call]
            self._fitted = normal(codes)
        return self._fitted

    def weights(self) -> dict[str, Tensor]:
        mean, root = self.fitted()
        return super().weights() | {"code_mean": mean, "code_root": root}

    def parts(self) -> dict[str, Any]:
        return {"encoder": self.encoder, "decoder": self.decoder, "optimiser": self.optimiser}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._fitted = None


def squared_error(images: Tensor, decoded: Tensor) -> Tensor:
    """‖x − x̂‖² over all pixels; the mean over the images."""
    return (images - decoded).square().flatten(1).sum(1).mean()


def normal(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean μ and a root R of the covariance, Cov = R Rᵀ, of codes (n, d): μ + R ε has their first two moments.

    It uses eigenvectors. A Cholesky factor does not exist if one dimension is a linear function of the others.
    """
    mean = codes.double().mean(0)
    centred = codes.double() - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(codes))
    return mean.float(), (vectors * values.clamp(min=0).sqrt()).float()

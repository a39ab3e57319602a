"""The variational autoencoder (Kingma and Welling 2014).

Equation 10, negated, with one sample of z for each of the M images of a mini-batch:

    min_{φ,θ} 1/M Σᵢ [ −log p_θ(xᵢ|zᵢ) + β KL(q_φ(z|xᵢ) ‖ p(z)) ],   zᵢ = μ(xᵢ) + σ(xᵢ) ε,   ε ~ N(0, 1)

with the KL term in closed form (appendix B) for p(z) = N(0, 1) and q(z|x) = N(μ(x), σ(x)²). β = 1 is the paper's
bound; for other β see Higgins et al. 2017. The sizes 784-400-20 and Adam's learning rate are those of common
implementations; the paper has 500 tanh units and Adagrad. Samples are the decoder's mean for z ~ N(0, 1).

The likelihood, summed over pixels (appendix C):

- ``bernoulli``: a pixel in [0, 1] is the probability of white. The decoder's tanh(a) means p = (1 + tanh(a)) / 2, the
  logistic function of 2a. The cross-entropy is computed from the logits 2a, so that rounding cannot make p 0 or 1 (in
  bfloat16, tanh is 1 from a = 3.1 on).
- ``gaussian``: with mean tanh(a) and one variance for all pixels, the most likely one for the batch: the mean squared
  error. −log p is then ½ D (1 + log(2π MSE)) for D pixels (Rybkin et al. 2021). A fixed variance would act like a
  second β.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field

from harness.zoo.data.base import Shape
from harness.zoo.models.encoding import EncodingSettings, Variational, kl_to_prior, one_hidden_layer
from harness.zoo.networks.base import Architecture
from harness.zoo.optimisation import adam, descend
from harness.zoo.registry import Choice

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.data.base import Labelled

LEAST_VARIANCE = 1e-5
"""The smallest variance of the normal likelihood: about that of rounding to 256 grey levels, (2/255)²/12."""


class VAESettings(EncodingSettings):
    """Settings of the variational autoencoder."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(one_hidden_layer)] = Field(
        {},  # type: ignore[arg-type]  # the validator turns it into a Choice
        description="the networks it is made of; by default one hidden layer of 400 units on each side",
    )
    likelihood: Literal["bernoulli", "gaussian"] = Field("bernoulli", description="of an image, given its code")
    beta: float = Field(1.0, ge=0, le=1000, description="weight of the KL term")
    rate: float = Field(1e-3, gt=0, le=1, description="learning rate of Adam")


class VAE(Variational):
    """Maximises the evidence lower bound."""

    name = "vae"
    summary = "variational autoencoder: Bernoulli or normal likelihood, closed-form KL term"
    paper = "Kingma and Welling 2014, equation 10"
    capturable = True
    Settings = VAESettings
    settings: VAESettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        weights = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimiser = adam(weights, self.settings.rate)

    @classmethod
    def refusal(cls, settings: VAESettings, shape: Shape) -> str | None:
        if settings.likelihood == "bernoulli" and shape.height == shape.width == 1:
            return "a coordinate is not a probability: set likelihood: gaussian for points"
        return super().refusal(settings, shape)

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        mean, log_variance = self.posterior(batch.images)
        before = self.before(self.draw(mean, log_variance))
        negative = bernoulli if self.settings.likelihood == "bernoulli" else gaussian
        reconstruction = negative(batch.images, before)
        divergence = kl_to_prior(mean, log_variance).sum(1).mean()
        loss = reconstruction + self.settings.beta * divergence
        descend(self.optimiser, loss)
        return {"reconstruction_loss": reconstruction.detach(), "kl": divergence.detach(), "loss": loss.detach()}

    def parts(self) -> dict[str, Any]:
        return {"encoder": self.encoder, "decoder": self.decoder, "optimiser": self.optimiser}


def bernoulli(images: Tensor, before: Tensor) -> Tensor:
    """−log p(x|z) for pixels in [-1, 1], which mean probabilities (1 + x) / 2; ``before`` tanh; mean over images."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(2 * before, (images + 1) / 2, reduction="none")
    return entropy.flatten(1).sum(1).mean()


def gaussian(images: Tensor, before: Tensor) -> Tensor:
    """−log p(x|z) for x ~ N(tanh(before), MSE), mean over images."""
    pixels = images[0].numel()
    variance = (images - before.tanh()).square().mean().clamp(min=LEAST_VARIANCE)
    return pixels / 2 * (1 + (2 * math.pi * variance).log())

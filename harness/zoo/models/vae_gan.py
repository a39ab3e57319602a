"""The VAE-GAN (Larsen et al. 2016): a VAE that compares images by the features of a discriminator.

A VAE compares pixels: a stroke in a slightly wrong place is as bad as no stroke, so the decoder blurs it. Here the
decoder is also the generator of a GAN, and the likelihood is that of the discriminator's features D_l (its last hidden
layer) instead of the pixels, with unit variance. Equations 7 and 8, up to a constant:

    L_llike = ½ ‖D_l(x) − D_l(x̃)‖²,   x̃ = G(z),  z ~ q(z|x)

L_prior is the KL term of the VAE. Algorithm 1: each network minimises its own loss,

    encoder        L_prior + L_llike
    decoder        γ L_llike + L_G
    discriminator  L_D = −log D(x) − log(1 − D(x̃)) − log(1 − D(x_p)),   x_p = G(z_p),  z_p ~ N(0, 1)

The paper writes the decoder's loss as γ L_llike − L_GAN, where L_GAN is the discriminator's cross-entropy. There are
two differences: −L_D is replaced by L_G = −log D(x̃) − log D(x_p), the non-saturating form (Goodfellow et al. 2014,
section 3); and the discriminator takes its step before the other two use its features, as in the other GANs here. The
discriminator has no dropout, because with dropout the features of the same image would differ each time.

γ was tuned on digits and MNIST; its best value depends on the number and the scale of the features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from harness.zoo.models.encoding import EncodingSettings, Variational, kl_to_prior, without_dropout
from harness.zoo.models.seeds import seeded
from harness.zoo.networks.base import Architecture
from harness.zoo.optimisation import adam
from harness.zoo.registry import Choice, chooser

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.zoo.data.base import Labelled
    from harness.zoo.networks.scores import Scores


class VAEGANSettings(EncodingSettings):
    """Settings of the VAE-GAN."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(chooser("networks"))] = Field(
        "dcgan",  # type: ignore[arg-type]  # the validator turns the name into a Choice
        description="the networks that encoder, decoder and discriminator are made of",
    )
    gamma: float = Field(1e-2, ge=0, le=1000, description="γ, weight of likeness against realism for the decoder")
    encoder_rate: float = Field(1e-3, gt=0, le=1, description="learning rate of the encoder")
    decoder_rate: float = Field(2e-3, gt=0, le=1, description="learning rate of the decoder")
    discriminator_rate: float = Field(5e-4, gt=0, le=1, description="learning rate of the discriminator")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the gradients")
    beta2: float = Field(0.99, ge=0, lt=1, description="Adam's decay of the mean of their squares")


class VAEGAN(Variational):
    """Encoder, decoder and discriminator, each with its own loss and optimizer."""

    name = "vae_gan"
    summary = "VAE whose decoder plays a GAN, likeness measured by the discriminator's features"
    paper = "Larsen et al. 2016, equation 8 and algorithm 1"
    capturable = True
    Settings = VAEGANSettings
    settings: VAEGANSettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        architecture = self.settings.architecture.make(self.shape)
        with seeded(self.seed, "discriminator"):
            self.discriminator = without_dropout(architecture.discriminator(self.shape.channels))
        self.place(self.discriminator)
        self.encoder_optimiser = self._adam(self.encoder, self.settings.encoder_rate)
        self.decoder_optimiser = self._adam(self.decoder, self.settings.decoder_rate)
        self.discriminator_optimiser = self._adam(self.discriminator, self.settings.discriminator_rate)

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        mean, log_variance = self.posterior(batch.images)
        again = self.before(self.draw(mean, log_variance)).tanh()
        fresh = self.before(self.noise(len(mean), self.rng)).tanh()
        scalars = self._discriminator_step(batch.images, again.detach(), fresh.detach())

        self.discriminator.requires_grad_(False)
        likeness, realism = self._judged(batch.images, again, fresh)
        divergence = kl_to_prior(mean, log_variance).sum(1).mean()
        self._descend(self.encoder, self.encoder_optimiser, divergence + likeness, keep=True)
        self._descend(self.decoder, self.decoder_optimiser, self.settings.gamma * likeness + realism)
        self.discriminator.requires_grad_(True)
        return scalars | {
            "generator_loss": realism.detach(),
            "likeness_loss": likeness.detach(),
            "kl": divergence.detach(),
        }

    def _discriminator_step(self, real: Tensor, again: Tensor, fresh: Tensor) -> dict[str, Tensor]:
        logits = [self.discriminate(images).logits for images in (real, again, fresh)]
        loss = discriminator_loss(*logits)
        self._descend(self.discriminator, self.discriminator_optimiser, loss)
        return {
            "discriminator_loss": loss.detach(),
            "d_real": logits[0].detach().sigmoid().mean(),
            "d_fake": torch.cat(logits[1:]).detach().sigmoid().mean(),
        }

    def _judged(self, real: Tensor, again: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """L_llike and L_G."""
        with torch.no_grad():
            features = self.discriminate(real).features
        scores = self.discriminate(again)
        logits = scores.logits, self.discriminate(fresh).logits
        return feature_likelihood(features, scores.features), generator_loss(*logits)

    def discriminate(self, images: Tensor) -> Scores:
        """The discriminator's scores of images, in float32."""
        with self.compute.autocast():
            scores: Scores = self.discriminator(images)
        return scores._replace(logits=scores.logits.float(), features=scores.features.float())

    def _descend(self, network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, keep: bool = False) -> None:
        """One optimizer step of a network on its own loss; ``keep`` the graph for another network's gradients."""
        weights = list(network.parameters())
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights, retain_graph=keep), strict=True):
            weight.grad = gradient
        optimiser.step()

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Optimizer:
        return adam(network.parameters(), rate, (self.settings.beta1, self.settings.beta2))

    def parts(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "discriminator": self.discriminator,
            "encoder_optimiser": self.encoder_optimiser,
            "decoder_optimiser": self.decoder_optimiser,
            "discriminator_optimiser": self.discriminator_optimiser,
        }


def feature_likelihood(real: Tensor, again: Tensor) -> Tensor:
    """½ ‖D_l(x) − D_l(x̃)‖² for features (n, d), mean over the images."""
    return (real - again).square().sum(1).mean() / 2


def discriminator_loss(real: Tensor, again: Tensor, fresh: Tensor) -> Tensor:
    """−log D(x) − log(1 − D(x̃)) − log(1 − D(x_p)) for logits (n,), mean over the images."""
    softplus = torch.nn.functional.softplus
    return softplus(-real).mean() + softplus(again).mean() + softplus(fresh).mean()


def generator_loss(again: Tensor, fresh: Tensor) -> Tensor:
    """−log D(x̃) − log D(x_p) for logits (n,), mean over the images."""
    softplus = torch.nn.functional.softplus
    return softplus(-again).mean() + softplus(-fresh).mean()

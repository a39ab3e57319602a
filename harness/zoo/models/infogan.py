"""InfoGAN: part of the generator's input is a code that another network must recover from the image.

Chen et al. 2016, equations 5 and 6:

    min_{G,Q} max_D  V(D, G) − λ L_I(G, Q),   L_I = E_{c, x ~ G(z, c)}[log Q(c | x)] + H(c) ≤ I(c; G(z, c))

c is one category (uniform over K) and continuous codes (uniform on [−1, 1]). Q shares D's layers and has its own last
layers with 128 hidden units. −log Q is the cross-entropy of the category (λ 1) and, for a Gaussian with variance 1,
half the squared error of the continuous codes (λ .1). As in the authors' code, D's step minimises this term, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import BeforeValidator, Field

from harness.zoo.models.base import in_float32
from harness.zoo.models.gan import GAN, GANSettings, one_hot
from harness.zoo.models.seeds import seeded
from harness.zoo.networks.base import Architecture, evaluating
from harness.zoo.registry import Choice, Origin, chooser

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.zoo.tricks.game import Scored


class InfoGANSettings(GANSettings):
    """Settings of InfoGAN; the defaults are the paper's for MNIST."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(chooser("networks"))] = Field(
        {"name": "dcgan", "hidden": 1024},  # type: ignore[arg-type]  # the validator turns it into a Choice
        description="the networks of both players; without the paper's hidden layer the category does not find digits",
    )
    latent: int = Field(62, ge=1, le=4096, description="dimensions of z, the part of the input without a meaning")
    categories: int = Field(10, ge=2, le=1000, description="values of the categorical code (K)")
    continuous: int = Field(2, ge=0, le=64, description="continuous codes")
    category_weight: float = Field(1.0, ge=0, le=1e3, description="λ of the categorical code; 0: without this term")
    continuous_weight: float = Field(0.1, ge=0, le=1e3, description="λ of the continuous codes")
    generator_rate: float = Field(1e-3, gt=0, le=1, description="learning rate of the generator")
    discriminator_rate: float = Field(
        5e-4, gt=0, le=1, description="learning rate of the discriminator and of Q (the paper's 2e-4 is too slow here)"
    )


class InfoGAN(GAN):
    """The GAN with codes, and Q, which recovers them."""

    name = "infogan"
    summary = "a categorical and continuous codes, recovered from the image by Q, which shares D's layers"
    paper = "Chen et al. 2016, equations 5 and 6"
    capturable = True
    Settings = InfoGANSettings
    settings: InfoGANSettings
    presets = {}
    rates_from = Origin("tuned", "the discriminator's is above the paper's")

    recogniser: nn.Module

    @classmethod
    def capabilities(cls, settings: GANSettings) -> frozenset[str]:
        return super().capabilities(settings) | {"codes", "code_inputs"}

    def make_generator(self, architecture: Architecture) -> nn.Module:
        return architecture.generator(self.latent_size)

    def discriminator_parameters(self) -> list[nn.Parameter]:
        if not hasattr(self, "recogniser"):
            self.recogniser = self._recogniser()
        return [*self.discriminator.parameters(), *self.recogniser.parameters()]

    def _recogniser(self) -> nn.Module:
        """Q's own layers: features of D -> logits of the category and means of the continuous codes."""
        nn = torch.nn
        with seeded(self.seed, "recogniser"):
            network = nn.Sequential(
                nn.Linear(self.discriminator.features, 128),
                nn.BatchNorm1d(128),
                nn.LeakyReLU(0.1),
                nn.Linear(128, self.settings.categories + self.settings.continuous),
            )
        return network.to(self.compute.device)

    def networks(self) -> dict[str, nn.Module]:
        own = {"recogniser": self.recogniser} if hasattr(self, "recogniser") else {}
        return super().networks() | own

    @property
    def latent_size(self) -> int:
        return self.settings.latent + self.settings.categories + self.settings.continuous

    def latents(self, n: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """z, the category one-hot, the continuous codes in [-1, 1]."""
        z, k = self.settings.latent, self.settings.categories
        noise = self.noise(n, z + 1 + self.settings.continuous, rng)
        category = (self.uniform(noise[:, z]) * k).long()
        return torch.cat([noise[:, :z], one_hot(category, k), self.uniform(noise[:, z + 1 :]) * 2 - 1], 1)

    def own_discriminator_loss(self, real: Scored, fake: Scored) -> Tensor:
        return self._information(fake)

    def own_generator_loss(self, real: Scored, fake: Scored) -> Tensor:
        return self._information(fake)

    def _information(self, fake: Scored) -> Tensor:
        """−λ log Q(c | x), the mean over generated images."""
        assert fake.drawn is not None
        with self.compute.autocast():
            read = self.recogniser(fake.scores.features)
        return information(read.float(), fake.drawn.latents[:, self.settings.latent :], self.settings)

    def codes(self, images: Tensor) -> Tensor:
        labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        with torch.no_grad(), in_float32(self), evaluating(self.discriminator), evaluating(self.recogniser):
            features = self.discriminate(images, labels).features
            read: Tensor = self.recogniser(features.float())
        return read[:, : self.settings.categories].softmax(1)

    def sample_codes(self, codes: Tensor, rng: torch.Generator) -> Tensor:
        """One image for each row of codes (n, K + C): the category one-hot, then the continuous codes; z is drawn."""
        return self.images_from(torch.cat([self.noise(len(codes), self.settings.latent, rng), codes], 1))

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The pictures of every GAN, ``category`` (one column per category) and ``code_1``, … (each from −2 to 2)."""
        z, k = self.settings.latent, self.settings.categories
        rows = self.latents(k, rng)
        by_category = rows[:, None].repeat(1, k, 1)
        by_category[:, :, z : z + k] = torch.eye(k, device=rows.device)
        pictures = super().pictures(images, rng) | {"category": self.tiles(by_category)}
        rows[:, z : z + k] = torch.eye(k, device=rows.device)
        for code in range(self.settings.continuous):
            varied = rows[:, None].repeat(1, 10, 1)
            varied[:, :, z + k + code] = torch.linspace(-2, 2, 10, device=rows.device)
            pictures[f"code_{code + 1}"] = self.tiles(varied)
        return pictures


def information(read: Tensor, codes: Tensor, settings: InfoGANSettings) -> Tensor:
    """λ₁ · cross-entropy of the category + λ₂ · Σ ½ (c − μ)² over the continuous codes, the mean over images.

    Args:
        read: logits of the category and means of the continuous codes, (n, K + C).
        codes: the category one-hot and the continuous codes, (n, K + C).
        settings: K and the two λ.
    """
    k = settings.categories
    category = -(codes[:, :k] * read[:, :k].log_softmax(1)).sum(1).mean()
    continuous = (read[:, k:] - codes[:, k:]).square().sum(1).mean() / 2
    return settings.category_weight * category + settings.continuous_weight * continuous

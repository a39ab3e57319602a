"""The conditional GAN: both players get the class.

Mirza and Osindero 2014, equation 2:

    min_G max_D  E_x[log D(x | y)] + E_z[log(1 − D(G(z | y) | y))]

In the generator's input the embedding of the label is concatenated with z; in the discriminator's input it is one more
channel of the image. Generated images get the labels of the real images of the batch, so that both have the same
classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo.models.gan import GAN, GANSettings
from harness.zoo.registry import Origin, Preset

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.zoo.networks.base import Architecture
    from harness.zoo.networks.modules import Discriminator


class ConditionalSettings(GANSettings):
    """Settings of the conditional GAN."""

    embedding: int = Field(50, ge=1, le=4096, description="dimensions of a label's embedding at the generator")


class ConditionalGAN(GAN):
    """The game with labels."""

    name = "cgan"
    summary = "conditional GAN: the label is embedded and joins z in G and the image in D"
    paper = "Mirza and Osindero 2014, equation 2"
    capturable = True
    Settings = ConditionalSettings
    settings: ConditionalSettings
    presets = {
        "cdcgan": Preset(
            "conditional DCGAN, with the rates of dcgan",
            "Mirza and Osindero 2014, equation 2; Radford et al. 2016",
            {"architecture": "dcgan", "generator_rate": 2e-3, "discriminator_rate": 5e-4, "beta2": 0.99},
            rates_from=Origin("tuned", "for dcgan"),
        )
    }

    @classmethod
    def capabilities(cls, settings: GANSettings) -> frozenset[str]:
        # D gives a probability for an image with a label, but none for the image alone.
        return super().capabilities(settings) - {"probability"} | {"conditional"}

    def make_generator(self, architecture: Architecture) -> nn.Module:
        from harness.zoo.models.conditional import LabelledLatents

        latent, embedding = self.settings.latent, self.settings.embedding
        return LabelledLatents(architecture.generator(latent + embedding), latent, self.shape.classes, embedding)

    def make_discriminator(self, architecture: Architecture, channels: int) -> Discriminator:
        from harness.zoo.models.conditional import LabelMap

        discriminator = architecture.discriminator(channels + 1)
        labels = LabelMap(self.shape.classes, self.shape.height, self.shape.width)
        discriminator.body = torch.nn.Sequential(labels, discriminator.body)
        return discriminator

    @property
    def latent_size(self) -> int:
        return self.settings.latent + self.shape.classes

    def latents(self, n: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """z and the one-hot label; if no labels are given, those of random training images."""
        noise = self.noise(n, self.settings.latent + 1, rng)
        if labels is None:
            known = self.training.labels
            labels = known[(self.uniform(noise[:, -1]) * len(known)).long()]
        one_hot = torch.nn.functional.one_hot(labels, self.shape.classes)
        return torch.cat([noise[:, :-1], one_hot.to(noise.dtype)], 1)

    def discriminator_images(self, images: Tensor, labels: Tensor) -> Tensor:
        # In float32, also if images are in bfloat16, which cannot represent odd numbers above 256.
        plane = labels.float().view(-1, 1, 1, 1).expand(-1, 1, *images.shape[2:])
        return torch.cat([images.float(), plane], 1)

    def sample_classes(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        return self.images_from(self.latents(len(labels), rng, labels.to(self.compute.device)))

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The pictures of every GAN, and ``classes``: one row per class, one column per z."""
        pictures = super().pictures(images, rng)
        classes = torch.unique(self.training.labels)[:10]
        latents = self.latents(8, rng, classes[:1].expand(8))[None].repeat(len(classes), 1, 1)
        latents[:, :, self.settings.latent :] = torch.nn.functional.one_hot(classes, self.shape.classes)[:, None]
        return pictures | {"classes": self.tiles(latents)}

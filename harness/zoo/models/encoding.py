"""The base classes of autoencoder, VAE and VAE-GAN: an encoder, a decoder, and pictures made with both.

Both networks are made from the generator and the discriminator of an architecture, so that a GAN and a VAE can be
compared with the same generator (as in Lucic et al. 2018). The decoder is the generator. The encoder is the body of the
discriminator with a linear layer instead of its head, and without its dropout, which serves only to weaken a player.

The decoder's last tanh is removed, because a likelihood needs the values before it, see ``harness.zoo.models.vae``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.models.base import Model
from harness.zoo.models.seeds import seeded
from harness.zoo.networks import base as networks
from harness.zoo.networks.base import evaluating
from harness.zoo.registry import Choice, chooser

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.zoo.networks.base import Architecture

COLUMNS = 8
"""Images in a row of a picture; an interpolation has as many steps between two real images."""
WALK = 2.5
"""The largest distance of a latent walk from 0, in standard deviations of the prior."""


def one_hidden_layer(value: Any) -> Choice[Architecture]:
    """Read an architecture; without a name it is one hidden layer of 400 units: 784-400-20."""
    if isinstance(value, dict) and "name" not in value:
        value = {"name": "mlp", "width": 400, "layers": 1, "slope": 0.0, "gain": 1.0} | value
    return chooser("networks")(value)


class EncodingSettings(registry.Settings):
    """Settings of every model that encodes. Each adds ``architecture``, with its own default."""

    latent: int = Field(20, ge=1, le=4096, description="dimensions of the code")


class Encoding(Model):
    """A model with ``encoder`` and ``decoder``, which reconstructs and interpolates. Subclasses train it."""

    settings: Any
    outputs = 1
    """Outputs of the encoder per dimension of the code: 1 (its value) or 2 (mean and log-variance)."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        choice: Choice[Architecture] = self.settings.architecture
        architecture = choice.make(self.shape)
        with seeded(self.seed, "generator"):
            self.decoder = before_tanh(architecture.generator(self.settings.latent))
        with seeded(self.seed, "encoder"):
            self.encoder = encoder(choice.name, architecture, self.outputs * self.settings.latent)
        self.place(self.decoder)
        self.place(self.encoder)

    @classmethod
    def capabilities(cls, settings: Any) -> frozenset[str]:
        return frozenset({"reconstruction"})

    @classmethod
    def refusal(cls, settings: Any, shape: Shape) -> str | None:
        return networks.refusal(settings.architecture, shape)

    def place(self, network: nn.Module) -> None:
        """Move a network to the model's device."""
        network.to(self.compute.device)
        network.to(memory_format=torch.channels_last)

    def said(self, images: Tensor) -> Tensor:
        """The encoder's output (n, outputs · latent) for images, in float32."""
        with self.compute.autocast():
            said: Tensor = self.encoder(images)
        return said.float()

    def before(self, codes: Tensor) -> Tensor:
        """The decoder's output for codes (n, latent), before tanh, in float32."""
        with self.compute.autocast():
            made: Tensor = self.decoder(codes)
        return made.float()

    def encode(self, images: Tensor) -> Tensor:
        """The code (n, latent) of each image (the mean, if it is a distribution); evaluation mode, no gradients."""
        with torch.no_grad(), evaluating(self.encoder):
            said: Tensor = self.encoder(images)
        return said[:, : self.settings.latent]

    def decode(self, codes: Tensor) -> Tensor:
        """Images in [-1, 1] from codes (n, latent); evaluation mode, no gradients."""
        with torch.no_grad(), evaluating(self.decoder):
            made: Tensor = self.decoder(codes)
        return made.tanh()

    def reconstruct(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """The decoder's mean for codes from the prior N(0, 1)."""
        return self.decode(self.noise(n, rng))

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """N(0, 1), shape (n, latent)."""
        return torch.randn(n, self.settings.latent, device=self.compute.device, generator=rng)

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """``reconstruction``: rows of real images, each above the row of their reconstructions. ``interpolation``.

        With few images the pictures are narrower; with one image there is no ``interpolation``.
        """
        columns = min(COLUMNS, len(images))
        rows = min(4, len(images) // columns)
        real = images[: rows * columns]
        pairs = torch.stack([part.unflatten(0, (rows, columns)) for part in (real, self.reconstruct(real))], 1)  # type: ignore[no-untyped-call]
        between = {"interpolation": self._interpolation(images)} if len(images) > 1 else {}
        return {"reconstruction": pairs.flatten(0, 1)} | between

    def _interpolation(self, images: Tensor) -> Tensor:
        """In every row: two real images, and between them the decoded interpolation of their codes."""
        rows = min(COLUMNS, len(images) // 2)
        first, last = images[: 2 * rows : 2], images[1 : 2 * rows : 2]
        share = torch.linspace(0, 1, COLUMNS, device=images.device).view(1, -1, 1)
        codes = torch.lerp(self.encode(first).unsqueeze(1), self.encode(last).unsqueeze(1), share)
        between = self.decode(codes.flatten(0, 1)).unflatten(0, (rows, COLUMNS))  # type: ignore[no-untyped-call]
        return torch.cat([first.unsqueeze(1), between, last.unsqueeze(1)], 1)

    def parts(self) -> dict[str, Any]:
        """Networks and optimizers by name; their states are the model's state."""
        raise NotImplementedError

    def weights(self) -> dict[str, Tensor]:
        return dict(self.decoder.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.parts().items():
            part.load_state_dict(state[name])


class Variational(Encoding):
    """The encoder gives mean and log-variance of q(z|x) = N(μ, σ²), a diagonal normal distribution."""

    outputs = 2

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ², each (n, latent), in float32."""
        mean, log_variance = self.said(images).chunk(2, 1)
        return mean, log_variance

    def draw(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """z = μ + σ ε, ε ~ N(0, 1): the reparameterisation trick (Kingma and Welling 2014, section 2.4)."""
        return mean + (log_variance / 2).exp() * self.noise(len(mean), self.rng)

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Also ``latent_walk``: a row for each dimension with the largest KL, from -2.5 to 2.5; the others are 0."""
        with torch.no_grad(), evaluating(self.encoder):
            mean, log_variance = self.encoder(images).chunk(2, 1)
        used = kl_to_prior(mean, log_variance).mean(0).argsort(descending=True)[:COLUMNS]
        codes = torch.zeros(len(used), COLUMNS + 2, self.settings.latent, device=images.device)
        for row, dimension in enumerate(used.tolist()):
            codes[row, :, dimension] = torch.linspace(-WALK, WALK, COLUMNS + 2)
        walk = self.decode(codes.flatten(0, 1)).unflatten(0, (len(used), COLUMNS + 2))  # type: ignore[no-untyped-call]
        return super().pictures(images, rng) | {"latent_walk": walk}


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²), elementwise (Kingma and Welling 2014, appendix B)."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def encoder(name: str, architecture: Architecture, outputs: int) -> nn.Module:
    """A network from images to (n, outputs): the discriminator's body and a linear layer."""
    from harness.zoo.networks.modules import Discriminator

    discriminator = architecture.discriminator(architecture.shape.channels)
    if not isinstance(discriminator, Discriminator):
        raise HarnessError(
            f"architecture {name!r}: its discriminator is not a harness.zoo.networks.modules.Discriminator (body and "
            "head), so no encoder can be made from it: choose another architecture"
        )
    body = without_dropout(discriminator.body)
    return torch.nn.Sequential(body, torch.nn.Linear(discriminator.head.in_features, outputs))


def without_dropout(network: nn.Module) -> nn.Module:
    """The network with all dropout probabilities set to 0."""
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network


def before_tanh(network: nn.Module) -> nn.Module:
    """The network without its last tanh. If it does not end in a tanh, it does not change."""
    for path, layer in reversed(list(network.named_modules())):
        if isinstance(layer, torch.nn.Tanh):
            parent, _, name = path.rpartition(".")
            setattr(network.get_submodule(parent), name, torch.nn.Identity())
            break
        if any(True for _ in layer.parameters(recurse=False)):
            break
    return network

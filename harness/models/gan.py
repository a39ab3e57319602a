"""The generative adversarial network: a model that plays the two-player game.

Goodfellow et al. 2014, algorithm 1: k discriminator steps, each on a fresh mini-batch of real images x and of
generated ones G(z), then a generator step:

    min_G max_D  E_x[log D(x)] + E_z[log(1 − D(G(z)))]

Networks, objective and rates are parameters; published variants are presets of this one class. Training tricks
change the game through the hooks of ``harness.tricks.base.Trick``.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BeforeValidator, Field, field_validator

from harness import objectives, registry
from harness.data.base import Labelled, Shape
from harness.models.base import Model
from harness.registry import Choice, Preset, chooser

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.networks.base import Architecture, Scores
    from harness.objectives import Objective, Targets


class GANSettings(registry.Settings):
    """Parameters of the adversarial game; the defaults are those of the vanilla GAN."""

    architecture: Annotated[Choice, BeforeValidator(chooser("networks"))] = Field(
        "fully_connected",  # type: ignore[assignment]  # the validator turns the name into a Choice
        description="the networks of both players",
    )
    objective: str = Field("non_saturating", description="what the players minimise: see harness/objectives.py")
    latent: int = Field(100, ge=1, le=4096, description="dimensions of z ~ N(0, 1)")
    discriminator_steps: int = Field(1, ge=1, le=100, description="discriminator steps per generator step (k)")
    generator_rate: float = Field(2e-4, gt=0, le=1, description="learning rate of the generator")
    discriminator_rate: float = Field(2e-4, gt=0, le=1, description="learning rate of the discriminator")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the gradients")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the mean of their squares")

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        known = sorted(objectives.OBJECTIVES)
        if name not in known:
            raise ValueError(f"unknown objective {name!r}{registry.nearest(name, known)} (known: {', '.join(known)})")
        return name


class Seen:
    """Images as the discriminator gets them, and, once asked for, what it says of them."""

    def __init__(self, game: GAN, images: Tensor, gradient: bool = True) -> None:
        self._game = game
        self._gradient = gradient
        self.images = images

    @cached_property
    def scores(self) -> Scores:
        """Logits (n,) in float32 and features (n, d)."""
        with contextlib.nullcontext() if self._gradient else torch.no_grad():
            return self._game.discriminate(self.images)


class GAN(Model):
    """The adversarial game between ``generator`` and ``discriminator``."""

    name = "gan"
    summary = "vanilla GAN: fully connected networks, non-saturating or minimax objective, k discriminator steps"
    paper = "Goodfellow et al. 2014"
    Settings = GANSettings
    settings: GANSettings
    presets = {
        "dcgan": Preset(
            "deep convolutional GAN, with rates tuned for small budgets (the paper's are 2e-4 for both)",
            "Radford et al. 2016",
            {
                "architecture": "dcgan",
                "generator_rate": 2e-3,
                "discriminator_rate": 5e-4,
                "beta2": 0.99,
            },
        ),
    }

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        choice = self.settings.architecture
        architecture: Architecture = choice.plugin(choice.settings, self.shape)
        with seeded(self.seed, "generator"):
            self.generator = architecture.generator(self.settings.latent)
        with seeded(self.seed, "discriminator"):
            self.discriminator = architecture.discriminator(self.shape.channels)
        with seeded(self.seed, "tricks"):
            for trick in self.tricks:
                trick.change_networks(self)
        for network in self.networks().values():
            network.to(self.compute.device)
            network.to(memory_format=torch.channels_last)  # convolutions are quicker so, on CPUs and GPUs alike
        for trick in self.tricks:
            trick.begin(self)
        self.generator_optimiser = self._adam(self.generator, self.settings.generator_rate)
        self.discriminator_optimiser = self._adam(self.discriminator, self.settings.discriminator_rate)

    @classmethod
    def capabilities(cls, settings: GANSettings) -> frozenset[str]:
        offered = {"generator", "discriminator", "discriminator_features", "latent"}
        return frozenset(offered | ({"targets"} if objectives.OBJECTIVES[settings.objective].uses_targets else set()))

    @classmethod
    def refusal(cls, settings: GANSettings, shape: Shape) -> str | None:
        choice = settings.architecture
        reason = choice.plugin.refusal(choice.settings, shape)
        return f"architecture {choice.name!r}: {reason}" if reason else None

    @property
    def batches_per_step(self) -> int:
        return self.settings.discriminator_steps

    @property
    def objective(self) -> Objective:
        """The two losses."""
        return objectives.OBJECTIVES[self.settings.objective]

    def networks(self) -> dict[str, nn.Module]:
        """The players."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def latents(self, n: int, rng: torch.Generator) -> Tensor:
        """z ~ N(0, 1), shape (n, latent)."""
        return torch.randn(n, self.settings.latent, device=self.compute.device, generator=rng)

    def discriminate(self, images: Tensor) -> Scores:
        """What the discriminator says of images; logits in float32 whatever the precision."""
        with self.compute.autocast():
            scores: Scores = self.discriminator(images)
        return scores._replace(logits=scores.logits.float())

    def generate(self, n: int) -> Tensor:
        """Images (n, channels, height, width) from fresh latents, with gradients."""
        with self.compute.autocast():
            images: Tensor = self.generator(self.latents(n, self.rng))
        return images

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        scalars: dict[str, Tensor] = {}
        for real in batch.images.chunk(self.settings.discriminator_steps):
            scalars = self._discriminator_step(real)
        scalars |= self._generator_step(real)
        for trick in self.tricks:
            trick.after_step(self)
        return scalars

    def _discriminator_step(self, real_images: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            fake_images = self.generate(len(real_images))
        real, fake = self._see(real_images), self._see(fake_images)
        loss = self.objective.discriminator(real.scores.logits, fake.scores.logits, self._targets())
        for trick in self.tricks:
            term = trick.discriminator_loss(self, real, fake)
            loss = loss if term is None else loss + term
        self._descend(self.discriminator_optimiser, loss)
        return {
            "discriminator_loss": loss.detach(),
            "d_real": real.scores.logits.detach().sigmoid().mean(),
            "d_fake": fake.scores.logits.detach().sigmoid().mean(),
        }

    def _generator_step(self, real_images: Tensor) -> dict[str, Tensor]:
        # Without this the backward pass would compute the discriminator's gradients only to throw them away.
        self.discriminator.requires_grad_(False)
        real, fake = self._see(real_images, gradient=False), self._see(self.generate(len(real_images)))
        loss = self._generator_loss(real, fake)
        self._descend(self.generator_optimiser, loss)
        self.discriminator.requires_grad_(True)
        return {"generator_loss": loss.detach()}

    def _generator_loss(self, real: Seen, fake: Seen) -> Tensor:
        terms = [(trick, trick.generator_loss(self, real, fake)) for trick in self.tricks]
        own = [term for trick, term in terms if term is not None and "generator_loss" in trick.claims]
        added = [term for trick, term in terms if term is not None and "generator_loss" not in trick.claims]
        loss = own[0] if own else self.objective.generator(fake.scores.logits)
        return sum(added, start=loss)

    def _see(self, images: Tensor, gradient: bool = True) -> Seen:
        for trick in self.tricks:
            images = trick.discriminator_input(images, self)
        return Seen(self, images, gradient)

    def _targets(self) -> Targets:
        targets = objectives.Targets()
        for trick in self.tricks:
            targets = trick.targets(targets)
        return targets

    def _descend(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    def _adam(self, network: nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            network.parameters(), lr=rate, betas=(self.settings.beta1, self.settings.beta2), fused=True
        )

    def sampler(self) -> nn.Module:
        """The network that samples come from: the generator, or what a trick offers in its place."""
        for trick in self.tricks:
            if (network := trick.sampler(self)) is not None:
                return network
        return self.generator

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        network = self.sampler()
        with torch.no_grad(), evaluating(network):
            images: Tensor = network(self.latents(n, rng))
        return images

    def weights(self) -> dict[str, Tensor]:
        return dict(self.sampler().state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "tricks": {trick.name: trick.state_dict() for trick in self.tricks},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
        for trick in self.tricks:
            trick.load_state_dict(state["tricks"][trick.name])


@contextlib.contextmanager
def seeded(seed: int, role: str) -> Iterator[None]:
    """Torch's global random state on the CPU, set from the seed and the role for a while, then put back."""
    number = int.from_bytes(hashlib.sha256(f"{seed}/{role}".encode()).digest()[:8])
    with torch.random.fork_rng(devices=[]):
        # not torch.manual_seed, which would seed the GPUs too
        torch.default_generator.manual_seed(number % 2**63)
        yield


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for a while; every module's own mode is put back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

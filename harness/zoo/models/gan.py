"""The generative adversarial network: a model that trains by the two-player game.

Goodfellow et al. 2014, algorithm 1: k discriminator steps, each on a fresh mini-batch of real images x and of
generated ones G(z), then a generator step (here: n of them):

    min_G max_D  E_x[log D(x)] + E_z[log(1 − D(G(z)))]

Networks, objective and learning rates are settings; published variants are presets of this class, with the tricks
that belong to them. Training tricks change the game through the hooks of ``harness.zoo.tricks.base.Trick``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, field_validator

from harness.base import validation
from harness.zoo import objectives, registry
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models.base import Model, in_float32
from harness.zoo.models.paths import ROWS, paths, tiles
from harness.zoo.models.seeds import seeded
from harness.zoo.networks import base as networks
from harness.zoo.networks.base import Architecture, evaluating
from harness.zoo.optimisation import adam, backward
from harness.zoo.registry import PAPER, Choice, Origin, Preset, chooser
from harness.zoo.tricks.game import Drawn, Rates, Scored

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.zoo.networks.modules import Discriminator
    from harness.zoo.networks.scores import Scores
    from harness.zoo.objectives import Objective


class GANSettings(registry.Settings):
    """Settings of the adversarial game; the defaults are those of the vanilla GAN."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(chooser("networks"))] = Field(
        "fully_connected",  # type: ignore[arg-type]  # the validator turns the name into a Choice
        description="the networks of both players",
    )
    objective: str = Field("non_saturating", description="what the players minimise: see harness/zoo/objectives.py")
    latent: int = Field(100, ge=1, le=4096, description="dimensions of z")
    latent_distribution: Literal["normal", "uniform"] = Field(
        "normal", description="z ~ N(0, 1) or U(-1, 1) in every dimension"
    )
    discriminator_steps: int = Field(1, ge=1, le=100, description="discriminator steps per training step (k)")
    generator_steps: int = Field(1, ge=1, le=100, description="generator steps after them (n)")
    fakes: Literal["anew", "shared"] = Field(
        "anew",
        description="the images of the generator's step: drawn anew, as in algorithm 1, or those that the last "
        "discriminator step saw, which saves a pass through the generator",
    )
    optimiser: Literal["adam", "rmsprop"] = Field("adam", description="optimizer of both players")
    generator_rate: float = Field(2e-4, gt=0, le=1, description="learning rate of the generator")
    discriminator_rate: float = Field(2e-4, gt=0, le=1, description="learning rate of the discriminator")
    final_rate: float = Field(
        1.0, ge=0, le=1, description="both rates at the end, as a share of the initial rates; they change linearly"
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the gradients")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the mean of their squares")

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        known = sorted(objectives.OBJECTIVES)
        if name not in known:
            raise ValueError(f"unknown objective {name!r}{validation.nearest(name, known)} (known: {', '.join(known)})")
        return name


DCGAN = {"architecture": "dcgan"}
TUNED = Origin("tuned", "probes on MNIST at small budgets")
# Gradient penalties and relativistic losses need scores that depend on one image: no batch normalisation in D.
WITHOUT_NORM = {"architecture": {"name": "dcgan", "discriminator_norm": False}}


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (n,) as rows (n, classes) of zeros with a one, float32; torch's own reads their range back on a CPU."""
    return (labels[:, None] == torch.arange(classes, device=labels.device)).float()


class GAN(Model):
    """The adversarial game between ``generator`` and ``discriminator``."""

    name = "gan"
    summary = "vanilla GAN: fully connected networks; objective, k and n, rates and networks are settings"
    paper = "Goodfellow et al. 2014"
    Settings = GANSettings
    settings: GANSettings
    takes_tricks = True
    capturable = True
    presets = {
        "dcgan": Preset(
            "deep convolutional GAN, with rates tuned for small budgets (the paper's are 2e-4 for both)",
            "Radford et al. 2016",
            DCGAN | {"generator_rate": 2e-3, "discriminator_rate": 5e-4, "beta2": 0.99},
            rates_from=TUNED,
        ),
        "dcgan_hidden": Preset(
            "DCGAN with InfoGAN's hidden layer in both players, averaged weights and the rates of a search",
            "Radford et al. 2016; networks: Chen et al. 2016, section 7 and appendix",
            {
                "architecture": {"name": "dcgan", "hidden": 1024},
                "generator_rate": 2.8e-3,
                "discriminator_rate": 2.1e-4,
            },
            ("ema",),
            Origin("tuned", "MNIST, by the suite dcgan_search; beta2 by a probe"),
        ),
        "wgan": Preset(
            "Wasserstein GAN: critic with clipped weights, 5 critic steps",
            "Arjovsky et al. 2017, algorithm 1",
            DCGAN
            | {
                "objective": "wasserstein",
                "discriminator_steps": 5,
                "optimiser": "rmsprop",
                "generator_rate": 5e-5,
                "discriminator_rate": 5e-5,
            },
            ("weight_clipping",),
            PAPER,
        ),
        "wgan_gp": Preset(
            "Wasserstein GAN with gradient penalty, 5 critic steps",
            "Gulrajani et al. 2017, algorithm 1",
            WITHOUT_NORM
            | {
                "objective": "wasserstein",
                "latent": 128,
                "discriminator_steps": 5,
                "generator_rate": 1e-4,
                "discriminator_rate": 1e-4,
                "beta2": 0.9,
            },
            ("gradient_penalty",),
            PAPER,
        ),
        "lsgan": Preset(
            "least squares GAN with targets 0 and 1",
            "Mao et al. 2017, equation 9",
            DCGAN | {"objective": "least_squares"},
            rates_from=PAPER,
        ),
        "hinge": Preset(
            "hinge loss, spectral normalisation in D",
            "Miyato et al. 2018, equations 16 and 17",
            WITHOUT_NORM | {"objective": "hinge", "latent": 128, "beta1": 0.0, "beta2": 0.9},
            ("spectral_norm",),
            PAPER,
        ),
        "dragan": Preset(
            "gradient penalty around the data",
            "Kodali et al. 2017, section 2.3",
            WITHOUT_NORM | {"generator_rate": 1e-4, "discriminator_rate": 1e-4, "beta2": 0.9},
            ({"name": "gradient_penalty", "around": "data"},),
            PAPER,
        ),
        "r3gan": Preset(
            "relativistic pairing loss, R1 and R2 at every step, residual networks, averaged weights",
            "Huang et al. 2024, equation 2 and section 4",
            {"architecture": "residual", "objective": "relativistic", "latent": 64, "beta1": 0.0, "beta2": 0.99},
            ({"name": "r1", "weight": 1.0, "final": 0.1}, {"name": "r2", "weight": 1.0, "final": 0.1}, "ema"),
            PAPER,
        ),
    }

    def __init__(self, *args: Any) -> None:
        from harness.zoo.networks.modules import draw_from

        super().__init__(*args)
        self.architecture = self.settings.architecture.make(self.shape)
        with seeded(self.seed, "generator"):
            self.generator = self.make_generator(self.architecture)
        with seeded(self.seed, "discriminator"):
            channels = self.shape.channels
            for trick in self.tricks:
                channels = trick.discriminator_channels(channels)
            self.discriminator: Discriminator = self.make_discriminator(self.architecture, channels)
            body = self.discriminator.body
        with seeded(self.seed, "tricks"):
            for trick in self.tricks:
                trick.change_networks(self)
            for trick in self.tricks:
                trick.wrap_networks(self)
            for network in self.networks().values():
                network.to(self.compute.device)
                network.to(memory_format=torch.channels_last)  # faster convolutions, on CPUs and GPUs
                draw_from(self.rng, network)
            for trick in self.tricks:
                trick.begin(self)
        # Layers that tricks insert, and batch normalisation, may let the score of an image depend on the others.
        batch_norm = "discriminator_batch_norm" in self.capabilities(self.settings)
        self.independent = self.discriminator.body is body and not self.discriminator.tail and not batch_norm
        """Whether the discriminator scores each image by itself."""
        self.rates = Rates(self.settings.generator_rate, self.settings.discriminator_rate)
        """The initial learning rates."""
        for trick in self.tricks:
            self.rates = trick.rates(self.rates)
        self.generator_optimiser = self._optimiser(self.generator_parameters(), self.rates.generator)
        self.discriminator_optimiser = self._optimiser(self.discriminator_parameters(), self.rates.discriminator)
        self.taken = torch.zeros((), device=self.compute.device)
        """Steps taken so far. A tensor, because a CUDA graph counts on the device."""

    @classmethod
    def capabilities(cls, settings: GANSettings) -> frozenset[str]:
        objective, choice = objectives.OBJECTIVES[settings.objective], settings.architecture
        offered = {"generator", "discriminator", "discriminator_features", "latent"}
        offered |= {"adam"} if settings.optimiser == "adam" else set()
        offered |= {"targets"} if objective.uses_targets else set()
        offered |= {"probability"} if objective.probabilistic else set()
        return frozenset(offered | {f"{role}_batch_norm" for role in choice.plugin.batch_norm(choice.settings)})

    @classmethod
    def refusal(cls, settings: GANSettings, shape: Shape) -> str | None:
        return networks.refusal(settings.architecture, shape)

    @property
    def batches_per_step(self) -> int:
        return self.settings.discriminator_steps

    @property
    def objective(self) -> Objective:
        """The two losses."""
        return objectives.OBJECTIVES[self.settings.objective]

    @property
    def done(self) -> Tensor:
        """The share of the training that is done: a scalar in [0, 1], on the device."""
        return (self.taken / self.steps).clamp(max=1)

    # --- the players: conditional GAN and InfoGAN override these -----------------------------------------------

    def make_generator(self, architecture: Architecture) -> nn.Module:
        """The network from latents (n, d) to images."""
        return architecture.generator(self.settings.latent)

    def make_discriminator(self, architecture: Architecture, channels: int) -> Discriminator:
        """The network from images with this many channels to scores."""
        return architecture.discriminator(channels)

    def networks(self) -> dict[str, nn.Module]:
        """All networks that are trained."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def generator_parameters(self) -> list[nn.Parameter]:
        """The parameters of the generator's optimizer."""
        return list(self.generator.parameters())

    def discriminator_parameters(self) -> list[nn.Parameter]:
        """The parameters of the discriminator's optimizer."""
        return list(self.discriminator.parameters())

    @property
    def latent(self) -> int:
        """The number of columns of z."""
        return int(self.settings.latent)

    @property
    def latent_size(self) -> int:
        """The number of columns of the generator's input."""
        return int(self.settings.latent)

    def latents(self, n: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Inputs of the generator, shape (n, d): z, and after it the columns that a variant adds."""
        return self.noise(n, self.settings.latent, rng)

    def noise(self, n: int, columns: int, rng: torch.Generator) -> Tensor:
        """z from the distribution in the settings, shape (n, columns), with one call of the generator ``rng``."""
        if self.settings.latent_distribution == "uniform":
            return torch.rand(n, columns, device=self.compute.device, generator=rng) * 2 - 1
        return torch.randn(n, columns, device=self.compute.device, generator=rng)

    def uniform(self, noise: Tensor) -> Tensor:
        """Noise converted to numbers that are uniform in [0, 1)."""
        if self.settings.latent_distribution == "uniform":
            return (noise + 1) / 2
        below: Tensor = torch.special.ndtr(noise)
        return below.clamp(max=1 - 1e-7)

    def discriminate(self, images: Tensor, labels: Tensor, weights: Mapping[str, Tensor] | None = None) -> Scores:
        """The scores of images by the discriminator, or by one with these weights; logits are always float32."""
        with self.compute.autocast():
            scores: Scores = (
                self.discriminator(self.discriminator_images(images, labels))
                if weights is None
                else torch.func.functional_call(
                    self.discriminator, dict(weights), (self.discriminator_images(images, labels),)
                )
            )
        return scores._replace(logits=scores.logits.float())

    def discriminator_images(self, images: Tensor, labels: Tensor) -> Tensor:
        """The input of the discriminator's network, from images and their labels."""
        return images

    def own_discriminator_loss(self, real: Scored, fake: Scored) -> Tensor | None:
        """A term that a variant of the game adds to the discriminator's loss."""
        return None

    def own_generator_loss(self, real: Scored, fake: Scored) -> Tensor | None:
        """A term that a variant of the game adds to the generator's loss."""
        return None

    # --- the game --------------------------------------------------------------------------------------------

    def draw(self, labels: Tensor) -> Drawn:
        """Generate one image for each label, from new latents. The unconditional GAN ignores the labels."""
        return self.drawn_from(self.latents(len(labels), self.rng, labels))

    def drawn_from(self, latents: Tensor) -> Drawn:
        """Generate images from these latents (n, d), as in training."""
        with self.compute.autocast():
            return Drawn(self.generator(latents), latents)

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        """k discriminator steps, each on its own mini-batch, then n generator steps."""
        self._set_rates()
        scalars: dict[str, Tensor] = {}
        k, shared = self.settings.discriminator_steps, self.settings.fakes == "shared"
        parts = [Labelled(*part) for part in zip(batch.images.chunk(k), batch.labels.chunk(k), strict=True)]
        for part in parts:
            with torch.set_grad_enabled(shared and part is parts[-1]):
                drawn = self.draw(part.labels)
            scalars = self._discriminator_step(part, Drawn(drawn.images.detach(), drawn.latents))
        for turn in range(self.settings.generator_steps):
            # Once the generator has changed, it cannot learn from images that it drew before.
            anew = turn > 0 or not shared
            scalars |= self._generator_step(part, self.draw(part.labels) if anew else drawn)
        for trick in self.tricks:
            trick.after_step(self)
        self.taken += 1
        return scalars

    def _discriminator_step(self, batch: Labelled, drawn: Drawn) -> dict[str, Tensor]:
        real, fake = self.scored(batch.images, batch.labels), self.scored(drawn.images, batch.labels, drawn)
        if self.independent:
            Scored.together(real, fake)
        loss = self.discriminator_loss(real, fake)
        parameters = backward(self.discriminator_optimiser, loss)
        for trick in self.tricks:
            trick.discriminator_gradients(self, parameters)
        self.discriminator_optimiser.step()
        for trick in self.tricks:
            trick.after_discriminator_step(self)
        outputs = {"d_real": real.scores.logits.detach(), "d_fake": fake.scores.logits.detach()}
        # The curves show D: a probability if the objective makes it one, else the raw output.
        shown = torch.sigmoid if self.objective.probabilistic else (lambda logits: logits)
        return {"discriminator_loss": loss.detach()} | {name: shown(c).mean() for name, c in outputs.items()}

    def discriminator_loss(self, real: Scored, fake: Scored) -> Tensor:
        """The objective's loss, and the terms of the variant and the tricks."""
        targets = objectives.Targets()
        for trick in self.tricks:
            targets = trick.targets(targets)
        loss = self.objective.discriminator(real.scores.logits, fake.scores.logits, targets)
        terms = [self.own_discriminator_loss(real, fake)]
        terms += [trick.discriminator_loss(self, real, fake) for trick in self.tricks]
        return sum((term for term in terms if term is not None), start=loss)

    def _generator_step(self, batch: Labelled, drawn: Drawn) -> dict[str, Tensor]:
        # Do not compute the discriminator's gradients in the backward pass: they are not used.
        self.discriminator.requires_grad_(False)
        weights: dict[str, Tensor] | None = None
        for trick in self.tricks:
            weights = trick.opponent(self, batch, drawn) or weights
        # Unrolled weights depend on the generator, and so do the scores of real images.
        real = self.scored(batch.images, batch.labels, gradient=weights is not None, weights=weights)
        fake = self.scored(drawn.images, batch.labels, drawn, weights=weights)
        loss = self._generator_loss(real, fake)
        parameters = backward(self.generator_optimiser, loss)
        for trick in self.tricks:
            trick.generator_gradients(self, parameters)
        self.generator_optimiser.step()
        self.discriminator.requires_grad_(True)
        return {"generator_loss": loss.detach()}

    def _generator_loss(self, real: Scored, fake: Scored) -> Tensor:
        terms = [(trick, trick.generator_loss(self, real, fake)) for trick in self.tricks]
        replacing = [term for trick, term in terms if term is not None and "generator_loss" in trick.claims]
        added = [term for trick, term in terms if term is not None and "generator_loss" not in trick.claims]
        logits = [seen.scores.logits for seen in ((fake, real) if self.objective.relative else (fake,))]
        loss = replacing[0] if replacing else self.objective.generator(*logits)
        if real.reacts and not replacing and not self.objective.relative:
            loss = loss - self._of_real_images(real.scores.logits, fake.scores.logits)
        if (own := self.own_generator_loss(real, fake)) is not None:
            loss = loss + own
        return sum(added, start=loss)

    def _of_real_images(self, real: Tensor, fake: Tensor) -> Tensor:
        """The part of the discriminator's loss that depends on real images, up to a constant.

        If the discriminator depends on the generator (unrolling), the generator maximises this part, as in the value
        function of the game.
        """
        return self.objective.discriminator(real, fake.detach(), objectives.Targets())

    def scored(
        self,
        images: Tensor,
        labels: Tensor,
        drawn: Drawn | None = None,
        gradient: bool = True,
        weights: Mapping[str, Tensor] | None = None,
    ) -> Scored:
        """Pass images through ``discriminator_input`` of every trick, to be scored (with these weights, if any)."""
        return Scored(self, images, labels, drawn, gradient, weights)

    def discriminator_input(self, images: Tensor) -> Tensor:
        """Images after ``discriminator_input`` of every trick."""
        for trick in self.tricks:
            images = trick.discriminator_input(images, self)
        return images

    def _set_rates(self) -> None:
        if self.settings.final_rate == 1:
            return
        factor = 1 + (self.settings.final_rate - 1) * self.done
        optimisers = (self.generator_optimiser, self.discriminator_optimiser)
        for optimiser, rate in zip(optimisers, self.rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"].copy_(rate * factor)

    def _optimiser(self, parameters: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
        # A rate that changes is a tensor, which a CUDA graph reads anew at every step.
        changing = self.settings.final_rate != 1
        own = torch.tensor(rate, device=self.compute.device) if changing else rate
        if self.settings.optimiser == "rmsprop":
            on_gpu = self.compute.device.type == "cuda"
            return torch.optim.RMSprop(parameters, lr=own, capturable=on_gpu)
        return adam(parameters, own, (self.settings.beta1, self.settings.beta2))

    # --- samples ---------------------------------------------------------------------------------------------

    def sampler(self) -> nn.Module:
        """The network that generates samples: the generator, or the network of a trick that replaces it."""
        for trick in self.tricks:
            if (network := trick.sampler(self)) is not None:
                return network
        return self.generator

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        return self.images_from(self.latents(n, rng))

    def images_from(self, latents: Tensor) -> Tensor:
        """Generate samples from these latents (n, d)."""
        network = self.sampler()
        with torch.no_grad(), evaluating(network):
            images: Tensor = network(latents)
        return images.clamp(-1, 1)  # for networks that do not end in a tanh

    def probability(self, images: Tensor) -> Tensor:
        """D(x) in [0, 1] for images (n, channels, height, width) in [-1, 1]."""
        labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        with torch.no_grad(), in_float32(self), evaluating(self.discriminator):
            return self.discriminate(images, labels).logits.sigmoid()

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """``interpolation`` and ``latent_walk``; labels and codes are constant along a row."""
        ends, z = self.latents(2 * ROWS, rng).reshape(2, ROWS, 1, -1), self.settings.latent
        cube = (-1.0, 1.0) if self.settings.latent_distribution == "uniform" else None
        found = paths(ends[0, ..., :z], ends[1, ..., :z], cube)
        return {name: self.tiles(self._with(path, ends[0, ..., z:])) for name, path in found.items()}

    @staticmethod
    def _with(path: Tensor, others: Tensor) -> Tensor:
        """Latents (rows, columns, z) with the rest of the generator's input (rows, 1, …), constant along a row."""
        return torch.cat([path, others.expand(*path.shape[:2], -1)], 2)

    def tiles(self, latents: Tensor) -> Tensor:
        """Samples from latents (rows, columns, d), in rows and columns."""
        return tiles(self.images_from, latents)

    # --- state -----------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        return dict(self.sampler().state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {name: network.state_dict() for name, network in self.networks().items()} | {
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "tricks": {trick.name: trick.state_dict() for trick in self.tricks},
            "taken": self.taken,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, network in self.networks().items():
            network.load_state_dict(state[name])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
        for trick in self.tricks:
            trick.load_state_dict(state["tricks"][trick.name])
        self.taken.copy_(state["taken"])

"""CycleGAN: translation between two domains of images, without pairs.

Zhu et al. 2017. G translates the source domain X into the target domain Y, F translates back; D_Y and D_X tell
translations from real images. With least-squares losses (section 4) instead of the logarithms of equation 1,

    G, F minimise   E_x[(D_Y(G(x)) − 1)²] + E_y[(D_X(F(y)) − 1)²]
                    + λ_cycle (E_x ‖F(G(x)) − x‖₁ + E_y ‖G(F(y)) − y‖₁)        (equations 2 and 3)
                    + λ_identity (E_y ‖G(y) − y‖₁ + E_x ‖F(x) − x‖₁)           (section 5.2)
    D_Y minimises   ½ (E_y[(D_Y(y) − 1)²] + E_x[D_Y(G(x))²]),  and D_X likewise,

where ‖·‖₁ is the mean over pixels of images in [-1, 1]. The discriminators get translations from a pool of earlier
ones (Shrivastava et al. 2017, section 2.3). All learning rates fall linearly to 0 over the second half (appendix 7.1).

The suite's data are the target domain, so metrics of samples are metrics of translations. The model loads the source
domain itself. Samples are translations of images of its training split; ``translate`` uses its test split, on which the
networks are not trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from harness.zoo import registry
from harness.zoo.data.base import DataSet, Labelled, Shape, Split
from harness.zoo.data.order import Shuffled
from harness.zoo.data.pixels import from_uint8
from harness.zoo.models.base import Model, Translation
from harness.zoo.models.seeds import seeded
from harness.zoo.optimisation import adam, descend
from harness.zoo.registry import Choice, chooser

if TYPE_CHECKING:
    from torch import Tensor, nn


BATCH = 500
"""Batch size of translations."""
SHOWN = 16
"""Columns of the picture of translations."""


class CycleGANSettings(registry.Settings):
    """The source domain, the weights of the terms, and the sizes of the networks."""

    source: Annotated[Choice[DataSet], BeforeValidator(chooser("data"))] = Field(
        "digits",  # type: ignore[arg-type]  # the validator turns the name into a Choice
        description="the data set to translate; the suite's data are the target domain",
    )
    cycle: float = Field(10.0, ge=0, description="weight of the cycle term (λ)")
    identity: float = Field(5.0, ge=0, description="weight of the identity term")
    pool: int = Field(50, ge=0, le=100_000, description="earlier translations kept for each discriminator")
    width: int = Field(16, ge=1, le=512, description="channels of a generator's first layer; doubled per halving")
    halvings: int = Field(1, ge=0, le=4, description="how often a generator halves the image before its blocks")
    blocks: int = Field(3, ge=0, le=32, description="residual blocks of a generator")
    discriminator_width: int = Field(32, ge=1, le=512, description="channels of a discriminator's first layer")
    rate: float = Field(2e-4, gt=0, le=1, description="learning rate of all networks")
    decay_from: float = Field(0.5, ge=0, le=1, description="share of the training after which the rate falls to 0")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the gradients")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the mean of their squares")


class CycleGAN(Model):
    """Two generators and two discriminators: ``[0]`` is that of the target domain, ``[1]`` that of the source."""

    name = "cyclegan"
    summary = "unpaired translation of a source data set into the suite's: cycle and identity terms, image pool"
    paper = "Zhu et al. 2017, equations 1 to 3"
    Settings = CycleGANSettings
    settings: CycleGANSettings
    rates_from = registry.PAPER

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        data, device = self.settings.source.make(), self.compute.device
        self.source: dict[Split, Labelled] = {
            split: Labelled(*(tensor.to(device) for tensor in data.load(split))) for split in ("train", "test")
        }
        self.order = Shuffled(len(self.source["train"].images), _generator(self.seed, "source"), device)
        """The order of the source domain; the loop has the order of the target domain."""
        roles = ("target", "source")
        self.generators = [self._generator(role).to(device) for role in roles]
        self.discriminators = [self._discriminator(role).to(device) for role in roles]
        self.pools = [Pool(self.settings.pool, _generator(self.seed, f"pool/{role}")) for role in roles]
        self.generator_optimiser = self._adam(self.generators)
        self.discriminator_optimiser = self._adam(self.discriminators)
        self.taken = 0
        """Steps taken so far."""

    @classmethod
    def capabilities(cls, settings: CycleGANSettings) -> frozenset[str]:
        return frozenset({"translation"})

    @classmethod
    def refusal(cls, settings: CycleGANSettings, shape: Shape) -> str | None:
        data, name = settings.source.make(), settings.source.name
        if data.points or min(shape.height, shape.width) < 8:
            return f"it translates images from 8×8 up, not {'points' if data.points else _words(shape)}"
        if data.shape[:3] != shape[:3]:
            return f"the source {name!r} holds {_words(data.shape)}, the data {_words(shape)}: both must be equal"
        unit = 2**settings.halvings
        if shape.height % unit or shape.width % unit:
            return f"with halvings: {settings.halvings} the image's sides must be multiples of {unit}"
        return None

    def _generator(self, role: str) -> nn.Module:
        from harness.zoo.models import cyclegan_modules as modules

        settings = self.settings
        with seeded(self.seed, f"generator/{role}"):
            return modules.generator(self.shape.channels, settings.width, settings.halvings, settings.blocks)

    def _discriminator(self, role: str) -> nn.Module:
        from harness.zoo.models import cyclegan_modules as modules

        with seeded(self.seed, f"discriminator/{role}"):
            return modules.discriminator(self.shape.channels, self.settings.discriminator_width)

    def _adam(self, networks: list[nn.Module]) -> torch.optim.Optimizer:
        settings = self.settings
        parameters = [parameter for network in networks for parameter in network.parameters()]
        return adam(parameters, settings.rate, (settings.beta1, settings.beta2))

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        # Contiguous format: normalisation over each channel is much slower with channels_last.
        target = batch.images.clone(memory_format=torch.contiguous_format)
        source = self._of_the_source(len(target))
        for optimiser in (self.generator_optimiser, self.discriminator_optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.settings.rate * falling(self.taken, self.steps, self.settings.decay_from)
        scalars, fakes = self._generator_step(source, target)
        scalars |= self._discriminator_step((target, source), fakes)
        self.taken += 1
        return scalars

    def _of_the_source(self, n: int) -> Tensor:
        """n images of the source domain, as floats in [-1, 1]."""
        images = self.source["train"].images
        return from_uint8(images[self.order.next(n)])

    def _generator_step(self, source: Tensor, target: Tensor) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Train both generators; returns their losses, and the translations into target and source."""
        for network in self.discriminators:  # do not compute the discriminators' gradients: they are not used
            network.requires_grad_(False)
        # Each generator translates one half; the identity term says that it should not change the other half.
        both = torch.cat([source, target])
        fake_target, same_target = self._run(self.generators[0], both).chunk(2)
        same_source, fake_source = self._run(self.generators[1], both).chunk(2)
        back_source = self._run(self.generators[1], fake_target)
        back_target = self._run(self.generators[0], fake_source)
        adversarial = least_squares(self._run(self.discriminators[0], fake_target), 1) + least_squares(
            self._run(self.discriminators[1], fake_source), 1
        )
        cycle = distance(back_source, source) + distance(back_target, target)
        identity = distance(same_source, source) + distance(same_target, target)
        loss = adversarial + self.settings.cycle * cycle + self.settings.identity * identity
        descend(self.generator_optimiser, loss)
        for network in self.discriminators:
            network.requires_grad_(True)
        terms = {
            "generator_loss": loss,
            "adversarial_loss": adversarial,
            "cycle_loss": cycle,
            "identity_loss": identity,
        }
        return {name: term.detach() for name, term in terms.items()}, (fake_target.detach(), fake_source.detach())

    def _discriminator_step(self, reals: tuple[Tensor, Tensor], fakes: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        losses = []
        for network, pool, real, fake in zip(self.discriminators, self.pools, reals, fakes, strict=True):
            on_real, on_fake = self._run(network, torch.cat([real, pool.exchange(fake)])).chunk(2)
            losses.append((least_squares(on_real, 1) + least_squares(on_fake, 0)) / 2)
        descend(self.discriminator_optimiser, losses[0] + losses[1])
        return {"discriminator_loss": (losses[0] + losses[1]).detach()}

    def _run(self, network: nn.Module, images: Tensor) -> Tensor:
        """The output of a network, always in float32."""
        with self.compute.autocast():
            result: Tensor = network(images)
        return result.float()

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        images = self.source["train"].images
        chosen = torch.randint(len(images), (n,), generator=rng, device=images.device)
        return _translated(self.generators[0], from_uint8(images[chosen]))

    def translate(self, n: int, rng: torch.Generator) -> Translation:
        """Translate images of the source's test split; an image repeats only after all others."""
        images, labels = self.source["test"]
        orders = [torch.randperm(len(images), generator=rng, device=images.device) for _ in range(0, n, len(images))]
        chosen = torch.cat(orders)[:n]
        source = from_uint8(images[chosen])
        translated = _translated(self.generators[0], source)
        return Translation(source, labels[chosen], translated, _translated(self.generators[1], translated))

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        shown = self.translate(SHOWN, rng)
        return {"translation": torch.stack([shown.source, shown.translated, shown.back])}

    def weights(self) -> dict[str, Tensor]:
        return dict(self.generators[0].state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {
            "generators": {role: net.state_dict() for role, net in enumerate(self.generators)},
            "discriminators": {role: net.state_dict() for role, net in enumerate(self.discriminators)},
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "pools": {role: pool.state_dict() for role, pool in enumerate(self.pools)},
            "batches": self.order.state_dict(),
            "taken": self.taken,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for role in range(2):
            self.generators[role].load_state_dict(state["generators"][role])
            self.discriminators[role].load_state_dict(state["discriminators"][role])
            self.pools[role].load_state_dict(state["pools"][role])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
        self.order.load_state_dict(state["batches"])
        self.taken = state["taken"]


class Pool:
    """Earlier translations, some of which replace new ones in the discriminator's input (Shrivastava et al. 2017).

    Until the pool is full, it stores the new images and returns them. After that every new image is exchanged with
    probability ½ for one of the pool; each image of the pool is used at most once per call.

    Args:
        size: images in the pool; with 0 nothing is exchanged.
        rng: a generator on the CPU; it chooses what is exchanged.
    """

    def __init__(self, size: int, rng: torch.Generator) -> None:
        self.size = size
        self._rng = rng
        self.images = torch.empty(0)

    def exchange(self, images: Tensor) -> Tensor:
        """Returns equally many images (n, c, h, w), some new, some from the pool. It does not wait for the device."""
        if not len(self.images):
            self.images = images[:0]
        kept = min(self.size - len(self.images), len(images))
        self.images = torch.cat([self.images, images[:kept]])
        places = (torch.rand(len(images) - kept, generator=self._rng) < 0.5).nonzero()[:, 0] + kept
        slots = torch.randperm(self.size, generator=self._rng)[: len(places)]
        places = places[: len(slots)].to(images.device, non_blocking=True)
        slots = slots.to(images.device, non_blocking=True)
        given = images.clone()
        given[places] = self.images[slots]
        self.images[slots] = images[places]
        return given

    def state_dict(self) -> dict[str, Any]:
        """The images and the random state."""
        return {"images": self.images, "rng": self._rng.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned."""
        self.images = state["images"].clone()
        self._rng.set_state(state["rng"].cpu())


def least_squares(logits: Tensor, wanted: float) -> Tensor:
    """E[(D − wanted)²], the adversarial loss of section 4, over images and patches."""
    return (logits - wanted).square().mean()


def distance(one: Tensor, other: Tensor) -> Tensor:
    """E‖one − other‖₁ per pixel: the cycle and identity terms (equation 2)."""
    return (one - other).abs().mean()


def falling(step: int, steps: int, start: float) -> float:
    """The factor of the learning rate at a step: 1 until the share ``start`` of the training, then linearly to 0."""
    return min(1.0, (steps - step) / max(1.0, (1 - start) * steps))


def _generator(seed: int, role: str) -> torch.Generator:
    """A random generator on the CPU for this role.

    Its seed is a random number, not ``derived`` itself: published results of this model were trained this way.
    """
    with seeded(seed, role):
        return torch.Generator().manual_seed(int(torch.randint(2**62, ())))


def _translated(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part) for part in torch.split(images, BATCH)])


def _words(shape: Shape) -> str:
    return f"{shape.channels}×{shape.height}×{shape.width} images"

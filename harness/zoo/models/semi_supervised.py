"""Semi-supervised learning with a GAN: the discriminator has K classes and one more for "generated".

Salimans et al. 2016, section 5, with logits l₁ … l_K, the logit of "generated" fixed at 0, and Z(x) = Σ exp l_k(x):

    labelled      L_s = −E log p(y | x, y ≤ K) = E[log Z(x) − l_y(x)]
    unlabelled    L_u = −½ E_x log D(x) − ½ E_z log(1 − D(G(z))),  D = Z / (Z + 1)
    generator     ‖E_x f(x) − E_z f(G(z))‖²  (feature matching on D's last hidden layer, the mean over its units)

A few training images keep their labels, equally many of each class; all images are used without labels. D is fully
connected, with weight normalisation and noise in every layer. A moving average of D's weights does the classification.
Its decay is .999: the authors' .9999 looks back 10 000 steps, more than the default training has.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.order import Shuffled
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.base import Model
from harness.zoo.models.paths import ROWS, pictures
from harness.zoo.models.seeds import seeded
from harness.zoo.networks.base import evaluating
from harness.zoo.optimisation import descend, move_average

if TYPE_CHECKING:
    from torch import Tensor

    from harness.zoo.models.semi_supervised_networks import Classifier

WIDTHS = (1000, 500, 250, 250, 250)
EPSILON = 1e-4
"""Adam's ε, as large as in the authors' code (10⁻⁸ under the root): with a usual value D continues with large steps
after the few labelled images are fitted, and forgets them."""
ADAPTED = 500
"""Training images for the data-dependent initialisation of D."""


class SemiSupervisedSettings(registry.Settings):
    """Settings; the defaults are those of the paper's MNIST experiment."""

    labels: int = Field(100, ge=1, le=1_000_000, description="training images that keep their label")
    latent: int = Field(100, ge=1, le=4096, description="dimensions of z ~ U(0, 1)")
    width: int = Field(500, ge=8, le=8192, description="units of the generator's hidden layers")
    discriminator_rate: float = Field(3e-3, gt=0, le=1, description="Adam's learning rate; it falls to 0 from ⅔ on")
    generator_rate: float = Field(1e-3, gt=0, le=1, description="the same; the paper has 3e-3 for both")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the gradients")
    decay: float = Field(0.999, ge=0, lt=1, description="of the moving average of D's weights")


class SemiSupervised(Model):
    """K + 1 classes in D, feature matching for G."""

    name = "semi_supervised"
    summary = "a discriminator of K + 1 classes learns to classify from a few labels and many images"
    paper = "Salimans et al. 2016, section 5"
    Settings = SemiSupervisedSettings
    settings: SemiSupervisedSettings
    rates_from = registry.Origin("tuned", "the generator's is below the paper's")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from harness.zoo.models.semi_supervised_networks import Classifier, generator

        channels, height, width, classes = self.shape
        with seeded(self.seed, "generator"):
            network = generator(self.settings.latent, self.settings.width, (channels, height, width))
            self.generator = network.to(self.compute.device)
        with seeded(self.seed, "discriminator"):
            self.discriminator = Classifier(channels * height * width, WIDTHS, classes).to(self.compute.device)
        self.discriminator.adapt(as_floats(self.training.images[:ADAPTED]))
        self.average: Classifier = copy.deepcopy(self.discriminator).requires_grad_(False).eval()
        self.labelled = self._labelled()
        self.order = Shuffled(len(self.labelled.labels), self.rng)
        """The order of the labelled images: an image repeats only after all others."""
        players = {"generator": self.generator, "discriminator": self.discriminator}
        self.rates = {"generator": self.settings.generator_rate, "discriminator": self.settings.discriminator_rate}
        self.optimisers = {
            name: torch.optim.Adam(
                network.parameters(), self.rates[name], (self.settings.beta1, 0.999), eps=EPSILON, fused=True
            )
            for name, network in players.items()
        }
        self.taken = 0

    @property
    def batches_per_step(self) -> int:
        return 2  # G's step uses other images than D's, on which D was not just trained

    @classmethod
    def capabilities(cls, settings: Any) -> frozenset[str]:
        return frozenset({"classifier"})

    @classmethod
    def refusal(cls, settings: SemiSupervisedSettings, shape: Shape) -> str | None:
        if settings.labels < shape.classes:
            return (
                f"it needs at least one label of each of the {shape.classes} classes, but labels is {settings.labels}"
            )
        return None

    def _labelled(self) -> Labelled:
        """The training images that keep their label: chosen by the seed, as evenly over the classes as possible."""
        rng = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.training.labels), generator=rng)
        labels = self.training.labels.cpu()[order]
        place = torch.zeros_like(labels)  # how many of its class come before it
        for label in range(self.shape.classes):
            place[labels == label] = torch.arange(int((labels == label).sum()))
        chosen = order[torch.argsort(place, stable=True)[: self.settings.labels]].to(self.compute.device)
        return Labelled(self.training.images[chosen], self.training.labels[chosen])

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        share = min(1.0, 3 - 3 * self.taken / self.steps)
        for name, optimiser in self.optimisers.items():
            optimiser.param_groups[0]["lr"] = self.rates[name] * share
        images, others = batch.images.chunk(2)
        scalars = self._discriminator_step(images) | self._generator_step(others)
        self.taken += 1
        # At first, the weight 1 / steps makes the average forget the initial weights.
        weight = max(1 - self.settings.decay, 1 / (self.taken + 9))
        move_average(self.average, self.discriminator, torch.tensor(weight, device=self.compute.device))
        return scalars

    def _discriminator_step(self, images: Tensor) -> dict[str, Tensor]:
        n = len(images)
        chosen = self.order.next(n)
        with torch.no_grad():
            generated = self._generate(n)
        with self.compute.autocast():
            logits, _ = self.discriminator(torch.cat([as_floats(self.labelled.images[chosen]), images, generated]))
        labelled, real, fake = logits.chunk(3)
        supervised = torch.nn.functional.cross_entropy(labelled, self.labelled.labels[chosen])
        unsupervised = unlabelled_loss(real, fake)
        descend(self.optimisers["discriminator"], supervised + unsupervised)
        wrong = (labelled.argmax(1) != self.labelled.labels[chosen]).float().mean()
        return {
            "supervised_loss": supervised.detach(),
            "unsupervised_loss": unsupervised.detach(),
            "labelled_error": wrong,
        }

    def _generator_step(self, images: Tensor) -> dict[str, Tensor]:
        self.discriminator.requires_grad_(False)
        with self.compute.autocast():
            with torch.no_grad():
                _, real = self.discriminator(images)
            _, fake = self.discriminator(self._generate(len(images)))
        loss = (real.mean(0) - fake.mean(0)).square().mean()
        descend(self.optimisers["generator"], loss)
        self.discriminator.requires_grad_(True)
        return {"generator_loss": loss.detach()}

    def _generate(self, n: int) -> Tensor:
        with self.compute.autocast():
            images: Tensor = self.generator(self._latents(n, self.rng))
        return images.float()

    def _latents(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.rand(n, self.settings.latent, device=self.compute.device, generator=rng)

    def classify(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([self.average(part)[0] for part in torch.split(images, 1000)])

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        return self._drawn(self._latents(n, rng))

    def _drawn(self, latents: Tensor) -> Tensor:
        with torch.no_grad(), evaluating(self.generator):
            images: Tensor = self.generator(latents)
        return images

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return pictures(self._latents(2 * ROWS, rng), self._drawn, cube=(0.0, 1.0))

    def weights(self) -> dict[str, Tensor]:
        named = {"generator": self.generator, "classifier": self.average}
        return {f"{name}.{key}": value for name, net in named.items() for key, value in net.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "order": self.order.state_dict(),
            "taken": self.taken,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.order.load_state_dict(state["order"])
        self.taken = state["taken"]


def unlabelled_loss(real: Tensor, fake: Tensor) -> Tensor:
    """L_u from logits (n, K): −½ E log D(x) − ½ E log(1 − D(G(z))), with D = Z / (Z + 1), log Z = logsumexp(l)."""
    real, fake = real.logsumexp(1), fake.logsumexp(1)
    softplus = torch.nn.functional.softplus
    return (softplus(real) - real).mean() / 2 + softplus(fake).mean() / 2

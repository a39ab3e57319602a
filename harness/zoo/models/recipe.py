"""Adversarial training exactly as it is explained in class, in rounds:

1. collect real images;
2. let the generator make equally many synthetic images;
3. train a binary classifier from scratch on one part of both, and test it on the other, held-out part;
4. if it is no better than chance on that part, stop: there is nothing left to learn;
5. otherwise feed back to the generator the samples that the classifier correctly labels synthetic (its true
   positives), and let the generator improve on them.

"No better than chance": with guessing, each of the n held-out answers is right with probability ½, so the accuracy has
the standard deviation √(1 / 4n), and training continues only if

    accuracy > ½ + z √(1 / 4n)

(the normal approximation of the binomial test; Lopez-Paz and Oquab 2017, section 3, evaluate a finished generator in
this way). In the algorithm of Goodfellow et al. 2014 the classifier is kept and trained one step at a time, all samples
are fed back, and there is no stopping rule.

Step 3 accepts any classifier (``harness/zoo/classifiers``, or a plug-in). If it has a gradient (a network), the
generator improves by the gradient of −log D(G(z)) at the latents z that were fed back. If it has none, the samples are
moved uphill by a smoothed estimate of the gradient (``harness.zoo.models.feedback.improved``), and the generator is
trained on the moved samples x' by regression, min ‖G(z) − x'‖². The generator cannot learn what the classifier cannot
separate: with a linear classifier training stops as soon as no hyperplane separates the two.

Only samples of the held-out part are fed back, because a classifier may have memorised its training samples.

What the real images are for shows ``real: noise``: uniform noise stands in their place, so that no classifier ever sees
a real image. It then learns where the generator's samples lie and where not, and the generator spreads over the whole
cube [-1, 1]ᵈ, where the classifier is at chance: only real images say which images are wanted.

One step is one round. Its images are chosen from the whole training split without repetition, so that no image is in
both parts. The mini-batch that the step is given only sets the size of the mini-batches of classifier and generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field

from harness.zoo import registry
from harness.zoo.classifiers.base import Classifier, Round
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.base import Model
from harness.zoo.models.paths import ROWS, pictures
from harness.zoo.models.seeds import seeded
from harness.zoo.networks import base as networks
from harness.zoo.networks.base import Architecture, evaluating
from harness.zoo.optimisation import adam, descend
from harness.zoo.registry import Choice, chooser

if TYPE_CHECKING:
    from torch import Tensor


class RecipeSettings(registry.Settings):
    """Settings of a round."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(chooser("networks"))] = Field(
        "fully_connected",  # type: ignore[arg-type]  # the validator turns the name into a Choice
        description="the generator, and the classifier if it is a network",
    )
    classifier: Annotated[Choice[Classifier], BeforeValidator(chooser("classifiers"))] = Field(
        "network",  # type: ignore[arg-type]  # as above
        description="the classifier of real against synthetic images",
    )
    latent: int = Field(100, ge=1, le=4096, description="dimensions of z ~ N(0, 1)")
    real: Literal["data", "noise"] = Field(
        "data", description="the real images of a round: those of the data, or uniform noise in their place"
    )
    images: int = Field(1024, ge=8, description="real images of a round, and equally many synthetic ones")
    held_out: float = Field(0.5, ge=0.1, le=0.9, description="share of both that the classifier is tested on")
    z: float = Field(1.645, ge=0, le=10, description="standard deviations above ½ that count as better than chance")
    generator_steps: int = Field(10, ge=1, description="generator steps on what is fed back in a round")
    generator_rate: float = Field(1e-3, gt=0, le=1, description="learning rate of the generator")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the generator's gradients")
    smoothing: float = Field(
        1.0, gt=0, le=10, description="largest spread of the perturbations, relative to real images (without gradients)"
    )
    directions: int = Field(16, ge=1, le=1024, description="pairs of perturbations per sample (without gradients)")
    stride: float = Field(5.0, gt=0, le=100, description="how far the samples are moved uphill (without gradients)")


class Recipe(Model):
    """A generator, and a new classifier for every round."""

    name = "recipe"
    summary = "rounds: train a classifier from scratch, stop at chance, otherwise feed its true positives back"
    paper = "Goodfellow et al. 2014, as explained in class; stopping rule: Lopez-Paz and Oquab 2017, section 3"
    Settings = RecipeSettings
    settings: RecipeSettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.architecture = self.settings.architecture.make(self.shape)
        with seeded(self.seed, "generator"):
            self.generator = self.architecture.generator(self.settings.latent)
        self.generator.to(self.compute.device)
        rate, beta1 = self.settings.generator_rate, self.settings.beta1
        self.optimiser = adam(self.generator.parameters(), rate, (beta1, 0.999))
        self.stopped = False
        self.rounds = 0
        """Classifiers trained so far."""
        self.accuracy = 0.5
        """The accuracy of the last classifier on its held-out part."""

    @classmethod
    def capabilities(cls, settings: RecipeSettings) -> frozenset[str]:
        return frozenset({"latent"})

    @classmethod
    def refusal(cls, settings: RecipeSettings, shape: Shape) -> str | None:
        return networks.refusal(settings.architecture, shape)

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        fed_back = 0.0 if self.stopped else self._round(len(batch.images))
        scalars = {"classifier_accuracy": self.accuracy, "fed_back": fed_back, "stopped": float(self.stopped)}
        return {name: torch.tensor(value, device=self.compute.device) for name, value in scalars.items()}

    def _round(self, size: int) -> float:
        """Run one round; returns the share of the held-out synthetic images that is fed back."""
        self.rounds += 1
        real = self._collect()
        latents = self._latents(len(real), self.rng)
        synthetic = self._generate(latents)
        held_out = max(1, round(len(real) * self.settings.held_out))
        classifier = self._classifier(size)
        classifier.fit(real[held_out:], synthetic[held_out:])
        self.accuracy, caught = examine(classifier, real[:held_out], synthetic[:held_out])
        self.stopped = no_better_than_chance(self.accuracy, 2 * held_out, self.settings.z)
        if self.stopped or not caught.any():
            return 0.0
        self._improve(classifier, latents[:held_out][caught], synthetic[:held_out][caught], real, size)
        return float(caught.float().mean())

    def _collect(self) -> Tensor:
        """The real images of this round, in random order, without repetition; or noise in their place."""
        stored = self.training.images
        if self.settings.real == "noise":
            size = (min(self.settings.images, len(stored)), *stored.shape[1:])
            return 2 * torch.rand(size, device=stored.device, generator=self.rng) - 1
        places = torch.randperm(len(stored), device=stored.device, generator=self.rng)[: self.settings.images]
        return as_floats(stored[places])

    def _latents(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, self.settings.latent, device=self.compute.device, generator=rng)

    def _generate(self, latents: Tensor) -> Tensor:
        """Generate images as ``sample`` does."""
        with torch.no_grad(), evaluating(self.generator):
            images: Tensor = self.generator(latents)
        return images.clamp(-1, 1)

    def _classifier(self, size: int) -> Classifier:
        """A new, untrained classifier."""
        about = Round(self.architecture, self.shape.channels, size, self.compute, self.rng)
        return self.settings.classifier.make(about)

    def _improve(self, classifier: Classifier, latents: Tensor, samples: Tensor, real: Tensor, size: int) -> None:
        """Generator steps on mini-batches of the samples that are fed back."""
        from torch.nn.functional import mse_loss, softplus

        from harness.zoo.models.feedback import improved

        s, aims = self.settings, samples
        if not classifier.differentiable:
            aims = improved(classifier, samples, real, s.smoothing, s.directions, s.stride, self.rng)
        for _ in range(s.generator_steps):
            places = torch.randperm(len(latents), device=latents.device, generator=self.rng)[:size]
            with self.compute.autocast():
                images = self.generator(latents[places])
            if classifier.differentiable:
                loss = softplus(-classifier.logits(images)).mean()
            else:
                loss = mse_loss(images.float(), aims[places])
            descend(self.optimiser, loss)

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        return self._generate(self._latents(n, rng))

    def pictures(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return pictures(self._latents(2 * ROWS, rng), self._generate)

    def weights(self) -> dict[str, Tensor]:
        return dict(self.generator.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rounds": self.rounds,
            "stopped": self.stopped,
            "accuracy": self.accuracy,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rounds, self.stopped, self.accuracy = state["rounds"], state["stopped"], state["accuracy"]


def examine(classifier: Classifier, real: Tensor, synthetic: Tensor) -> tuple[float, Tensor]:
    """The accuracy of the classifier on these images, and which synthetic images it labels synthetic.

    An image is labelled real if the classifier gives it a probability above ½.
    """
    kept = classifier.probability(real) > 0.5
    caught = classifier.probability(synthetic) <= 0.5
    return float((kept.sum() + caught.sum()) / (len(real) + len(synthetic))), caught


def no_better_than_chance(accuracy: float, n: int, z: float) -> bool:
    """Whether guessing n answers could give this accuracy: see the docstring of this module."""
    return bool(accuracy <= 0.5 + z * (1 / (4 * n)) ** 0.5)

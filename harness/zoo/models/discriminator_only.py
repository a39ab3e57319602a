"""Generation without a generator: samples come from gradient ascent on the discriminator's logit, from noise.

Tu 2007, "Learning generative models via discriminative approaches": a discriminator that separates real images from
negative ones gives the ratio of their densities, exp f(x) = p(real | x) / p(negative | x). Weighting the negatives by
it makes them more similar to the real images,

    p_{t+1}(x) = p_t(x) exp f_t(x) / Z_t,     p_0 = noise,

and samples of p_{t+1} are the negatives of the next round. Lazarow, Jin and Tu 2017, "Introspective neural networks
for generative modeling", find them by gradient ascent on the logit f of a convolutional network, which they continue to
train; the ascent starts from noise and is clipped to the range of images. So a round here is

1. x_0 ~ U(-1, 1);   x_{j+1} = clip(x_j + s ∇f(x_j) / rms ∇f(x_j)),   j = 0 … k - 1;
2. the x_k replace the oldest negatives in a pool;
3. the discriminator minimises −log σ(f(x)) of real images and −log σ(−f(x)) of negatives, half of them new ones and
   half from the whole pool.

The size of a step does not depend on the slope: it is s per pixel (root mean square), and falls linearly to 0 over the
ascent, so that the ascent converges. There is no noise in it, and k is small and fixed: as in the short-run sampler of
Nijkamp et al. 2019 ("Learning non-convergent non-persistent short-run MCMC toward energy-based model"), the ascent
itself is the generator, a function of x_0. ``sample`` is step 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import BeforeValidator, Field

from harness.zoo import registry
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models.base import Model
from harness.zoo.models.seeds import seeded
from harness.zoo.networks import base as networks
from harness.zoo.networks.base import Architecture, evaluating
from harness.zoo.optimisation import adam, descend
from harness.zoo.registry import Choice, chooser

if TYPE_CHECKING:
    from torch import Tensor


class DiscriminatorOnlySettings(registry.Settings):
    """Settings of the ascent, the pool and the discriminator."""

    architecture: Annotated[Choice[Architecture], BeforeValidator(chooser("networks"))] = Field(
        "fully_connected",  # type: ignore[arg-type]  # the validator turns the name into a Choice
        description="the discriminator's network",
    )
    ascent_steps: int = Field(30, ge=1, le=10000, description="steps of the ascent from noise (k)")
    ascent_rate: float = Field(0.1, gt=0, le=2, description="size of its first step, root mean square over pixels (s)")
    pool: int = Field(2048, ge=1, description="negative examples in the pool")
    discriminator_steps: int = Field(1, ge=1, le=100, description="discriminator steps per round")
    discriminator_rate: float = Field(2e-4, gt=0, le=1, description="learning rate")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean of the gradients")


class DiscriminatorOnly(Model):
    """A discriminator, and the pool of negatives that its ascents have produced."""

    name = "discriminator_only"
    summary = "no generator: gradient ascent on the discriminator from noise, its results are the negatives"
    paper = "Tu 2007; Lazarow et al. 2017 (introspective neural networks)"
    Settings = DiscriminatorOnlySettings
    settings: DiscriminatorOnlySettings

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        s, device = self.settings, self.compute.device
        architecture = s.architecture.make(self.shape)
        with seeded(self.seed, "discriminator"):
            self.discriminator = architecture.discriminator(self.shape.channels)
        self.discriminator.to(device)
        self.discriminator.to(memory_format=torch.channels_last)
        self.optimiser = adam(self.discriminator.parameters(), s.discriminator_rate, (s.beta1, 0.999))
        self.negatives = self._noise(s.pool, self.rng)
        """The pool; it starts as noise (p_0)."""
        self.oldest = 0
        """The position of the oldest negative in it, which is replaced next."""

    @classmethod
    def refusal(cls, settings: DiscriminatorOnlySettings, shape: Shape) -> str | None:
        return networks.refusal(settings.architecture, shape)

    @property
    def batches_per_step(self) -> int:
        return self.settings.discriminator_steps

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        """x_0 (n, channels, height, width)."""
        return torch.rand(n, *self.shape[:3], device=self.compute.device, generator=rng) * 2 - 1

    def step(self, batch: Labelled) -> dict[str, Tensor]:
        parts = batch.images.chunk(self.settings.discriminator_steps)
        fresh = self.ascend(self._noise(len(parts[0]), self.rng))
        self._keep(fresh)
        scalars: dict[str, Tensor] = {}
        for real in parts:
            scalars = self._descend(real, self._mixed(fresh, len(real)))
        return scalars

    def ascend(self, noise: Tensor) -> Tensor:
        """The images (n, channels, height, width) after the ascent from ``noise``; no random numbers are used."""
        s, images = self.settings, noise
        with evaluating(self.discriminator), torch.enable_grad():
            self.discriminator.requires_grad_(False)
            for taken in range(s.ascent_steps):
                images = images.detach().requires_grad_()  # do not change the caller's tensor
                (slope,) = torch.autograd.grad(self._logits(images).sum(), images)
                size = slope.square().mean((1, 2, 3), keepdim=True).sqrt()
                rate = s.ascent_rate * (1 - taken / s.ascent_steps)
                images = (images.detach() + rate * slope / (size + 1e-12)).clamp(-1, 1)
            self.discriminator.requires_grad_(True)
        return images

    def _logits(self, images: Tensor) -> Tensor:
        with self.compute.autocast():
            logits: Tensor = self.discriminator(images).logits
        return logits.float()

    def _keep(self, fresh: Tensor) -> None:
        """Replace the oldest negatives in the pool."""
        fresh = fresh[-self.settings.pool :]
        places = (torch.arange(len(fresh), device=fresh.device) + self.oldest) % self.settings.pool
        self.negatives[places] = fresh
        self.oldest = (self.oldest + len(fresh)) % self.settings.pool

    def _mixed(self, fresh: Tensor, n: int) -> Tensor:
        """n negatives: half of them new ones, the others from the whole pool."""
        new = torch.randperm(len(fresh), device=fresh.device, generator=self.rng)[: n - n // 2]
        old = torch.randint(self.settings.pool, (n - len(new),), device=fresh.device, generator=self.rng)
        return torch.cat([fresh[new], self.negatives[old]])

    def _descend(self, real: Tensor, negative: Tensor) -> dict[str, Tensor]:
        from torch.nn.functional import softplus

        # One batch, so that batch normalisation has the same statistics for both.
        on_real, on_negative = torch.split(self._logits(torch.cat([real, negative])), [len(real), len(negative)])
        loss = softplus(-on_real).mean() + softplus(on_negative).mean()
        descend(self.optimiser, loss)
        return {
            "discriminator_loss": loss.detach(),
            "d_real": on_real.detach().sigmoid().mean(),
            "d_fake": on_negative.detach().sigmoid().mean(),
        }

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        return self.ascend(self._noise(n, rng))

    def weights(self) -> dict[str, Tensor]:
        return dict(self.discriminator.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "negatives": self.negatives.clone(),
            "oldest": self.oldest,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.negatives = state["negatives"].clone()
        self.oldest = state["oldest"]

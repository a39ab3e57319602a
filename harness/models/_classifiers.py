"""Binary classifiers of real against synthetic, and how samples improve under one that has no gradient.

Imported when the model ``recipe`` trains, never before: see the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from harness.models.gan import evaluating

if TYPE_CHECKING:
    from torch import Tensor

    from harness.models.base import Compute

CHUNK = 2**24
"""Numbers in the largest tensor of perturbed samples."""

NEIGHBOURS = 15
"""Odd, so that there are no ties; fewer where there are not so many images."""


class Classifier(Protocol):
    """Trained once, on the images of one round."""

    def fit(self, real: Tensor, synthetic: Tensor) -> None: ...

    def probability(self, images: Tensor) -> Tensor:
        """How probable it is, (n,), float32, in [0, 1], that each of these images is real."""
        ...


class Network:
    """A network trained by Adam on cross-entropy, each mini-batch half real and half synthetic.

    Args:
        network: fresh, on the device; gives ``Scores``.
        steps: mini-batches that it is trained on.
        size: real images in a mini-batch, and as many synthetic ones.
        rate: learning rate.
        rng: draws the mini-batches.
    """

    def __init__(
        self, network: nn.Module, steps: int, size: int, rate: float, compute: Compute, rng: torch.Generator
    ) -> None:
        self.network = network
        self._steps, self._size, self._rate, self._compute, self._rng = steps, size, rate, compute, rng

    def fit(self, real: Tensor, synthetic: Tensor) -> None:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self._rate, fused=True)
        for _ in range(self._steps):
            images = torch.cat([chosen(real, self._size, self._rng), chosen(synthetic, self._size, self._rng)])
            targets = torch.zeros(len(images), device=images.device)
            targets[: len(images) // 2] = 1
            loss = binary_cross_entropy_with_logits(self.logits(images), targets)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    def probability(self, images: Tensor) -> Tensor:
        with torch.no_grad(), evaluating(self.network):
            return self.logits(images).sigmoid()

    def logits(self, images: Tensor) -> Tensor:
        """Logits (n,) in float32, with gradients."""
        with self._compute.autocast():
            logits: Tensor = self.network(images).logits
        return logits.float()


class SciKit:
    """A classifier of scikit-learn on the pixels as a vector. It computes on the CPU.

    Args:
        name: ``logistic_regression``, ``random_forest`` or ``nearest_neighbours``.
        seed: of what is random in it.
    """

    def __init__(self, name: str, seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier

        self._estimator: Any = {
            "logistic_regression": lambda: LogisticRegression(max_iter=200),
            "random_forest": lambda: RandomForestClassifier(50, min_samples_leaf=2, random_state=seed),
            "nearest_neighbours": lambda: KNeighborsClassifier(NEIGHBOURS),
        }[name]()

    def fit(self, real: Tensor, synthetic: Tensor) -> None:
        images = torch.cat([real, synthetic]).flatten(1).float().cpu().numpy()
        if hasattr(self._estimator, "n_neighbors"):  # odd here too: there are as many real as synthetic images
            self._estimator.n_neighbors = min(NEIGHBOURS, len(images) - 1)
        self._estimator.fit(images, [1] * len(real) + [0] * len(synthetic))

    def probability(self, images: Tensor) -> Tensor:
        estimated = self._estimator.predict_proba(images.flatten(1).float().cpu().numpy())
        return torch.as_tensor(estimated[:, 1], dtype=torch.float32, device=images.device)


def chosen(images: Tensor, size: int, rng: torch.Generator) -> Tensor:
    """A mini-batch drawn without repetition; all there are where there are no more."""
    return images[torch.randperm(len(images), device=images.device, generator=rng)[:size]]


def improved(
    classifier: Classifier,
    samples: Tensor,
    real: Tensor,
    smoothing: float,
    directions: int,
    stride: float,
    rng: torch.Generator,
) -> Tensor:
    """Samples moved to where the classifier holds them rather for real: no gradient of its own is asked for.

    The smoothed probability p_s(x) = E[p(x + δ)], δ ~ N(0, s²Σ), has the gradient E[δ (p(x + δ) − p(x − δ))] / 2,
    times (s²Σ)⁻¹ (Nesterov and Spokoiny 2017, equation 26, by antithetic pairs). Without that factor it is the
    direction of ascent in the metric of Σ, and it is what a sample moves along:

        x' = x + stride · mean over pairs of δ (p(x + δ) − p(x − δ)) / 2

    Every pair has its own s ~ U(0, σ), so that both what is far and what is near is felt. Where p is linear with the
    slope a, x' is on average x + stride · σ²/3 · Σa.

    Σ is the covariance of the real images. White noise would do in the plane; among hundreds of pixels hardly any of
    it lies where images differ.

    Args:
        smoothing: σ, the largest s.
        directions: pairs ±δ per sample.
    """
    spread = (real - real.mean(0)).flatten(1) / len(real) ** 0.5
    moved = []
    for part in torch.split(samples, max(1, CHUNK // (directions * max(spread.shape)))):
        mix = torch.randn(len(part) * directions, len(spread), device=part.device, generator=rng)
        sizes = smoothing * torch.rand(len(mix), 1, device=part.device, generator=rng)
        delta = (sizes * (mix @ spread)).view(len(part), directions, *part.shape[1:])
        gain = [classifier.probability((part[:, None] + sign * delta).flatten(0, 1).clamp(-1, 1)) for sign in (1, -1)]
        weight = (gain[0] - gain[1]).view(len(part), directions, *[1] * (part.dim() - 1)) / 2
        moved.append((part + stride * (delta * weight).mean(1)).clamp(-1, 1))
    return torch.cat(moved)

"""What scikit-learn's classifiers have in common: they see the pixels as a vector, and compute on the CPU."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import torch

from harness.classifiers.base import Classifier

if TYPE_CHECKING:
    from torch import Tensor


class SciKit(Classifier):
    """Subclasses say which estimator; it must have ``predict_proba``."""

    @abc.abstractmethod
    def estimator(self, n: int, seed: int) -> Any:
        """A fresh one, for n images in all; the seed is for what is random in it."""

    def fit(self, real: Tensor, synthetic: Tensor) -> None:
        images = torch.cat([real, synthetic])
        seed = torch.randint(2**31 - 1, (), device=images.device, generator=self.round.rng)
        self.fitted = self.estimator(len(images), int(seed))
        self.fitted.fit(vectors(images), [1] * len(real) + [0] * len(synthetic))

    def probability(self, images: Tensor) -> Tensor:
        estimated = self.fitted.predict_proba(vectors(images))
        return torch.as_tensor(estimated[:, 1], dtype=torch.float32, device=images.device)


def vectors(images: Tensor) -> Any:
    """Images as rows of a NumPy array."""
    return images.flatten(1).float().cpu().numpy()

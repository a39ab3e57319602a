"""The base class of ring and grid: mixtures of Gaussians in the plane, whose density is known."""

from __future__ import annotations

import abc
import math
from typing import TYPE_CHECKING, ClassVar

import torch

from harness.base import digests
from harness.zoo.data.base import DataSet, Labelled, Shape, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

SIZES: dict[Split, int] = {"train": 100_000, "test": 10_000}
SEEDS: dict[Split, int] = {"train": 0, "test": 1}


class Mixture(DataSet, abc.ABC):
    """An equal mixture of Gaussians, scaled so that it lies well inside [-1, 1]².

    Attributes:
        scale: the divisor of the literature's coordinates.
        spread: standard deviation of each Gaussian, in the literature's coordinates.
    """

    points = True
    scale: ClassVar[float]
    spread: ClassVar[float]

    @abc.abstractmethod
    def literature_centres(self) -> NDArray[np.float64]:
        """The centres (k, 2) in the literature's coordinates."""

    @property
    def shape(self) -> Shape:
        return Shape(channels=2, height=1, width=1, classes=len(self.literature_centres()))

    @property
    def centres(self) -> Tensor:
        """The centres (k, 2) of the classes that are kept, scaled, float64."""
        whole = torch.tensor(self.literature_centres() / self.scale)
        kept = self.kept
        return whole if kept is None else whole[list(kept)]

    @property
    def sigma(self) -> float:
        """Standard deviation of each Gaussian, scaled."""
        return self.spread / self.scale

    def log_density(self, points: Tensor) -> Tensor:
        """log p(x) for scaled points (n, 2, 1, 1) or (n, 2), shape (n,), float64, over the classes that are kept.

        p(x) = 1/k Σᵢ exp(−‖x − cᵢ‖² / 2σ²) / 2πσ²
        """
        places, centres = points.flatten(1).double(), self.centres.to(points.device)
        squares = (places[:, None] - centres[None]).square().sum(2)
        exponents = -squares / (2 * self.sigma**2)
        return exponents.logsumexp(1) - math.log(len(centres) * 2 * math.pi * self.sigma**2)

    def whole_digest(self) -> str:
        drawn = [self._drawn(split) for split in SIZES]
        parts = [part for points, labels in drawn for part in (points.astype("<f4"), labels.astype("<i8"))]
        return digests.of_bytes(self.name.encode(), *(part.tobytes() for part in parts))

    def whole(self, split: Split) -> Labelled:
        points, labels = self._drawn(split)
        return Labelled(torch.tensor(points).reshape(-1, 2, 1, 1), torch.tensor(labels))

    _known: ClassVar[dict[tuple[str, Split], tuple[NDArray[np.float32], NDArray[np.int64]]]] = {}

    def _drawn(self, split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Points (n, 2), scaled, and the number of the Gaussian of each point; drawn once a process."""
        import numpy as np

        if (known := self._known.get((self.name, split))) is not None:
            return known
        rng = np.random.Generator(np.random.PCG64(SEEDS[split]))
        centres = self.literature_centres()
        labels = rng.integers(len(centres), size=SIZES[split])
        noise = rng.standard_normal((SIZES[split], 2)) * self.spread
        drawn = ((centres[labels] + noise) / self.scale).astype(np.float32), labels
        return self._known.setdefault((self.name, split), drawn)

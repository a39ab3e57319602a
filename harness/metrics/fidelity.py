"""Inception score, Fréchet distance, kernel distance, precision and recall, as torch-fidelity defines them.

Inception score and Fréchet distance are torch-fidelity's own functions, on features that were extracted once. The
other two are computed here, because there they take most of the time. A test checks that every value equals
``torch_fidelity.calculate_metrics`` on the same images. The features come from the data's judge, or from Inception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.metrics.base import Metric, Value
from harness.zoo import registry

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

# torch-fidelity's default seed: of the permutation before the Inception score's splits, and of KID's random subsets.
SEED = 2020
LEAST = 50
"""Samples of each class of the data in a split of the Inception score."""
ROWS = 250
"""Rows of the kernel in memory at once."""


class OfFeatures(Metric):
    """A metric that uses only features. It works for points, too: their features are the coordinates."""

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        return None


class FrechetDistance(OfFeatures):
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) of Gaussians fitted to the features.

    It is biased by the sample size: compare values only at the same number of samples, and with the value for real
    images beside them.
    """

    name = "fid"
    summary = "Fréchet distance of Gaussians fitted to judge (or Inception) features"
    paper = "Heusel et al. 2017, equation 6"
    values = {
        "fid": Value(
            "FID",
            "lower",
            "Distance of the samples from real images, by their features (Fréchet distance). Blur, artefacts "
            "and lost classes raise it. Good is the value of real images, near 0.",
            least=0,
            scale="ratio",
            grain=0.01,
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

        moments = [_moments(images) for images in (samples, reference)]
        return {"fid": fid_statistics_to_metric(*moments, verbose=False)[KEY_METRIC_FID]}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"dimensions": samples.features.shape[1]}


def _moments(images: Images) -> dict[str, Any]:
    """Mean (d,) and covariance (d, d) of the features, as torch-fidelity computes them; once for the same images."""
    from torch_fidelity.metric_fid import fid_features_to_statistics

    def compute() -> dict[str, Tensor]:
        found = fid_features_to_statistics(images.features)
        return {name: torch.from_numpy(moment) for name, moment in found.items()}

    return {name: moment.numpy() for name, moment in images.kept("moments", images.extractor.digest, compute).items()}


class InceptionScoreSettings(registry.Settings):
    """Settings of the Inception score."""

    splits: int = Field(
        10, ge=1, le=100, description="parts of the samples whose scores are averaged; fewer if there are few samples"
    )


class InceptionScore(Metric):
    """exp(E KL(p(y given x) ‖ p(y))), the mean over splits; at most the number of classes."""

    name = "inception_score"
    summary = "exp(E KL(p(y|x) ‖ p(y))) with the class probabilities of the judge (or of Inception)"
    paper = "Salimans et al. 2016, section 4"
    Settings = InceptionScoreSettings
    settings: InceptionScoreSettings
    values = {
        "inception_score": Value(
            "Inception score",
            "higher",
            "High if each sample is clearly of one class, and all classes are equally frequent. The best "
            "possible is the number of classes. Variety within a class does not count.",
            least=1,
            most="classes",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

        splits = self._splits(samples, reference)
        score = isc_features_to_metric(samples.logits, splits=splits, shuffle=True, rng_seed=SEED)
        return {"inception_score": score[KEY_METRIC_ISC_MEAN]}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"splits": self._splits(samples, reference), "classes": samples.logits.shape[1]}

    def _splits(self, samples: Images, reference: Reference) -> int:
        """As many as stated, but fewer if they would hold less than ``LEAST`` samples of each class.

        In a small split, the class shares are uneven by chance, and the score of a perfect sampler falls.
        """
        whole = len(samples) // (LEAST * reference.data.shape.classes)
        return max(1, min(self.settings.splits, whole))


class KernelDistanceSettings(registry.Settings):
    """Settings of the kernel distance."""

    subsets: int = Field(100, ge=1, le=1000, description="random subsets whose values are averaged")
    subset_size: int = Field(1000, ge=2, le=50_000, description="images in a subset (at most as many as there are)")


class KernelDistance(OfFeatures):
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)³, the mean over random subsets."""

    name = "kid"
    summary = "unbiased squared maximum mean discrepancy of the features, kernel (x·y/d + 1)³"
    paper = "Bińkowski et al. 2018, section 4"
    Settings = KernelDistanceSettings
    settings: KernelDistanceSettings
    values = {
        "kid": Value(
            "KID",
            "lower",
            "Distance of the samples from real images, by their features (kernel distance). It is fair to "
            "few samples, where FID is not. Near 0 is good; it can fall a little below.",
            digits=4,
            scale="ratio",
            grain=1e-4,
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        size = self._subset_size(samples, reference)
        drawn = subsets(len(samples), len(reference), size, self.settings.subsets)

        def within() -> dict[str, Tensor]:
            return {"sums": torch.tensor([kernel_sum(reference.features[chosen]) for _, chosen in drawn])}

        # The same subsets of the reference meet all samples of this number.
        kind = f"kernel-{len(samples)}-{size}-{len(drawn)}"
        real = reference.kept(kind, reference.extractor.digest, within)["sums"].tolist()
        total = 0.0
        for (own, others), of_real in zip(drawn, real, strict=True):
            ours, theirs = samples.features[own], reference.features[others]
            total += (kernel_sum(ours) + of_real) / (size * (size - 1)) - 2 * kernel_sum(ours, theirs) / size**2
        return {"kid": total / len(drawn)}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"subsets": self.settings.subsets, "subset_size": self._subset_size(samples, reference)}

    def _subset_size(self, samples: Images, reference: Reference) -> int:
        return min(self.settings.subset_size, len(samples), len(reference))


def subsets(samples: int, reference: int, size: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """The rows of samples and of the reference in each random subset: those of torch-fidelity."""
    import numpy as np

    rng = np.random.RandomState(SEED)

    def choice(n: int) -> Tensor:
        return torch.from_numpy(rng.choice(n, size, replace=False))

    return [(choice(samples), choice(reference)) for _ in range(count)]


def kernel_sum(one: Tensor, other: Tensor | None = None) -> float:
    """The sum of the kernel (x·y/d + 1)³ over all pairs of rows (n, d) and (m, d); of different rows of one set alone.

    The kernel is symmetric, so of one set each pair is computed once. Rows are summed in float32, the rest in float64.
    """
    dimensions, total = one.shape[1], 0.0
    offset = one.new_ones(())
    for start in range(0, len(one), ROWS):
        rows = one[start : start + ROWS]
        kernel = torch.addmm(offset, rows, (one[start:] if other is None else other).T, alpha=1 / dimensions)
        sums = (kernel * kernel).mul_(kernel).sum(0).double()
        total += float(sums.sum() if other is not None else 2 * sums.sum() - sums[: len(rows)].sum())
    if other is None:
        total -= float((one.double().square().sum(1) / dimensions + 1).pow(3).sum())
    return total


class PrecisionRecallSettings(registry.Settings):
    """Settings of precision and recall."""

    neighbours: int = Field(3, ge=1, le=100, description="k of the k-nearest-neighbour balls")


class PrecisionRecall(OfFeatures):
    """Precision: share of samples inside a real image's ball; recall: share of real images inside a sample's ball.

    The radius of a ball is the distance to the k-th nearest neighbour in its own set.
    """

    name = "precision_recall"
    summary = "shares of samples near real images, and of real images near samples, by k-nearest-neighbour balls"
    paper = "Kynkäänniemi et al. 2019, equations 1 and 2"
    Settings = PrecisionRecallSettings
    settings: PrecisionRecallSettings
    values = {
        "precision": Value(
            "Precision",
            "higher",
            "Samples that look like some real image. 1: all do. It says nothing about variety.",
            3,
            least=0,
            most=1,
            scale="share",
        ),
        "recall": Value(
            "Recall",
            "higher",
            "Real images that some sample looks like. 1: the generator draws every kind of image; a low "
            "value: some kinds are lost.",
            3,
            least=0,
            most=1,
            scale="share",
        ),
    }

    @property
    def balls(self) -> int:
        return self.settings.neighbours

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        held = samples.balls(reference, self.balls)
        return {"precision": float((held.around > 0).double().mean()), "recall": float(held.inside.double().mean())}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return {"neighbours": self.settings.neighbours}

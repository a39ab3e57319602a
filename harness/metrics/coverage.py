"""Mode coverage: which classes does the generator produce, and how many samples show no class at all?

"At least one sample" would be too weak: a classifier with 1 % error finds about 11 of 10 000 samples in a class that
was dropped. So a class is covered if at least a given share of all samples falls into it. A sample counts only if its
confidence reaches the threshold at which the judge accepts that an image shows a class.
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


class CoverageSettings(registry.Settings):
    """Thresholds of mode coverage."""

    share: float = Field(0.005, gt=0, lt=1, description="share of all samples that makes a class covered")
    confidence: float | None = Field(
        None, ge=0, le=1, description="least confidence that counts; null: the judge's calibrated threshold"
    )


class ModeCoverage(Metric):
    """Covered classes, effective classes exp(H), KL to the training histogram, share of rejected samples."""

    name = "mode_coverage"
    summary = "classes that the judge finds among the samples, their histogram, and the share without a class"
    paper = "Santurkar et al. 2018 (mode collapse, by a classifier that labels the samples)"
    Settings = CoverageSettings
    settings: CoverageSettings
    needs_judge = True
    uses_features = False
    values = {
        "covered_classes": Value("Classes covered", "higher", "classes that hold the stated share", digits=1),
        "effective_classes": Value("Effective classes", "higher", "exp of the histogram's entropy"),
        "kl_to_train": Value("KL to training", "lower", "KL(samples ‖ training histogram), in nats", digits=3),
        "no_digit": Value("No digit", "lower", "share of samples that the judge rejects", digits=1, percent=True),
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        counts = self._counts(samples)
        accepted = counts.sum()
        shares = counts / accepted if accepted > 0 else counts
        entropy = torch.special.entr(shares).sum()
        return {
            "covered_classes": float((counts >= self.settings.share * len(samples)).sum()),
            "effective_classes": float(entropy.exp()) if accepted > 0 else 0.0,
            "kl_to_train": divergence(shares, self._training(samples, reference)),
            "no_digit": 1 - float(accepted) / len(samples),
        }

    def histograms(self, samples: Images, reference: Reference) -> dict[str, dict[str, list[Any]]]:
        counts = self._counts(samples)
        training = self._training(samples, reference)
        bins = [str(label) for label in range(len(counts))]
        return {
            "classes": {
                "bins": [*bins, "no digit"],
                "samples": [*(counts / len(samples)).tolist(), 1 - float(counts.sum()) / len(samples)],
                "reference": [*training.tolist(), 0.0],
            }
        }

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {
            "share": self.settings.share,
            "confidence": self._confidence(samples),
            "judge": samples.judge.name,
            "judge_hash": samples.judge.digest[:16],
        }

    def _confidence(self, samples: Images) -> float:
        assert samples.judge is not None
        own = self.settings.confidence
        return samples.judge.threshold if own is None else float(own)

    def _counts(self, samples: Images) -> Tensor:
        """The number of accepted samples of each class, (classes,), float64."""
        accepted = samples.confidence >= self._confidence(samples)
        classes = samples.probabilities.shape[1]
        return torch.bincount(samples.probabilities.argmax(1)[accepted], minlength=classes).double()

    @staticmethod
    def _training(samples: Images, reference: Reference) -> Tensor:
        return training_shares(reference.training.labels, samples.probabilities.shape[1])


def training_shares(labels: Tensor, classes: int) -> Tensor:
    """The shares (classes,) of the classes among training labels (n,), float64.

    A class without training images counts as half an image (share 1 / (2 n), before the shares are scaled to sum to
    1): with a share of 0, a single sample of it would make KL(samples ‖ training) infinite.
    """
    counts = torch.bincount(labels.cpu(), minlength=classes).double()
    counts[counts == 0] = 0.5
    return counts / counts.sum()


def divergence(shares: Tensor, reference: Tensor) -> float:
    """KL(shares ‖ reference) in nats, for histograms (classes,) that sum to 1.

    If no sample was accepted, all shares are 0 and there is no distribution. The value is then the largest possible
    one, log(1 / rarest class).
    """
    if shares.sum() == 0:
        return float((1 / reference[reference > 0].min()).log())
    present = shares > 0
    return float((shares[present] * (shares[present] / reference[present]).log()).sum())

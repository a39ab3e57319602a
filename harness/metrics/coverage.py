"""Mode coverage: which classes does the generator produce, how varied is each, how many samples show no class?

Three questions have three answers. *Which classes*: strictly, a class counts with the samples that the judge accepts as
one of it by their shape; as in the literature, every sample counts for its most likely class, so that a generator that
draws only 3s and 5s, badly, has two classes and not none. *How varied*: ten images repeated cover ten classes, so the
spread within classes stands beside them. *Whose pixels*: whether samples look like the data's pixels, whatever they
show.

"At least one sample" would be too weak for a class: a classifier with 1 % error finds about 11 of 10 000 samples in a
class that was dropped. So a class is covered if it holds a stated share of what it would hold if the samples were
distributed like the training data, and at least one sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from harness.metrics.base import Metric, Value
from harness.metrics.neighbours import held, radii
from harness.zoo import registry

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference

COUNT: tuple[float, Literal["classes"]] = (0, "classes")
SHARE = (0.0, 1.0)
"""The lowest and the highest possible value of a number of classes, and of a share."""
NEIGHBOURS = 3
"""k of the k-nearest-neighbour balls of the recall within a class (Kynkäänniemi et al. 2019)."""


class CoverageSettings(registry.Settings):
    """Thresholds of mode coverage."""

    share: float = Field(
        0.05, gt=0, le=1, description="share of a class's part of the training data that makes it covered"
    )
    confidence: float | None = Field(
        None, ge=0, le=1, description="least confidence that counts; null: the judge's calibrated threshold"
    )


class ModeCoverage(Metric):
    """Covered classes (strictly, and by the most likely class), spread within classes, refused samples, style."""

    name = "mode_coverage"
    summary = "classes that the judge finds among the samples, how varied they are, and the share without a class"
    paper = "Santurkar et al. 2018 (mode collapse, by a classifier that labels the samples)"
    Settings = CoverageSettings
    settings: CoverageSettings
    needs_judge = True
    uses_features = False
    values = {
        "covered_classes": Value(
            "Classes covered",
            "higher",
            "Classes of the data that the generator draws well enough for the judge. All classes is good; "
            "each one less is a lost class: mode collapse.",
            1,
            False,
            *COUNT,
            counts_classes=True,
        ),
        "argmax_classes": Value(
            "Classes, any quality",
            "higher",
            "The classes among the samples, however bad a sample is. All classes is good; if it is higher "
            "than Classes covered, some classes are drawn badly.",
            1,
            False,
            *COUNT,
        ),
        "effective_classes": Value(
            "Effective classes",
            "higher",
            "How evenly the accepted samples are spread over the classes: 10 means ten equally frequent "
            "classes. The number of classes of the data is good.",
            2,
            False,
            *COUNT,
        ),
        "kl_to_train": Value(
            "KL to training",
            "lower",
            "How far the frequencies of the classes among the accepted samples are from those of the "
            "training data, in nats. 0: they are equal.",
            3,
            least=0,
            scale="ratio",
            grain=1e-3,
        ),
        "refused": Value(
            "Refused",
            "lower",
            "Samples whose shape is of no class: the judge cannot read them. Good is the share that it "
            "refuses of real images.",
            1,
            True,
            *SHARE,
            scale="share",
        ),
        "other_style": Value(
            "Other style",
            "lower",
            "Samples whose pixels do not look like the data's (strokes, grey levels), whatever they show. "
            "Good is the share of real images.",
            1,
            True,
            *SHARE,
            scale="share",
        ),
        "class_spread": Value(
            "Class spread",
            "higher",
            "How varied the samples of one class are, compared with real ones. 1: as varied as real images; "
            "near 0: one picture again and again.",
            3,
            False,
            *SHARE,
            scale="share",
        ),
        "class_recall": Value(
            "Class recall",
            "higher",
            "Real images of a class that some sample of the class looks like, the mean over the classes. 1: "
            "every kind of each class is drawn.",
            3,
            False,
            *SHARE,
            scale="share",
        ),
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        judge = samples.judge
        assert judge is not None
        counts, training = self._counts(samples), self._training(samples, reference)
        accepted = counts.sum()
        shares = counts / accepted if accepted > 0 else counts
        entropy = torch.special.entr(shares).sum()
        least = self._least(training, len(samples))
        return {
            "covered_classes": float((counts >= least).sum()),
            "argmax_classes": float((_of_classes(samples) >= least).sum()),
            "effective_classes": float(entropy.exp()) if accepted > 0 else 0.0,
            "kl_to_train": divergence(shares, training),
            "refused": 1 - float(accepted) / len(samples),
            "other_style": float((samples.style < judge.style_threshold).double().mean()),
            **within_classes(samples, self._accepted(samples), reference),
        }

    def histograms(self, samples: Images, reference: Reference) -> dict[str, dict[str, list[Any]]]:
        counts = self._counts(samples) / len(samples)
        training = self._training(samples, reference).tolist()
        bins = [str(label) for label in range(len(counts))]
        return {
            "classes": {
                "bins": [*bins, "refused"],
                "samples": [*counts.tolist(), 1 - float(counts.sum())],
                "reference": [*training, 0.0],
            },
            "classes, any quality": {
                "bins": bins,
                "samples": (_of_classes(samples) / len(samples)).tolist(),
                "reference": training,
            },
        }

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {
            "share_of_class": self.settings.share,
            "confidence": self._confidence(samples),
            "style_confidence": samples.judge.style_threshold,
            "judge": samples.judge.name,
            "judge_hash": samples.judge.digest[:16],
        }

    def _confidence(self, samples: Images) -> float:
        assert samples.judge is not None
        own = self.settings.confidence
        return samples.judge.threshold if own is None else float(own)

    def _least(self, training: Tensor, n: int) -> Tensor:
        """The least number of n samples with which each class is covered, (classes,)."""
        return (self.settings.share * n * training).clamp(min=1)

    def _accepted(self, samples: Images) -> Tensor:
        """Whether the judge accepts the shape of each sample, (n,)."""
        return samples.confidence >= self._confidence(samples)

    def _counts(self, samples: Images) -> Tensor:
        """The number of accepted samples of each class, (classes,), float64."""
        return _of_classes(samples, self._accepted(samples))

    @staticmethod
    def _training(samples: Images, reference: Reference) -> Tensor:
        return training_shares(reference.training.labels, samples.probabilities.shape[1])


def _of_classes(samples: Images, among: Tensor | None = None) -> Tensor:
    """The number of samples (those of a mask, or all) with each most likely class, (classes,), float64."""
    probabilities = samples.probabilities if among is None else samples.probabilities[among]
    return torch.bincount(probabilities.argmax(1), minlength=samples.probabilities.shape[1]).double()


def within_classes(samples: Images, accepted: Tensor, reference: Reference) -> dict[str, float]:
    """How varied the accepted samples of each class are, beside the reference's images of that class.

    Returns the means over the classes of the reference, where a class without samples counts 0: ``class_spread``, the
    standard deviation of the features in the class over that of the real images, at most 1; and ``class_recall``, the
    share of the real images that lie in the ball of a sample up to its third neighbour of the class.
    """
    read = samples.probabilities.argmax(1)
    spreads, recalls = [], []
    for label in sorted(set(reference.labels.tolist())):
        real = reference.features[(reference.labels == label).cpu()]
        own = samples.features[accepted & (read == label)]
        spreads.append(_spread(own, real))
        recalls.append(_recall(own, real))
    return {"class_spread": sum(spreads) / len(spreads), "class_recall": sum(recalls) / len(recalls)}


def _spread(own: Tensor, real: Tensor) -> float:
    if min(len(own), len(real)) < 2:
        return 0.0
    of_own, of_real = (features.double().var(0).sum().sqrt() for features in (own, real))
    return min(1.0, float(of_own / of_real)) if of_real > 0 else 0.0


def _recall(own: Tensor, real: Tensor) -> float:
    if len(own) < 2:
        return 0.0
    reach = radii(own, min(NEIGHBOURS, len(own) - 1))[:, -1]
    return float((held(real, own, reach) > 0).double().mean())


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

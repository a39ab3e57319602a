"""MODE score: the Inception score, with a penalty if the class shares differ from those of the training data.

    exp( E KL(p(y given x) ‖ p_gen(y)) − KL(p_gen(y) ‖ p_train(y)) )

The first published form, exp(E KL(p(y given x) ‖ p_train(y)) − KL(p_gen(y) ‖ p_train(y))), is algebraically equal to
the Inception score: the terms in p_train cancel. The form above, from surveys of metrics, does what the text of the
paper describes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.metrics.coverage import divergence, training_shares

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Images, Reference


class ModeScore(Metric):
    """The score over all samples at once (no splits); at most the number of classes.

    The class probabilities always come from the judge of the data's classes, because p_train is a histogram of these
    classes. A class without training images counts as half an image
    (``harness.metrics.coverage.training_shares``).
    """

    name = "mode_score"
    summary = "exp(E KL(p(y|x) ‖ p_gen(y)) − KL(p_gen(y) ‖ p_train(y))) with the judge's class probabilities"
    paper = "Che et al. 2017 (mode regularised GAN), with p_gen in the first term"
    needs_judge = True
    uses_features = False
    values = {
        "mode_score": Value(
            "MODE score",
            "higher",
            "As the Inception score, lowered where the samples' classes are not as frequent as in the "
            "training data. The best possible is the number of classes.",
            most="classes",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        training = training_shares(reference.training.labels, samples.probabilities.shape[1])
        return {"mode_score": score(samples.probabilities, training)}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {"judge": samples.judge.name, "judge_hash": samples.judge.digest[:16]}


def score(probabilities: Tensor, training: Tensor) -> float:
    """The MODE score of class probabilities (n, classes), with the training data's class shares (classes,)."""
    conditional = probabilities.double()
    marginal = conditional.mean(0)
    # E KL(p(y|x) ‖ p_gen(y)) is the entropy of p_gen minus the mean entropy of p(y|x).
    gain = torch.special.entr(marginal).sum() - torch.special.entr(conditional).sum(1).mean()
    return float((gain - divergence(marginal, training)).exp())

"""The judge of three channels says of a stack what the judge of one says of its parts."""

from __future__ import annotations

import pytest
import torch

from harness import judge
from harness.judge.stacked import StackedJudge
from harness.suite.declaration import Evaluate
from harness.trial.evaluation import Evaluator
from harness.zoo import registry
from harness.zoo.data.base import DataSet, Labelled, Shape
from harness.zoo.data.digits import Digits

SINGLE = judge.load("mnist", "cpu")
STACKED = StackedJudge(SINGLE)


class ThreeDigits(Digits):
    """Three digits in three channels; the class is their number. (No plug-in: nothing registers it.)"""

    name = "three_digits"

    @property
    def shape(self) -> Shape:
        return Shape(3, 28, 28, 1000)

    def load(self, split: str) -> Labelled:  # type: ignore[override]
        images, labels = super().load(split)  # type: ignore[arg-type]
        rng = torch.Generator().manual_seed(0)
        order = torch.stack([torch.randperm(len(labels), generator=rng) for _ in range(3)], 1)
        return Labelled(images[order, 0], (labels[order] * torch.tensor([100, 10, 1])).sum(1))


def three() -> DataSet:
    return ThreeDigits(registry.choose("data", "digits").settings)


STACKS = three().load("test")


def test_it_has_what_a_judge_has() -> None:
    assert (STACKED.name, STACKED.classes) == ("mnist", 1000)
    assert STACKED.shape == (3, 28, 28)
    assert STACKED.threshold == SINGLE.threshold
    assert STACKED.single is SINGLE
    assert STACKED.digest != SINGLE.digest
    assert len(STACKED.digest) == 64


def test_class_100r_10g_b_is_r_then_g_then_b() -> None:
    images, labels = STACKS
    assert (STACKED.features(images)[1].argmax(1) == labels).float().mean() > 0.97
    assert (STACKED.assess(images)[0].argmax(1) == labels).float().mean() > 0.95


def test_features_are_side_by_side_and_logits_are_joint_log_probabilities() -> None:
    images = STACKS.images[:20]
    features, logits = STACKED.features(images)
    parts = [SINGLE.features(images[:, i : i + 1]) for i in range(3)]
    assert torch.equal(features, torch.cat([part[0] for part in parts], 1))
    r, g, b = (part[1].softmax(1) for part in parts)
    expected = torch.einsum("ni,nj,nk->nijk", r, g, b).flatten(1)
    assert torch.allclose(logits.exp(), expected, atol=1e-6)
    assert torch.allclose(logits.exp().sum(1), torch.ones(20), atol=1e-4)


def test_the_least_sure_channel_decides_what_is_accepted() -> None:
    images = STACKS.images[:200].clone()
    good = STACKED.assess(images)[1] >= STACKED.threshold
    assert good.float().mean() > 0.9
    noise = torch.randint(0, 256, (200, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for channel in range(3):
        spoilt = images.clone()
        spoilt[:, channel] = noise
        assert (STACKED.assess(spoilt)[1] >= STACKED.threshold).float().mean() < 0.02
    probabilities, scores = STACKED.assess(images)
    each = [SINGLE.assess(images[:, i : i + 1])[1] for i in range(3)]
    assert torch.equal(scores, torch.stack(each).min(0).values)
    assert torch.allclose(probabilities.sum(1), torch.ones(200), atol=1e-4)


def test_impossible_classes_stay_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    sure = torch.eye(10)[[3]]
    monkeypatch.setattr(SINGLE, "assess", lambda images: (sure, torch.ones(1)))
    probabilities, _ = STACKED.assess(STACKS.images[:1])
    assert torch.equal(probabilities, torch.eye(1000)[[333]])


def test_evaluation_takes_it_for_judge_and_features() -> None:
    data = three()
    assert judge.of(data) == "mnist"
    assert judge.misfit("mnist", data) is None
    config = Evaluate.model_validate({"samples": 100, "features": "mnist", "metrics": ["fid", "mode_coverage"]})
    made = Evaluator(config, data, data.load("train"), torch.device("cpu"), None)
    assert isinstance(made.judge, StackedJudge)
    assert made.extractor is made.judge
    assert made.reference.features.shape == (599, 3 * (64 + 16 + 3))
    assert made.reference.probabilities.shape == (599, 1000)

"""Mode coverage: canaries on real digits, and its arithmetic by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from harness import judge
from harness.metrics.coverage import divergence, training_shares
from harness.metrics.images import Images, Reference
from harness.zoo import registry
from harness.zoo.data.base import Labelled

ARBITER = judge.load("mnist", "cpu")


@pytest.fixture(scope="module", params=["digits", pytest.param("mnist", marks=pytest.mark.mnist)])
def data(request: pytest.FixtureRequest) -> tuple[Labelled, Reference]:
    """Real images to play the samples, and the reference."""
    choice = registry.choose("data", request.param)
    data = choice.plugin(choice.settings)
    training, test = data.load("train"), Labelled(*(part[:2000] for part in data.load("test")))
    return test, Reference(test.images, ARBITER, ARBITER, test.labels, training, data)


def measure(pixels: torch.Tensor, reference: Reference) -> dict[str, float]:
    choice = registry.choose("metrics", "mode_coverage")
    values: dict[str, float] = choice.plugin(choice.settings).compute(Images(pixels, ARBITER, ARBITER), reference)
    return values


def test_ten_classes_give_ten(data: tuple[Labelled, Reference]) -> None:
    real, reference = data
    values = measure(real.images, reference)
    assert values["covered_classes"] == 10
    assert values["effective_classes"] == pytest.approx(10, abs=0.1)
    assert values["kl_to_train"] < 0.01
    assert values["refused"] <= 0.03
    assert values["argmax_classes"] == 10
    assert values["other_style"] <= 0.03
    assert values["class_spread"] > 0.95
    assert values["class_recall"] > 0.9


def test_seven_classes_give_seven(data: tuple[Labelled, Reference]) -> None:
    real, reference = data
    values = measure(real.images[real.labels >= 3], reference)
    assert values["covered_classes"] == 7
    assert values["effective_classes"] == pytest.approx(7, abs=0.2)
    assert values["kl_to_train"] == pytest.approx(math.log(10 / 7), abs=0.06)


def test_one_image_repeated_gives_one(data: tuple[Labelled, Reference]) -> None:
    real, reference = data
    accepted = Images(real.images[:20], ARBITER, ARBITER).confidence.argmax()
    values = measure(real.images[accepted].repeat(300, 1, 1, 1), reference)
    assert values["covered_classes"] == 1
    assert values["effective_classes"] == pytest.approx(1)
    assert values["refused"] == 0


def test_noise_covers_nothing_and_is_refused(data: tuple[Labelled, Reference]) -> None:
    noise = torch.randint(0, 256, (1000, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    values = measure(noise, data[1])
    assert values["covered_classes"] == 0
    assert values["refused"] >= 0.99


def test_a_class_below_the_share_is_not_covered(data: tuple[Labelled, Reference]) -> None:
    # Four nines among a thousand zeros are .4 %: fewer than .5 %, 5 % of a nine's share, whatever their confidence.
    real, reference = data
    sure = Images(real.images, ARBITER, ARBITER).confidence > 0.9
    zeros, nines = (real.images[(real.labels == label) & sure] for label in (0, 9))
    few = torch.cat([zeros.repeat(100, 1, 1, 1)[:996], nines[:4]])
    assert measure(few, reference)["covered_classes"] == 1
    more = torch.cat([zeros.repeat(100, 1, 1, 1)[:985], nines[:15]])
    assert measure(more, reference)["covered_classes"] == 2


def test_a_class_with_exactly_the_share_is_covered() -> None:
    choice = registry.choose("data", "digits")
    real = choice.make().load("test")
    tenth = Labelled(real.images[:1], torch.arange(10))  # each class is a tenth of the training data
    reference = Reference(real.images, ARBITER, ARBITER, real.labels, tenth, choice.make())
    seen = Images(real.images, ARBITER, ARBITER)
    read = seen.probabilities.argmax(1)
    zero, nine = (int((seen.confidence * (read == label)).argmax()) for label in (0, 9))
    for nines, expected in ((4, 1), (5, 2)):  # 5 % of a tenth of 1000 are 5
        shown = torch.tensor([zero] * (1000 - nines) + [nine] * nines)
        pixels = real.images[shown]
        assert measure(pixels, reference)["covered_classes"] == expected


def test_a_sample_of_exactly_the_least_confidence_counts() -> None:
    choice = registry.choose("data", "digits")
    data = choice.plugin(choice.settings)
    real = data.load("test")
    reference = Reference(real.images, ARBITER, ARBITER, real.labels, real, data)
    unsure = Images(real.images, ARBITER, ARBITER).confidence.argmin()[None]
    one = Images(real.images[unsure], ARBITER, ARBITER)
    [confidence] = one.confidence
    for least, expected in ((confidence, 0.0), (confidence.nextafter(torch.tensor(1.0)), 1.0)):
        metric = registry.choose("metrics", {"name": "mode_coverage", "confidence": float(least)})
        assert metric.plugin(metric.settings).compute(one, reference)["refused"] == expected


def test_divergence_by_hand() -> None:
    shares = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    reference = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    assert divergence(shares, reference) == pytest.approx(0.5 * math.log(2))
    # Nothing accepted: the worst that could be, everything on the rarest class.
    assert divergence(torch.zeros(3, dtype=torch.float64), reference) == pytest.approx(math.log(4))


def test_the_histogram_holds_every_sample_once(data: tuple[Labelled, Reference]) -> None:
    choice = registry.choose("metrics", "mode_coverage")
    metric, images = choice.plugin(choice.settings), Images(data[0].images, ARBITER, ARBITER)
    bars = metric.histograms(images, data[1])["classes"]
    assert bars["bins"] == [*map(str, range(10)), "refused"]
    assert sum(bars["samples"]) == pytest.approx(1)
    assert sum(bars["reference"]) == pytest.approx(1)


def test_classes_that_the_training_data_lack_count_as_half_an_image(data: tuple[Labelled, Reference]) -> None:
    # Three images of class 0, one of class 1, none of class 2: 3, 1 and ½ of 4½.
    shares = training_shares(torch.tensor([0, 0, 1, 0]), 3)
    assert shares.tolist() == pytest.approx([3 / 4.5, 1 / 4.5, 0.5 / 4.5])
    real, reference = data
    training = Labelled(*(part[reference.training.labels == 1] for part in reference.training))
    ones = Reference(reference.pixels, ARBITER, ARBITER, reference.labels, training, reference.data)
    n = len(training.labels)
    # All samples of other classes, 9 in equal shares: finite, log(1/9 / (½ / (n + 4½))) on average.
    values = measure(real.images[real.labels != 1], ones)
    assert values["kl_to_train"] == pytest.approx(math.log((n + 4.5) / (9 * 0.5)), abs=0.5)
    assert measure(real.images[real.labels == 1], ones)["kl_to_train"] < 0.3


def test_with_every_class_in_training_the_shares_are_the_plain_ones(data: tuple[Labelled, Reference]) -> None:
    labels = data[1].training.labels
    counts = labels.bincount().double()
    assert torch.equal(training_shares(labels, 10), counts / counts.sum())


class Said:
    """Images that show what is said: their classes, and whether the judge accepts shape and style."""

    def __init__(self, classes: list[int], n: int, refused: tuple[int, ...] = (), features: torch.Tensor | None = None):
        self.probabilities = torch.eye(n)[classes]
        self.confidence = torch.ones(len(classes))
        self.confidence[list(refused)] = 0
        self.style = torch.tensor([1.0, -1.0]).repeat(len(classes))[: len(classes)]
        self.features = torch.zeros(len(classes), 1) if features is None else features
        self.labels = torch.tensor(classes)
        self.training = Labelled(self.probabilities, self.labels)
        self.judge = SimpleNamespace(threshold=0.5, style_threshold=0.0)

    def __len__(self) -> int:
        return len(self.confidence)


def said(samples: Said, reference: Said) -> dict[str, float]:
    values: dict[str, float] = registry.choose("metrics", "mode_coverage").make().compute(samples, reference)
    return values


def test_a_class_is_covered_by_a_share_of_its_own_part() -> None:
    # 300 classes of which each has one sample in 300: a perfect sampler covers them all.
    each = list(range(300))
    assert said(Said(each, 300), Said(each, 300))["covered_classes"] == 300
    # Class 1 is a hundredth of the training data: of 2000 samples it needs 5 % of 20, one; class 0 needs 99.
    training = Said([0] * 99 + [1], 2)
    assert said(Said([0] * 1999 + [1], 2), training)["covered_classes"] == 2
    assert said(Said([0] * 98 + [1] * 1902, 2), training)["covered_classes"] == 1
    assert said(Said([0] * 99 + [1] * 1901, 2), training)["covered_classes"] == 2


def test_what_a_poor_generator_draws_is_counted_without_rejection() -> None:
    samples = Said([3] * 60 + [5] * 40, 10, refused=tuple(range(100)))
    values = said(samples, Said(list(range(10)), 10))
    assert (values["covered_classes"], values["argmax_classes"], values["refused"]) == (0, 2, 1)
    assert values["other_style"] == 0.5
    bars = registry.choose("metrics", "mode_coverage").make().histograms(samples, Said(list(range(10)), 10))
    assert bars["classes"]["samples"] == [0.0] * 10 + [1.0]
    assert bars["classes, any quality"]["samples"] == [0, 0, 0, 0.6, 0, 0.4, 0, 0, 0, 0]


def test_spread_and_recall_within_classes_by_hand() -> None:
    # Class 0: real at 0, 2, 4 (variance 4), samples at 0, 1, 2 (variance 1): half the spread. Their third neighbours
    # are as far as the second here, 2, 1, 2: real 0, 2 and 4 lie in a ball. Class 1 has no accepted sample: 0.
    features = torch.tensor([[0.0], [2.0], [4.0], [0.0], [9.0]])
    real = Said([0, 0, 0, 1, 1], 2, features=features)
    samples = Said([0, 0, 0, 1], 2, refused=(3,), features=torch.tensor([[0.0], [1.0], [2.0], [5.0]]))
    values = said(samples, real)
    assert values["class_spread"] == pytest.approx((0.5 + 0) / 2)
    assert values["class_recall"] == pytest.approx((1 + 0) / 2)


def test_ten_images_repeated_cover_ten_classes_without_spread(data: tuple[Labelled, Reference]) -> None:
    real, reference = data
    sure = Images(real.images, ARBITER, ARBITER).confidence > 0.9
    ten = torch.stack([real.images[(real.labels == label) & sure][0] for label in range(10)])
    values = measure(ten.repeat(50, 1, 1, 1), reference)
    assert (values["covered_classes"], values["refused"]) == (10, 0)
    assert values["effective_classes"] == pytest.approx(10)
    assert values["class_spread"] < 0.01
    assert values["class_recall"] < 0.2

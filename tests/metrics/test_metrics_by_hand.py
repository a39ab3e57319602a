"""Metrics of a few points or pixels, against values worked out by hand, and what their protocols state."""

from __future__ import annotations

import hashlib
import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.metrics import memorisation, modes_2d, neighbours, optimal_discriminator, two_sample
from harness.metrics.classification_error import TestError
from harness.metrics.code_accuracy import CodeAccuracy, confusion
from harness.metrics.conditional_accuracy import in_turn
from harness.metrics.images import Images
from harness.metrics.sharpness import response
from harness.zoo import registry
from harness.zoo.data.base import Shape

JUDGE = SimpleNamespace(name="j", digest="0123456789abcdef" + "x" * 48, threshold=0.5)


def made(name: str, **settings: Any) -> Any:
    return registry.choose("metrics", {"name": name, **settings}).make()


def plane(*points: tuple[float, float]) -> Tensor:
    """Points as they are stored, (n, 2, 1, 1)."""
    return torch.tensor(points, dtype=torch.float64).view(-1, 2, 1, 1)


class Of(SimpleNamespace):
    """A set of images with what a test gives it."""

    def __len__(self) -> int:
        return self.n  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *(("code_effects", {"images": 2000}), ("interpolation", {"pairs": 2000})),
        *(("conditional_accuracy", {}), ("latent_interpolation", {"pairs": 2000}), ("mode_score", {})),
        *(("stacked_modes", {"threshold": None}), ("translation", {})),
    ],
)
def test_protocols_state_the_judge_and_the_first_sixteen_digits_of_its_digest(name: str, more: dict[str, Any]) -> None:
    expected = {"judge": "j", "judge_hash": "0123456789abcdef", **more}
    if name == "translation":
        expected["images"] = 2000
    assert made(name).protocol(SimpleNamespace(judge=JUDGE), None) == expected


def test_which_metrics_need_a_judge_or_more_than_samples_of_a_model() -> None:
    plugins = {name: registry.find("metrics", name).plugin for name in registry.names("metrics")}
    assert {name for name, plugin in plugins.items() if plugin.needs_judge} == {
        *("code_effects", "conditional_accuracy", "curvature", "interpolation", "latent_interpolation"),
        *("mode_coverage", "mode_score", "stacked_modes", "translation"),
    }
    assert {name: set(plugin.requires) for name, plugin in plugins.items() if plugin.requires} == {
        "code_accuracy": {"codes"},
        "code_effects": {"code_inputs"},
        "conditional_accuracy": {"conditional"},
        "interpolation": {"reconstruction"},
        "latent_interpolation": {"generator", "latent"},
        "likelihood": {"likelihood"},
        "optimal_discriminator": {"probability"},
        "reconstruction": {"reconstruction"},
        "saddle": {"probability"},
        "test_error": {"classifier"},
        "translation": {"translation"},
        "two_sample_reconstructed": {"reconstruction"},
    }
    assert not TestError.__test__  # pytest is not to collect it


def test_the_digest_of_images_is_of_their_shape_and_their_content() -> None:
    pixels = torch.tensor([1, 2, 3, 4], dtype=torch.uint8).view(1, 1, 2, 2)
    expected = hashlib.sha256(b"(1, 1, 2, 2)\x01\x02\x03\x04").hexdigest()
    assert Images(pixels, None, None).digest == expected  # type: ignore[arg-type]


def test_labels_in_turn() -> None:
    assert in_turn(torch.tensor([3, 0, 3]), 1).tolist() == [0]
    assert in_turn(torch.tensor([3, 0, 3]), 4).tolist() == [0, 3, 0, 3]
    assert in_turn(torch.tensor([3, 0, 3]), 5).tolist() == [0, 3, 0, 3, 0]


def codes(found: list[int], labels: list[int], categories: int, classes: int) -> tuple[Any, Any]:
    """A model that sees these categories, and images of these labels."""
    model = SimpleNamespace(codes=lambda images: torch.nn.functional.one_hot(torch.tensor(found), categories))
    data = SimpleNamespace(shape=Shape(1, 1, 1, classes))
    pixels = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    return SimpleNamespace(model=model), Of(n=len(labels), pixels=pixels, labels=torch.tensor(labels), data=data)


def test_categories_against_classes_by_hand() -> None:
    samples, reference = codes([2, 2, 2, 0, 0, 1], [0, 0, 1, 1, 1, 0], categories=4, classes=2)
    # Category 2 has two of class 0 and one of class 1, category 0 two of class 1, category 1 one of class 0.
    table = confusion(samples.model, reference.pixels, reference.labels, 2)
    assert table.tolist() == [[0, 2], [1, 0], [2, 1], [0, 0]]
    metric = CodeAccuracy(CodeAccuracy.Settings())
    assert metric.compute(samples, reference) == {"code_error": pytest.approx(2 / 6)}  # 2 → 0 and 0 → 1 agree on four
    assert metric.histograms(samples, reference) == {
        "codes": {
            "bins": ["0 (category 2)", "1 (category 0)"],
            "samples": pytest.approx([3 / 6, 2 / 6]),
            "reference": pytest.approx([3 / 6, 3 / 6]),
        }
    }


def test_cells_that_hold_just_enough_and_the_weighted_statistic() -> None:
    # Cell 0: two test images at 2 and 4, two samples at 1 and 3: the sample is farther in one pair of four (3 > 2).
    # Cell 1: one test image at 5, two samples at 7 and 9: in both pairs. Cell 2 has samples alone.
    samples = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1.0, 3.0, 7.0, 9.0, 0.0])
    test = torch.tensor([0, 0, 1]), torch.tensor([2.0, 4.0, 5.0])
    # Z: (1 − 2) / √(4 · 5 / 12) and (2 − 1) / √(2 · 4 / 12), with the weights 2/3 and 1/3.
    both = memorisation.comparison(samples, test, least=1)
    assert both["memorisation"] == pytest.approx(2 / 3 * 3 / 4 + 1 / 3 * 0)
    assert both["data_copying"] == pytest.approx(2 / 3 * -1 / (5 / 3) ** 0.5 + 1 / 3 * 1 / (2 / 3) ** 0.5)
    # With two at least, cell 0 alone, which has just two of both.
    alone = memorisation.comparison(samples, test, least=2)
    assert alone == {"memorisation": pytest.approx(3 / 4), "data_copying": pytest.approx(-1 / (5 / 3) ** 0.5)}


def test_every_cell_counts_however_small_the_distances() -> None:
    # Cell 0: the sample is nearer; cell 1: it is farther. Both hold one test image.
    samples = torch.tensor([0, 1]), torch.tensor([0.1, 0.3])
    found = memorisation.comparison(samples, (torch.tensor([0, 1]), torch.tensor([0.2, 0.2])), least=1)
    assert found["memorisation"] == 0.5


def test_cells_are_those_of_the_nearest_centre() -> None:
    centres = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 9.0]], dtype=torch.float64)
    assert memorisation._cells(torch.tensor([[3.0, 1.0], [1.0, 1.0], [1.0, 8.0], [2.5, 0.0]]), centres).tolist() == [
        *(1, 0, 2, 1)
    ]


def test_centres_are_those_of_k_means_from_one_start_with_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class KMeans:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            asked.append((args, kwargs))

        def fit(self, features: Any) -> Any:
            return SimpleNamespace(cluster_centers_=features[:1] + 1)

    monkeypatch.setattr("sklearn.cluster.KMeans", KMeans)
    assert memorisation._centres(torch.tensor([[2.0, 3.0], [5.0, 6.0]]), 10).tolist() == [[3, 4]]
    memorisation._centres(torch.zeros(20, 2), 10)
    # Two features have no more than two cells.
    assert asked == [((cells,), {"n_init": 1, "random_state": 2020}) for cells in (2, 10)]


class Line:
    """An extractor whose features are the pixels."""

    name, digest = "line", "f" * 64

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.flatten(1).float(), images.flatten(1).float()


def on_a_line(training: list[int], test: list[int]) -> Any:
    def stored(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)

    data = SimpleNamespace(load=lambda split: SimpleNamespace(images=stored(test)) if split == "test" else None)
    found: Any = Images(stored(test), Line(), None)
    found.training, found.data = SimpleNamespace(images=stored(training)), data
    return found


def test_memorisation_of_another_reference_is_measured_anew() -> None:
    metric = made("memorisation", cells=1, least=1)
    samples = Images(torch.tensor([11, 30], dtype=torch.uint8).view(-1, 1, 1, 1), Line(), None)
    # Training 10 and 20. Held out 13 and 25: 3 and 5 away; samples 1 and 10 away: farther in two pairs of four.
    first = on_a_line([10, 20], [13, 25])
    assert metric.compute(samples, first)["memorisation"] == pytest.approx(1 / 2)
    assert metric.protocol(samples, first) == {"cells": 1, "least": 1, "training": 2, "held_out": 2}
    # Training 30: the samples are 19 and 0 away, held out 31, 32 and 70 are 1, 2 and 40: farther in two of six.
    second = on_a_line([30], [31, 32, 70])
    assert metric.compute(samples, second)["memorisation"] == pytest.approx(4 / 6)
    assert metric.protocol(samples, second) == {"cells": 1, "least": 1, "training": 1, "held_out": 3}
    assert metric.compute(samples, first)["memorisation"] == pytest.approx(1 / 2)


def test_neighbours_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    one = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    other = torch.tensor([[0.0, 1.0], [3.0, 0.0], [20.0, 0.0]])
    # (0, 0) is 1 from (0, 1); (3, 4) is 4 from (3, 0) and √18 from (0, 1); (10, 0) is 7 from (3, 0).
    for held in (2**23, 6, 1):  # all rows at once, two, and one, though a row is more than may be held
        monkeypatch.setattr(neighbours, "HELD", held)
        assert neighbours.nearest(one, other).tolist() == [[1], [4], [7]]
        rows = torch.cat(list(neighbours.distances(one, other)))
        assert torch.allclose(rows[0], torch.tensor([1.0, 3.0, 20.0]).double())
        assert torch.allclose(rows[1], torch.tensor([18**0.5, 4.0, 305**0.5]).double())
        # Among (0, 0), (3, 4) and (10, 0): 5, √65 and 10 apart.
        assert neighbours.radii(one, 2).T.tolist() == [[5, 5, 65**0.5], [10, 65**0.5, 10]]
        # Balls of radii 1, 3 and 0 around others hold (0, 0), none, none; of 1, 4 and 0, the second holds (3, 4), too.
        assert neighbours.held(one, other, torch.tensor([1.0, 3.0, 0.0]).double()).tolist() == [2, 0, 0]
        assert neighbours.held(one, other, torch.tensor([1.0, 4.0, 0.0]).double()).tolist() == [2, 1, 0]
    assert [len(block) for block in neighbours.distances(one, other)] == [1, 1, 1]


def test_modes_by_hand() -> None:
    data = SimpleNamespace(points=True, centres=[[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], sigma=1.0)
    # Three of the first mode (one at 3σ exactly), one of the second, two of none.
    samples = Images(plane((0, 0), (0, 3), (-2, 0), (10, 1), (5, 5), (4, 0)), None, None)  # type: ignore[arg-type]
    real: Any = Images(plane((0, 10), (10, 0), (0, 1), (50, 50)), None, None)  # type: ignore[arg-type]
    real.data = data
    metric = made("high_quality_modes")
    # Shares ¾ and ¼ against a third each: log 3 + ¾ log ¾ + ¼ log ¼.
    kl = math.log(3) + 0.75 * math.log(0.75) + 0.25 * math.log(0.25)
    assert metric.compute(samples, real) == {
        "modes": 2,
        "high_quality": pytest.approx(4 / 6),
        "mode_kl": pytest.approx(kl),
    }
    assert metric.histograms(samples, real) == {
        "modes": {
            "bins": ["1", "2", "3", "none"],
            "samples": pytest.approx([3 / 6, 1 / 6, 0, 2 / 6]),
            "reference": pytest.approx([1 / 4] * 4),
        }
    }
    assert metric.protocol(samples, real) == {"within_sigmas": 3, "sigma": 1}
    assert modes_2d.HighQualityModes.refusal(None, SimpleNamespace(points=False, centres=[], sigma=1))  # type: ignore[arg-type]


def test_density_of_two_kernels_in_the_plane() -> None:
    # σ = ½: 1 / (2 π σ²) = 2 / π at its own point, and exp(−d² / (2 σ²)) = exp(−2 d²) of it at a distance d.
    kernel, points = plane((0, 0), (1, 0)), plane((0, 0), (0, 1))
    density = optimal_discriminator.log_density(points, kernel, 0.5).exp()
    assert density.tolist() == pytest.approx(
        [(1 + math.exp(-2)) / math.pi, (math.exp(-2) + math.exp(-4)) / math.pi]  # the mean of two: 2 / π / 2
    )
    # Three, leaving out its own: the mean of the two others.
    three = plane((0, 0), (1, 0), (0, 1))
    left_out = optimal_discriminator.log_density(three, three, 0.5, leave_out=True).exp()
    assert left_out.tolist() == pytest.approx(
        [2 * math.exp(-2) / math.pi, *[(math.exp(-2) + math.exp(-4)) / math.pi] * 2]
    )


def test_the_width_of_the_largest_likelihood_of_the_first_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def scripted(points: Tensor, kernel: Tensor, sigma: float, leave_out: bool = False) -> Tensor:
        asked.append((len(points), len(kernel), sigma, leave_out))
        # Clamped at −50 their means are −25 and −25.15; at −51 or without, the second would be the larger.
        return torch.tensor({0.03: [-60.0, 0.0], 0.06: [-50.0, -0.3]}.get(sigma, [-40.0, -40.0]))

    monkeypatch.setattr(optimal_discriminator, "log_density", scripted)
    assert optimal_discriminator.width(torch.zeros(1500, 2)) == 0.03
    assert asked == [(1000, 1000, width, True) for width in optimal_discriminator.WIDTHS]


def test_the_distance_to_the_optimal_discriminator_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimal_discriminator, "width", lambda kernel: 0.5 if len(kernel) == 2 else 0.0)
    seen: list[Any] = []

    def probability(points: Tensor) -> Tensor:
        seen.append(points.flatten(1).tolist())
        return torch.tensor([0.75, 0.5, 1.0, 0.25])

    def log_data(points: Tensor) -> Tensor:
        """Three times the density of a Gaussian of width ½ at (0, 0), which both kernel points are at."""
        return -2 * points.flatten(1).square().sum(1) - math.log(math.pi / 2) + math.log(3)

    samples = Images(plane((0, 0), (0, 0), (1, 0), (0, 1), (7, 7), (8, 8)), None, None)  # type: ignore[arg-type]
    samples.model = SimpleNamespace(probability=probability)  # type: ignore[assignment]
    reference: Any = Images(plane((2, 0), (0, 2)), None, None)  # type: ignore[arg-type]
    reference.data = SimpleNamespace(log_density=log_data)
    # Two real points allow four samples, two of them for the kernel. D* is ¾ everywhere: D is 0, ¼, ¼, ½ away.
    assert made("optimal_discriminator").compute(samples, reference) == {
        "optimal_distance": pytest.approx(0.25),
        "optimal_advantage": pytest.approx(0.5),
    }
    assert seen == [[[2, 0], [0, 2], [1, 0], [0, 1]]]


def test_at_most_four_thousand_samples_tell_the_optimal_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimal_discriminator, "width", lambda kernel: 0.5)
    monkeypatch.setattr(optimal_discriminator, "MOST", 7)
    asked: list[int] = []
    samples = Images(torch.zeros(20, 2, 1, 1), None, None)  # type: ignore[arg-type]
    samples.model = SimpleNamespace(  # type: ignore[assignment]
        probability=lambda points: (asked.append(len(points)), torch.zeros(len(points)))[1]
    )
    reference: Any = Images(torch.zeros(20, 2, 1, 1), None, None)  # type: ignore[arg-type]
    reference.data = SimpleNamespace(log_density=lambda points: torch.zeros(len(points)))
    metric = made("optimal_discriminator")
    metric.compute(samples, reference)
    assert asked == [6]  # three real and three generated ones
    assert metric.protocol(samples, reference) == {"kernel_widths": list(optimal_discriminator.WIDTHS), "most": 7}
    assert metric.refusal(None, reference.data) is None
    assert metric.refusal(None, SimpleNamespace()) == "its density is not known"


def test_the_filter_on_an_image_of_two_rows_inside() -> None:
    # Rows 0 0 0 0 0, 0 1 2 0 0, 0 0 0 3 0, 0 0 0 0 0 of 255. Inside: up + down + left + right − 4 times the middle
    # 2 − 4, 1 − 8, 2 + 3; 1 + 0, 2 + 3, −12: −2 −7 5 1 5 −12. Mean −10/6, squares 4 + 49 + 25 + 1 + 25 + 144 = 248.
    image = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 2, 0, 0], [0, 0, 0, 3, 0], [0, 0, 0, 0, 0]], dtype=torch.uint8)
    expected = (248 / 6 - (10 / 6) ** 2) / 255**2
    assert response(image[None, None]) == pytest.approx(expected)
    assert response(image.T[None, None]) == pytest.approx(expected)


def test_sharpness_against_a_reference_with_or_without_edges() -> None:
    flat, edge = torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    edge[0, 0, 1, 1] = 51  # a fifth: the response is 4.25 / 25 = .17 (see test_sharpness.py)
    bright = (edge * 5).to(torch.uint8)
    metric = made("sharpness")
    for samples, reference, expected in ((bright, edge, 25.0), (edge, bright, 1 / 25), (bright, flat, 1.0)):
        found = metric.compute(SimpleNamespace(pixels=samples), SimpleNamespace(pixels=reference))
        assert found == {"sharpness": pytest.approx(expected)}
    for height, width, small in ((4, 4, False), (3, 9, True), (9, 3, True), (4, 5, False)):
        refusal = metric.refusal(None, SimpleNamespace(points=False, shape=Shape(1, height, width, 10)))
        assert (refusal is not None and "4 × 4" in refusal) == small
    assert metric.refusal(None, SimpleNamespace(points=True)) == "it is made for images"


@pytest.mark.parametrize(
    ("points", "channels", "classes", "refused"),
    [(False, 3, 1000, False), (True, 3, 1000, True), (False, 1, 1000, True), (False, 3, 10, True)],
)
def test_stacked_modes_are_of_three_channels_and_a_thousand_classes(
    points: bool, channels: int, classes: int, refused: bool
) -> None:
    data = SimpleNamespace(points=points, shape=Shape(channels, 28, 28, classes))
    assert (made("stacked_modes").refusal(None, data) is not None) == refused


def test_each_channel_is_judged_by_itself_in_its_own_decimal_place() -> None:
    # A judge that reads the digit off the pixel: 7 8 9 and 0 1 2, seen twice.
    single = SimpleNamespace(assess=lambda images: (torch.nn.functional.one_hot(images.flatten().long(), 10), None))
    pixels = torch.tensor([[7, 8, 9], [0, 1, 2], [0, 1, 2]], dtype=torch.uint8).view(3, 3, 1, 1)
    found = made("stacked_modes").compute(SimpleNamespace(judge=single, pixels=pixels), None)
    # Shares ⅓ and ⅔ against a thousandth each.
    kl = math.log(1000) + math.log(1 / 3) / 3 + math.log(2 / 3) * 2 / 3
    assert found == {"stacked_modes": 2, "stacked_kl": pytest.approx(kl)}


class Classifier:
    """In the place of scikit-learn's: keeps what it gets, and warns as that does."""

    asked: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.asked.append((args, kwargs))

    def fit(self, features: Any, labels: Any) -> None:
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn("not yet", ConvergenceWarning, stacklevel=2)
        self.asked.append((features.tolist(), labels.tolist()))

    def score(self, features: Any, labels: Any) -> float:
        self.asked.append((features.tolist(), labels.tolist()))
        return 0.625


def test_the_classifier_of_two_samples_and_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classifier, "asked", [], raising=False)
    monkeypatch.setattr("sklearn.neural_network.MLPClassifier", Classifier)
    train = torch.tensor([[0.0, 5.0], [4.0, 5.0]], dtype=torch.float64), torch.tensor([0, 1])
    test = torch.tensor([[6.0, 5.0 + 3e-8]], dtype=torch.float64), torch.tensor([1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert two_sample.told_apart(train, test) == 0.625
    # Of the training half: means 2 and 5, deviations 2 and 0, of which 1e-8 is made.
    assert Classifier.asked == [
        (((20,),), {"max_iter": 100, "learning_rate_init": 0.01, "random_state": 2017}),
        ([[-1, 0], [1, 0]], [0, 1]),
        ([[2, pytest.approx(3, rel=1e-6)]], [1]),
    ]


def test_two_samples_of_unequal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(two_sample, "told_apart", lambda *parts: asked.extend(parts) or 0.75)
    samples, real = Of(n=5, features=torch.arange(5.0)[:, None]), Of(n=7, features=100 + torch.arange(7.0)[:, None])
    metric = made("two_sample")
    # Of five each, two train and three test: 6 in all. P(N(½, 1/24) > ¾) = ½ erfc(¼ √24 / √2) = ½ erfc(√.75).
    assert metric.compute(samples, real) == {
        "two_sample_accuracy": 0.75,
        "two_sample_p": pytest.approx(math.erfc(0.75**0.5) / 2),
    }
    assert [labels.tolist() for _, labels in asked] == [[0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert all(((features[:, 0] >= 100) == (labels == 1)).all() for features, labels in asked)
    # 1.96 / (2 √6) = .40008, rounded to .4001.
    assert metric.protocol(samples, real) == {
        "tested": 6,
        "null_interval": pytest.approx([0.0999, 0.9001], abs=1e-9),
        "hidden": 20,
    }
    assert metric.protocol(real, samples)["tested"] == 6

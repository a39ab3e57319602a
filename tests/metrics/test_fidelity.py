"""Every value equals what torch-fidelity itself computes on the same images with the same features."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from bench_evaluation import Extractor
from torch_fidelity import calculate_metrics, register_feature_extractor

from harness import judge
from harness.judge.points import Points
from harness.metrics import fidelity
from harness.metrics.images import Images, Reference
from harness.zoo import registry
from harness.zoo.data.pixels import from_uint8, to_uint8

ARBITER = judge.load("mnist", "cpu")


class JudgeExtractor(Extractor):
    """The feature judge in the form that torch-fidelity takes."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = dict(zip(("features", "logits"), ARBITER.features(images), strict=True))
        return tuple(found[name] for name in self.features_list)


register_feature_extractor("harness-test-judge", JudgeExtractor)


class Pixels(torch.utils.data.Dataset):
    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.pixels[i]


@pytest.fixture(scope="module")
def images() -> tuple[Images, Reference]:
    """Half real and half spoilt digits as samples, other digits as the reference."""
    choice = registry.choose("data", "digits")
    data = choice.make()
    training, test = data.load("train"), data.load("test")
    samples = training.images[:400].clone()
    samples[::2] = samples[::2].roll(7, dims=3)
    reference = Reference(test.images[:500], ARBITER, ARBITER, test.labels[:500], training, data)
    return Images(samples, ARBITER, ARBITER), reference


@pytest.fixture(scope="module")
def theirs(images: tuple[Images, Reference]) -> dict[str, float]:
    samples, reference = images
    found: dict[str, float] = calculate_metrics(
        input1=Pixels(samples.pixels),
        input2=Pixels(reference.pixels),
        cuda=False,
        isc=True,
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=300,
        feature_extractor="harness-test-judge",
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    return found


@pytest.mark.parametrize(
    ("metric", "settings", "column", "key"),
    [
        ("fid", {}, "fid", "frechet_inception_distance"),
        ("inception_score", {}, "inception_score", "inception_score_mean"),
        ("kid", {"subset_size": 300}, "kid", "kernel_inception_distance_mean"),
        ("precision_recall", {}, "precision", "precision"),
        ("precision_recall", {}, "recall", "recall"),
    ],
)
def test_equals_calculate_metrics(
    images: tuple[Images, Reference],
    theirs: dict[str, float],
    metric: str,
    settings: dict[str, int],
    column: str,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    choice = registry.choose("metrics", {"name": metric} | settings)
    if metric == "inception_score":  # with as many splits as theirs, however few the samples
        monkeypatch.setattr(fidelity, "LEAST", 1)
    ours = choice.make().compute(*images)[column]
    # The two extract features in batches of different sizes, which moves float32 sums in the last digits.
    assert ours == pytest.approx(theirs[key], rel=1e-4)


def known(features: torch.Tensor) -> Images:
    return Images(features[:, :, None, None], Points(), None)


def test_fid_of_two_gaussians_by_hand() -> None:
    # N(0, I) against N((3, 4), 4 I) in two dimensions: 25 + tr(I + 4 I − 2 · 2 I) = 27
    rng = torch.Generator().manual_seed(0)
    one = torch.randn(200_000, 2, generator=rng)
    other = 2 * torch.randn(200_000, 2, generator=rng) + torch.tensor([3.0, 4.0])

    choice = registry.choose("metrics", "fid")
    value = choice.make().compute(known(one), known(other))["fid"]
    assert value == pytest.approx(27, rel=0.01)


def test_the_inception_score_of_perfect_and_of_collapsed_samples() -> None:
    class Known:
        def __init__(self, logits: torch.Tensor) -> None:
            self.logits = logits

        def __len__(self) -> int:
            return len(self.logits)

    choice = registry.choose("metrics", "inception_score")
    metric = choice.make()
    sure = 100 * torch.eye(10).repeat(100, 1)
    # Ten classes in equal shares, each beyond doubt: 10. Split ten ways the shares are only nearly equal.
    ten = SimpleNamespace(data=SimpleNamespace(shape=SimpleNamespace(classes=10)))
    assert metric.compute(Known(sure), ten)["inception_score"] == pytest.approx(10, abs=0.1)
    assert metric.compute(Known(sure[:1].repeat(1000, 1)), ten)["inception_score"] == pytest.approx(1)
    # A hundred samples are one split: in ten splits of ten, a perfect sampler of ten classes has 6.4.
    assert metric.compute(Known(sure[:100]), ten)["inception_score"] == pytest.approx(10)


@pytest.mark.parametrize(("n", "classes", "splits"), [(10_000, 10, 10), (600, 10, 1), (2499, 10, 4), (26_000, 1000, 1)])
def test_splits_of_the_inception_score_hold_fifty_of_each_class(n: int, classes: int, splits: int) -> None:
    choice = registry.choose("metrics", "inception_score")
    reference = SimpleNamespace(data=SimpleNamespace(shape=SimpleNamespace(classes=classes)))

    class Known:
        logits = torch.zeros(1, classes)

        def __len__(self) -> int:
            return n

    assert choice.make().protocol(Known(), reference) == {"splits": splits, "classes": classes}


def test_pixels_are_clipped_and_rounded() -> None:
    images = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert to_uint8(images).tolist() == [0, 0, 128, 255, 255]
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(every)), every)


def test_points_of_the_plane_are_measured_by_their_coordinates() -> None:
    rng = torch.Generator().manual_seed(0)

    def points(shift: float) -> Images:
        return Images((0.1 * torch.randn(400, 2, generator=rng) + shift)[:, :, None, None], Points(), None)

    real, alike, away = points(0), points(0), points(0.5)
    for name in ("fid", "kid", "precision_recall"):
        choice = registry.choose("metrics", name)
        metric = choice.make()
        assert metric.refusal(choice.settings, SimpleNamespace(points=True)) is None
        good, bad = metric.compute(alike, real), metric.compute(away, real)
        for column, value in metric.values.items():
            assert (good[column] < bad[column]) == (value.better == "lower")
        if name == "fid":
            assert bad["fid"] == pytest.approx(2 * 0.5**2, abs=0.03)  # the means' distance, squared
    inception = registry.choose("metrics", "inception_score")
    assert inception.plugin.refusal(inception.settings, SimpleNamespace(points=True)) == "it is made for images"

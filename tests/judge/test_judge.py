"""The shipped judges meet their targets on data that they were not trained on, and bad weights are refused."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import judge
from harness.base.errors import HarnessError
from harness.judge import catalogue, glyphs, training
from harness.judge.outliers import HELD_OUT, TRAINED, Source
from harness.judge.styles import STYLES
from harness.zoo import registry
from harness.zoo.data.base import Labelled

ARBITER = judge.load("mnist", "cpu")


def load(name: str, split: str) -> Labelled:
    choice = registry.choose("data", name)
    return choice.make().load(split)


def source(data: Labelled) -> Source:
    return Source(data.images, data.labels, torch.Generator().manual_seed(5))


def accepted(images: torch.Tensor) -> float:
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8)
    return float((ARBITER.assess(pixels)[1] >= ARBITER.threshold).float().mean())


@pytest.mark.parametrize(
    ("data", "accuracy"), [("digits", 0.98), pytest.param("mnist", 0.993, marks=pytest.mark.mnist)]
)
def test_real_digits_are_recognised_and_accepted(data: str, accuracy: float) -> None:
    images, labels = (part[::3] for part in load(data, "test"))
    for output in (ARBITER.features(images)[1], ARBITER.assess(images)[0]):
        assert (output.argmax(1) == labels).float().mean() >= accuracy
    assert accepted(images / 255) >= 0.97
    assert training.style_accepted(ARBITER, images / 255) >= 0.97


@pytest.mark.mnist
@pytest.mark.parametrize("style", training.MEASURED_STYLES)
def test_digits_in_another_style_are_accepted(style: str) -> None:
    digits = source(load("mnist", "test"))
    images, labels = digits.digits(1000)
    changed = training.MEASURED_STYLES[style](digits, images)
    assert accepted(changed) >= 0.95
    read = ARBITER.assess((changed.clamp(0, 1) * 255).round().to(torch.uint8))[0].argmax(1)
    assert (read == labels).float().mean() >= 0.95


@pytest.mark.parametrize("style", [name for name in STYLES if name not in ("shift", "sharpness", "thickness")])
def test_another_style_is_seen_as_one(style: str) -> None:
    digits = source(load("digits", "test"))
    assert training.style_accepted(ARBITER, STYLES[style](digits, digits.digits(300)[0], 1.0)) <= 0.2


def test_the_style_does_not_hang_on_the_shape() -> None:
    images = load("digits", "test").images / 255
    assert training.style_accepted(ARBITER, images.rot90(1, (2, 3))) >= 0.95
    assert training.style_accepted(ARBITER, images.flip(3)) >= 0.95


@pytest.mark.mnist
def test_families_that_were_not_in_training_are_refused() -> None:
    digits = source(load("mnist", "test"))
    rates = {name: accepted(training.many(made, digits, 500)) for name, made in training._kept_back().items()}
    assert sum(rates.values()) / len(rates) <= 0.05, rates
    assert max(rates.values()) <= 0.12, rates


def test_letters_of_a_font_that_is_there_are_refused() -> None:
    files = [glyphs.shipped_fonts() / f"{name}.ttf" for name in ("DejaVuSans", "STIXGeneral", "cmr10")]
    images, _ = glyphs.drawn(glyphs.CAPITALS + glyphs.SMALL, files)
    assert accepted(images / 255) <= 0.05
    digits, labels = glyphs.drawn(glyphs.DIGITS, files)
    assert (ARBITER.assess(digits)[0].argmax(1) == labels).float().mean() >= 0.95


def test_distances_tell_bad_from_worse() -> None:
    """Noise is farther from the data than grey, grey than a blob, a blob than bad digits, these than real ones."""
    real = load("digits", "train")
    digits, n = source(load("digits", "test")), 500
    blobs = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(digits.digits(n)[0], 14), 28, mode="bicubic")
    grey = 0.5 + 0.005 * digits.normal(n, 1, 28, 28)
    scale = {
        "real": digits.digits(n)[0],
        "bad": TRAINED["bent"](digits, n),
        "blobs": blobs,
        "grey": grey,
        "noise": digits.uniform(n, 1, 28, 28),
    }
    reference = ARBITER.features(real.images)[0]
    found = [frechet(ARBITER.features((one.clamp(0, 1) * 255).to(torch.uint8))[0], reference) for one in scale.values()]
    assert found == sorted(found), dict(zip(scale, found, strict=True))
    assert all(1.02 * nearer < farther for nearer, farther in itertools.pairwise(found)), found


@pytest.mark.parametrize("name", ["flat", "uniform_noise", "clouds", "rings"])
def test_images_that_show_nothing_have_features_of_their_own(name: str) -> None:
    images = TRAINED[name](source(load("digits", "test")), 100) * 0.98 + 0.01
    features = ARBITER.features((images.clamp(0, 1) * 255).to(torch.uint8))[0]
    grey = ARBITER.features(torch.full((1, 1, 28, 28), 117, dtype=torch.uint8))[0]
    assert ((features - grey).norm(dim=1) > 1e-3).all()


def frechet(one: torch.Tensor, other: torch.Tensor) -> float:
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    statistics = [fid_features_to_statistics(features) for features in (one, other)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


@pytest.mark.parametrize("family", ["uniform_noise", "gaussian_noise", "clouds", "flat", "shuffled_patches"])
def test_what_collapsed_generators_draw_is_rejected(family: str) -> None:
    digits = source(load("digits", "test"))
    assert accepted(TRAINED[family](digits, 500)) <= 0.01


def test_noise_does_not_raise_the_inception_score() -> None:
    noise = torch.randint(0, 256, (500, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    p = ARBITER.features(noise)[1].softmax(1)
    score = (p * (p.log() - p.mean(0).log())).sum(1).mean().exp()
    assert score < 1.5


def test_outputs_have_their_shapes_and_ranges() -> None:
    images = load("digits", "test").images[:30]
    features, logits = ARBITER.features(images)
    assert features.shape == (30, 64 + 16 + 3)
    assert logits.shape == (30, ARBITER.classes)
    assert features[:, :64].min() >= 0
    probabilities, scores = ARBITER.assess(images)
    assert torch.allclose(probabilities.sum(1), torch.ones(30))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert ARBITER.style(images).shape == (30,)
    assert features.dtype == logits.dtype == probabilities.dtype == torch.float32


def test_what_a_judge_says_of_an_image_depends_on_that_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.judge import judge as module

    images = load("digits", "test").images[:64]
    whole = [*ARBITER.features(images), *ARBITER.assess(images), ARBITER.style(images)]
    monkeypatch.setattr(module, "BATCH", 7)
    parts = [*ARBITER.features(images), *ARBITER.assess(images), ARBITER.style(images)]
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_no_random_state_is_touched() -> None:
    before = torch.get_rng_state()
    ARBITER.features(load("digits", "test").images[:20])
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A copy of the weights, to spoil."""
    folder = tmp_path / "weights"
    shutil.copytree(catalogue.SHIPPED, folder)
    monkeypatch.setattr(catalogue, "SHIPPED", folder)
    judge.digest.cache_clear()
    yield folder
    judge.digest.cache_clear()


def test_an_unknown_judge(weights: Path) -> None:
    with pytest.raises(HarnessError, match="did you mean 'mnist'"):
        judge.load("mnits", "cpu")


def test_a_missing_file(weights: Path) -> None:
    (weights / "mnist-shape.safetensors").unlink()
    with pytest.raises(HarnessError, match=r"mnist-shape\.safetensors"):
        judge.load("mnist", "cpu")


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_a_truncated_file(weights: Path, role: str) -> None:
    path = weights / f"mnist-{role}.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HarnessError, match=f"mnist-{role}"):
        judge.load("mnist", "cpu")


def test_weights_of_another_shape(weights: Path) -> None:
    path = weights / "mnist-features.safetensors"
    tensors = load_file(path)
    tensors["body.0.weight"] = tensors["body.0.weight"][:, :, :3, :3].contiguous()
    save_file(tensors, path, {"temperature": "1"})
    catalogue.write_sums(weights, "mnist")
    with pytest.raises(HarnessError, match="not the weights of a FeatureNetwork"):
        judge.load("mnist", "cpu")


def test_a_shape_network_without_its_threshold(weights: Path) -> None:
    path = weights / "mnist-shape.safetensors"
    save_file(load_file(path), path)
    catalogue.write_sums(weights, "mnist")
    with pytest.raises(HarnessError, match="header lacks a number"):
        judge.load("mnist", "cpu")


def test_other_weights_have_another_digest(weights: Path) -> None:
    before = judge.digest("mnist")
    path = weights / "mnist-features.safetensors"
    tensors = load_file(path)
    tensors["head.bias"] += 1
    save_file(tensors, path, {"temperature": "1"})
    catalogue.write_sums(weights, "mnist")
    assert judge.digest("mnist") != before


@pytest.mark.slow
@pytest.mark.mnist
def test_training_writes_weights_that_load(weights: Path) -> None:
    # A few steps: the way is walked, the figures mean nothing.
    said: list[str] = []
    few = training.TrainingSettings(feature_steps=3, shape_steps=3, style_steps=3)
    training.train(weights, recipe=few, report=said.append)
    made = judge.load("mnist", "cpu")
    assert 0 <= made.threshold <= 1
    assert all(any(role in text for text in said) for role in catalogue.ROLES)


def test_every_outlier_family_gives_images_and_follows_its_seed() -> None:
    data = load("digits", "train")
    for family in (*TRAINED.values(), *HELD_OUT.values()):
        one, same = (family(source(data), 24) for _ in range(2))
        assert one.shape == (24, 1, 28, 28), family.__name__
        assert torch.equal(one, same), family.__name__

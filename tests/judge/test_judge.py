"""The shipped judges meet their targets on data that they were not trained on, and bad weights are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import judge
from harness.base.errors import HarnessError
from harness.judge import catalogue, training
from harness.judge.outliers import HELD_OUT, TRAINED, Source
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
    ("data", "accuracy"), [("digits", 0.98), pytest.param("mnist", 0.995, marks=pytest.mark.mnist)]
)
def test_real_digits_are_recognised_and_accepted(data: str, accuracy: float) -> None:
    images, labels = load(data, "test")
    for output in (ARBITER.features(images)[1], ARBITER.assess(images)[0]):
        assert (output.argmax(1) == labels).float().mean() >= accuracy
    assert (ARBITER.assess(images)[1] >= ARBITER.threshold).float().mean() >= 0.985


def test_families_that_were_not_in_training_are_rejected() -> None:
    # Made of scikit-learn's held-out digits here; the model card has the figures on MNIST's test digits.
    digits = source(load("digits", "test"))
    rates = {name: accepted(family(digits, 500)) for name, family in HELD_OUT.items()}
    assert sum(rates.values()) / len(rates) <= 0.02, rates


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
    assert features.shape == (30, ARBITER.feature_dim)
    assert logits.shape == (30, ARBITER.classes)
    assert features.min() >= 0
    probabilities, scores = ARBITER.assess(images)
    assert torch.allclose(probabilities.sum(1), torch.ones(30))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert features.dtype == logits.dtype == probabilities.dtype == torch.float32


def test_what_a_judge_says_of_an_image_depends_on_that_image_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.judge import judge as module

    images = load("digits", "test").images[:64]
    whole = [*ARBITER.features(images), *ARBITER.assess(images)]
    monkeypatch.setattr(module, "BATCH", 7)
    parts = [*ARBITER.features(images), *ARBITER.assess(images)]
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
    (weights / "mnist-coverage.safetensors").unlink()
    with pytest.raises(HarnessError, match=r"mnist-coverage\.safetensors"):
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


def test_a_coverage_network_without_its_threshold(weights: Path) -> None:
    path = weights / "mnist-coverage.safetensors"
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
    # A hundredth of an epoch: the way is walked, the figures mean nothing.
    said: list[str] = []
    training.train(weights, recipe=training.TrainingSettings(epochs=0.01), report=said.append)
    made = judge.load("mnist", "cpu")
    assert 0 <= made.threshold <= 1
    assert any("coverage" in text for text in said)


def test_every_outlier_family_gives_images_and_follows_its_seed() -> None:
    data = load("digits", "train")
    for family in (*TRAINED.values(), *HELD_OUT.values()):
        one, same = (family(source(data), 24) for _ in range(2))
        assert one.shape == (24, 1, 28, 28), family.__name__
        assert torch.equal(one, same), family.__name__

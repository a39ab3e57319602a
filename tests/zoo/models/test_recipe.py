"""The recipe of the classroom: what is fed back, when it stops, and that it learns with and without gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.testing import equal
from harness.zoo import registry
from harness.zoo.building import SHAPES, build
from harness.zoo.data.base import Labelled
from harness.zoo.models.feedback import improved
from harness.zoo.models.recipe import Recipe, examine, no_better_than_chance

SMALL: dict[str, Any] = {"name": "recipe", "architecture": {"name": "mlp", "width": 64, "slope": 0}, "latent": 2}
CLASSIFIERS = registry.names("classifiers")
ESTIMATORS = [name for name in CLASSIFIERS if not registry.find("classifiers", name).plugin.differentiable]
NOTHING = Labelled(torch.zeros(64, 2, 1, 1), torch.zeros(64, dtype=torch.long))
"""The mini-batch: its size is all that a round asks of it."""


@cache
def ring(split: Any) -> Tensor:
    choice = registry.choose("data", "ring")
    points: Tensor = choice.make().load(split).images
    return points


def on_ring(**settings: Any) -> Recipe:
    model = build(SMALL | settings, SHAPES[4])
    assert isinstance(model, Recipe)
    points = ring("train")
    model.training = Labelled(points, torch.zeros(len(points), dtype=torch.long))
    return model


class ByValue:
    """Holds for real what is large in the first coordinate. It learns nothing, and notes what it was given."""

    def __init__(self) -> None:
        self.fitted: list[Tensor] = []
        self.asked: list[Tensor] = []

    def fit(self, real: Tensor, synthetic: Tensor) -> None:
        self.fitted += [real, synthetic]

    def probability(self, images: Tensor) -> Tensor:
        self.asked.append(images)
        return images.flatten(1)[:, 0].clamp(0, 1)


def points(*firsts: float) -> Tensor:
    """Points with these first coordinates."""
    return torch.tensor([[first, 0.0] for first in firsts]).view(-1, 2, 1, 1)


def test_the_chance_bound() -> None:
    # n = 100: standard deviation .05, bound .5 + 1.645 · .05 = .58225
    assert no_better_than_chance(0.58, 100, 1.645)
    assert not no_better_than_chance(0.59, 100, 1.645)
    # n = 10 000: .5 + 1.645 · .005 = .508225
    assert no_better_than_chance(0.508, 10_000, 1.645)
    assert not no_better_than_chance(0.509, 10_000, 1.645)
    # the bound itself is not beyond it, and worse than chance is not better
    assert no_better_than_chance(0.5, 100, 0)
    assert not no_better_than_chance(0.51, 100, 0)
    assert no_better_than_chance(0.0, 100, 1.645)


def test_examining_counts_right_answers_of_both_kinds() -> None:
    # Real: .9 and .6 are right. Synthetic: .1 and .5 are: more than ½ is asked of a real one.
    accuracy, caught = examine(ByValue(), points(0.9, 0.6, 0.5, 0.2), points(0.1, 0.5, 0.51, 0.7))
    assert accuracy == pytest.approx(4 / 8)
    assert caught.tolist() == [True, True, False, False]
    accuracy, caught = examine(ByValue(), points(0.9, 0.6, 0.5, 0.2), points(0.1))
    assert accuracy == pytest.approx(3 / 5)
    assert caught.tolist() == [True]


def test_fed_back_are_the_held_out_synthetic_samples_that_are_labelled_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model, toy, fed = on_ring(images=100, held_out=0.3, z=0.0), ByValue(), []
    # Points over the whole square: some of them the classifier takes for real.
    model.generator = nn.Sequential(nn.Tanh(), nn.Unflatten(1, (2, 1, 1)))
    monkeypatch.setattr(model, "_classifier", lambda size: toy)
    monkeypatch.setattr(model, "_improve", lambda *args: fed.append(args))
    monkeypatch.setattr("harness.zoo.models.recipe.no_better_than_chance", lambda *_: False)
    scalars = model.step(NOTHING)
    (real, synthetic), (tried_real, tried) = toy.fitted, toy.asked
    assert [len(part) for part in (real, synthetic, tried_real, tried)] == [70, 70, 30, 30]
    ((classifier, latents, samples, collected, size),) = fed
    assert classifier is toy
    assert size == len(NOTHING.images)
    held_out = tried[tried[:, 0, 0, 0] <= 0.5]
    assert 0 < len(held_out) < 30
    assert torch.equal(samples, held_out)
    assert torch.equal(model._generate(latents), samples)
    assert float(scalars["fed_back"]) == pytest.approx(len(held_out) / 30)
    assert torch.equal(collected, torch.cat([tried_real, real]))
    assert len(torch.unique(collected, dim=0)) == 100, "no real image in both parts"


def test_with_noise_in_place_of_real_images_nothing_sees_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    model, toy, fed = on_ring(real="noise", images=2000, held_out=0.5), ByValue(), []
    model.training = Labelled(torch.full_like(model.training.images, torch.nan), model.training.labels)
    monkeypatch.setattr(model, "_classifier", lambda size: toy)
    monkeypatch.setattr(model, "_improve", lambda *args: fed.append(args))
    monkeypatch.setattr("harness.zoo.models.recipe.no_better_than_chance", lambda *_: False)
    model.step(NOTHING)
    collected = fed[0][3]
    assert torch.equal(collected, torch.cat([toy.asked[0], toy.fitted[0]]))
    assert collected.shape == (2000, 2, 1, 1)
    # Uniform in [-1, 1]: mean 0, variance ⅓, every quarter of the line equally often.
    assert collected.mean().abs() < 0.03
    assert float(collected.var()) == pytest.approx(1 / 3, abs=0.02)
    assert (collected.histc(4, -1, 1) / 4000 - 0.25).abs().max() < 0.03


def test_nothing_is_fed_back_where_no_synthetic_sample_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = on_ring(images=100)
    monkeypatch.setattr(
        "harness.zoo.models.recipe.examine", lambda c, r, s: (0.9, torch.zeros(len(s), dtype=torch.bool))
    )
    monkeypatch.setattr(model, "_improve", lambda *_: pytest.fail("fed back"))
    scalars = model.step(NOTHING)
    assert (float(scalars["fed_back"]), float(scalars["stopped"])) == (0, 0)


def test_every_round_has_a_fresh_network(monkeypatch: pytest.MonkeyPatch) -> None:
    model, made = on_ring(images=200, classifier={"name": "network", "steps": 20}), []
    original = model._classifier

    def spied(size: int) -> Any:
        classifier = original(size)
        made.append((classifier, {k: v.clone() for k, v in classifier.network.state_dict().items()}))
        return classifier

    monkeypatch.setattr(model, "_classifier", spied)
    model.step(NOTHING)
    model.step(NOTHING)
    (first, first_start), (second, second_start) = made
    assert model.rounds == 2
    assert first.network is not second.network
    assert not equal(first_start, dict(first.network.state_dict())), "the first was trained"
    assert not equal(second_start, dict(first.network.state_dict())), "the second goes on from the first"
    assert not equal(second_start, first_start)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_round_has_a_fresh_estimator(name: str) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    model = on_ring(classifier=name, images=100)
    first = model._classifier(64)
    first.fit(points(0.5, 0.6, 0.7, 0.8), points(-0.5, -0.6, -0.7, -0.8))
    check_is_fitted(first.fitted)
    with pytest.raises(NotFittedError):
        check_is_fitted(first.estimator(8, 0))
    second = model._classifier(64)
    second.fit(points(-0.5, -0.6, -0.7, -0.8), points(0.5, 0.6, 0.7, 0.8))  # the other way round
    assert second.probability(points(-0.9)) > 0.5 > first.probability(points(-0.9))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_tells_apart_what_a_line_parts(name: str) -> None:
    model = on_ring(classifier=name)
    classifier = model._classifier(32)
    noise = torch.rand(400, 2, 1, 1, generator=torch.Generator().manual_seed(0)) - 0.5
    right, left = noise + 0.4 * points(1.0), noise - 0.4 * points(1.0)
    classifier.fit(right[:200], left[:200])
    accuracy, _ = examine(classifier, right[200:], left[200:])
    # they overlap in a fifth: 90 % is all that can be had
    assert 0.85 < accuracy <= 0.95
    assert classifier.probability(right).dtype == torch.float32
    assert classifier.probability(points(0.9)) > 0.9
    assert classifier.probability(points(-0.9)) < 0.1


def test_neighbours_do_with_few_images() -> None:
    classifier = on_ring(classifier="nearest_neighbours")._classifier(32)
    classifier.fit(points(0.1, 0.2), points(-0.1, -0.2))
    assert classifier.probability(points(0.2, -0.2)).tolist() == pytest.approx([2 / 3, 1 / 3])


class Drawer(nn.Module):
    """A perfect generator: a latent stands for a real image, each equally often."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.images = images

    def forward(self, latents: Tensor) -> Tensor:
        uniform = torch.special.ndtr(latents[:, 0])
        return self.images[(uniform * len(self.images)).long().clamp(max=len(self.images) - 1)]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_it_stops_where_real_and_synthetic_are_the_same_and_then_does_nothing(name: str) -> None:
    model = on_ring(classifier=name, z=3)
    model.generator = Drawer(model.training.images)
    scalars = model.step(NOTHING)
    assert model.stopped
    assert float(scalars["stopped"]) == 1
    assert float(scalars["fed_back"]) == 0
    assert abs(float(scalars["classifier_accuracy"]) - 0.5) < 3 * (1 / 4096) ** 0.5
    state = model.state_dict(), model.rng.get_state(), torch.get_rng_state()
    again = model.step(NOTHING)
    assert equal(scalars, again)
    assert model.rounds == 1
    assert equal(state, (model.state_dict(), model.rng.get_state(), torch.get_rng_state()))


def test_it_does_not_stop_while_they_can_be_told_apart() -> None:
    for name in CLASSIFIERS:
        model = on_ring(classifier=name, z=3, images=256)
        model.generator = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(1, (2, 1, 1)))
        nn.init.constant_(model.generator[0].bias, 0.5)  # the real mean is 0
        model.step(NOTHING)
        assert not model.stopped, name


class Linear:
    """p(x) = ½ + a · x."""

    def __init__(self, *slope: float) -> None:
        self.slope = torch.tensor(slope)

    def fit(self, real: Tensor, synthetic: Tensor) -> None: ...

    def probability(self, images: Tensor) -> Tensor:
        return 0.5 + images.flatten(1) @ self.slope


def test_improved_samples_move_along_the_smoothed_slope() -> None:
    # Σ = diag(.08, .02), σ = ½, a = (.1, .3), stride 6: 6 · ¼/3 · Σa = ½ (.008, .006) = (.004, .003)
    real = torch.tensor([[0.4, 0.0], [-0.4, 0.0], [0.0, 0.2], [0.0, -0.2]]).view(4, 2, 1, 1)
    samples = torch.tensor([[0.1, -0.2], [-0.3, 0.0]]).view(2, 2, 1, 1)
    rng = torch.Generator().manual_seed(0)
    moved = improved(Linear(0.1, 0.3), samples, real, 0.5, 40_000, 6.0, rng)
    expected = torch.tensor([0.004, 0.003])
    assert moved.shape == samples.shape
    assert ((moved - samples).flatten(1) - expected).abs().max() < 2e-4


def test_improved_samples_climb_a_score_without_a_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stair:
        """Steps up towards (½, ½): its gradient is 0 almost everywhere."""

        def fit(self, real: Tensor, synthetic: Tensor) -> None: ...

        def probability(self, images: Tensor) -> Tensor:
            distance = (images.flatten(1) - 0.5).norm(dim=1)
            return 1 - (distance * 8).floor() / 24

    monkeypatch.setattr("harness.zoo.models.feedback.CHUNK", 5000)  # the samples come in several parts
    real, samples = ring("train")[:500], torch.rand(100, 2, 1, 1, generator=torch.Generator().manual_seed(1)) - 1
    moved = improved(Stair(), samples, real, 1.0, 64, 5.0, torch.Generator().manual_seed(0))
    before, after = ((part.flatten(1) - 0.5).norm(dim=1) for part in (samples, moved))
    assert (after < before).float().mean() > 0.95
    assert Stair().probability(moved).mean() > Stair().probability(samples).mean() + 0.02


def test_improved_samples_stay_in_range() -> None:
    real = ring("train")[:100]
    moved = improved(Linear(0.3, 0.0), points(0.99), real, 1.0, 16, 100.0, torch.Generator().manual_seed(0))
    assert moved.flatten()[0] == 1


def energy(model: Recipe) -> float:
    """The energy distance 2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖ of samples to real points, a thousand each."""
    samples = model.sample(1000, torch.Generator().manual_seed(7)).flatten(1)
    real = ring("test")[:1000].flatten(1)
    within = torch.cdist(samples, samples).mean() + torch.cdist(real, real).mean()
    return float(2 * torch.cdist(samples, real).mean() - within)


LEARNING: dict[str, dict[str, Any]] = {
    "network": {"generator_rate": 5e-4, "images": 512},
    "nearest_neighbours": {"images": 512},
}


@pytest.mark.parametrize("name", LEARNING)
def test_it_learns_the_ring(name: str) -> None:
    model = on_ring(classifier=name, **LEARNING[name])
    before = energy(model)
    for _ in range(20):
        model.step(NOTHING)
    assert energy(model) < before / 4


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_equal_seeds_learn_equally(name: str) -> None:
    states = []
    for _ in range(2):
        model = on_ring(classifier=name, images=200, z=0)
        model.step(NOTHING)
        model.step(NOTHING)
        states.append(model.state_dict())
    assert equal(*states)
    assert states[0]["rounds"] == 2

"""The contracts of every kind of plug-in and of engines, as tests that plug-in authors can run.

In your own test module:


    class TestMyTrick(TrickContract):
        names = ["my_trick"]

Without ``names``, a contract runs over all registered plug-ins of its kind. It needs pytest (``gan-harness[test]``).
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
import torch

from harness.base.states import State
from harness.execution.engine import Died, Ended, Engine, Event, Measured, Site, Started, Stepped
from harness.metrics.images import Images, Reference
from harness.store.journal import NAME, Journal, read
from harness.suite import Resources, Run, read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Intermediate, Task
from harness.zoo import capabilities, registry
from harness.zoo.building import SHAPES, build, random_batch
from harness.zoo.compatibility import refusals
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.base import Model
from harness.zoo.networks.base import Architecture
from harness.zoo.networks.modules import Plain
from harness.zoo.registry import Choice
from harness.zoo.tricks.base import HOOKS, Trick

BATCH = 8


class Contract:
    """Parametrises ``name`` over all registered plug-ins of a kind, or over ``names``."""

    kind: ClassVar[str]
    names: ClassVar[list[str] | None] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", registry.names(self.kind) if self.names is None else self.names)


def train(model: Model, steps: int, seed: int = 0) -> list[dict[str, float]]:
    """Train on random images, which depend on the seed and the step; returns the scalars of every step."""
    rng, scalars = torch.Generator().manual_seed(seed), []
    for _ in range(steps):
        images, labels = random_batch(model.shape, BATCH * model.batches_per_step, rng)
        named = model.step(Labelled(as_floats(images), labels))
        scalars.append({name: float(value) for name, value in named.items()})
    return scalars


def equal(one: Any, other: Any) -> bool:
    """Whether two nested containers of tensors and plain values are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


def check_continues(make: Any) -> None:
    """A new model with a saved state trains exactly like the model that was saved."""
    whole = make()
    train(whole, 2, seed=1)
    state = copy.deepcopy(whole.state_dict())
    rng, cpu = whole.rng.get_state(), torch.get_rng_state()
    train(whole, 2, seed=2)
    resumed = make()
    resumed.load_state_dict(state)
    resumed.rng.set_state(rng)
    torch.set_rng_state(cpu)
    train(resumed, 2, seed=2)
    assert equal(whole.state_dict(), resumed.state_dict())


class ModelContract(Contract):
    """The properties of models that the training loop relies on."""

    kind = "models"

    def test_says_what_it_is(self, name: str) -> None:
        """`harness list` shows the summary and the paper: give the class both (paper = "none: my own" without one)."""
        entry = registry.find(self.kind, name)
        assert entry.summary, "it has no summary"
        assert entry.paper, "it has no paper"

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_trains_and_samples_on_every_shape_that_it_claims(self, name: str, shape: Shape) -> None:
        """Two steps and five samples on data of several shapes: all scalars are finite, samples have the shape of the
        data and lie in [-1, 1]. A shape that it cannot serve is refused by its classmethod refusal(settings, shape).
        """
        choice = registry.choose(self.kind, name)
        if choice.plugin.refusal(choice.settings, shape) is not None:
            pytest.skip(f"{name} refuses {shape}")
        model = build(name, shape)
        assert all(math.isfinite(value) for scalars in train(model, 2) for value in scalars.values())
        images = model.sample(5, torch.Generator().manual_seed(0))
        assert images.shape == (5, shape.channels, shape.height, shape.width)
        assert images.abs().max() <= 1

    def test_a_step_moves_every_weight(self, name: str) -> None:
        """A weight that no step moves is not trained: no optimizer has it, or the loss does not depend on it."""
        model = build(name)
        before = copy.deepcopy(model.state_dict())
        train(model, 2)
        after = model.state_dict()
        moved = _moved(before, after)
        # With an objective of differences of logits, the last bias of the discriminator cancels and does not move.
        moved.pop("/discriminator/head.bias", None)
        assert moved, "no weight moved"
        assert all(moved.values()), [path for path, changed in moved.items() if not changed]

    def test_equal_seeds_start_equal_and_others_do_not(self, name: str) -> None:
        """The seed of a trial decides its initial weights: make networks inside `with seeded(self.seed, role)`."""
        assert equal(build(name, seed=3).state_dict(), build(name, seed=3).state_dict())
        assert not equal(build(name, seed=3).state_dict(), build(name, seed=4).state_dict())

    def test_sampling_depends_on_its_generator_alone_and_disturbs_nothing(self, name: str) -> None:
        """sample(n, rng) takes its random numbers from rng alone, and changes neither the model nor the training's
        random numbers: samples drawn during training must not change it.
        """
        model = build(name)
        train(model, 1)
        before = copy.deepcopy(model.state_dict()), model.rng.get_state(), torch.get_rng_state()
        one, same, other = (model.sample(4, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
        assert equal(before, (model.state_dict(), model.rng.get_state(), torch.get_rng_state()))

    def test_a_batch_of_samples_is_the_same_in_parts(self, name: str) -> None:
        """A sample must not depend on those drawn with it: metrics draw in parts. Batch normalisation samples in
        evaluation mode, and the latents of an image are one row of torch.randn(n, …, generator=rng).
        """
        model = build(name)
        train(model, 2)
        rng = torch.Generator().manual_seed(0)
        parts = torch.cat([model.sample(16, rng), model.sample(16, rng)])
        whole = model.sample(32, torch.Generator().manual_seed(0))
        assert torch.allclose(parts, whole, atol=1e-5), "an image depends on those sampled beside it"

    def test_goes_on_from_its_state_as_if_nothing_had_been(self, name: str) -> None:
        """A trial that was interrupted ends with the numbers that it would have had: state_dict() holds all that
        training changes (weights, optimizers, averages, counters), and load_state_dict() restores it.
        """
        check_continues(lambda: build(name))

    def test_offers_only_words_that_are_known(self, name: str) -> None:
        """capabilities() returns names of harness/zoo/capabilities.py, or names that the class explains in `offers`."""
        choice = registry.choose(self.kind, name)
        assert choice.plugin.capabilities(choice.settings) <= capabilities.known().keys()

    def test_asks_every_hook_of_a_trick_if_it_takes_tricks(self, name: str) -> None:
        choice: Choice[Model] = registry.choose(self.kind, name)
        if not choice.plugin.takes_tricks:
            pytest.skip(f"{name} takes no tricks")
        spy = Spy({})
        model = build(choice, made=[spy])
        assert "after_step" not in spy.asked
        train(model, 2)
        model.sample(4, torch.Generator().manual_seed(0))
        assert set(HOOKS) - set(spy.asked) == set(), "hooks that are never asked"
        assert spy.asked.count("begin") == spy.asked.count("rates") == 1
        assert spy.asked.count("after_step") == 2
        assert "spy" in str(model.state_dict()["tricks"])

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_its_steps_use_the_gradients_that_tricks_have_changed(self, name: str, dtype: torch.dtype) -> None:
        choice: Choice[Model] = registry.choose(self.kind, name)
        if not choice.plugin.takes_tricks:
            pytest.skip(f"{name} takes no tricks")
        held = Held({})
        train(build(choice, dtype=dtype, made=[held]), 2)
        assert held.compared > 0


class Spy(Trick):
    """A trick that changes nothing, and records which hooks are called, in which order."""

    name = "spy"
    summary = "changes nothing"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name in HOOKS:
            self.asked.append(name)
        return super().__getattribute__(name)


class Held(Trick):
    """A trick that takes all gradients away, and checks that no step has moved a parameter then."""

    name = "held"
    summary = "the weights stay as they are"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.before: list[torch.Tensor] = []
        self.compared = 0

    def discriminator_loss(self, game: Any, real: Any, fake: Any) -> None:
        self.before = _copies(game.discriminator)

    def discriminator_gradients(self, game: Any, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._take(parameters, game.discriminator)

    def after_discriminator_step(self, game: Any) -> None:
        self._compare(game.discriminator)

    def generator_loss(self, game: Any, real: Any, fake: Any) -> None:
        self.before = _copies(game.generator)

    def generator_gradients(self, game: Any, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._take(parameters, game.generator)

    def after_step(self, game: Any) -> None:
        self._compare(game.generator)

    def _take(self, parameters: Sequence[torch.nn.Parameter], network: torch.nn.Module) -> None:
        assert {id(parameter) for parameter in network.parameters()} <= {id(parameter) for parameter in parameters}
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        assert any(gradient.any() for gradient in gradients)
        assert {gradient.dtype for gradient in gradients} == {torch.float32}
        for parameter in parameters:
            parameter.grad = None

    def _compare(self, network: torch.nn.Module) -> None:
        assert equal(self.before, _copies(network))
        self.compared += len(self.before)


def _copies(network: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def _moved(before: Any, after: Any, path: str = "") -> dict[str, bool]:
    """Path -> whether it changed, for every weight and bias in a state (not in that of optimizers)."""
    found: dict[str, bool] = {}
    for key, value in before.items() if isinstance(before, dict) else ():
        here = f"{path}/{key}"
        if "optimiser" in here:
            continue
        if str(key).rpartition(".")[2].startswith("_"):  # private to a layer, such as the vectors of a spectral norm
            continue
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            found[here] = not torch.equal(value, after[key])
        else:
            found |= _moved(value, after[key], here)
    return found


class Refused(AssertionError):
    """No model accepts these tricks together."""


class TrickContract(Contract):
    """The properties of tricks that the game relies on, tested with the first model that accepts the trick."""

    kind = "tricks"
    candidates: ClassVar[list[Any]] = [
        {"name": "gan", "architecture": {"width": 32}},
        {"name": "dcgan", "architecture": {"width": 8, "discriminator_norm": False}},
        {"name": "dcgan", "architecture": {"width": 8}},
    ]

    def game(self, *names: str) -> Any:
        """The first candidate that accepts these tricks."""
        tricks = tuple(registry.choose(self.kind, name) for name in names)
        reasons: list[str] = []
        for model in self.candidates:
            reasons = refusals(registry.choose("models", model), tricks, SHAPES[0])
            if not reasons:
                return model
        raise Refused("; ".join(reasons))

    def test_says_what_it_is(self, name: str) -> None:
        """`harness list` shows the summary and the paper: give the class both (paper = "none: my own" without one)."""
        entry = registry.find(self.kind, name)
        assert entry.summary, "it has no summary"
        assert entry.paper, "it has no paper"

    def test_what_it_requires_and_conflicts_with_exists(self, name: str) -> None:
        """A capability that no model offers, or a trick that does not exist, would be a misspelling."""
        trick = registry.choose(self.kind, name).plugin
        offered = set().union(
            *(
                choice.plugin.capabilities(choice.settings)
                for choice in (registry.choose("models", model) for model in registry.names("models"))
            )
        )
        assert trick.requires <= offered
        assert trick.conflicts <= offered | set(registry.names("tricks"))

    def test_changes_something(self, name: str) -> None:
        """With its default settings it must make a difference to the samples after three steps: else it is not asked,
        or what it returns does not depend on it.
        """
        model = self.game(name)
        plain, tricked = build(model), build(model, tricks=[name])
        samples = []
        for game in (plain, tricked):
            torch.manual_seed(0)  # equal dropout in both, so that only the trick can make a difference
            train(game, 3)
            samples.append(game.sample(4, torch.Generator().manual_seed(0)))
        assert not torch.equal(*samples), "with its default settings, the trick does not change samples in three steps"

    def test_keeps_its_networks_on_the_game_s_device(self, name: str) -> None:
        """What it makes in begin() or change_networks() belongs on game.compute.device, or training on a GPU fails."""
        # Every machine has the device "meta", which computes nothing.
        game = build(self.game(name), tricks=[name], device="meta")
        for trick in game.tricks:
            for value in vars(trick).values():
                tensors = value.parameters() if isinstance(value, torch.nn.Module) else [value]
                assert all(t.device.type == "meta" for t in tensors if isinstance(t, torch.Tensor))

    def test_trains_to_finite_numbers(self, name: str) -> None:
        """Three steps give finite losses and samples: a NaN so early is a division by 0 or a logarithm of 0."""
        game = build(self.game(name), tricks=[name])
        assert all(math.isfinite(value) for scalars in train(game, 3) for value in scalars.values())
        assert game.sample(4, torch.Generator().manual_seed(0)).isfinite().all()

    def test_goes_on_from_its_state_as_if_nothing_had_been(self, name: str) -> None:
        """A trial that was interrupted ends with the numbers that it would have had: what the trick changes from step
        to step is in its state_dict(), and its random numbers are from game.rng.
        """
        check_continues(lambda: build(self.game(name), tricks=[name]))

    def test_beside_every_later_trick_it_trains_or_is_refused(self, name: str) -> None:
        """With each built-in trick it trains, or one of the two says in `conflicts` or `claims` that they exclude each
        other.
        """
        for other in registry.names(self.kind):
            if other <= name:
                continue  # this pair is tested under the other trick's name
            try:
                model = self.game(name, other)
            except Refused as refusal:
                if "conflicts" in str(refusal) or "both replace" in str(refusal):
                    continue
                raise
            game = build(model, tricks=[name, other])
            assert all(math.isfinite(value) for scalars in train(game, 2) for value in scalars.values()), other
            assert game.sample(4, torch.Generator().manual_seed(0)).isfinite().all(), other


class MetricContract(Contract):
    """The properties of metrics that evaluation relies on, tested on real digits and on noise.

    A metric that needs more of the model than samples, or is not made for digits, is skipped: it needs its own tests.
    """

    kind = "metrics"

    def test_says_what_it_is(self, name: str) -> None:
        """`harness list` shows the summary; tables and the report show the label and the meaning of each value."""
        entry = registry.find(self.kind, name)
        assert entry.summary
        assert entry.plugin is not None
        assert all(value.label and value.summary for value in entry.plugin.values.values())

    def test_gives_the_numbers_that_it_declares(self, name: str) -> None:
        """compute() returns a finite number for every column of `values`, and no other."""
        metric, samples, reference = self.case(name)
        values = metric.compute(samples, reference)
        assert values.keys() == metric.values.keys()
        assert all(math.isfinite(value) for value in values.values()), values
        assert isinstance(metric.protocol(samples, reference), dict)

    def test_real_digits_score_better_than_noise(self, name: str) -> None:
        """Real images must have better values than noise, in the direction that `values` states. If noise may be as
        good, say why in noise_is_not_worse = {column: reason}.
        """
        metric, real, reference = self.case(name)
        noise = torch.randint(0, 256, real.pixels.shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
        bad = metric.compute(Images(noise, real.extractor, real.judge), reference)
        good = metric.compute(real, reference)
        excused = metric.noise_is_not_worse
        assert excused.keys() <= metric.values.keys()
        judged = {column: value for column, value in metric.values.items() if column not in excused}
        if not judged:
            pytest.skip("; ".join({excused[column] for column in metric.values}))
        for column, value in judged.items():
            if value.better == "lower":
                assert good[column] < bad[column], column
            else:
                assert good[column] > bad[column], column

    def test_twice_the_same_and_random_state_untouched(self, name: str) -> None:
        """The same images have the same value, and no random numbers of torch, NumPy or Python are used: take a
        generator of your own with a fixed seed.
        """
        metric, samples, reference = self.case(name)
        before = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())
        assert metric.compute(samples, reference) == metric.compute(samples, reference)
        assert equal(before, (torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())))

    @staticmethod
    def case(name: str) -> tuple[Any, Images, Reference]:
        """The metric, real digits as samples, other real digits as the reference."""
        from harness import judge

        choice = registry.choose("metrics", name)
        digits = registry.choose("data", "digits")
        data = digits.make()
        if choice.plugin.requires:
            pytest.skip(f"{name} requires of the model {', '.join(sorted(choice.plugin.requires))}")
        if reason := choice.plugin.refusal(choice.settings, data):
            pytest.skip(f"{name} refuses digits: {reason}")
        training, test = data.load("train"), data.load("test")
        arbiter = judge.load("mnist", "cpu")
        samples = Images(training.images[:600], arbiter, arbiter)
        reference = Reference(test.images, arbiter, arbiter, test.labels, training, data)
        return choice.make(), samples, reference


class DataContract(Contract):
    """The properties of data sets that the harness relies on, tested for those that are on this machine."""

    kind = "data"

    def test_is_what_it_says(self, name: str) -> None:
        """whole(split) gives uint8 images of the stated shape and int64 labels below the stated number of classes;
        every class is in the training split, and two calls give the same.
        """
        choice = registry.choose(self.kind, name)
        data = choice.make()
        if not data.present():
            pytest.skip(f"{name} is not on this machine")
        shape, digest = data.shape, data.digest()
        assert len(digest) == 64
        for split in ("train", "test"):
            images, labels = data.load(split)
            assert images.dtype == (torch.float32 if data.points else torch.uint8)
            assert not data.points or images.abs().max() <= 1
            assert images.shape == (len(labels), *shape[:3])
            assert labels.dtype == torch.int64
            # With a thousand classes, the test split may lack one.
            assert set(labels.tolist()) <= set(range(shape.classes))
            assert split == "test" or len(set(labels.tolist())) == shape.classes
        again = data.load("train")
        assert torch.equal(data.load("train").images, again.images)

    def test_a_part_of_it_is_another_data_set(self, name: str) -> None:
        """The settings `classes` and `limit` choose a part, which has its own digest. The base class sees to that, for
        whole().
        """
        whole = registry.choose(self.kind, name)
        if not whole.make().present():
            pytest.skip(f"{name} is not on this machine")
        part = registry.choose(self.kind, {"name": name, "classes": [1, 0], "limit": 21})
        data = part.make()
        assert data.digest() != whole.make().digest()
        assert data.shape == whole.make().shape
        counts = data.load("train").labels.bincount(minlength=2).tolist()
        assert sorted(counts) == [10, 11]
        assert set(data.load("test").labels.tolist()) == {0, 1}
        wrong = registry.choose(self.kind, {"name": name, "classes": [data.shape.classes]})
        assert "classes 0 to" in wrong.make().refusal()


class ClassifierContract(Contract):
    """The properties of classifiers that the model ``recipe`` relies on."""

    kind = "classifiers"

    def test_tells_apart_what_a_line_parts(self, name: str) -> None:
        """After fit() on points left and right of a line, it is right about 95 % of others; probabilities are float32
        in [0, 1], of shape (n,).
        """
        right, left = (self._points(sign) for sign in (1, -1))
        classifier = self._fresh(name)
        classifier.fit(right[:200], left[:200])
        held = torch.cat([right[200:], left[200:]])
        found = classifier.probability(held)
        assert found.shape == (len(held),)
        assert found.dtype == torch.float32
        assert found.min() >= 0
        assert found.max() <= 1
        half = len(held) // 2
        assert float(((found > 0.5) == (torch.arange(len(held)) < half)).float().mean()) > 0.95

    def test_the_same_numbers_from_the_same_generator(self, name: str) -> None:
        """Its random numbers come from the generator or seed that it is given."""
        images = self._points(1), self._points(-1) + 0.2
        found = []
        for _ in range(2):
            classifier = self._fresh(name)
            classifier.fit(*images)
            found.append(classifier.probability(images[0]))
        assert torch.equal(*found)

    def test_logits_have_a_gradient_where_it_says_so(self, name: str) -> None:
        """With differentiable = True, logits(images) has a gradient with respect to the images, and its sigmoid is the
        probability; else it raises NotImplementedError.
        """
        classifier = self._fresh(name)
        classifier.fit(self._points(1), self._points(-1))
        images = self._points(1).requires_grad_()
        if not classifier.differentiable:
            with pytest.raises(NotImplementedError):
                classifier.logits(images)
            return
        logits = classifier.logits(images)
        assert torch.allclose(logits.sigmoid(), classifier.probability(images), atol=1e-5)
        (gradient,) = torch.autograd.grad(logits.sum(), images)
        assert gradient.abs().max() > 0

    @staticmethod
    def _points(sign: int) -> torch.Tensor:
        """Points on one side of the plane."""
        points = torch.rand(264, 2, 1, 1, generator=torch.Generator().manual_seed(5 + sign)) * 2 - 1
        points[:, 0] = sign * (0.1 + 0.9 * points[:, 0].abs())
        return points

    def _fresh(self, name: str) -> Any:
        from harness.zoo.classifiers.base import Round

        networks = registry.choose("networks", {"name": "mlp", "width": 32, "slope": 0})
        architecture = networks.make(SHAPES[-1])
        torch.manual_seed(0)
        compute = Compute(torch.device("cpu"), torch.float32)
        choice = registry.choose(self.kind, name)
        return choice.make(Round(architecture, 2, 32, compute, torch.Generator().manual_seed(0)))


class ArchitectureContract(Contract):
    """The properties of architectures that models and tricks rely on."""

    kind = "networks"
    latent = 6

    def make(self, name: str, shape: Shape) -> Architecture:
        """The architecture with its default settings."""
        choice: Choice[Architecture] = registry.choose(self.kind, name)
        if (reason := choice.plugin.refusal(choice.settings, shape)) is not None:
            assert reason, "a refusal says why"
            pytest.skip(f"{name} refuses {shape}: {reason}")
        before = torch.get_rng_state()
        made = choice.make(shape)
        assert equal(before, torch.get_rng_state()), "networks are built by generator() and discriminator()"
        return made

    def test_says_what_it_is(self, name: str) -> None:
        """`harness list` shows the summary and the paper: give the class both (paper = "none: my own" without one)."""
        entry = registry.find(self.kind, name)
        assert entry.summary, "it has no summary"
        assert entry.paper, "it has no paper"

    def test_serves_a_shape(self, name: str) -> None:
        """It accepts at least one of the usual shapes of data: refusal(settings, shape) must not refuse all."""
        choice: Choice[Architecture] = registry.choose(self.kind, name)
        assert any(choice.plugin.refusal(choice.settings, shape) is None for shape in SHAPES)

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_the_generator_makes_images_of_the_shape(self, name: str, shape: Shape) -> None:
        """From latents (n, d) to images of the shape of the data, finite, with a gradient for every parameter."""
        network = self.make(name, shape).generator(self.latent)
        images = network(torch.randn(3, self.latent, generator=torch.Generator().manual_seed(0)))
        assert images.shape == (3, *shape[:3])
        assert images.isfinite().all()
        images.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

    @pytest.mark.parametrize("more", [0, 1, 2])
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_the_discriminator_scores_images(self, name: str, shape: Shape, more: int) -> None:
        """From images to one logit each, which differ, with a gradient for every parameter; and to `features` features.
        Also with more channels than the data's, as for packed images or images with a label.
        """
        network = self.make(name, shape).discriminator(shape.channels + more)
        images = torch.rand(4, shape.channels + more, *shape[1:3], generator=torch.Generator().manual_seed(0)) * 2 - 1
        logits, features = network(images)
        assert logits.shape == (4,)
        if not isinstance(network, Plain):
            assert features.shape == (4, network.features), "extensions and encoders are built for this many features"
        assert logits.isfinite().all()
        assert not logits.equal(logits[:1].expand(4)), "all images are the same to it"
        logits.sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

    def test_says_which_network_has_batch_normalisation(self, name: str) -> None:
        """batch_norm(settings) names exactly the networks that have it: real and generated images must not share a
        batch then.
        """
        choice: Choice[Architecture] = registry.choose(self.kind, name)
        found = set[str]()
        for shape in SHAPES:  # the networks of small images may be too small for any
            if choice.plugin.refusal(choice.settings, shape) is None:
                made = choice.make(shape)
                networks = {"generator": made.generator(self.latent), "discriminator": made.discriminator(shape[0])}
                norms = torch.nn.modules.batchnorm._BatchNorm
                found |= {role for role, net in networks.items() if any(isinstance(m, norms) for m in net.modules())}
        assert choice.plugin.batch_norm(choice.settings) == found

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_its_weights_follow_from_the_random_state(self, name: str, shape: Shape) -> None:
        """Initial weights are drawn from torch's global state, so that the trial's seed decides them."""
        made, states = self.make(name, shape), []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            networks = made.generator(self.latent), made.discriminator(shape.channels)
            states.append([network.state_dict() for network in networks])
        assert equal(states[0], states[1])
        assert not any(equal(one, other) for one, other in zip(states[0], states[2], strict=True))


class EngineContract:
    """The properties of engines that the driver relies on: the docstring of ``harness.execution.engine`` as tests.

    The trials are real. A subclass names the engine. The tests share one engine; each leaves it without a trial.
    """

    engine_name: str
    """The engine's name, or its name and settings, as for ``--engine``."""
    slots = 2
    patience = 300
    """Seconds to wait for an event before the test fails."""

    def make(self, folder: Path) -> Engine:
        """The engine, with ``slots`` slots, for trials below this folder."""
        engine: Engine = registry.choose("engines", self.engine_name).make(self.site(folder))
        return engine

    def site(self, folder: Path) -> Site:
        """What the engine is made for."""
        return Site(folder, Run(), Resources(), device="cpu", workers=self.slots)

    def crash(self, engine: Engine, key: str) -> None:
        """Kill the worker of this trial, as the system does when memory runs out. Do not use the engine's ``kill``."""
        pytest.skip("the subclass does not define crash()")

    @pytest.fixture(scope="class")
    @staticmethod
    def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
        engine: Engine = request.cls().make(tmp_path_factory.mktemp("engine"))
        yield engine
        engine.close()

    def test_with_nothing_to_do_it_waits(self, engine: Engine) -> None:
        assert engine.free == self.slots
        assert engine.wait(0.01) == []
        engine.stop()
        engine.kill("unknown")
        engine.answer("unknown", True)
        assert engine.wait(0.01) == []
        assert engine.free == self.slots

    def test_trials_run_side_by_side_to_their_ends(self, engine: Engine, tmp_path: Path) -> None:
        tasks = [_task(tmp_path, seed) for seed in range(self.slots)]
        for taken, task in enumerate(tasks):
            assert engine.free == self.slots - taken
            engine.submit(task)
        assert engine.free == 0
        told = self._ends(engine, tasks)
        assert engine.free == self.slots
        for task in tasks:
            started, *steps, ended = told[task.key]
            assert isinstance(started, Started)
            assert isinstance(ended, Ended)
            assert ended.outcome.state is State.DONE, ended.outcome
            assert all(math.isfinite(value) for value in ended.outcome.values.values())
            stepped = [event for event in steps if isinstance(event, Stepped)]
            assert [bool(event.point) for event in stepped] == [False, *(True for _ in stepped[1:])]
            assert [event.step for event in stepped] == sorted(event.step for event in stepped)
            assert stepped[-1].step == task.trial.arm.train.steps
            assert Journal(task.folder).outcome == ended.outcome, "recorded before it is told"
            [environment] = [entry["tags"] for entry, _ in read(task.folder / NAME) if entry["kind"] == "environment"]
            assert environment["device"].partition(":")[0] == started.device.partition(":")[0]
        assert engine.wait(0.01) == []

    def test_stopped_trials_save_themselves_and_go_on(self, engine: Engine, tmp_path: Path) -> None:
        task = _task(tmp_path, 0, endless=True)
        engine.submit(task)
        self._steps(engine, task)
        engine.stop()
        engine.stop()
        *_, ended = self._ends(engine, [task])[task.key]
        assert isinstance(ended, Ended)
        assert ended.outcome.state is State.INTERRUPTED
        assert (task.folder / "checkpoint.pt").exists()
        assert Journal(task.folder).interrupted
        assert engine.free == self.slots

        Journal(task.folder).begin("contract", task.trial)
        engine.submit(task)
        resumed = self._steps(engine, task, points=0)
        assert resumed.step > 0, "it goes on from its checkpoint"
        engine.stop()
        self._ends(engine, [task])

    def test_a_killed_trial_is_heard_of_no_more(self, engine: Engine, tmp_path: Path) -> None:
        task, other = (_task(tmp_path, seed, endless=True) for seed in (0, 1))
        engine.submit(task)
        engine.submit(other)
        self._steps(engine, task)
        engine.kill(task.key)
        assert engine.free == self.slots - 1
        journal = (task.folder / NAME).read_bytes()
        self._steps(engine, other, never=task.key)
        assert (task.folder / NAME).read_bytes() == journal, "nothing may write there any more"
        assert Journal(task.folder).outcome is None
        engine.stop()
        self._ends(engine, [other])
        assert engine.free == self.slots
        assert engine.wait(0.01) == []

    def test_a_trial_waits_for_the_answer_to_what_it_measured(self, engine: Engine, tmp_path: Path) -> None:
        task = _task(tmp_path, 0, endless=True, intermediate=Intermediate(10, 64, "modes"))
        engine.submit(task)
        for step, prune in ((10, False), (20, True)):
            measured = self._heard(engine, task, Measured)
            assert measured.step == step
            engine.answer(task.key, prune)
        *_, ended = self._ends(engine, [task])[task.key]
        assert isinstance(ended, Ended)
        assert ended.outcome.state is State.PRUNED

    def test_a_trial_that_fails_leaves_the_engine_as_it_was(self, engine: Engine, tmp_path: Path) -> None:
        task = _task(tmp_path, 0)
        trial = dataclasses.replace(task.trial, settings="not these")  # a key that is not this trial's is refused
        wrong = dataclasses.replace(task, trial=trial, folder=tmp_path / "work" / trial.key)
        Journal(wrong.folder).begin("contract", wrong.trial)
        engine.submit(wrong)
        *_, ended = self._ends(engine, [wrong])[wrong.key]
        assert isinstance(ended, Ended)
        assert ended.outcome.state is State.FAILED
        assert ended.outcome.reason
        assert engine.free == self.slots
        engine.submit(task)
        *_, ended = self._ends(engine, [task])[task.key]
        assert isinstance(ended, Ended)
        assert ended.outcome.state is State.DONE

    def test_a_worker_that_dies_is_told_of_once(self, engine: Engine, tmp_path: Path) -> None:
        task = _task(tmp_path, 0, endless=True)
        engine.submit(task)
        try:
            self._steps(engine, task)
            self.crash(engine, task.key)
            *_, died = self._ends(engine, [task])[task.key]
            assert isinstance(died, Died)
            assert died.reason
            assert Journal(task.folder).outcome is None
        finally:
            engine.kill(task.key)
        assert engine.free == self.slots
        assert engine.wait(0.01) == []

    def test_closing_kills_what_runs(self, tmp_path: Path) -> None:
        engine, task = self.make(tmp_path / "engine"), _task(tmp_path, 0, endless=True)
        engine.submit(task)
        self._steps(engine, task)
        engine.close()
        journal = (task.folder / NAME).read_bytes()
        engine.close()
        assert (task.folder / NAME).read_bytes() == journal
        assert Journal(task.folder).outcome is None

    def _events(self, engine: Engine) -> Iterator[Event]:
        """The events of the engine, until ``patience`` is over."""
        until = time.monotonic() + self.patience
        while time.monotonic() < until:
            yield from engine.wait(1.0)
        raise AssertionError(f"the expected event did not come within {self.patience} s")

    def _heard(self, engine: Engine, task: Task, kind: type[E], never: str = "") -> E:
        """The next event of this kind of a trial."""
        for event in self._events(engine):
            assert event.key != never
            assert not isinstance(event, Ended | Died), event
            if isinstance(event, kind) and event.key == task.key:
                return event
        raise AssertionError

    def _steps(self, engine: Engine, task: Task, points: int = 2, never: str = "") -> Stepped:
        """The event after this number of points of the curves of a trial (0: when its training begins)."""
        found = self._heard(engine, task, Stepped, never)
        while points > 0:
            found = self._heard(engine, task, Stepped, never)
            points -= bool(found.point)
        return found

    def _ends(self, engine: Engine, tasks: list[Task]) -> dict[str, list[Event]]:
        """All events of these trials, until all have ended."""
        told: dict[str, list[Event]] = {task.key: [] for task in tasks}
        missing = set(told)
        for event in self._events(engine):
            assert event.key in missing, "it has ended"
            told[event.key].append(event)
            missing -= {event.key} if isinstance(event, Ended | Died) else set()
            if not missing:
                break
        return told


E = TypeVar("E", bound=Event)


def _task(folder: Path, seed: int, endless: bool = False, intermediate: Intermediate | None = None) -> Task:
    """The task of a tiny trial; its journal is begun."""
    suite = {
        "suite": "contract",
        "data": "ring",
        "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 8}}},
        "train": {"steps": 1_000_000 if endless else 40, "batch_size": 16, "precision": "float32"},
        "evaluate": {"samples": 64, "metrics": ["high_quality_modes"]},
        "seeds": [seed],
        "run": {"curve_points": 100_000 if endless else 4, "snapshots": 0},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "contract.yaml"
    path.write_text(json.dumps(suite))
    plan = make_plan(read_suite(path))
    [trial] = plan.trials
    task = Task(trial, plan.suite.run, folder / "work" / trial.key, folder / "cache", intermediate)
    Journal(task.folder).begin("contract", trial)
    return task

"""A trick that cannot work is refused when it is found, and any trick beside a model that asks none of its hooks."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace, package

from harness.base.errors import HarnessError
from harness.suite import SuiteError, read_suite
from harness.zoo import registry
from harness.zoo.capabilities import CAPABILITIES
from harness.zoo.compatibility import refusals
from harness.zoo.data.base import Shape
from harness.zoo.tricks.base import HOOKS

NUMBERS = itertools.count()
SHAPE = Shape(1, 28, 28, 10)
HEAD = "from harness.zoo.tricks.base import Trick\nfrom harness.zoo.models.gan import GAN\n"
TRICK = """
class Mine(Trick):
    name = "mine"
    summary = "mine"
    {attributes}

    def {method}(self, *args):
        return args[0]
"""
MODEL = """
class Other(GAN):
    name = "other"
    summary = "another game"
    presets = {}
    offers = {"depth": "a method depth"}

    @classmethod
    def capabilities(cls, settings):
        return super().capabilities(settings) | {"depth"}
"""


class Found:
    """Installs a package and looks through the plug-ins as a new process would."""

    def __init__(self, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site = site
        monkeypatch.syspath_prepend(str(site))

    def __call__(self, attributes: str = "", method: str = "discriminator_input", more: str = "") -> registry.Entry:
        name = f"refused_tricks_{next(NUMBERS)}"  # a module is imported once
        source = HEAD + TRICK.format(attributes=attributes, method=method) + more
        points = {"harness.tricks": f"mine = {name}:Mine"}
        if "class Other(GAN)" in more:
            points["harness.models"] = f"other = {name}:Other"
        for earlier in self.site.glob("*.dist-info"):
            shutil.rmtree(earlier)
        package(self.site, name, source, points)
        registry._scan.cache_clear()
        registry._points.cache_clear()
        [entry] = [entry for entry in registry.entries("tricks") if entry.name == "mine"]
        return entry


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Found]:
    yield Found(tmp_path, monkeypatch)
    monkeypatch.undo()
    registry._scan.cache_clear()
    registry._points.cache_clear()


@pytest.mark.parametrize(
    ("attributes", "method", "words"),
    [
        ("", "_helper", ["Mine overrides no hook", "override one of", "discriminator_input"]),
        ("", "state_dict", ["Mine overrides no hook"]),
        ("", "refusal", ["Mine overrides no hook"]),
        (
            "def begin(self, game): ...",
            "discriminator_imput",
            ["Mine defines the method discriminator_imput", "no hook", "did you mean 'discriminator_input'?"],
        ),
        (
            'requires = frozenset({"discriminater"})',
            "begin",
            ["requires names 'discriminater'", "'discriminator'?"],
        ),
        ('conflicts = frozenset({"emma"})', "begin", ["Mine.conflicts names 'emma'", "neither a trick nor", "'ema'?"]),
        ('claims = frozenset({"samplers"})', "sampler", ["Mine.claims names 'samplers'", "did you mean 'sampler'?"]),
        ('hides = frozenset({"probabilities"})', "begin", ["Mine.hides names 'probabilities'", "'probability'?"]),
        ('requires = frozenset({"depth"})', "begin", ["Mine.requires names 'depth', which no model offers"]),
    ],
)
def test_a_trick_that_cannot_work_is_listed_as_broken(
    found: Found, attributes: str, method: str, words: list[str]
) -> None:
    entry = found(attributes, method)
    assert entry.broken is not None
    assert all(word in entry.broken for word in words), entry.broken
    with pytest.raises(HarnessError, match=r"'mine' in tricks is refused: Mine"):
        registry.find("tricks", "mine")
    assert "mine" not in registry.names("tricks")
    assert "ema" in registry.names("tricks")  # the others are not disturbed


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_alone_makes_a_trick(found: Found, hook: str) -> None:
    assert found("", hook).broken is None


@pytest.mark.parametrize(
    "attributes",
    [
        'requires = frozenset({"discriminator", "latent"})',
        'conflicts = frozenset({"ema", "mine", "codes"})',
        'claims = frozenset({"sampler", "opponent", "generator_loss"})',
        'hides = frozenset({"probability"})',
        "def _helper(self): ...",
        "weight = 3\n    @property\n    def half(self): return 1",
    ],
)
def test_what_a_trick_may_state(found: Found, attributes: str) -> None:
    assert found(attributes).broken is None


def test_what_a_base_class_of_the_author_s_own_defines_counts_as_the_trick_s(found: Found) -> None:
    inherits = "class Mine(Base):\n    name = 'mine'\n    summary = ''\n"
    good = "class Base(Trick):\n    def begin(self, game): ...\n"
    assert found(more=good + inherits).broken is None
    bad = "class Base(Trick):\n    def begins(self, game): ...\n"
    assert "Base defines the method begins" in str(found(more=bad + inherits).broken)


def test_a_class_that_is_no_trick_may_be_mixed_in(found: Found) -> None:
    mixed = "class Help:\n    def help(self): ...\nclass Mine(Help, Trick):\n    name = 'mine'\n    summary = ''\n"
    assert "overrides no hook" in str(found(more=mixed).broken)
    assert found(more=mixed + "    def begin(self, game): ...\n").broken is None


def test_a_model_adds_words_of_its_own(found: Found) -> None:
    assert "depth" not in CAPABILITIES
    assert found('requires = frozenset({"depth"})', more=MODEL).broken is None
    mine = (registry.choose("tricks", "mine"),)
    assert refusals(registry.choose("models", "other"), mine, SHAPE) == []
    assert refusals(registry.choose("models", "gan"), mine, SHAPE) == [
        "the trick 'mine' requires depth, which the model 'gan' with these settings does not offer"
    ]


def without_tricks() -> list[str]:
    return [name for name in registry.names("models") if not registry.choose("models", name).plugin.takes_tricks]


def test_models_without_an_opponent_take_no_tricks() -> None:
    assert without_tricks() == [
        *("autoencoder", "bent_vae", "cyclegan", "discriminator_only", "recipe", "semi_supervised", "vae", "vae_gan")
    ]


def suite(folder: Path, model: Any, tricks: list[str]) -> Path:
    return Workspace(folder).suite(base={"model": model, "tricks": tricks}, matrix={}, compare={}, data="digits")


@pytest.mark.parametrize("model", without_tricks())
def test_a_trick_without_requirements_is_refused_beside_a_model_that_takes_none(found: Found, model: str) -> None:
    assert found().broken is None
    source = {"name": model, "source": "mnist"} if model == "cyclegan" else model
    with pytest.raises(SuiteError) as error:
        read_suite(suite(found.site, source, ["mine"]))
    assert f"the trick 'mine' would do nothing: the model {model!r} takes no tricks" in str(error.value)


def test_it_is_taken_by_every_model_that_asks_its_hooks(found: Found) -> None:
    assert found().broken is None
    for model in set(registry.names("models")) - set(without_tricks()):
        assert refusals(registry.choose("models", model), (registry.choose("tricks", "mine"),), SHAPE) == [], model
    assert read_suite(suite(found.site, "gan", ["mine"])).combinations


def test_a_suite_says_why_a_trick_is_refused(found: Found) -> None:
    found('requires = frozenset({"discriminater"})')
    with pytest.raises(SuiteError) as error:
        read_suite(suite(found.site, "gan", ["mine"]))
    assert "'mine' in tricks is refused: Mine.requires names 'discriminater'" in str(error.value)

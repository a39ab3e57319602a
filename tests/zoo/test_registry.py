"""Plug-ins by name, and what is made of a choice."""

from __future__ import annotations

import pickle

from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.registry import Choice


def test_a_choice_makes_its_plug_in_with_its_settings() -> None:
    choice = registry.choose("networks", {"name": "mlp", "width": 7})
    made = choice.make(Shape(1, 8, 8, 10))
    assert type(made) is choice.plugin
    assert made.settings is choice.settings
    assert made.shape == (1, 8, 8, 10)


def test_a_choice_is_of_one_class_whatever_it_chooses() -> None:
    # A class for every kind of plug-in, as pydantic would make, could not be unpickled in a worker.
    assert Choice[Shape] is Choice  # type: ignore[type-var, comparison-overlap]
    choice = registry.choose("models", "dcgan")
    assert type(choice) is Choice
    assert pickle.loads(pickle.dumps(choice)) == choice

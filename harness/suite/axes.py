"""The paths that an axis of the matrix can be, and the one that a wrong axis was perhaps meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from harness.suite.declaration import Train
from harness.suite.document import MAX_DEPTH
from harness.zoo.registry import Choice, ChoiceError, choose

ROOTS = ("model", "tricks", "data", "train")
"""The parts of an arm; an axis of the matrix is a path into one of these."""

MAX_LOOKED_AT = 100
"""The largest number of values of a part whose settings are looked at for a hint."""


def is_path(axis: str) -> bool:
    """Whether it has the form of a path into an arm."""
    steps = axis.split(".")
    return steps[0] in ROOTS and "" not in steps and len(steps) <= MAX_DEPTH


def probably_meant(axis: str, top: Mapping[str, Any]) -> str | None:
    """The path into an arm whose end is most like this wrong axis: ``model.latent`` for ``latent``; None if none is.

    Args:
        axis: as the suite has it.
        top: the suite as written. Its models, tricks and data decide which settings there are.
    """
    ends: dict[str, str] = {}
    for path in sorted(_paths(top), key=lambda path: path.count(".")):  # of paths with equal ends, the shortest
        steps = path.split(".")
        for start in range(len(steps)):
            ends.setdefault(".".join(steps[start:]), path)
    close = difflib.get_close_matches(axis, ends, n=1)
    return ends[close[0]] if close else None


def _paths(top: Mapping[str, Any]) -> Iterator[str]:
    """The parts of an arm, and the settings of all models, tricks and data that the suite names."""
    yield from ROOTS
    yield from (f"train.{key}" for key in Train.model_fields)
    base, matrix = (part if isinstance(part := top.get(name), Mapping) else {} for name in ("base", "matrix"))
    for root, kind, written in (
        ("model", "models", base.get("model")),
        ("tricks", "tricks", base.get("tricks")),
        ("data", "data", top.get("data")),
    ):
        on_axis = matrix.get(root)
        for value in [written, *(on_axis if isinstance(on_axis, list) else ())][:MAX_LOOKED_AT]:
            for one in (value if isinstance(value, list) else [value])[:MAX_LOOKED_AT]:
                yield from _settings_of(root, kind, one)


def _settings_of(root: str, kind: str, written: Any) -> Iterator[str]:
    """The paths of the settings of a model, a trick or a data set; none if it is wrong."""
    try:
        choice: Choice[Any] = choose(kind, written)
    except ChoiceError:
        return
    yield from _below(f"tricks.{choice.name}" if root == "tricks" else root, choice)


def _below(path: str, choice: Choice[Any]) -> Iterator[str]:
    for key, value in choice.settings:
        yield f"{path}.{key}"
        if isinstance(value, Choice):
            yield from _below(f"{path}.{key}", value)

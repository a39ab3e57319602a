"""The names of arms: those that the suite gives them, else made of what tells them apart."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from harness.suite.cells import Combination, Parts, Places
from harness.suite.declaration import Train
from harness.zoo.registry import Choice, choose


def cell_names(combinations: Sequence[Combination], given: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A name for every cell, in their order: the given one that means it, its arm's, or the values of its axes."""
    alike = _alike(combinations)
    places = Places(combinations)
    named = {place: name for name, where in given.items() for place in places.of(where)}
    return [named.get(place) or _cell_name(combination, alike) for place, combination in enumerate(combinations)]


def values(params: Mapping[str, Any]) -> str:
    """A search's parameters (path → value) as part of a name."""
    return ", ".join(f"{_short(path)}={_value(value)}" for path, value in params.items())


def _cell_name(combination: Combination, alike: Container[str]) -> str:
    if combination.parts is None:
        return ", ".join(f"{axis}={_value(value)}" for axis, value in combination.axes.items())
    return _arm_name(combination.parts, list(combination.axes), alike)


def _arm_name(parts: Parts, axes: Sequence[str], alike: Container[str]) -> str:
    """A short name: what was chosen, and in brackets what the axes set otherwise than its default.

    Settings that all arms of its model have alike are left out. Unique in a suite all the same: two arms differ on some
    axis, so one at least of them shows a value there.
    """
    names = [_named("model", parts.model, axes, alike)]
    names += [_named(f"tricks.{trick.name}", trick, axes) for trick in parts.listed]
    name = " + ".join(names)
    trained = [key for key in Train.model_fields if _touched(f"train.{key}", axes) and f"train.{key}" not in alike]
    if trained:
        name += " with " + ", ".join(f"{key}={_value(getattr(parts.train, key))}" for key in trained)
    if _touched("data", [axis.partition(".")[0] for axis in axes]):
        name += f" on {_named('data', parts.data, axes)}"
    return name


def _named(path: str, choice: Choice[Any], axes: Sequence[str], alike: Container[str] = ()) -> str:
    changed = [
        f"{key}={_value(value)}"
        for key, value in _changes(choice)
        if _touched(f"{path}.{key}", axes) and f"{choice.name}.{key}" not in alike
    ]
    return f"{choice.name} ({', '.join(changed)})" if changed else str(choice.name)


def _alike(combinations: Sequence[Combination]) -> set[str]:
    """``model.setting`` of what all arms of a model have alike and not as it is by default.

    And ``train.setting`` of what all cells have alike, by default or not. Another architecture is none of them: the
    model's name alone would deceive.
    """
    changes: dict[str, list[set[tuple[str, str]]]] = {}
    for model in (combination.parts.model for combination in combinations if combination.parts is not None):
        numbers = [(k, v) for k, v in _changes(model) if not isinstance(getattr(model.settings, k, None), Choice)]
        changes.setdefault(model.name, []).append({(f"{model.name}.{key}", _value(value)) for key, value in numbers})
    same = {key for model in changes.values() for key, _ in set.intersection(*model)}
    budgets = [combination.parts.train for combination in combinations if combination.parts is not None]
    return same | {f"train.{key}" for key in Train.model_fields if len({getattr(b, key) for b in budgets}) == 1}


def _touched(path: str, axes: Sequence[str]) -> bool:
    return any(path == axis or path.startswith(f"{axis}.") for axis in axes)


def _changes(choice: Choice[Any], default: Choice[Any] | None = None) -> Iterator[tuple[str, Any]]:
    """The settings that are not the default of what was chosen, nested ones as dotted keys."""
    default = default or choose(choice.kind, choice.name)
    for key, value in choice.settings:
        usual = getattr(default.settings, key)
        if not isinstance(value, Choice):
            if value != usual:
                yield key, value
            continue
        if value.name != usual.name:
            yield key, value.name
        like = usual if value.name == usual.name else None
        yield from ((f"{key}.{below}", inner) for below, inner in _changes(value, like))


def _value(value: Any) -> str:
    if isinstance(value, float):
        short = f"{value:.4g}"
        return short if float(short) == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _short(path: str) -> str:
    return path.removeprefix("model.").removeprefix("train.").removeprefix("tricks.")

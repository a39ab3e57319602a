"""The names of arms: those that the suite gives, else names built from the settings that differ."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

from harness.base.messages import visible
from harness.suite.cells import Combination, Parts, Places
from harness.suite.declaration import Train
from harness.zoo.registry import Choice, choose


def cell_names(combinations: Sequence[Combination], given: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The name of each cell, in their order: the given name, else that of its arm, else the values of its axes.

    Numbers are rounded to four digits, except in names that would then be those of other cells, too.
    """
    alike = _alike(combinations)
    places = Places(combinations)
    named = {place: name for name, where in given.items() for place in places.of(where)}
    names = [named.get(place) or _cell_name(one, alike, _rounded) for place, one in enumerate(combinations)]
    counts = Counter(names)
    return [
        name if counts[name] == 1 or place in named else _cell_name(one, alike, _value)
        for place, (name, one) in enumerate(zip(names, combinations, strict=True))
    ]


def values(params: Mapping[str, Any]) -> str:
    """The parameters of a search (path → value) as part of a name."""
    return ", ".join(f"{_short(path)}={_value(value)}" for path, value in params.items())


def _cell_name(combination: Combination, alike: Container[str], text: Callable[[Any], str]) -> str:
    """The name of a cell; ``text`` makes a text of a value."""
    if combination.parts is None:
        return ", ".join(f"{axis}={text(value)}" for axis, value in combination.axes.items())
    return _arm_name(combination.parts, list(combination.axes), alike, text)


def _arm_name(parts: Parts, axes: Sequence[str], alike: Container[str], text: Callable[[Any], str]) -> str:
    """A short name: model, tricks and data; in brackets the settings that an axis changes from the default.

    Settings that are equal for all arms of the model are left out. The name is still unique in a suite: two arms
    differ on some axis, so at least one of them shows a value there.
    """
    names = [_named("model", parts.model, axes, text, alike)]
    names += [_named(f"tricks.{trick.name}", trick, axes, text) for trick in parts.listed]
    name = " + ".join(names)
    trained = [key for key in Train.model_fields if _touched(f"train.{key}", axes) and f"train.{key}" not in alike]
    if trained:
        name += " with " + ", ".join(f"{key}={text(getattr(parts.train, key))}" for key in trained)
    if _touched("data", [axis.partition(".")[0] for axis in axes]):
        name += f" on {_named('data', parts.data, axes, text)}"
    return name


def _named(
    path: str, choice: Choice[Any], axes: Sequence[str], text: Callable[[Any], str], alike: Container[str] = ()
) -> str:
    changed = [
        f"{key}={text(value)}"
        for key, value in _changes(choice)
        if _touched(f"{path}.{key}", axes) and f"{choice.name}.{key}" not in alike
    ]
    return f"{choice.name} ({', '.join(changed)})" if changed else str(choice.name)


def _alike(combinations: Sequence[Combination]) -> set[str]:
    """The settings that names leave out, as ``model.setting`` and ``train.setting``.

    These are settings that all arms of a model set to the same non-default value, and train settings that are equal
    in all cells. A different architecture is always shown: without it the model's name would mislead.
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
    """The settings of a choice that differ from its defaults; nested ones with dotted keys."""
    default = default or _default(choice.kind, choice.name)
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


@functools.cache
def _default(kind: str, name: str) -> Choice[Any]:
    """The choice of this name without settings."""
    return choose(kind, name)


def _rounded(value: Any) -> str:
    """A value as part of a name: a number with four digits, unless that makes a whole number of it (0.99999)."""
    if isinstance(value, float):
        short = f"{value:.4g}"
        return short if float(short).is_integer() == value.is_integer() else repr(value)
    return _value(value)


def _value(value: Any) -> str:
    """A value with all digits."""
    if isinstance(value, float):
        short = f"{value:.4g}"
        return short if float(short) == value else repr(value)
    return visible(value) if isinstance(value, str) else json.dumps(value, default=str)


def _short(path: str) -> str:
    return path.removeprefix("model.").removeprefix("train.").removeprefix("tricks.")

"""The axes of a matrix as parameters of Optuna's trials, so that optuna-dashboard can plot what they do.

Numbers are a range. All else is a choice among the texts of the axis's values, and Optuna lets no choice have other
values later. So trials with a value that is new on such an axis have a parameter of another name, ``model (2)``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial

from harness.suite.cells import normal

Space = Mapping[str, tuple[str, BaseDistribution]]
"""Axis -> the name of its parameter, and its distribution."""


def space(matrix: Mapping[str, Sequence[Any]], entered: Iterable[FrozenTrial]) -> Space:
    """The parameters of a matrix (axis -> values) in a study with these trials."""
    known = {name: one for frozen in entered for name, one in frozen.distributions.items()}
    return {axis: _parameter(axis, _distribution(axis, values), known) for axis, values in matrix.items() if values}


def of(axes: Mapping[str, Any], space: Space) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """The parameters of a cell with these values on its axes, and their distributions, by name."""
    params, distributions = dict[str, Any](), dict[str, BaseDistribution]()
    for axis, value in axes.items():
        name, distributions[name] = space[axis]
        params[name] = float(value) if isinstance(distributions[name], FloatDistribution) else _text(axis, value)
    return params, distributions


def _parameter(
    axis: str, wanted: BaseDistribution, known: Mapping[str, BaseDistribution]
) -> tuple[str, BaseDistribution]:
    for name in itertools.chain([axis], (f"{axis} ({number})" for number in itertools.count(2))):
        if (there := known.get(name)) is None:
            return name, wanted
        if isinstance(wanted, CategoricalDistribution) and isinstance(there, CategoricalDistribution):
            if set(wanted.choices) <= set(there.choices):
                return name, there
        elif isinstance(there, type(wanted)):
            return name, wanted
    raise AssertionError("there is always another number")


def _distribution(axis: str, values: Sequence[Any]) -> BaseDistribution:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return FloatDistribution(min(values), max(values))
    return CategoricalDistribution(list(dict.fromkeys(_text(axis, value) for value in values)))


def _text(axis: str, value: Any) -> str:
    """A value for a plot: ``dcgan``, ``ema + feature_matching``, ``none`` for an empty list, else JSON."""
    plain = json.loads(normal(value, axis))
    if isinstance(plain, list) and all(isinstance(each, str) for each in plain):
        return " + ".join(plain) or "none"
    return plain if isinstance(plain, str) else json.dumps(plain)

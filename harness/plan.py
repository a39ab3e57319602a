"""The plan that follows from a suite: arms, cells and trials, each with the key that it is known by.

An arm is one combination of model, tricks, data and parameters; a cell is its place in the suite's matrix; a
trial is an arm trained with one seed. A trial's key is a hash of all that can change its numbers: the arm's
settings with defaults filled in, the seed, the content of the data, the judge's weights, and the code. So the
same trial has the same key in every suite, however it is written there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from harness import judge
from harness.errors import HarnessError
from harness.fingerprint import fingerprint
from harness.registry import Choice, choose
from harness.suite import Suite
from harness.suite.cells import Combination, Parts, disagreements, matches, resolved
from harness.suite.declaration import Evaluate, Train
from harness.suite.document import NoSuchPath, put

KEY_LENGTH = 16
SMOKE = {"steps": 2, "batch_size": 16, "samples": 64}


@dataclass(frozen=True)
class Arm:
    """One combination of model, tricks, data and parameters. ``name`` is unique in the suite."""

    name: str
    model: Choice
    tricks: tuple[Choice, ...]
    data: Choice
    train: Train
    evaluate: Evaluate

    def config(self) -> dict[str, Any]:
        """All its settings in plain values: equal for arms that are the same, however they were written."""
        metrics = sorted((metric.canonical() for metric in self.evaluate.metrics), key=_json)
        return {
            "model": self.model.canonical(),
            "tricks": sorted((trick.canonical() for trick in self.tricks), key=_json),
            "data": self.data.canonical(),
            "train": self.train.model_dump(),
            "evaluate": {**self.evaluate.model_dump(exclude={"metrics"}), "metrics": metrics},
        }


@dataclass(frozen=True)
class Cell:
    """A place in the matrix.

    Attributes:
        name: its arm's name; where it is excluded and comes to no arm, the values of its axes.
        combination: what the suite declares there.
        key: hash of all that a trial's key covers but the seed; empty where there is no arm.
        built: its arm, or None.
    """

    name: str
    combination: Combination
    key: str = ""
    built: Arm | None = None

    @property
    def arm(self) -> Arm:
        """Its arm. Every cell that is not excluded has one."""
        if self.built is None:
            raise HarnessError(f"the cell {self.name} is excluded, and comes to no arm")
        return self.built

    @property
    def axes(self) -> Mapping[str, Any]:
        """Axis → value, as written."""
        return self.combination.axes

    @property
    def excluded(self) -> str | None:
        """Why it is left out, or None."""
        return self.combination.excluded


@dataclass(frozen=True)
class Trial:
    """An arm to be trained with one seed."""

    key: str
    arm: Arm
    seed: int


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, and the trials of its matrix (none where it searches: those come as it goes)."""

    suite: Suite
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    baseline: Cell


def make_plan(suite: Suite) -> Plan:
    """What is to be trained for this suite.

    Raises:
        HarnessError: the digest of some data cannot be had.
    """
    alike = _alike(suite.combinations)
    cells = tuple(_cell(suite, combination, alike) for combination in suite.combinations)
    trained = [cell for cell in cells if cell.excluded is None]
    baseline = next(cell for cell in trained if matches(cell.combination, suite.compare.baseline or {}))
    trials = [] if suite.search else [trial(cell.arm, seed) for cell in trained for seed in suite.seeds]
    return Plan(suite, cells, tuple(trials), baseline)


def smoke_plan(suite: Suite) -> Plan:
    """Two steps of every distinct arm with one seed and a tiny evaluation: does all of it run at all?"""
    train = {key: SMOKE[key] for key in ("steps", "batch_size")}
    small = suite.model_copy(
        update={
            "train": suite.train.model_copy(update=train),
            "evaluate": suite.evaluate.model_copy(update={"samples": SMOKE["samples"]}),
            "seeds": suite.seeds[:1],
            "search": None,
            "expect": (),
            "combinations": tuple(_smaller(combination, train) for combination in suite.combinations),
        }
    )
    plan = make_plan(small)
    # Arms that differ only in how they are trained have become one.
    distinct = {trial.key: trial for trial in plan.trials}
    return dataclasses.replace(plan, trials=tuple(distinct.values()))


def _smaller(combination: Combination, train: Mapping[str, int]) -> Combination:
    parts = combination.parts
    return dataclasses.replace(
        combination,
        raw={**combination.raw, "train": {**combination.raw["train"], **train}},
        parts=parts and parts._replace(train=parts.train.model_copy(update=train)),
    )


def with_parameters(suite: Suite, cell: Cell, params: Mapping[str, Any], number: int) -> Arm:
    """The arm of a search's configuration: the cell's, with these parameters (path → value) laid over it.

    Raises:
        HarnessError: the parameters do not fit together.
    """
    raw: Any = cell.combination.raw
    try:
        for path, value in sorted(params.items(), key=lambda item: item[0].count(".")):
            raw, _ = put(raw, path.split("."), value)
    except NoSuchPath as error:
        raise HarnessError(str(error)) from error
    parts, problems = resolved(raw)
    reasons = [message for _, message, _ in problems] + [message for _, message in disagreements(parts)]
    if reasons or parts is None:
        raise HarnessError(f"{cell.name} #{number}: " + "; ".join(reasons))
    shown = ", ".join(f"{_short(path)}={_value(value)}" for path, value in params.items())
    return _arm(suite, parts, f"{cell.name} #{number} ({shown})")


def trial(arm: Arm, seed: int) -> Trial:
    """The arm with a seed, and the key of that."""
    return Trial(_hash([_identity(arm), seed]), arm, seed)


def _cell(suite: Suite, combination: Combination, alike: Container[str]) -> Cell:
    if combination.parts is None:
        axes = ", ".join(f"{axis}={_value(value)}" for axis, value in combination.axes.items())
        return Cell(axes, combination)
    arm = _arm(suite, combination.parts, arm_name(combination.parts, list(combination.axes), alike))
    return Cell(arm.name, combination, _hash(_identity(arm)), arm)


def _arm(suite: Suite, parts: Parts, name: str) -> Arm:
    features = suite.evaluate.features
    if features == "auto":
        data = parts.data.plugin(parts.data.settings)
        features = "points" if data.points else judge.of(data) or "inception"
    evaluate = suite.evaluate.model_copy(update={"features": features})
    return Arm(name, parts.model, parts.tricks, parts.data, parts.train, evaluate)


# --- keys ------------------------------------------------------------------------------------------------


def _identity(arm: Arm) -> list[str]:
    """All that can change the numbers of the arm's trials, but the seed."""
    data = arm.data.plugin(arm.data.settings)
    # Metrics of coverage ask the data's own judge, wherever the features come from.
    judges = sorted({arm.evaluate.features, judge.of(data) or ""} - {"", "inception", "points"})
    # A model may have data of its own, for example the domain that it translates from.
    own = [c.plugin(c.settings).digest() for c in nested(arm.model) if c.kind == "data"]
    return [_json(arm.config()), data.digest(), *own, *(judge.digest(name) for name in judges), _code(arm)]


def _code(arm: Arm) -> str:
    choices = [arm.model, *arm.tricks, arm.data, *arm.evaluate.metrics]
    plugins = {chosen.plugin.__module__ for choice in choices for chosen in nested(choice)}
    return fingerprint({"harness.trial", "harness.training", *plugins})


def nested(choice: Choice) -> Iterator[Choice]:
    """The choice, and those among its settings."""
    yield choice
    yield from _choices_in(dict(choice.settings))


def _choices_in(value: Any) -> Iterator[Choice]:
    if isinstance(value, Choice):
        yield from nested(value)
    elif isinstance(value, BaseModel):
        yield from _choices_in(dict(value))
    elif isinstance(value, Mapping):
        yield from (found for inner in value.values() for found in _choices_in(inner))
    elif isinstance(value, list | tuple):
        yield from (found for inner in value for found in _choices_in(inner))


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _hash(value: Any) -> str:
    return hashlib.sha256(_json(value).encode()).hexdigest()[:KEY_LENGTH]


# --- names -----------------------------------------------------------------------------------------------


def arm_name(parts: Parts, axes: Sequence[str], alike: Container[str]) -> str:
    """A short name: what was chosen, and in brackets what the axes set otherwise than its default.

    Settings that all arms of its model have alike are left out. Unique in a suite all the same: two arms differ on some
    axis, so one at least of them shows a value there.
    """
    names = [_named("model", parts.model, axes, alike)]
    names += [_named(f"tricks.{trick.name}", trick, axes) for trick in parts.listed]
    name = " + ".join(names)
    trained = [key for key in Train.model_fields if _touched(f"train.{key}", axes)]
    if trained:
        name += " with " + ", ".join(f"{key}={_value(getattr(parts.train, key))}" for key in trained)
    if _touched("data", [axis.partition(".")[0] for axis in axes]):
        name += f" on {_named('data', parts.data, axes)}"
    return name


def _named(path: str, choice: Choice, axes: Sequence[str], alike: Container[str] = ()) -> str:
    changed = [
        f"{key}={_value(value)}"
        for key, value in _changes(choice)
        if _touched(f"{path}.{key}", axes) and f"{choice.name}.{key}" not in alike
    ]
    return f"{choice.name} ({', '.join(changed)})" if changed else str(choice.name)


def _alike(combinations: Sequence[Combination]) -> set[str]:
    """``model.setting`` of the settings that all arms of a model have alike, and not as they are by default.

    Another architecture is none of them: the model's name alone would deceive.
    """
    changes: dict[str, list[set[tuple[str, str]]]] = {}
    for model in (combination.parts.model for combination in combinations if combination.parts is not None):
        numbers = [(k, v) for k, v in _changes(model) if not isinstance(getattr(model.settings, k, None), Choice)]
        changes.setdefault(model.name, []).append({(f"{model.name}.{key}", _value(value)) for key, value in numbers})
    return {key for same in changes.values() for key, _ in set.intersection(*same)}


def _touched(path: str, axes: Sequence[str]) -> bool:
    return any(path == axis or path.startswith(f"{axis}.") for axis in axes)


def _changes(choice: Choice, default: Choice | None = None) -> Iterator[tuple[str, Any]]:
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


def _short(path: str) -> str:
    return path.removeprefix("model.").removeprefix("train.").removeprefix("tricks.")


def _value(value: Any) -> str:
    if isinstance(value, float):
        short = f"{value:.4g}"
        return short if float(short) == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)

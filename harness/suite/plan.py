"""The plan of a suite: its arms, cells and trials, with their keys.

An arm is one combination of model, tricks, data and parameters; a cell is its place in the suite's matrix; a trial is
an arm trained with one seed. A trial's key is a hash of everything that can change its numbers, in two parts: its
settings (the arm's settings with defaults filled in, the content of the data, the judge's weights, the seed; where
random streams have seeds of their own, these too) and its code. So the same trial has the same key in every suite,
however it is written, and the store can find results of the same settings and other code.

A key is made in three steps, so that a plan of many trials computes what they share once (``Keys``): the hash of the
arm's settings, with it and the seed that of the trial's settings, with that and the code the key.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from harness import judge
from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.seeds import Seeds
from harness.suite import Suite
from harness.suite.cells import Combination, Parts, disagreements, matches, normal, resolved, with_value
from harness.suite.declaration import Evaluate, Train
from harness.suite.document import NoSuchPath
from harness.suite.fingerprint import Code, fingerprint
from harness.suite.naming import cell_names, values
from harness.zoo.registry import Choice

if TYPE_CHECKING:
    from harness.zoo.data.base import DataSet
    from harness.zoo.models.base import Model
    from harness.zoo.tricks.base import Trick

KEY_LENGTH = 16
SMOKE = {"steps": 2, "batch_size": 16, "samples": 64}


@dataclass(frozen=True)
class Arm:
    """One combination of model, tricks, data and parameters. ``name`` is unique in the suite."""

    name: str
    model: Choice[Model]
    tricks: tuple[Choice[Trick], ...]
    data: Choice[DataSet]
    train: Train
    evaluate: Evaluate

    def config(self) -> dict[str, Any]:
        """All settings as plain values: equal for equal arms, however they are written."""
        metrics = sorted((metric.canonical() for metric in self.evaluate.metrics), key=_json)
        return {
            "model": self.model.canonical(),
            "tricks": sorted((trick.canonical() for trick in self.tricks), key=_json),
            "data": self.data.canonical(),
            "train": self.train.model_dump(),
            "evaluate": {**self.evaluate.model_dump(exclude={"metrics"}), "metrics": metrics},
        }


class Identity(NamedTuple):
    """What the keys of an arm's trials have in common.

    Attributes:
        settings: hash of everything that their numbers depend on, except the seed and the code.
        code: the code that their numbers depend on.
    """

    settings: str
    code: Code


@dataclass(frozen=True)
class Cell:
    """A place in the matrix.

    Attributes:
        name: the name of its arm; without an arm, the values of its axes.
        combination: the declaration of the cell.
        built: its arm; None if it is excluded and its parts are wrong.
        identity: that of its arm; None without an arm.
    """

    name: str
    combination: Combination
    built: Arm | None = None
    identity: Identity | None = None

    @property
    def arm(self) -> Arm:
        """Its arm. Every cell that is not excluded has one."""
        if self.built is None:
            raise HarnessError(f"the cell {self.name} is excluded and has no arm")
        return self.built

    @property
    def key(self) -> str:
        """Hash of everything in a trial's key except the seed; empty without an arm."""
        return key_of(self.identity.settings, self.identity.code.digest) if self.identity else ""

    def trials(self, seeds: Iterable[int]) -> list[Trial]:
        """The trials of its arm with these seeds."""
        return trials_of(self.arm, seeds, self.identity)

    @property
    def axes(self) -> Mapping[str, Any]:
        """Axis → value, as written."""
        return self.combination.axes

    @property
    def excluded(self) -> str | None:
        """Why it is excluded, or None."""
        return self.combination.excluded


@dataclass(frozen=True)
class Trial:
    """An arm with one seed: one training and one evaluation.

    Attributes:
        arm: the arm.
        seed: the seed.
        settings: hash of everything that its numbers depend on except the code.
        code: the code that its numbers depend on.
        streams: random stream -> its seed, for streams whose seed is not ``seed``; empty in the trials of a suite.
    """

    arm: Arm
    seed: int
    settings: str
    code: Code
    streams: Mapping[str, int] = field(default_factory=dict)

    @functools.cached_property
    def key(self) -> str:
        """The identity of the trial: 16 hexadecimal digits."""
        return key_of(self.settings, self.code.digest)

    @property
    def seeds(self) -> Seeds:
        """The seed of each of its random streams."""
        return Seeds.of(self.seed, self.streams)

    @property
    def label(self) -> str:
        """The name of the trial in messages."""
        own = ", ".join(f"{stream} {seed}" for stream, seed in self.streams.items())
        return f"{self.arm.name}, seed {self.seed}" + (f" ({own})" if own else "")


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, and the trials of its matrix (none with a search, which chooses its trials as it runs).

    Attributes:
        baseline: the cell that arms are compared with; with ``compare.against`` or ``pairs``, only that of protocols.
        pairs: the comparisons that the suite declares: cell and baseline. Cells that were left out are among them.
        only: the names and patterns that chose its arms (``choosing``); empty: it has all arms of the suite.
        left_out: the names of the arms that were not chosen.
    """

    suite: Suite
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    baseline: Cell
    pairs: tuple[tuple[Cell, Cell], ...] = ()
    only: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def with_seeds(self, seeds: Mapping[str, Sequence[int]]) -> Plan:
        """This plan with these seeds for each arm (by name)."""
        trained = [cell for cell in self.cells if cell.excluded is None]
        trials = [one for cell in trained for one in cell.trials(seeds.get(cell.name, ()))]
        return dataclasses.replace(self, trials=tuple(trials))


def make_plan(suite: Suite) -> Plan:
    """The cells and trials of this suite.

    Raises:
        HarnessError: the digest of some data cannot be computed.
    """
    names = cell_names(suite.combinations, suite.names)
    keys = Keys()
    cells = tuple(_cell(suite, keys, *each) for each in zip(suite.combinations, names, strict=True))
    trained = [cell for cell in cells if cell.excluded is None]
    baseline = next(cell for cell in trained if matches(cell.combination, suite.compare.baseline or {}))
    trials = [] if suite.search else [one for cell in trained for one in cell.trials(suite.seeds)]
    return Plan(suite, cells, tuple(trials), baseline, tuple(_pairs(suite, trained, baseline)))


def _pairs(suite: Suite, trained: Sequence[Cell], baseline: Cell) -> Iterator[tuple[Cell, Cell]]:
    """The comparisons that a suite declares."""
    compare = suite.compare
    for pair in compare.pairs or ():
        arm, other = (
            next(cell for cell in trained if matches(cell.combination, side)) for side in (pair.arm, pair.baseline)
        )
        yield arm, other
    if compare.against is not None:
        others = [axis for axis in trained[0].axes if axis not in compare.against]
        bases = {_values(cell, others): cell for cell in trained if matches(cell.combination, compare.against)}
        for cell in trained:
            base = bases.get(_values(cell, others))
            if base is not None and base is not cell:
                yield cell, base
    if compare.pairs is None and compare.against is None:
        yield from ((cell, baseline) for cell in trained if cell is not baseline)


def _values(cell: Cell, axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(normal(cell.axes[axis], axis) for axis in axes)


def smoke_plan(suite: Suite) -> Plan:
    """The plan of a smoke test: two steps of every distinct arm with one seed, and a tiny evaluation."""
    train = {key: SMOKE[key] for key in ("steps", "batch_size")}
    small = suite.model_copy(
        update={
            "train": suite.train.model_copy(update=train),
            "evaluate": suite.evaluate.model_copy(update={"samples": SMOKE["samples"]}),
            "declared_seeds": suite.seeds[:1],
            "search": None,
            "expect": (),
            "combinations": tuple(_smaller(combination, train) for combination in suite.combinations),
        }
    )
    plan = make_plan(small)
    # Arms that differ only in steps or batch size are equal now.
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
    """The arm of a search's configuration: the cell's settings with these parameters (path → value).

    Raises:
        HarnessError: the parameters are not allowed, or do not fit together.
    """
    raw = cell.combination.raw
    try:
        for path, value in sorted(params.items(), key=lambda item: item[0].count(".")):
            raw = with_value(raw, path, value)
    except NoSuchPath as error:
        raise HarnessError(str(error)) from error
    parts, problems = resolved(raw)
    reasons = [message for _, message, _ in problems] + [message for _, message in disagreements(parts)]
    if reasons or parts is None:
        raise HarnessError(f"{cell.name} #{number}: " + "; ".join(reasons))
    # The number tells configurations apart: three digits are enough to read. MLflow has the exact values.
    shown = {path: float(f"{value:.3g}") if isinstance(value, float) else value for path, value in params.items()}
    return _arm(suite, parts, f"{cell.name} #{number} ({values(shown)})", Keys())


def trial(arm: Arm, seed: int | Seeds) -> Trial:
    """The trial of an arm with a seed, or with a seed for each random stream."""
    return trials_of(arm, [seed])[0]


def trials_of(arm: Arm, seeds: Iterable[int | Seeds], identity: Identity | None = None) -> list[Trial]:
    """The trials of an arm with these seeds. ``identity``: that of the arm, if it is known."""
    settings, code = identity or Keys().of(arm)
    each = (seed if isinstance(seed, Seeds) else Seeds.of(seed) for seed in seeds)
    # The key of an ordinary trial knows nothing of streams.
    identities = ((one, [settings, one.weights, *([one.own] if one.own else [])]) for one in each)
    return [Trial(arm, one.weights, _hash(identity), code, one.own) for one, identity in identities]


def key_of(settings: str, code: str) -> str:
    """The key of a trial with this hash of its settings and this digest of its code."""
    return _hash([settings, code])


def _cell(suite: Suite, keys: Keys, combination: Combination, name: str) -> Cell:
    if combination.parts is None:
        return Cell(name, combination)
    arm = _arm(suite, combination.parts, name, keys)
    return Cell(name, combination, arm, keys.of(arm))


def _arm(suite: Suite, parts: Parts, name: str, keys: Keys) -> Arm:
    features = suite.evaluate.features
    if features == "auto":
        features = "points" if parts.data.make().points else keys.judge(parts.data) or "inception"
    if features == "inception" and not any(metric.plugin.uses_features for metric in suite.evaluate.metrics):
        features = "none"  # nobody needs to fetch 91 MB for it
    evaluate = suite.evaluate.model_copy(update={"features": features})
    return Arm(name, parts.model, parts.tricks, parts.data, parts.train, evaluate)


# --- keys ------------------------------------------------------------------------------------------------


class Keys:
    """Computes the identities of arms. What several arms share is computed once: digests of data, judges, code.

    Every plan makes its own, because files may change between two plans of a process.
    """

    def __init__(self) -> None:
        self._digests: dict[Choice[DataSet], str] = {}
        self._judges: dict[Choice[DataSet], str | None] = {}

    def of(self, arm: Arm) -> Identity:
        """The identity of an arm."""
        # Metrics of coverage use the judge of the data, also if the features are those of another network.
        judges = sorted({arm.evaluate.features, self.judge(arm.data) or ""} - {"", "inception", "points", "none"})
        # A model may have data of its own, for example the domain that it translates from.
        data = [arm.data, *(choice for choice in nested(arm.model) if choice.kind == "data")]
        contents = [*map(self._digest, data), *map(judge.digest, judges)]
        return Identity(_hash([_json(arm.config()), *contents]), code_of(arm))

    def judge(self, data: Choice[DataSet]) -> str | None:
        """The name of the judge of this data, or None."""
        if data not in self._judges:
            self._judges[data] = judge.of(data.make())
        return self._judges[data]

    def _digest(self, data: Choice[DataSet]) -> str:
        if data not in self._digests:
            self._digests[data] = data.make().digest()
        return self._digests[data]


def code_of(arm: Arm) -> Code:
    """The code of an arm's trials that can change their numbers."""
    choices = [arm.model, *arm.tricks, arm.data, *arm.evaluate.metrics]
    plugins = {chosen.plugin for choice in choices for chosen in nested(choice)}
    roots = {"harness.trial.run:run", *(f"{plugin.__module__}:{plugin.__qualname__}" for plugin in plugins)}
    if any(getattr(plugin, "scores_only", False) for plugin in plugins):
        roots.add("harness.zoo.networks.modules:Plain")
    return fingerprint(roots)


def nested(choice: Choice[Any]) -> Iterator[Choice[Any]]:
    """The choice, and all choices in its settings."""
    yield choice
    yield from _choices_in(dict(choice.settings))


def _choices_in(value: Any) -> Iterator[Choice[Any]]:
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
    return digests.of_text(_json(value))[:KEY_LENGTH]

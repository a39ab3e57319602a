"""The sections of a suite file as pydantic models: their keys, types, defaults and what each means.

What a section can check alone is checked here; what needs several sections, the package does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from harness.base.validation import shown
from harness.zoo import registry
from harness.zoo.registry import Choice, Settings, chooser

if TYPE_CHECKING:
    from harness.metrics.base import Metric
    from harness.zoo.data.base import DataSet
    from harness.zoo.models.base import Model
    from harness.zoo.tricks.base import Trick
else:  # pydantic wants to know these names, and makes nothing of them; to import them would import torch
    DataSet = Metric = Model = Trick = Any

RESERVED = {
    "artifacts",
    "baselines",
    "cache",
    "mlflow",
    "optuna",
    "published",
    "results",
    "smoke",
    "work",
} | {
    # Windows opens devices of these names, whatever the folder
    *("aux", "con", "nul", "prn"),
    *(f"{device}{number}" for device in ("com", "lpt") for number in range(10)),
}
MAX_SEEDS = 1000
MAX_EXCLUSIONS = 100
MAX_EXPECTATIONS = 100
MAX_NAMES = 100
MAX_ARM_NAME = 60
MAX_CHOICES = 32
"""Tricks of an arm, metrics of a suite."""
MAX_PLACES = 20
"""Places in the order of an expectation."""


@dataclass(frozen=True)
class Named:
    """Marks a field that takes a choice of this kind: ``name`` or ``{name: …, setting: …}``."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(chooser(self.kind))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        name = {"enum": registry.names(self.kind)}
        return {"anyOf": [name, {"type": "object", "properties": {"name": name}, "required": ["name"]}]}


def _error(message: str) -> PydanticCustomError:
    return PydanticCustomError("suite", "{message}", {"message": message})


NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


def _name(name: str) -> str:
    if not re.fullmatch(NAME, name):
        raise _error(f"{shown(name)} is no name: use a to z, digits, - and _, 64 at most, no - or _ at its start")
    if name in RESERVED:
        raise _error(f"the name {name!r} is reserved: choose another")
    return name


def _seeds(value: Any) -> Any:
    """A number n stands for the seeds 0 to n - 1."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if number and not 1 <= value <= MAX_SEEDS:
        raise _error(f"the number of seeds must be from 1 to {MAX_SEEDS}, not {value}")
    if not number and not isinstance(value, list | tuple):
        raise _error(f"expected a number of seeds or a list of them, got {shown(value)}")
    return tuple(range(value)) if number else value


def _distinct_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise _error("a seed is listed twice")
    return seeds


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _few(choices: Any) -> Any:
    """Refused before the entries are looked at: an enormous list of wrong names would take long."""
    if isinstance(choices, list) and len(choices) > MAX_CHOICES:
        context = {"max_length": MAX_CHOICES, "actual_length": len(choices)}
        raise PydanticCustomError("too_long", "", context)
    return choices


def _distinct(choices: tuple[Choice[Any], ...]) -> tuple[Choice[Any], ...]:
    names = [choice.plugin.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise _error(f"{name!r} is listed twice")
    return choices


Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


class Train(Settings):
    """How every arm is trained. All of it is part of a trial's key."""

    steps: int = Field(4000, ge=1, le=100_000_000, description="training steps (of the generator)")
    batch_size: int = Field(128, ge=2, le=65_536, description="images in a mini-batch")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="of forward and backward passes; auto: bfloat16 for images where the device is quicker with it",
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of one trial; the order of summation depends on it")
    deterministic: bool = Field(
        False,
        description="on a GPU: the same numbers every time; a trial that needs an operation which cannot fails and "
        "names it (on the CPU all trials are deterministic)",
    )


class Evaluate(Settings):
    """How every trained generator is measured. All of it is part of a trial's key."""

    samples: int = Field(10_000, ge=10, le=1_000_000, description="images drawn from the generator")
    features: str = Field(
        "auto",
        description="whose features and class probabilities metrics use: auto (the judge of the data, or "
        "inception where it has none), the name of a judge, or inception",
    )
    split: Literal["train", "test"] = Field("test", description="the real images that serve as the reference")
    metrics: Annotated[
        tuple[Annotated[Choice[Metric], Named("metrics")], ...], BeforeValidator(_few), AfterValidator(_distinct)
    ] = Field(min_length=1, max_length=MAX_CHOICES, description="what is computed")


class Run(Settings):
    """How trials are run. Nothing here changes a number, and so nothing is part of a trial's key."""

    time_limit: float | None = Field(None, gt=0, description="seconds after which a trial is given up, or null")
    checkpoint_seconds: float = Field(30, gt=0, description="seconds between checkpoints")
    snapshots: int = Field(6, ge=0, le=1000, description="sample grids drawn over training")
    curve_points: int = Field(200, ge=1, le=100_000, description="points of each training curve")


class Base(Settings):
    """What every cell of the matrix starts from."""

    model: Annotated[Choice[Model], Named("models")] | None = Field(None, description="the model and its settings")
    tricks: Annotated[tuple[Annotated[Choice[Trick], Named("tricks")], ...], BeforeValidator(_few)] = Field(
        (), max_length=MAX_CHOICES, description="the tricks and their settings"
    )


class Exclusion(Settings):
    """Cells of the matrix that are left out."""

    where: dict[str, Any] = Field(min_length=1, description="axis: value, for every axis that matters")
    reason: str = Field(min_length=1, description="why they are left out")


class _Part(BaseModel):
    # Strict instead of derived from Settings, whose validator pydantic does not allow beside a discriminator.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class _Range(_Part):
    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        low, high = getattr(self, "low"), getattr(self, "high")  # noqa: B009  # both subclasses have them
        if low >= high:
            raise _error(f"low ({low:g}) must be below high ({high:g})")
        if getattr(self, "log") and low <= 0:  # noqa: B009
            raise _error(f"a logarithmic scale needs low above 0, not {low:g}")
        return self


class FloatRange(_Range):
    """A real number between two bounds."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = Field(False, description="search on a logarithmic scale")
    step: float | None = Field(None, gt=0, description="distance between values, or null for all values")

    @model_validator(mode="after")
    def _log_or_step(self) -> FloatRange:
        if self.log and self.step is not None:
            raise _error("step and log: true exclude each other")
        return self

    def ends(self) -> tuple[Any, ...]:
        """The values at the bounds."""
        return self.low, self.high


class IntRange(_Range):
    """A whole number between two bounds."""

    type: Literal["int"]
    low: int
    high: int
    log: bool = Field(False, description="search on a logarithmic scale")
    step: int = Field(1, ge=1, description="distance between values")

    @model_validator(mode="after")
    def _log_or_step(self) -> IntRange:
        if self.log and self.step != 1:
            raise _error("step and log: true exclude each other")
        return self

    def ends(self) -> tuple[Any, ...]:
        """The values at the bounds."""
        return self.low, self.high


Value = str | int | float | bool | None


def _distinct_values(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """By Python's equality, as Optuna looks them up: 1, 1.0 and true are one value to it."""
    first: dict[Value, Value] = {}
    for value in values:
        if value in first:
            same = "" if shown(first[value]) == shown(value) else f" (it equals {shown(first[value])})"
            raise _error(f"{shown(value)} is listed twice{same}")
        first[value] = value
    return values


class Categorical(_Part):
    """One of some values."""

    type: Literal["categorical"]
    choices: Annotated[
        tuple[Value, ...], Field(min_length=1, max_length=1000, strict=False), AfterValidator(_distinct_values)
    ]

    def ends(self) -> tuple[Any, ...]:
        """All values."""
        return self.choices


Range = Annotated[FloatRange | IntRange | Categorical, Field(discriminator="type")]


class Sampler(Settings):
    """What proposes configurations."""

    name: Literal["tpe", "random", "qmc"] = Field("tpe", description="Optuna's sampler")
    seed: int = Field(0, ge=0, lt=2**32, description="of the sampler's random numbers")


class Pruner(Settings):
    """What stops configurations that do badly on the way."""

    name: Literal["median", "successive_halving"] = Field("median", description="Optuna's pruner")
    every: int = Field(500, ge=1, description="steps between intermediate evaluations")
    samples: int = Field(1000, ge=10, le=1_000_000, description="images drawn for an intermediate evaluation")
    warmup_steps: int = Field(0, ge=0, description="steps before which nothing is stopped")


class Objective(Settings):
    """What a search looks for."""

    metric: str | None = Field(None, description="a column of values; null: the one that compare names")
    direction: Literal["minimize", "maximize"] | None = Field(None, description="null: whichever is better")


class Search(Settings):
    """A search, one study per cell. A configuration is trained on all seeds; its value is their mean."""

    sampler: Annotated[Sampler, BeforeValidator(_by_name)] = Field(default_factory=lambda: Sampler())
    n_trials: int = Field(ge=1, le=100_000, description="configurations to try")
    space: dict[str, Range] = Field(min_length=1, max_length=32, description="path into the arm: its range")
    pruner: Annotated[Pruner, BeforeValidator(_by_name)] | None = None
    objective: Objective = Field(default_factory=lambda: Objective())


def _arm_name(name: str) -> str:
    if not 0 < len(name) <= MAX_ARM_NAME or not name.isprintable() or name != name.strip():
        raise _error(
            f"{shown(name)} cannot name an arm: use 1 to {MAX_ARM_NAME} printable characters, no blank at either end"
        )
    return name


class Compare(Settings):
    """What verdicts are given on."""

    baseline: dict[str, Any] | None = Field(
        None, description="axis: value, for as many axes as single out a cell; null: the first cell"
    )
    metric: str | None = Field(None, description="a column of values; null: the first of the first metric")
    delta: float | None = Field(
        None, ge=0, description="difference on it below which arms count as equal; null: 5 % of the baseline's mean"
    )


class Expectation(Settings):
    """A figure of the literature that the suite is held against: a value, bounds of one, or an order of cells."""

    where: dict[str, Any] = Field(
        default_factory=dict, description="axis: value, for every axis that matters; each cell that has them is meant"
    )
    order: Annotated[tuple[dict[str, Any], ...], Field(min_length=2, max_length=MAX_PLACES)] | None = Field(
        None, description="cells as in where, the best first: each is better than the next"
    )
    metric: str = Field(description="a column of values")
    value: float | None = Field(None, description="what the source measured, in the unit of the metric")
    tolerance: float | None = Field(None, ge=0, description="how far from value a mean may be, in the same unit")
    at_least: float | None = Field(None, description="instead of value: the least that a mean may be")
    at_most: float | None = Field(None, description="instead of value: the most that a mean may be")
    source: str = Field(min_length=1, max_length=1000, description="where the figure stands")
    note: str = Field("", max_length=1000, description="what else must be known, such as a protocol that differs")

    @model_validator(mode="after")
    def _one_claim(self) -> Expectation:
        given = [name for name in ("value", "tolerance", "at_least", "at_most") if getattr(self, name) is not None]
        if self.order is not None:
            wrong = (["where"] if self.where else []) + given
            if wrong:
                raise _error(f"order and {wrong[0]} exclude each other")
        elif not given:
            raise _error("say what is expected: value and tolerance, at_least, at_most, or order")
        elif given[0] in ("value", "tolerance") and given != ["value", "tolerance"]:
            raise _error("value and tolerance belong together, and exclude at_least and at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise _error(f"at_least ({self.at_least:g}) must not be above at_most ({self.at_most:g})")
        return self

    @property
    def groups(self) -> tuple[dict[str, Any], ...]:
        """The cells that it is about: the places of its order, or the one group of a value."""
        return (self.where,) if self.order is None else self.order

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which a mean meets it, where it is no order; infinite on an open side."""
        if self.value is not None and self.tolerance is not None:
            return self.value - self.tolerance, self.value + self.tolerance
        low = -math.inf if self.at_least is None else self.at_least
        return low, math.inf if self.at_most is None else self.at_most


class Declaration(Settings):
    """A suite file."""

    name: Annotated[str, AfterValidator(_name)] = Field(
        alias="suite",
        json_schema_extra={"pattern": NAME},
        description="the suite's name, also that of its folder",
    )
    question: str = Field("", max_length=10_000, description="what the suite is to answer")
    data: Annotated[Choice[DataSet], Named("data")] | None = Field(None, description="the data set and its settings")
    train: Train = Field(default_factory=lambda: Train())
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, max_length=MAX_SEEDS),
        AfterValidator(_distinct_seeds),
        BeforeValidator(_seeds),
    ] = Field((0, 1, 2), description="how many (n: 0 to n - 1), or which")
    base: Base = Field(default_factory=lambda: Base())
    matrix: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="path into the arm: its values; the cells are the exact product"
    )
    exclude: tuple[Exclusion, ...] = Field(
        (), max_length=MAX_EXCLUSIONS, description="cells that are left out, with the reason"
    )
    names: dict[Annotated[str, AfterValidator(_arm_name)], Annotated[dict[str, Any], Field(min_length=1)]] = Field(
        default_factory=dict,
        max_length=MAX_NAMES,
        description="what arms are called where their own names would be long: a name, and axis: value for as many "
        "axes as single out its cell",
    )
    search: Search | None = None
    evaluate: Evaluate
    run: Run = Field(default_factory=lambda: Run())
    compare: Compare = Field(default_factory=lambda: Compare())
    expect: tuple[Expectation, ...] = Field(
        (), max_length=MAX_EXPECTATIONS, description="what the literature has, to be held against the measurement"
    )

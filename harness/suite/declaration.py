"""The sections of a suite file as pydantic models: keys, types, defaults and descriptions.

Each section is checked here on its own; ``reading`` checks whether the sections agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
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
else:  # pydantic only looks up these names; a real import would import torch
    DataSet = Metric = Model = Trick = Any

RESERVED = {
    "artifacts",
    "baselines",
    "cache",
    "intake",
    "looks",
    "mlflow",
    "optuna",
    "published",
    "results",
    "smoke",
    "verify",
    "work",
} | {
    # On Windows these names open devices, in any folder.
    *("aux", "con", "nul", "prn"),
    *(f"{device}{number}" for device in ("com", "lpt") for number in range(10)),
}
MAX_SEEDS = 1000
MAX_EXCLUSIONS = 100
MAX_EXPECTATIONS = 100
MAX_NAMES = 100
MAX_PAIRS = 1000
MAX_PLUGINS = 100
"""The largest number of files of plug-ins."""
MAX_ARM_NAME = 60
MAX_CHOICES = 32
"""The largest number of tricks of an arm, and of metrics of a suite."""
MAX_PARAMETERS = 32
"""The largest number of parameters of a search's space."""
MAX_PLACES = 20
"""The largest number of places in the order of an expectation."""


@dataclass(frozen=True)
class Named:
    """Annotates a field that takes a plug-in of this kind: ``name`` or ``{name: …, setting: …}``."""

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
        raise _error(
            f"{shown(name)} is no valid name: use at most 64 characters of a to z, 0 to 9, - and _; do not begin with "
            "- or _"
        )
    if name in RESERVED:
        raise _error(f"the name {name!r} is reserved: choose another")
    return name


def _whole(value: Any) -> Any:
    """1e2 and 100.0 as the whole number 100; any other value unchanged."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decimal(number: float) -> Decimal:
    """A number as it is written, so that .3 is exactly three steps of .1."""
    return Decimal(repr(number))


def _seeds(value: Any) -> Any:
    """A number n stands for the seeds 0 to n - 1."""
    value = _whole(value)
    number = isinstance(value, int) and not isinstance(value, bool)
    if number and not 1 <= value <= MAX_SEEDS:
        raise _error(f"the number of seeds must be from 1 to {MAX_SEEDS}, not {value}")
    if not number and not isinstance(value, list | tuple):
        raise _error(f"expected a number of seeds or a list of them, got {shown(value)}")
    return tuple(range(value)) if number else value


def _new_seeds(value: Any) -> Any:
    """A number of seeds as it is, because the suite's own seeds decide which; or a list of them."""
    _seeds(value)
    return _whole(value)


def _distinct_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise _error("a seed is listed twice")
    return seeds


_MEGABYTES = {"MB": 1, "GB": 1000, "TB": 1_000_000}


def _quantity(text: str) -> tuple[float, str]:
    """The number and the unit of a text such as ``8GB``; no unit if it is not one."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", text)
    return (float(found[1]), found[2]) if found is not None else (0.0, "")


def _size(value: str | None) -> str | None:
    """A size of memory, as it is written."""
    if value is not None and (_quantity(value)[1] not in _MEGABYTES or _quantity(value)[0] <= 0):
        raise _error(f"expected a size such as 500MB or 8GB, got {shown(value)}")
    return value


_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def _duration(value: str | float | None) -> float | None:
    """Seconds; ``90s``, ``30min``, ``2h`` and ``1d`` as seconds."""
    if isinstance(value, str):
        number, unit = _quantity(value)
        if unit not in _UNITS:
            raise _error(f"expected a time such as 90s, 30min, 2h or 1d, got {shown(value)}")
        value = number * _UNITS[unit]
    if value is not None and value <= 0:
        raise _error(f"must be greater than 0, got {shown(value)}")
    return value


def _kind_of_seeds(value: Any) -> str:
    return "rounds" if isinstance(value, Mapping | Rounds) else "seeds"


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _few(choices: Any) -> Any:
    """Check the length before the entries: checking a huge list of wrong names would take long."""
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


Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True), BeforeValidator(_whole)]
SeedList = Annotated[tuple[Seed, ...], Field(min_length=1, max_length=MAX_SEEDS), AfterValidator(_distinct_seeds)]
Whole = Annotated[int, BeforeValidator(_whole)]


class Rounds(Settings):
    """Seeds in rounds: arms whose verdicts are open get more, until all are settled."""

    start: Whole = Field(3, ge=2, le=MAX_SEEDS, description="seeds of every arm in the first round")
    most: Whole = Field(20, ge=2, le=MAX_SEEDS, description="the largest number of seeds of an arm")
    error: float = Field(
        0.05, gt=0, le=0.5, description="the chance of any false verdict, over all arms and all rounds together"
    )
    budget: Annotated[float | str | None, AfterValidator(_duration)] = Field(
        None,
        description="no further round begins when the suite's trials have taken so long in all (seconds, or 90s, "
        "30min, 2h, 1d); null: no limit",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Rounds:
        if self.start > self.most:
            raise _error(f"start ({self.start}) must not be above most ({self.most})")
        return self

    def after(self, taken: Sequence[int] = ()) -> list[int]:
        """Seeds of an open arm in each round: those that were taken, then each time about 1.6 as many, up to ``most``.

        From 3 to 20: 3, 5, 8, 13, 20.
        """
        sizes = list(taken) or [self.start]
        while sizes[-1] < self.most:
            sizes.append(min(self.most, max(sizes[-1] + 1, round(1.6 * sizes[-1]))))
        return sizes


class Train(Settings):
    """How every arm is trained. All values are part of a trial's key."""

    steps: int = Field(4000, ge=1, le=100_000_000, description="training steps (of the generator)")
    batch_size: int = Field(128, ge=2, le=65_536, description="images in a mini-batch")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="of forward and backward passes; auto: bfloat16 for images if the device is faster with it",
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads of one trial; the order of summation depends on it")
    deterministic: bool = Field(
        False,
        description="on a GPU: the same numbers every time; a trial fails if it needs an operation without a "
        "deterministic form, and names it (on the CPU all trials are deterministic)",
    )


class Evaluate(Settings):
    """How every trained generator is measured. All values are part of a trial's key."""

    samples: int = Field(10_000, ge=10, le=1_000_000, description="samples to generate")
    features: str = Field(
        "auto",
        description="the network whose features and class probabilities metrics use: auto (the judge of the data, or "
        "inception if it has none), the name of a judge, or inception",
    )
    split: Literal["train", "test"] = Field("test", description="the real images that serve as the reference")
    metrics: Annotated[
        tuple[Annotated[Choice[Metric], Named("metrics")], ...], BeforeValidator(_few), AfterValidator(_distinct)
    ] = Field(min_length=1, max_length=MAX_CHOICES, description="the metrics to compute")


class Run(Settings):
    """How trials are run. No value here changes a number, so none is part of a trial's key."""

    time_limit: float | None = Field(None, gt=0, description="seconds after which a trial is stopped, or null")
    checkpoint_seconds: float = Field(30, gt=0, description="seconds between checkpoints")
    snapshots: int = Field(6, ge=0, le=1000, description="sample grids drawn during training")
    curve_points: int = Field(200, ge=1, le=100_000, description="points of each training curve")
    quality: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="samples with which the compare metric is computed at the snapshots before the end, as a curve "
        "over training; 0: it is not",
    )
    fuse: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        "auto",
        description="trials that a worker trains side by side; auto: several on a GPU, one on a CPU; same numbers",
    )
    keep_going: bool = Field(
        False,
        description="when a trial fails at its first step, begin its arm with the other seeds all the same; false: "
        "they count as failed, too, because they would fail alike",
    )
    graphs: bool = Field(
        True,
        description="where model and tricks allow it, a training step is one CUDA graph on a GPU, and of points on a "
        "CPU a list of operations; same numbers",
    )


class Resources(Settings):
    """What a trial needs, for engines that share out machines. No value here changes a number."""

    cpus: int | None = Field(None, ge=1, le=1024, description="processor cores; null: as many as train.threads")
    gpus: float | None = Field(
        None, ge=0, le=1, description="GPUs, or a part of one; 0: trains on the CPU; null: as the engine chooses"
    )
    memory: Annotated[str | None, AfterValidator(_size)] = Field(
        None, description="main memory, for example 8GB or 500MB; null: not stated"
    )
    time: Annotated[float | str | None, AfterValidator(_duration)] = Field(
        None,
        description="the longest that a job of a cluster may last (seconds, or 30min, 4h, 1d); the trial goes on from "
        "its checkpoint in another one; null: as the cluster sets it",
    )

    @property
    def megabytes(self) -> int | None:
        """The memory in MB; None if it is not stated."""
        if self.memory is None:
            return None
        number, unit = _quantity(self.memory)
        return max(1, round(number * _MEGABYTES[unit]))


class Base(Settings):
    """The model and tricks that the axes of the matrix change."""

    model: Annotated[Choice[Model], Named("models")] | None = Field(None, description="the model and its settings")
    tricks: Annotated[tuple[Annotated[Choice[Trick], Named("tricks")], ...], BeforeValidator(_few)] = Field(
        (), max_length=MAX_CHOICES, description="the tricks and their settings"
    )


class Exclusion(Settings):
    """Cells of the matrix that are excluded."""

    where: dict[str, Any] = Field(min_length=1, description="axis: value; selects all cells that have these values")
    reason: str = Field(min_length=1, description="why they are excluded")


class _Part(BaseModel):
    # Not derived from Settings: pydantic does not allow its validator in a union with a discriminator.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class _Range(_Part):
    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        low, high = getattr(self, "low"), getattr(self, "high")  # noqa: B009  # both subclasses have them
        if low >= high:
            raise _error(f"low ({low:g}) must be below high ({high:g})")
        if getattr(self, "log") and low <= 0:  # noqa: B009
            raise _error(f"a logarithmic scale needs low above 0, not {low:g}")
        step = getattr(self, "step")  # noqa: B009
        if step is not None and _decimal(step) > _decimal(high) - _decimal(low):
            raise _error(f"step ({step:g}) must be at most high − low ({high - low:g}): else low is the only value")
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
        return self.low, self.last

    @property
    def last(self) -> float:
        """The largest value: ``high``, or the last of the steps from ``low`` that is not above it."""
        if self.step is None:
            return self.high
        low, step = _decimal(self.low), _decimal(self.step)
        return float(low + (_decimal(self.high) - low) // step * step)

    @property
    def size(self) -> int | None:
        """The number of values; None: without a limit."""
        if self.step is None:
            return None
        return int((_decimal(self.high) - _decimal(self.low)) // _decimal(self.step)) + 1


class IntRange(_Range):
    """A whole number between two bounds."""

    type: Literal["int"]
    low: Whole
    high: Whole
    log: bool = Field(False, description="search on a logarithmic scale")
    step: Whole = Field(1, ge=1, description="distance between values")

    @model_validator(mode="after")
    def _log_or_step(self) -> IntRange:
        if self.log and self.step != 1:
            raise _error("step and log: true exclude each other")
        return self

    def ends(self) -> tuple[Any, ...]:
        """The values at the bounds."""
        return self.low, self.last

    @property
    def last(self) -> int:
        """The largest value: ``high``, or the last of the steps from ``low`` that is not above it."""
        return self.low + (self.high - self.low) // self.step * self.step

    @property
    def size(self) -> int | None:
        """The number of values."""
        return (self.high - self.low) // self.step + 1


Value = str | int | float | bool | None


def _distinct_values(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Refuse values that are equal in Python (1, 1.0 and true), because Optuna finds choices by equality."""
    first: dict[Value, Value] = {}
    for value in values:
        if value in first:
            same = "" if shown(first[value]) == shown(value) else f" (it equals {shown(first[value])})"
            raise _error(f"{shown(value)} is listed twice{same}")
        first[value] = value
    return values


class Categorical(_Part):
    """One of a list of values."""

    type: Literal["categorical"]
    choices: Annotated[
        tuple[Value, ...], Field(min_length=1, max_length=1000, strict=False), AfterValidator(_distinct_values)
    ]

    def ends(self) -> tuple[Any, ...]:
        """All values."""
        return self.choices

    @property
    def size(self) -> int | None:
        """The number of values."""
        return len(self.choices)


Range = Annotated[FloatRange | IntRange | Categorical, Field(discriminator="type")]


class Sampler(Settings):
    """Proposes configurations."""

    name: Literal["tpe", "random", "qmc"] = Field("tpe", description="Optuna's sampler")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the sampler's random numbers")


class Pruner(Settings):
    """Stops configurations whose intermediate values are bad."""

    name: Literal["median", "successive_halving"] = Field("median", description="Optuna's pruner")
    every: int = Field(500, ge=1, description="steps between intermediate evaluations")
    samples: int = Field(1000, ge=10, le=1_000_000, description="samples to generate for an intermediate evaluation")
    warmup_steps: int = Field(0, ge=0, description="no configuration is pruned before this step")


class Objective(Settings):
    """The value that a search optimises."""

    metric: str | None = Field(None, description="a column of values; null: that of compare.metric")
    direction: Literal["minimize", "maximize"] | None = Field(None, description="null: the better direction")


class Spaces(Settings):
    """Ranges that only some cells have."""

    where: dict[str, Any] = Field(min_length=1, description="axis: value; all cells that have these values")
    space: dict[str, Range | None] = Field(
        min_length=1,
        max_length=MAX_PARAMETERS,
        description="path into the arm: its range, which replaces that of search.space; null: not searched here",
    )


class Confirm(Settings):
    """Trains the best configuration of each cell again, on seeds that it was not chosen by."""

    seeds: Annotated[
        Annotated[int, Tag("number")] | Annotated[SeedList, Tag("list")],
        Discriminator(lambda seeds: "list" if isinstance(seeds, list | tuple) else "number"),
        BeforeValidator(_new_seeds),
    ] = Field(description="how many (n: the next n above the largest of the suite's seeds), or which")


class Search(Settings):
    """A search: one Optuna study per cell. A configuration is trained on all seeds; its value is their mean."""

    sampler: Annotated[Sampler, BeforeValidator(_by_name)] = Field(default_factory=lambda: Sampler())
    n_trials: int = Field(ge=1, le=100_000, description="configurations to try")
    space: dict[str, Range] = Field(min_length=1, max_length=MAX_PARAMETERS, description="path into the arm: its range")
    spaces: tuple[Spaces, ...] = Field((), max_length=MAX_EXCLUSIONS, description="ranges that only some cells have")
    pruner: Annotated[Pruner, BeforeValidator(_by_name)] | None = None
    parallel: Literal["slots"] | Annotated[Whole, Field(ge=1, le=100_000)] = Field(
        1,
        description="configurations of a cell that are open at a time; slots: one for every free slot of the engine",
    )
    objective: Objective = Field(default_factory=lambda: Objective())
    confirm: Confirm | None = Field(
        None, description="train the best configuration of each cell on new seeds, for verdicts between the cells"
    )


def points(space: Mapping[str, Range]) -> int | None:
    """The number of different configurations of a space; None: without a limit."""
    sizes = [one.size for one in space.values()]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _arm_name(name: str) -> str:
    if not 0 < len(name) <= MAX_ARM_NAME or not name.isprintable() or name != name.strip():
        raise _error(
            f"{shown(name)} is no valid name of an arm: use 1 to {MAX_ARM_NAME} printable characters, no blank at "
            "either end"
        )
    return name


class Collapse(Settings):
    """When a trial counts as collapsed: its share is tested apart, and means are over the other trials."""

    metric: str | None = Field(None, description="a column of values; null: that of compare.metric")
    below: float | None = Field(None, description="collapsed if the value is below this")
    above: float | None = Field(None, description="collapsed if the value is above this")
    beyond: float | None = Field(
        None, gt=1, description="collapsed if the value is so many times the arm's median, to the worse side"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Collapse:
        if sum(bound is not None for bound in (self.below, self.above, self.beyond)) != 1:
            raise _error("expected exactly one of below, above and beyond")
        return self


def _kind_of_rule(value: Any) -> str:
    return "rule" if isinstance(value, Mapping | Collapse) else "none"


class Pair(Settings):
    """Two cells that are compared; each by axis: value, for enough axes to select it."""

    arm: dict[str, Any] = Field(min_length=1, description="the cell that the verdict is on")
    baseline: dict[str, Any] = Field(min_length=1, description="the cell that it is compared with")


class Compare(Settings):
    """Which cells are compared, on which metric, and the δ of verdicts.

    The comparisons that are declared here are the questions that verdicts are corrected for: each arm against the
    baseline, or, with ``against`` or ``pairs``, those alone; with the interactions, and, if there is an axis ``data``,
    the verdict over the data sets.
    """

    baseline: dict[str, Any] | None = Field(
        None, description="axis: value, for enough axes to select one cell; null: the first cell"
    )
    against: dict[str, Any] | None = Field(
        None,
        min_length=1,
        description="axis: value; each cell is compared with the cell that has these values and is like it on all "
        "other axes",
    )
    interaction: str | None = Field(
        None,
        description="an axis whose values the effects of the comparisons of against may depend on: the effect at its "
        "first value is compared with that at each other value",
    )
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=MAX_PAIRS)] | None = Field(
        None, description="pairs of cells to compare"
    )
    metric: str | None = Field(None, description="a column of values; null: the first of the first metric")
    delta: float | None = Field(
        None, ge=0, description="arms count as equal below this difference; null: 5 % of the baseline's mean"
    )
    collapse: Annotated[
        Annotated[Collapse, Tag("rule")] | Annotated[Literal[False] | None, Tag("none")], Discriminator(_kind_of_rule)
    ] = Field(
        None,
        description="when a trial counts as collapsed; null: if it covers fewer than half of the classes or modes "
        "(where the suite counts them); false: never",
    )


class Expectation(Settings):
    """A figure of the literature to compare the results with: a value, bounds, or an order of cells."""

    where: dict[str, Any] = Field(
        default_factory=dict, description="axis: value; the expectation is about all cells that have these values"
    )
    order: Annotated[tuple[dict[str, Any], ...], Field(min_length=2, max_length=MAX_PLACES)] | None = Field(
        None, description="cells as in where, the best first: each is better than the next"
    )
    metric: str = Field(description="a column of values")
    value: float | None = Field(None, description="the value of the source, in the unit of the metric")
    sd: float | None = Field(None, ge=0, description="the source's standard deviation over its n runs")
    se: float | None = Field(None, ge=0, description="instead of sd: the standard error of the source's value")
    n: int | None = Field(None, ge=2, description="the source's number of runs")
    tolerance: float | None = Field(
        None,
        ge=0,
        description="a mean that differs from value by at most this is consistent with it; null: two sd of the source",
    )
    at_least: float | None = Field(None, description="instead of value: the lower bound of a mean")
    at_most: float | None = Field(None, description="instead of value: the upper bound of a mean")
    source: str = Field(min_length=1, max_length=1000, description="paper and table of the figure")
    note: str = Field("", max_length=1000, description="a remark, for example on a different protocol")

    @model_validator(mode="after")
    def _one_claim(self) -> Expectation:
        of_value = [name for name in ("value", "sd", "se", "n", "tolerance") if getattr(self, name) is not None]
        bounds = [name for name in ("at_least", "at_most") if getattr(self, name) is not None]
        if self.order is not None:
            wrong = (["where"] if self.where else []) + of_value + bounds
            if wrong:
                raise _error(f"order and {wrong[0]} exclude each other")
        elif not of_value and not bounds:
            raise _error("no expectation is given: add value, at_least, at_most, or order")
        elif of_value and bounds:
            raise _error(f"{of_value[0]} and {bounds[0]} exclude each other")
        elif of_value:
            self._check_value()
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise _error(f"at_least ({self.at_least:g}) must not be above at_most ({self.at_most:g})")
        return self

    def _check_value(self) -> None:
        if self.value is None:
            raise _error("sd, se, n and tolerance belong to a value: add it")
        if self.sd is not None and self.se is not None:
            raise _error("sd and se exclude each other")
        if (self.sd is None and self.se is None) != (self.n is None):
            raise _error("n and one of sd and se need each other")
        if self.n is None and self.tolerance is None:
            raise _error("a value needs its uncertainty: add sd or se, and n; or tolerance")

    @property
    def groups(self) -> tuple[dict[str, Any], ...]:
        """The cells that it is about: one entry per place of an order, or the single ``where``."""
        return (self.where,) if self.order is None else self.order

    @property
    def error(self) -> float:
        """The standard error of the source's value; 0 where the source gives none."""
        if self.sd is not None and self.n is not None:
            return self.sd / math.sqrt(self.n)
        return self.se or 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """The bounds within which a mean is consistent with it, if it is no order; infinite on an open side."""
        if self.value is not None:
            width = self.tolerance if self.tolerance is not None else 2 * self.error * math.sqrt(self.n or 1)
            return self.value - width, self.value + width
        low = -math.inf if self.at_least is None else self.at_least
        return low, math.inf if self.at_most is None else self.at_most


class Declaration(Settings):
    """A suite file."""

    name: Annotated[str, AfterValidator(_name)] = Field(
        alias="suite",
        json_schema_extra={"pattern": NAME},
        description="the suite's name, also that of its folder",
    )
    question: str = Field("", max_length=10_000, description="the question that the suite answers")
    plugins: tuple[str, ...] = Field(
        (),
        max_length=MAX_PLUGINS,
        description="files with tricks, models and other plug-ins of your own; a path is relative to the suite's file",
    )
    data: Annotated[Choice[DataSet], Named("data")] | None = Field(None, description="the data set and its settings")
    train: Train = Field(default_factory=lambda: Train())
    declared_seeds: Annotated[
        Annotated[Annotated[SeedList, BeforeValidator(_seeds)], Tag("seeds")] | Annotated[Rounds, Tag("rounds")],
        Discriminator(_kind_of_seeds),
    ] = Field(
        (0, 1, 2),
        alias="seeds",
        description="how many (n: 0 to n - 1), or which, or {start, most, error, budget}: more seeds for open verdicts",
    )
    base: Base = Field(default_factory=lambda: Base())
    matrix: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="path into the arm: its values; the cells are the exact product"
    )
    exclude: tuple[Exclusion, ...] = Field(
        (), max_length=MAX_EXCLUSIONS, description="cells that are excluded, with the reason"
    )
    names: dict[Annotated[str, AfterValidator(_arm_name)], Annotated[dict[str, Any], Field(min_length=1)]] = Field(
        default_factory=dict,
        max_length=MAX_NAMES,
        description="short names for arms: a name, and axis: value for enough axes to select its cell",
    )
    search: Search | None = None
    evaluate: Evaluate
    run: Run = Field(default_factory=lambda: Run())
    resources: Resources = Field(default_factory=lambda: Resources())
    compare: Compare = Field(default_factory=lambda: Compare())
    expect: tuple[Expectation, ...] = Field(
        (), max_length=MAX_EXPECTATIONS, description="figures of the literature to compare the results with"
    )

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every arm; with rounds, those of the first round."""
        declared = self.declared_seeds
        return tuple(range(declared.start)) if isinstance(declared, Rounds) else declared

    @property
    def rounds(self) -> Rounds | None:
        """The rounds; None if the seeds are given."""
        return self.declared_seeds if isinstance(self.declared_seeds, Rounds) else None

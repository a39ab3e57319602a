"""The regression check: is a suite worse than its committed baseline?

A baseline file has the value of every seed for each arm and column, with the protocol and the versions. The check
tests later trials of the same suite against it.

Trials of changed code are not paired by seed. Pairing needs the same initialisation, data order and latents on both
sides; a change of code moves the random numbers, and even where it does not, rounding makes the trainings drift apart
within some hundred steps. The two samples of seeds count as independent, and the test is Welch's t. If seeds do share
something, the true error of the difference is smaller than the assumed one, and the check errs towards green.

Each column of each arm is one one-sided test of "worse than the baseline", on the scale on which verdicts compare it
(``scales``): FIDs differ and vary by a factor, and five of them would hide a doubled FID on their own scale. The
failures of each arm are one test by Fisher's exact test. Holm's procedure bounds the chance of a false alarm over all
tests: ``ALPHA`` by default.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from harness.analysis import protocol, statistics
from harness.analysis.scales import Array, Measure
from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import write_bytes

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.store.record import Record
    from harness.suite.plan import Plan

FORMAT: Literal[1] = 1
ALPHA = 0.01
"""The chance that a check turns red although nothing is worse, over all its tests."""
RELEVANT = 0.5
"""The check should find a loss of this share of the baseline's mean (on the scale of the column: the geometric mean of
FIDs, for example); if noise hides it, the check says so."""
FAILURES = "failures"
"""The column of a test on the failed trials of an arm."""
ENVIRONMENT = ("device", "precision", "threads", "git_commit", "harness", "python", "torch", "torch_fidelity")

State = Literal["worse", "equal or better", "too noisy to tell", "missing"]
RED: frozenset[State] = frozenset({"worse", "missing"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Distribution(_Strict):
    """The values of an arm in one column: by seed, with mean and sample standard deviation (None for one seed)."""

    n: int = Field(ge=1)
    mean: FiniteFloat
    sd: FiniteFloat | None = Field(ge=0)
    values: dict[str, FiniteFloat]

    @classmethod
    def of(cls, values: Mapping[int, float]) -> Distribution:
        """The distribution of these values by seed; there must be at least one."""
        x = np.array([values[seed] for seed in sorted(values)])
        sd = float(x.std(ddof=1)) if len(x) > 1 else None
        return cls(n=len(x), mean=float(x.mean()), sd=sd, values={str(seed): values[seed] for seed in sorted(values)})

    @model_validator(mode="after")
    def _agrees(self) -> Distribution:
        x = np.array(list(self.values.values()))
        if self.n != len(x) or (self.sd is None) != (len(x) < 2) or not np.isclose(self.mean, x.mean()):
            raise ValueError("n, mean and sd are not those of the values")
        if self.sd is not None and not np.isclose(self.sd, x.std(ddof=1)):
            raise ValueError("sd is not that of the values")
        return self


class ArmBaseline(_Strict):
    """An arm in a baseline: its declaration, its protocol, its values and its failures."""

    declared: dict[str, Any]
    trials: int = Field(ge=1)
    failures: dict[str, str]
    protocol: dict[str, dict[str, Any]]
    columns: dict[str, Distribution]


class Baseline(_Strict):
    """A baseline file."""

    format: Literal[1]
    suite: str
    environment: dict[str, str]
    arms: dict[str, ArmBaseline]


@dataclass(frozen=True)
class ColumnCheck:
    """The result of the check for a column of an arm, or for its failures.

    Attributes:
        arm: the arm.
        column: the column, or ``FAILURES``.
        state: the outcome.
        before: the mean in the baseline (for failures: their number).
        now: the mean now (for failures: their number); NaN if there is none.
        p: the p-value of "not worse", corrected by Holm's procedure; NaN if there was no test.
        detectable: the smallest loss that the test finds with a chance of 80 %, in the unit of the values (of a target:
            of the distance to it).
        note: an explanation for the reader.
    """

    arm: str
    column: str
    state: State
    before: float
    now: float
    p: float
    detectable: float
    note: str = ""


@dataclass(frozen=True)
class Check:
    """The outcome of a check."""

    suite: str
    alpha: float
    cells: tuple[ColumnCheck, ...]

    @property
    def red(self) -> tuple[ColumnCheck, ...]:
        """The cells that make the check fail."""
        return tuple(cell for cell in self.cells if cell.state in RED)

    @property
    def sentence(self) -> str:
        """The outcome in one sentence."""
        noisy = sum(cell.state == "too noisy to tell" for cell in self.cells)
        more = f"; {noisy} too noisy to tell a loss of {RELEVANT:.0%}" if noisy else ""
        word = "red" if self.red else "green"
        return f"{self.suite} is {word}: {len(self.red)} of {len(self.cells)} tests failed{more}"


# --- the file --------------------------------------------------------------------------------------------


def measured(results: Results) -> Baseline:
    """The results of a suite as a baseline.

    Raises:
        HarnessError: trials have no outcome, or the protocols of an arm's trials differ or are unknown.
    """
    declared = {cell.name: cell.combination.raw for cell in results.plan.cells if cell.excluded is None}
    if results.missing:
        raise HarnessError(f"{results.missing} trials have no outcome yet: run the same command again to continue")
    arms = {}
    for arm, raw in declared.items():
        records = results.of(arm)
        protocol.refuse(protocol.among(records), f"the trials of {arm}")
        _refuse_unknown(arm, records)
        columns = {}
        for column in results.values:
            values = {r.seed: float(r.values[column]) for r in records if np.isfinite(r.values.get(column, np.nan))}
            if values:
                columns[column] = Distribution.of(values)
        arms[arm] = ArmBaseline(
            declared=json.loads(json.dumps(raw)),
            trials=len(records),
            failures={str(r.seed): f"{r.state}: {r.reason}" for r in records if not r.done},
            protocol=json.loads(json.dumps(next((protocol.of(r) for r in records if r.done), {}))),
            columns=columns,
        )
    return Baseline(format=FORMAT, suite=results.plan.suite.name, environment=_environment(results.records), arms=arms)


def fixed(results: Results, arm: str) -> dict[str, str]:
    """Column -> why it says little: all its values are equal, or at a limit of the metric."""
    found = {}
    for column, meaning in results.values.items():
        values = [value for value in results.by_seed(arm, column).values() if np.isfinite(value)]
        limit = statistics.limit(values, results.measure(column))
        if limit in ("lowest", "highest"):
            found[column] = f"{meaning.label} is {values[0]:g} on all seeds, the {limit} value that it can have"
        elif len(values) > 1 and np.ptp(values) == 0:
            found[column] = f"{meaning.label} is {values[0]:g} on all seeds"
    return found


def refuse_vacuous(results: Results) -> None:
    """Check that the value that arms are compared on moves in every arm: a constant cannot tell a loss from noise.

    Of an arm whose model cannot give that value, one of its others must move.

    Raises:
        HarnessError: it is constant over the seeds of an arm, or at a limit of its metric.
    """
    for arm in results.arms:
        found = fixed(results, arm)
        given = [results.metric] if results.offers(arm, results.metric) else list(results.values)
        given = [column for column in given if any(column in record.values for record in results.of(arm))]
        if given and all(column in found for column in given):
            raise HarnessError(
                f"the baseline of {arm} would be vacuous: {'; '.join(found[column] for column in given)}. Train "
                "longer, or compare on a metric that moves (compare.metric); `--even-if-constant` writes it anyway"
            )


def _refuse_unknown(arm: str, records: Iterable[Record]) -> None:
    for record in protocol.unknown(records):
        raise HarnessError(
            f"the protocol of {arm}, seed {record.seed}, is unknown: its protocol.json is missing (in "
            f"{record.artifacts or 'a store whose files are not on this machine'}). Restore a copy of the file, or run "
            "the check with a new --results folder, which trains everything again"
        )


def _environment(records: Iterable[Record]) -> dict[str, str]:
    found: dict[str, dict[str, None]] = {name: {} for name in ENVIRONMENT}
    for record in records:
        for name in ENVIRONMENT:
            found[name][record.environment.get(name, "unknown")] = None
    return {name: ", ".join(values) for name, values in found.items()}


def write(baseline: Baseline, path: Path) -> None:
    """Write a baseline file, with its digest."""
    value = baseline.model_dump()
    try:
        text = json.dumps({**value, "digest": _digest(value)}, indent=1, sort_keys=True, ensure_ascii=False)
        write_bytes(path, f"{text}\n".encode())
    except OSError as error:
        raise HarnessError(f"the baseline {path} cannot be written ({error})") from error


def read(path: Path) -> Baseline:
    """Read a baseline file.

    Raises:
        HarnessError: it is missing, damaged, edited by hand, or of a newer harness.
    """
    again = "`--update` writes a new one"
    if not path.is_file():
        raise HarnessError(f"the baseline {path} does not exist: {again}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessError(f"the baseline {path} is damaged (not JSON: {error}): restore it, or {again}") from error
    if not isinstance(value, dict):
        raise HarnessError(f"the baseline {path} is damaged (not a mapping): restore it, or {again}")
    version = value.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise HarnessError(
            f"the baseline {path} has format {version}, and this harness reads {FORMAT}: update the harness, or {again}"
        )
    digest = value.pop("digest", None)
    try:
        baseline = Baseline.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise HarnessError(
            f"the baseline {path} is damaged ({where}: {first['msg']}): restore it, or {again}"
        ) from error
    if digest != _digest(value):
        raise HarnessError(f"the baseline {path} was edited or damaged (its digest differs): restore it, or {again}")
    return baseline


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digests.of_text(text)


# --- the comparison --------------------------------------------------------------------------------------


def refuse_other(baseline: Baseline, plan: Plan) -> None:
    """Check that a plan and a baseline fit together, before anything is trained.

    Raises:
        HarnessError: the suite, its arms, or their declarations differ.
    """
    update = "`--update` writes a baseline of the suite as it is"
    if plan.suite.search is not None:
        raise HarnessError(f"{plan.suite.path} has a search: only suites without one can be checked")
    if plan.suite.name != baseline.suite:
        raise HarnessError(f"the baseline is of the suite {baseline.suite}, not of {plan.suite.name}: {update}")
    declared = {cell.name: cell.combination.raw for cell in plan.cells if cell.excluded is None}
    _refuse_names("the baseline lacks", declared.keys() - baseline.arms.keys(), update)
    _refuse_names("the suite no longer has", baseline.arms.keys() - declared.keys() - set(plan.left_out), update)
    changed = {arm for arm, raw in declared.items() if json.loads(json.dumps(raw)) != baseline.arms[arm].declared}
    _refuse_names("since the baseline was written, the suite changed the declaration of", changed, update)


def _refuse_names(what: str, names: Iterable[str], update: str) -> None:
    listed = "; ".join(sorted(names))
    if listed:
        raise HarnessError(f"{what} {listed}: {update}")


def check(results: Results, baseline: Baseline, alpha: float = ALPHA) -> Check:
    """Test the results of a suite against its baseline.

    Raises:
        HarnessError: they are not comparable: the declarations or the columns differ, or trials are missing.
        ProtocolMismatch: they were measured by different protocols.
    """
    refuse_other(baseline, results.plan)
    now = measured(results)
    left = {name: arm for name, arm in baseline.arms.items() if name in now.arms}
    baseline = baseline.model_copy(update={"arms": left})
    for name, arm in now.arms.items():
        before = baseline.arms[name]
        if arm.protocol and before.protocol:  # an arm that only failed has none
            protocol.refuse(protocol.differences(before.protocol, arm.protocol), f"the baseline and now of {name}")
            new = arm.columns.keys() - before.columns.keys()
            _refuse_names(f"the baseline of {name} lacks", new, "`--update` writes a new baseline")
    measures = {name: results.measure(name) for name in results.values}
    return Check(baseline.suite, alpha, tuple(compared(now, baseline, measures, alpha)))


def compared(
    now: Baseline, baseline: Baseline, measures: Mapping[str, Measure], alpha: float = ALPHA
) -> list[ColumnCheck]:
    """The result for every column of every arm, and for the failures of every arm.

    Args:
        now: the values of today.
        baseline: those that they must not be worse than; its columns are in ``measures``.
        measures: how the values of each column are compared.
        alpha: the chance of a false alarm over all tests.
    """
    pairs = [(arm, column) for arm, before in baseline.arms.items() for column in [*before.columns, FAILURES]]
    raw = [_p(now.arms[arm], baseline.arms[arm], column, measures) for arm, column in pairs]
    return [
        _failures(arm, now.arms[arm], baseline.arms[arm], p, alpha)
        if column == FAILURES
        else _cell(arm, column, now.arms[arm], baseline.arms[arm], measures[column], p, alpha, alpha / len(pairs))
        for (arm, column), p in zip(pairs, statistics.holm(raw), strict=True)
    ]


def _p(now: ArmBaseline, before: ArmBaseline, column: str, measures: Mapping[str, Measure]) -> float:
    if column == FAILURES:
        return statistics.more_failures(len(now.failures), now.trials, len(before.failures), before.trials)
    if column not in now.columns or now.columns[column].values == before.columns[column].values:
        return 1.0
    return statistics.welch_worse(*_costs(now, before, column, measures[column]), "lower")


def _costs(now: ArmBaseline, before: ArmBaseline, column: str, measure: Measure) -> tuple[Array, Array]:
    """The values of both as costs, on the scale on which they are compared."""
    one, other = (measure.cost(list(arm.columns[column].values.values())) for arm in (now, before))
    return one, other


def _cell(
    arm: str, column: str, now: ArmBaseline, before: ArmBaseline, measure: Measure, p: float, alpha: float, level: float
) -> ColumnCheck:
    """The result for a column. ``level``: the level at which Holm's procedure tests the smallest p-value."""
    was = before.columns[column]
    if column not in now.columns:
        return ColumnCheck(arm, column, "missing", was.mean, np.nan, np.nan, np.nan, "no trial gave a value")
    found = now.columns[column]
    if found.values == was.values:
        return ColumnCheck(arm, column, "equal or better", was.mean, found.mean, 1.0, 0.0, "the same to the bit")
    costs, costs_before = _costs(now, before, column, measure)
    cost = float(costs_before.mean())
    detectable = measure.loss(statistics.welch_detectable(costs, costs_before, level), cost)
    # The distance to a target may be 0: there the values themselves say what is much.
    size = abs(was.mean if measure.kind == "target" else measure.mean(cost))
    state: State = "equal or better"
    if p <= alpha:
        state = "worse"
    elif detectable > RELEVANT * size:
        state = "too noisy to tell"
    return ColumnCheck(arm, column, state, was.mean, found.mean, p, detectable)


def _failures(arm: str, now: ArmBaseline, before: ArmBaseline, p: float, alpha: float) -> ColumnCheck:
    """The result for an arm's failures: red by the test, or if none failed before and most fail now."""
    new = [f"seed {seed} {why}" for seed, why in now.failures.items() if seed not in before.failures]
    most = not before.failures and 2 * len(now.failures) > now.trials
    state: State = "worse" if most or p <= alpha else "equal or better"
    return ColumnCheck(arm, FAILURES, state, len(before.failures), len(now.failures), p, np.nan, "; ".join(new))

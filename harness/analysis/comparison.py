"""Compares two arms, two runs or two suites of one results folder.

Arms and suites are compared on paired seeds (``statistics.answers``), with Holm's correction over all tests of one
comparison. Two single runs get no verdict. Values of different protocols are never compared.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.analysis import finding, loading, looks, protocol, statistics
from harness.analysis import questions as asking
from harness.analysis.results import Results
from harness.analysis.statistics import Question, Sample, Verdict
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.base.validation import nearest
from harness.store.record import Record
from harness.store.runs import Store, flat, standing
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.zoo import registry

if TYPE_CHECKING:
    from harness.metrics.base import Value

SHORT = 8
"""Characters of a run's id that are shown."""
LISTED = 5
"""Names that an error lists."""


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Attributes:
        name: the value's column, or the arm.
        meaning: the unit and direction of the numbers; None if no known metric gives this column.
        one: the value of the first: a mean over the finished trials, or the value of a run; NaN if there is none.
        other: the value of the second.
        verdict: the verdict on the first against the second, by paired seeds; None if nothing is tested.
        note: why there is no verdict.
    """

    name: str
    meaning: Value | None
    one: float
    other: float
    verdict: Verdict | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two things side by side.

    Attributes:
        of: what the rows are: values or arms.
        one: the name of the first.
        other: the name of the second; differences are first − second.
        rows: one row per value, or one per arm.
        settings: (path, value of the first, value of the second) of each setting that differs; None if it is absent.
        remarks: further sentences for the reader, such as failures.
    """

    of: str
    one: str
    other: str
    rows: tuple[Row, ...]
    settings: tuple[tuple[str, str | None, str | None], ...]
    remarks: tuple[str, ...] = ()

    @property
    def tested(self) -> list[tuple[Row, Verdict]]:
        """The rows that have a verdict."""
        return [(row, row.verdict) for row in self.rows if row.verdict is not None]

    def table(self) -> pd.DataFrame:
        """The rows with full precision: effect is the first − the second; p and interval are corrected (Holm)."""
        fields = ("kind", "effect", "low", "high", "confidence", "n", "p", "improvement", "delta", "further")
        rows = []
        for row in self.rows:
            tested = {name: getattr(row.verdict, name, None) for name in fields}
            if row.verdict is None:
                tested["effect"] = row.one - row.other
            rows.append({self.of: row.name, "one": row.one, "other": row.other} | tested | {"note": row.note})
        return pd.DataFrame(rows, columns=[self.of, "one", "other", *fields, "note"])


def compare(
    one: str, other: str, suite: Path | None, sets: Sequence[str], results: Path, metric: str | None
) -> Comparison:
    """The comparison for the command: of arms if ``suite`` is given, of suites if both are files, else of runs."""
    if suite is not None:
        plan = looks.progress(make_plan(read_suite(suite, sets)), results).seen
        return arms(loading.load(plan, results, with_curves=False), one, other, metric)
    if all(_is_suite(name) for name in (one, other)):
        first, second = (make_plan(read_suite(Path(name), sets)) for name in (one, other))
        load = functools.partial(loading.load, results=results, with_curves=False)
        return suites(load(first), load(second), metric)
    if sets:
        raise HarnessError("--set changes a suite, but runs have none: leave it out, or add --suite to compare arms")
    return runs(Store(results), one, other, metric)


def _is_suite(name: str) -> bool:
    return Path(name).suffix in (".yaml", ".yml") or Path(name).is_file()


# --- arms ------------------------------------------------------------------------------------------------


def arms(results: Results, one: str, other: str, metric: str | None = None) -> Comparison:
    """Compare two arms of a suite, on one value or on all.

    Raises:
        ProtocolMismatch: their values were measured by different protocols.
        HarnessError: an arm or a value is unknown, or an arm has no outcome yet.
    """
    refuse_unknown(results, one)
    refuse_unknown(results, other)
    if one == other:
        raise HarnessError(f"{one} was given twice: give two different arms")
    if metric is not None:
        _column(metric, results.values)
    owner = results.metric_of(metric) if metric else None
    protocol.refuse(results.differing(one, other, owner), f"{one} and {other}")
    columns = [metric] if metric else list(results.values)
    questions, notes = {}, {}
    for column in columns:
        lacking = [arm for arm in (one, other) if not results.offers(arm, column)]
        if lacking:
            notes[column] = f"{' and '.join(lacking)} cannot give this value"
        else:
            samples = _of_suite(results, column, (one, other))
            questions[column] = asking.question(results, (one, other), column, samples)
    settings = _differences(_config(results, one), _config(results, other))
    rows = _rows(columns, questions, notes, lambda name: results.values[name])
    unchecked = _unchecked([*results.of(one), *results.of(other)])
    return Comparison("value", one, other, rows, settings, (*_altered(results, (one, other)), *unchecked))


def _altered(results: Results, arms: Sequence[str]) -> Iterator[str]:
    for record in results.altered:
        if record.arm in arms:
            yield f"{record.arm}, seed {record.seed} is left out: {record.state}: {record.reason}."


def refuse_unknown(results: Results, name: str) -> None:
    """Raise ``HarnessError`` if the suite has no such arm, or if the arm has no outcome yet."""
    if name in results.arms:
        return
    known = list(dict.fromkeys([*(c.name for c in results.plan.cells if c.excluded is None), *results.arms]))
    where = results.plan.suite.path
    if name in known:
        raise HarnessError(f"no trial of {name} has an outcome yet: run `harness run {where}` first")
    raise HarnessError(f"{where} has no arm {name!r}{nearest(name, known)} ({_known(known)})")


def _column(name: str, values: Iterable[str]) -> None:
    known = list(values)
    if name not in known:
        raise HarnessError(f"there is no value {name!r}{nearest(name, known)} ({_known(known, len(known))})")


def _known(names: Sequence[str], most: int = LISTED) -> str:
    rest = len(names) - most
    return "known: " + ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _of_suite(results: Results, column: str, arms: Sequence[str]) -> dict[str, Sample]:
    """The arms that share their spread in a comparison on a value: those that the suite compares, and these."""
    compared = dict.fromkeys([*arms, *(arm for pair in results.pairs for arm in pair)])
    known = [arm for arm in compared if arm in results.arms and results.offers(arm, column)]
    alike = [arm for arm in known if arm in arms or not results.differing(arm, arms[0], results.metric_of(column))]
    return {arm: asking.sample(results, arm, column) for arm in alike}


def _rows(
    names: Iterable[str], questions: Mapping[str, Question], notes: Mapping[str, str], meaning: Callable[[str], Value]
) -> tuple[Row, ...]:
    verdicts = statistics.answers(questions)
    rows = []
    for name in names:
        asked = questions.get(name)
        one = _mean(asked.samples[asked.arm].values) if asked else np.nan
        other = _mean(asked.samples[asked.baseline].values) if asked else np.nan
        rows.append(Row(name, meaning(name), one, other, verdicts.get(name), notes.get(name, "")))
    return tuple(rows)


def _mean(values: Mapping[int, float]) -> float:
    return statistics.interval(list(values.values())).mean


# --- suites ----------------------------------------------------------------------------------------------


def suites(one: Results, other: Results, metric: str | None = None) -> Comparison:
    """Compare the arms that two suites have in common, by name, on one value.

    Raises:
        ProtocolMismatch: the values of some arm were measured by different protocols.
        HarnessError: the suites have no arm or no metric in common.
    """
    column = _common_metric(one, other, metric)
    names = _titles(one, other)
    common = [arm for arm in one.arms if arm in other.arms]
    if not common:
        raise HarnessError(
            f"{names[0]} and {names[1]} have no arm in common that has an outcome in both: "
            f"{names[0]} has {_known(one.arms) if one.arms else 'none'}; "
            f"{names[1]} has {_known(other.arms) if other.arms else 'none'}"
        )
    owner = other.metric_of(column)
    found = {arm: protocol.among([*one.of(arm), *other.of(arm)], owner) for arm in common}
    mismatched = [arm for arm in common if found[arm]]
    what = f"{names[0]} and {names[1]} ({', '.join(mismatched)})"
    protocol.refuse([difference for arm in mismatched for difference in found[arm]], what)
    questions, notes = {}, {}
    samples = {
        f"{number} {arm}": asking.sample(results, arm, column)
        for number, results in enumerate((one, other), start=1)
        for arm in common
        if results.offers(arm, column)
    }
    for arm in common:
        if {record.key for record in one.of(arm)} == {record.key for record in other.of(arm)}:
            notes[arm] = "the same trials"
        elif not (one.offers(arm, column) and other.offers(arm, column)):
            notes[arm] = "its model cannot give this value"
        else:
            questions[arm] = Question(
                f"1 {arm}", f"2 {arm}", samples, other.measure(column), asking.delta(other, arm, column)
            )
    settings = dict.fromkeys(d for arm in common for d in _differences(_config(one, arm), _config(other, arm)))
    rows = _rows(common, questions, notes, lambda _: other.values[column])
    unchecked = _unchecked(record for arm in common for record in (*one.of(arm), *other.of(arm)))
    left_out = [*_altered(one, common), *_altered(other, common)]
    return Comparison("arm", *names, rows, tuple(settings), (*_alone(one, other, names), *left_out, *unchecked))


def _common_metric(one: Results, other: Results, metric: str | None) -> str:
    if metric is None and one.metric != other.metric:
        raise HarnessError(
            f"the suites compare different values, {one.metric} and {other.metric}: choose one with --metric"
        )
    column = metric or one.metric
    _column(column, [name for name in one.values if name in other.values])
    return column


def _titles(one: Results, other: Results) -> tuple[str, str]:
    """The names of the suites; their paths if the names are equal."""
    names = one.plan.suite.name, other.plan.suite.name
    return names if names[0] != names[1] else (str(one.plan.suite.path), str(other.plan.suite.path))


def _alone(one: Results, other: Results, names: tuple[str, str]) -> Iterator[str]:
    for results, against, name in ((one, other, names[0]), (other, one, names[1])):
        alone = [arm for arm in results.arms if arm not in against.arms]
        if alone:
            yield f"Only in {name}: {', '.join(alone)}."


# --- runs ------------------------------------------------------------------------------------------------


def runs(store: Store, one: str, other: str, metric: str | None = None) -> Comparison:
    """Compare two runs of a store, each given by the beginning of its MLflow id or of its trial's key.

    Raises:
        ProtocolMismatch: their values were measured by different protocols.
        HarnessError: no run matches, or several do.
    """
    first, second = _find(store, one), _find(store, other)
    if first.info.run_id == second.info.run_id:
        raise HarnessError(f"{one} and {other} are the same run: give two different runs")
    record, against = (_record(store, run) for run in (first, second))
    meanings = _meanings()
    recorded = {**record.values, **against.values}
    columns = [name for name in meanings if name in recorded] + sorted(recorded.keys() - meanings.keys())
    if metric is not None:
        _column(metric, columns)
        columns = [metric]
    owner = meanings[metric][0] if metric in meanings else None
    name, other_name = _title(record), _title(against)
    protocol.refuse(protocol.among([record, against], owner), f"{name} and {other_name}")
    rows = []
    for column in columns:
        values = record.values.get(column, np.nan), against.values.get(column, np.nan)
        rows.append(Row(column, meanings[column][1] if column in meanings else None, *values))
    settings = _differences(dict(_settings(first.data.params)), dict(_settings(second.data.params)))
    remarks = (*_remarks(record), *_remarks(against))
    return Comparison("value", name, other_name, tuple(rows), settings, remarks)


def _record(store: Store, run: Any) -> Record:
    stands = standing(run)
    if stands.state is State.ALTERED:
        raise HarnessError(f"the run {run.info.run_id} is {stands.state}: {stands.reason}")
    return store.record(run, run.data.tags["arm"], with_curves=False)


def _title(record: Record) -> str:
    return f"{record.arm}, seed {record.seed} ({record.run_id[:SHORT]})"


def _find(store: Store, text: str) -> Any:
    """The MLflow run whose id begins with ``text``, or the run that counts for the trial whose key does.

    Raises:
        HarnessError: no run matches, or several do.
    """
    every = store.runs() if store.exists else []
    if not every:
        raise HarnessError(
            f"the store in {store.results} holds no run: `harness run SUITE` creates some; to compare arms, add "
            "--suite SUITE"
        )
    found = finding.beginning(every, text)
    if not found:
        known = [word for run in every for word in (run.info.run_id, run.data.tags.get("key", ""))]
        raise HarnessError(
            f"no run or trial of the store in {store.results} begins with {text!r}{nearest(text, known)}: "
            "trials.csv and `harness plan SUITE --json` list them. To compare arms, add --suite SUITE; to compare "
            "suites, give two files"
        )
    if len(found) > 1:
        ids = _known([run.info.run_id for run in found])
        raise HarnessError(f"{text!r} matches {len(found)} runs ({ids}): give more characters")
    return found[0]


def _meanings() -> dict[str, tuple[str, Value]]:
    """Column -> the name of the metric that gives it, and its meaning; for all known metrics."""
    plugins = [(entry.name, entry.plugin) for entry in registry.entries("metrics") if entry.plugin is not None]
    return {column: (name, meaning) for name, plugin in plugins for column, meaning in plugin.values.items()}


def _remarks(record: Record) -> Iterator[str]:
    name = _title(record)
    if not record.done:
        yield f"{name} has no values: {record.state}{': ' * bool(record.reason)}{record.reason}."
    yield from _unchecked([record])


def _unchecked(records: Iterable[Record]) -> Iterator[str]:
    unknown = protocol.unknown(records)
    if unknown:
        rest = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        yield (
            f"The protocol of {_title(unknown[0])}{rest} was not checked: its files are missing, or not on this "
            "machine."
        )


# --- settings --------------------------------------------------------------------------------------------


def _config(results: Results, arm: str) -> dict[str, str]:
    """The settings of an arm; empty for an arm of a search, whose name has its settings."""
    cells = [cell for cell in results.plan.cells if cell.name == arm and cell.excluded is None]
    return dict(_settings(dict(flat(cells[0].arm.config())))) if cells else {}


def _settings(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Dotted path -> value as text; plug-ins in lists (tricks, metrics) by their names."""
    for path, value in params.items():
        items = _listed(value)
        if items is None:
            yield path, str(value)
            continue
        for item in items:
            here = f"{path}.{item['name']}"
            yield here, "yes"
            yield from _settings(dict(flat({key: own for key, own in item.items() if key != "name"}, f"{here}.")))


def _listed(value: Any) -> list[Any] | None:
    """The list of plug-ins that this JSON text holds; None if it is no such list."""
    if not (isinstance(value, str) and value.startswith("[")):
        return None
    try:
        items = json.loads(value)
    except ValueError:
        return None
    return items if all(isinstance(item, dict) and "name" in item for item in items) else None


def _differences(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[tuple[str, str | None, str | None], ...]:
    paths = dict.fromkeys([*one, *other])
    return tuple((path, one.get(path), other.get(path)) for path in paths if one.get(path) != other.get(path))

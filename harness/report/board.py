"""The leaderboard of the page: tables below each other, each narrow enough for a window, with the points of all seeds.

All tables have the same arms in the same order. The compare metric is in the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.analysis import statistics
from harness.report import plots, tables, words

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.results import Results
    from harness.metrics.base import Value

ROOM = (6, 8)
"""Columns of values in the first table, which also has the verdicts, and in each of the others."""
POINTS = 60
"""Seeds that a cell shows as points; of more, so many are shown, evenly spaced in their order."""
ORDER = [*words.SYMBOLS, "", "other protocol"]
"""How verdicts are sorted, best first; the baseline stands where nothing is said of an arm."""


@dataclass(frozen=True)
class TableCell:
    """A number in a table.

    Attributes:
        exact: the number by which the column is sorted, with full precision; "" if there is none.
        mean: the number as shown.
        bounds: what stands below it: its interval.
        points: the values of the seeds as an SVG path in a box of 100 × 8.
        seeds: the same in words.
    """

    exact: str
    mean: str
    bounds: str
    points: str = ""
    seeds: str = ""


@dataclass(frozen=True)
class Column:
    """A column of values.

    Attributes:
        name: the name of the value.
        heading: its label with the direction that is better.
        summary: what it measures, and what is good.
        best: "ascending" or "descending": the order of ``TableCell.exact`` that has the best value first.
        compared: whether arms are compared on it.
        real: the value of real images; "" if it is not known.
    """

    name: str
    heading: str
    summary: str
    best: str
    compared: bool
    real: str


@dataclass(frozen=True)
class Row:
    """An arm of the leaderboard.

    Attributes:
        arm: its name.
        colour: the name of its colour.
        baseline: whether it is the baseline.
        n: its finished trials.
        failed: its other trials.
        verdict: the verdict on it, as text.
        rank: the place of that verdict in ``ORDER``.
        cells: column -> its value.
    """

    arm: str
    colour: str
    baseline: bool
    n: int
    failed: TableCell
    verdict: str
    rank: int
    cells: dict[str, TableCell]


@dataclass(frozen=True)
class Board:
    """The leaderboard: its rows, best first, and the columns of each of its tables."""

    rows: list[Row]
    stacks: list[list[Column]]


def board(results: Results) -> Board:
    """The leaderboard of the best ``tables.SHOWN`` arms."""
    return Board(_rows(results), _stacks(results))


def _stacks(results: Results) -> list[list[Column]]:
    """The columns of each table. A metric's columns stay together where they fit."""
    real = _real(results)
    groups: dict[str, list[Column]] = {}
    for name, value in results.values.items():
        heading, compared = f"{value.label} {words.arrow(value)}", name == results.metric
        best = "ascending" if results.measure(name).better == "lower" else "descending"
        column = Column(name, heading, value.summary, best, compared, real.get(name, ""))
        groups.setdefault(results.metric_of(name), []).append(column)
    found: list[list[Column]] = [[]]
    for group in sorted(groups.values(), key=lambda group: not any(column.compared for column in group)):
        for column in sorted(group, key=lambda column: not column.compared):
            room = ROOM[min(len(found) - 1, 1)]
            whole = column is not group[0] or len(found[-1]) + len(group) <= room or not found[-1]
            if not whole or len(found[-1]) == room:
                found.append([])
            found[-1].append(column)
    return found


def _real(results: Results) -> dict[str, str]:
    """Column -> the value of real images against real images, from the first trial that recorded it."""
    recorded = next(filter(None, (record.read("floors.json") for record in results.records)), {})
    return {
        column: words.number(float(recorded[column]), meaning) if column in recorded else words.NOTHING
        for column, meaning in results.values.items()
        if recorded
    }


def _rows(results: Results) -> list[Row]:
    baseline = (results.judged or results).baseline
    colours = plots.colours(results.arms, baseline)
    verdicts: dict[str, str] = {verdict.arm: verdict.kind for verdict in results.verdicts()}
    shown = results.leaderboard().head(tables.SHOWN)
    arms = [str(arm) for arm in shown["arm"]]
    scales = {column: Scale.of(results, column, arms) for column in results.values}
    rows = []
    for _, row in shown.iterrows():
        arm = str(row["arm"])
        verdict = verdicts.get(arm, "other protocol" if arm in results.mismatched else "")
        cells = {column: _cell(results, row, column, scales[column]) for column in results.values}
        failed = _failed(row["failed"], row["n"] + row["failed"])
        told = (arm == baseline, row["n"], failed, verdict, ORDER.index(verdict))
        rows.append(Row(arm, colours[arm], *told, cells))
    return rows


@dataclass(frozen=True)
class Scale:
    """The axis of the points in a column; all arms share it.

    Attributes:
        low: where it begins, transformed.
        high: where it ends.
        log: whether it is logarithmic, as factors are compared.
        grain: of a logarithmic one: values below it count as it.
    """

    low: float
    high: float
    log: bool
    grain: float

    @classmethod
    def of(cls, results: Results, column: str, arms: Sequence[str]) -> Scale:
        """From the lowest to the highest value of any seed of these arms."""
        measure = results.measure(column)
        own = cls(0, 1, measure.kind == "ratio", measure.grain)
        values = own.places(value for arm in arms for value in results.comparable(arm, column).values())
        found = values[np.isfinite(values)]
        low, high = (float(found.min()), float(found.max())) if len(found) else (0.0, 1.0)
        return cls(low, high, own.log, own.grain)

    def places(self, values: Iterable[float]) -> NDArray[np.float64]:
        """The values on this axis, before they are scaled."""
        found = np.array(list(values), dtype=float)
        return np.log(np.maximum(found, self.grain)) if self.log else found

    def path(self, values: Sequence[float]) -> str:
        """Points as an SVG path in a box of 100 × 8: lines without a length, which round ends make visible."""
        room = self.high - self.low
        shares = (self.places(values) - self.low) / room if room > 0 else np.full(len(values), 0.5)
        return "".join(f"M{4 + 92 * share:.1f} 4h0" for share in shares)


def _cell(results: Results, row: pd.Series[float], column: str, scale: Scale) -> TableCell:
    """An arm's mean of a column, with its interval and the points of its seeds."""
    meaning, arm = results.values[column], str(row["arm"])
    mean = float(row[f"{column}_mean"])
    values = [(value, seed) for seed, value in results.comparable(arm, column).items() if np.isfinite(value)]
    limit = results.limit(arm, column)
    below = words.bounds(row[f"{column}_low"], row[f"{column}_high"], meaning)
    # All values are equal there: an interval would say it again.
    below = words.all_seeds(len(values)) if limit and len(values) > 1 else below
    key = abs(mean - meaning.target) if meaning.target is not None else mean
    chosen = plots.spaced(values, POINTS)
    return TableCell(
        repr(key) if np.isfinite(key) else "",
        words.mean(mean, meaning, limit),
        below,
        scale.path([value for value, _ in chosen]),
        _told(chosen, len(values), meaning),
    )


def _told(chosen: Sequence[tuple[float, int]], n: int, meaning: Value) -> str:
    text = ", ".join(f"seed {seed}: {words.number(value, meaning)}" for value, seed in chosen)
    return text if len(chosen) == n else f"{len(chosen)} of {n} seeds: {text}"


def _failed(failed: int, trials: int) -> TableCell:
    """The number of failed trials, with the interval of the failure rate."""
    rate = statistics.failure_rate(failed, trials)
    return TableCell(str(failed), str(failed), f"{words.share(rate.low)} to {words.share(rate.high)}")

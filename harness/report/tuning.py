"""The section "Tuned against tuned" of a suite with a search: its sentences, table, figures and CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness.analysis import statistics, tuning
from harness.analysis.tuning import CellSearch, Curve, Stretch
from harness.report import figures, plots, tables, words

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.metrics.base import Value


@dataclass(frozen=True)
class Winner:
    """The winner of a cell: the value that it was chosen by, and its mean on new seeds (NaN if there is none)."""

    search: CellSearch
    confirmed: statistics.Interval
    n: int
    """New seeds with a value."""
    failed: int
    """New seeds without one."""

    @property
    def difference(self) -> float:
        """New seeds − the seeds that it was chosen by."""
        return self.confirmed.mean - self.search.chosen_by


@dataclass(frozen=True)
class Row:
    """A row of the table of winners, as texts."""

    cell: str
    tried: str
    seconds: str
    winner: str
    chosen_by: str
    mean: str
    bounds: str
    difference: str
    seeds: str


@dataclass(frozen=True)
class Tuning:
    """What the searches of a suite say."""

    results: Results

    @property
    def metric(self) -> str:
        """The column that the searches optimise."""
        return self.results.plan.suite.target.metric

    @property
    def meaning(self) -> Value:
        """Its meaning."""
        return self.results.values[self.metric]

    @property
    def baseline(self) -> str:
        """The name of the baseline's cell."""
        return self.results.plan.baseline.name

    @cached_property
    def searches(self) -> list[CellSearch]:
        """The searches that have tried a configuration, that of the baseline first."""
        tried = [search for search in self.results.searches if search.values]
        return sorted(tried, key=lambda search: search.cell != self.baseline)

    @cached_property
    def curves(self) -> list[Curve]:
        """Their tuning curves."""
        direction = self.results.plan.suite.target.direction
        measure = self.results.measure(self.metric)
        return tuning.curves(self.searches, direction, (measure.least, measure.most))

    @cached_property
    def winners(self) -> list[Winner]:
        """The winner of each search that has ended."""
        return [self._winner(search) for search in self.searches if search.winner]

    def _winner(self, search: CellSearch) -> Winner:
        confirmed = self.results.confirmed
        values = list(confirmed.by_seed(search.winner or "", self.metric).values()) if confirmed else []
        n = int(np.isfinite(values).sum())
        return Winner(search, statistics.interval(values), n, len(values) - n)

    # --- sentences -------------------------------------------------------------------------------------------

    @property
    def sentences(self) -> list[str]:
        """The winner of each cell: the value that it was chosen by, and on new seeds."""
        return [chosen(winner, self.meaning, self.results.confirmed is not None) for winner in self.winners]

    @property
    def partings(self) -> list[str]:
        """For each cell, at which budgets it is better than the baseline's, or worse."""
        direction = self.results.plan.suite.target.direction
        first = next((curve for curve in self.curves if curve.cell == self.baseline), None)
        others = [curve for curve in self.curves if curve.cell != self.baseline]
        found = [(other.cell, tuning.stretches(other, first, direction)) for other in others if first]
        return [parting(cell, self.baseline, stretches) for cell, stretches in found if stretches]

    @property
    def warnings(self) -> list[str]:
        """Why the searches cannot be compared, or their curves have no band."""
        return list(self._warnings())

    def _warnings(self) -> Iterator[str]:
        if tuning.unequal_trials(self.searches):
            counts = [f"{search.cell}: {len(search.values)}" for search in self.searches]
            yield f"The searches have tried different numbers of configurations ({'; '.join(counts)})."
        if (ends := tuning.unequal_seconds(self.searches)) is not None:
            short, long = ends
            yield (
                f"The searches had no equal budget in seconds: {long.cell} was trained for {long.seconds:.0f} s and "
                f"{short.cell} for {short.seconds:.0f} s, which differ by more than the factor {tuning.UNEQUAL:g}."
            )
        if not all(search.independent for search in self.searches):
            yield (
                "The curves are those of these searches as they went, without a band: a band needs independent "
                "configurations (sampler: random, and none pruned)."
            )

    # --- tables ----------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """One row per cell, as in searches.csv."""
        rows = [
            {
                "cell": search.cell,
                "configurations": len(search.values),
                "failed_configurations": int(np.isnan(search.values).sum()),
                "seconds_train": search.seconds,
                "winner": search.winner or "",
                "metric": self.metric,
                "chosen_by": search.chosen_by,
                **dict(zip(("new_mean", "new_low", "new_high"), found.confirmed, strict=True)),
                "new_seeds": found.n,
                "new_failed": found.failed,
                "difference": found.difference,
            }
            for search in self.searches
            for found in [self._winner(search)]
        ]
        return pd.DataFrame(rows)

    def rows(self) -> list[Row]:
        """The same as texts for the page."""
        return [_row(search, self._winner(search), self.meaning) for search in self.searches]

    # --- figures ---------------------------------------------------------------------------------------------

    def drawings(self) -> list[figures.Drawing]:
        """The curve of each cell beside that of the baseline's; of a single cell its own."""
        colours = plots.colours([curve.cell for curve in self.curves], self.baseline)
        base = [curve for curve in self.curves if curve.cell == self.baseline]
        stems = figures.slugs([curve.cell for curve in self.curves])
        shown = [curve for curve in self.curves if curve.cell != self.baseline] or base
        label = f"best {self.meaning.label} {words.arrow(self.meaning)}"
        found = []
        for curve in shown[: tables.SHOWN]:
            both = [*base, curve] if curve not in base else base
            given = both, [colours[one.cell] for one in both], label, _limits(self.curves), self._factor
            text = f"{label} of a search against its number of configurations: {curve.cell} and {self.baseline}"
            found.append(figures.Drawing("", curve.cell, f"tuning-{stems[curve.cell]}", text, plots.tuning, given))
        return found

    @property
    def _factor(self) -> float:
        return 100.0 if self.meaning.percent else 1.0


def _row(search: CellSearch, found: Winner, meaning: Value) -> Row:
    failed = int(np.isnan(search.values).sum())
    return Row(
        cell=search.cell,
        tried=f"{len(search.values)}" + (f" ({failed} failed)" if failed else ""),
        seconds=f"{search.seconds:.0f} s",
        winner=search.winner or words.NOTHING,
        chosen_by=words.number(search.chosen_by, meaning),
        mean=words.number(found.confirmed.mean, meaning),
        bounds=words.bounds(found.confirmed.low, found.confirmed.high, meaning),
        difference=words.number(found.difference, meaning, signed=True),
        seeds=f"{found.n}" + (f" ({found.failed} failed)" if found.failed else ""),
    )


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """The limits of the axis for all curves, with a margin for their bands, which may be infinite."""
    values = np.concatenate([curve.best for curve in curves])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    margin = 0.3 * (high - low) or 0.5
    return low - margin, high + margin


def chosen(winner: Winner, meaning: Value, confirmed: bool) -> str:
    """The value that a winner was chosen by, its mean on new seeds, and their difference."""
    search = winner.search
    text = f"{search.winner}: chosen by {meaning.label} {words.number(search.chosen_by, meaning)}"
    text += f", the best of {words.count(len(search.values), 'configuration')}"
    if not confirmed:
        return f"{text}; not confirmed on new seeds."
    if winner.n == 0:
        none = f"all {winner.failed} trials failed" if winner.failed else "no value yet"
        return f"{text}; on new seeds {none}."
    inside = words.bounds(winner.confirmed.low, winner.confirmed.high, meaning)
    interval = f"95 % interval {inside}, " if inside else ""
    failed = f", {winner.failed} more failed" if winner.failed else ""
    return (
        f"{text}; on new seeds {words.number(winner.confirmed.mean, meaning)} ({interval}"
        f"{words.count(winner.n, 'seed')}{failed}): {words.number(winner.difference, meaning, signed=True)}."
    )


def parting(cell: str, baseline: str, stretches: Sequence[Stretch]) -> str:
    """At which budgets a cell is better than the baseline's, in one sentence."""
    kinds = {"one": f"{cell} is better", "other": f"{baseline} is better", "undecided": "undecided"}
    last = stretches[-1].last
    parts = []
    for stretch in stretches:
        one = stretch.first == stretch.last
        where = (
            f"at every budget up to {words.count(last, 'configuration')}"
            if len(stretches) == 1
            else f"with {words.count(stretch.first, 'configuration')}"
            if one
            else f"from {stretch.first} to {stretch.last} configurations"
        )
        parts.append(f"{kinds[stretch.better]} {where}")
    return f"{cell} against {baseline}: {'; '.join(parts)}."

"""The tables of a suite as CSV with full precision, and as Markdown with the digits of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.analysis import statistics
from harness.report import words

if TYPE_CHECKING:
    from harness.analysis.results import ArmVerdict, Results

FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""How texts begin that spreadsheets take for formulas."""
SHOWN = 30
"""The number of arms that the page and the console show; the CSV file has all."""


def csv(table: pd.DataFrame) -> str:
    """A table as CSV: numbers with all digits, an empty field if there is no value.

    A text that a spreadsheet would run as a formula gets an apostrophe before it, which spreadsheets show as text.
    """
    safe = table.copy()
    for at, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            column = table.iloc[:, at].astype(object)
            # Of many cells few differ: the arms and the names of curves.
            changed = {cell: harmless(cell) for cell in column.unique() if isinstance(cell, str)}
            safe.isetitem(at, np.array([changed.get(cell, cell) for cell in column], dtype=object))
    safe.columns = [harmless(name) for name in table.columns]
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text


def harmless(cell: Any) -> Any:
    """A cell of a CSV file that no spreadsheet takes for a formula. Numbers, also those in texts, do not change."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(FORMULAS):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def verdicts(results: Results) -> pd.DataFrame:
    """One row per declared comparison, as in verdicts.csv, and one per arm that is in none.

    ``effect`` is on the scale of the metric: a factor, a difference, or the difference of distances to a target.
    ``improvement`` is the probability of improvement and ``iqm`` the interquartile mean of the arm; a failed trial is
    worse than any other in both. ``verdict`` is empty for an arm that is compared with none.
    """
    found = results.verdicts() if results.judged is results else []
    compared = {verdict.arm for verdict in found}
    rows = [_row(results, verdict.arm, verdict) for verdict in found]
    rows += [_row(results, arm, None) for arm in results.leaderboard()["arm"] if arm not in compared]
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def _row(results: Results, arm: str, verdict: ArmVerdict | None) -> dict[str, Any]:
    records = results.of(arm)
    failed = sum(not record.done for record in records)
    rate = statistics.failure_rate(failed, len(records))
    values = list(results.comparable(arm, results.metric).values())
    numbers = ("effect", "low", "high", "confidence", "p", "improvement", "delta", "collapsed", "baseline_collapsed")
    return {
        "arm": arm,
        "baseline": verdict.baseline if verdict else "",
        "metric": results.metric,
        "verdict": verdict.kind if verdict else "",
        **{name: getattr(verdict, name) if verdict else np.nan for name in numbers},
        "p_share": verdict.share.p if verdict and verdict.share else np.nan,
        "n": verdict.n if verdict else 0,
        "baseline_n": verdict.baseline_n if verdict else 0,
        "paired": verdict.paired if verdict else False,
        "look": verdict.settled or verdict.look if verdict else 0,
        "iqm": statistics.interquartile_mean(values, results.values[results.metric].better),
        "trials": len(records),
        "failed": failed,
        "failure_rate": rate.mean,
        "failure_low": rate.low,
        "failure_high": rate.high,
    }


VERDICT_COLUMNS = [
    *("arm", "baseline", "metric", "verdict", "effect", "low", "high", "confidence", "p", "improvement", "delta"),
    *("collapsed", "baseline_collapsed", "p_share", "n", "baseline_n", "paired", "look"),
    *("iqm", "trials", "failed", "failure_rate", "failure_low", "failure_high"),
]


def leaderboard_markdown(results: Results) -> str:
    """The leaderboard as a Markdown table: mean and interval of each value, best arm first."""
    values = results.values
    head = ["arm", "n", "failed", *(f"{value.label} {words.arrow(value)}" for value in values.values())]
    rows = []
    for _, row in results.leaderboard().iterrows():
        cells = [str(row["arm"]), str(row["n"]), str(row["failed"])]
        for column, value in values.items():
            inside = words.bounds(row[f"{column}_low"], row[f"{column}_high"], value)
            mean = words.mean(row[f"{column}_mean"], value, results.limit(row["arm"], column))
            cells.append(f"{mean} ({inside})" if inside else mean)
        rows.append(cells)
    return markdown(head, rows, texts=1) + _left_out(results)


def verdicts_markdown(results: Results) -> str:
    """The verdicts as a Markdown table, with the digits of the page."""
    meaning = results.values[results.metric]
    rows = []
    for _, row in verdicts(results).iterrows():
        effect = words.effect(row["effect"], meaning)
        inside = words.effect_bounds(row["low"], row["high"], meaning)
        rows.append(
            [
                row["arm"],
                row["verdict"] or ("baseline" if row["arm"] == results.baseline else words.NOTHING),
                row["baseline"] or words.NOTHING,
                f"{effect} ({words.share(row['confidence'], 1)} interval {inside})" if inside else effect,
                bare_p(row["p"]),
                words.share(row["improvement"]),
                words.number(row["iqm"], meaning),
                words.failures(row["failed"], row["trials"]),
            ]
        )
    head = ["arm", "verdict", "against", f"effect on {meaning.label}", "p (Holm)", "probability of improvement"]
    return markdown([*head, f"{meaning.label}, interquartile mean", "failed"], rows, texts=3) + _left_out(results)


def _left_out(results: Results) -> str:
    """The lines below a table: the arms without a verdict, and why; and the results of other code."""
    lines = [escaped(f"No verdict on {arm}: {words.odd(found)}") for arm, found in results.mismatched.items()]
    lines += [escaped(text) for text in words.code(results)]
    return "".join(f"\n{line}\n" for line in lines)


def bare_p(p: float) -> str:
    """A p-value without "p =", for a column with that heading."""
    return words.p_value(p).removeprefix("p ").removeprefix("= ") if np.isfinite(p) else words.NOTHING


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table; the first ``texts`` columns are text, the others are numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    lines = [[escaped(cell) for cell in cells] for cells in (head, *rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [lines[0], rule, *lines[1:]])


def escaped(text: str) -> str:
    """The text, for one cell of a Markdown table."""
    for character in "\\`*_[]<>|&#":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())

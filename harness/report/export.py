"""`harness export`: the tables of a suite as other programs and papers want them."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.base.errors import HarnessError
from harness.report import tables, words
from harness.suite import choosing

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.results import Results

TABLES: dict[str, Callable[[Results], pd.DataFrame]] = {
    "leaderboard": lambda results: results.leaderboard(),
    "verdicts": lambda results: tables.verdicts(results.judged or results),
    "trials": lambda results: results.trials(),
    "curves": lambda results: results.curves(),
}
NUMBERS = ("csv", "parquet")
"""The formats that have all digits, for programs."""
PAPER = ("latex", "markdown")
"""The formats that a paper prints: the leaderboard, rounded."""


def export(results: Results, form: str, table: str) -> bytes:
    """A table in a format.

    Args:
        results: the results of a suite.
        form: one of ``NUMBERS`` or ``PAPER``.
        table: one of ``TABLES``; of a format of ``PAPER`` it is the leaderboard.

    Raises:
        HarnessError: the format is not for this table, or a package is missing.
    """
    if form in PAPER:
        if table != "leaderboard":
            raise HarnessError(f"--format {form} is for the leaderboard; {table} goes with {' and '.join(NUMBERS)}")
        return (_latex(results) if form == "latex" else _markdown(results)).encode()
    frame = TABLES[table](results)
    return tables.csv(frame).encode() if form == "csv" else _parquet(frame)


def _parquet(frame: pd.DataFrame) -> bytes:
    if importlib.util.find_spec("pyarrow") is None:
        raise HarnessError("--format parquet needs the package pyarrow, which comes with mlflow: `pip install pyarrow`")
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, engine="pyarrow")
    return buffer.getvalue()


def _markdown(results: Results) -> str:
    head, rows = _rows(results)
    cells = [
        [f"**{tables.escaped(cell.text)}**" if cell.best else tables.escaped(cell.text) for cell in row] for row in rows
    ]
    lines = [[tables.escaped(text) for text in head], ["---", *["---:"] * (len(head) - 1)], *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{_caption(results)}\n"


def _latex(results: Results) -> str:
    """A table that needs LaTeX's package booktabs."""
    head, rows = _rows(results)
    cells = [[rf"\textbf{{{latex(cell.text)}}}" if cell.best else latex(cell.text) for cell in row] for row in rows]
    return (
        f"% {_caption(results)} Needs \\usepackage{{booktabs}}.\n"
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}\n"
        "  \\toprule\n"
        f"  {' & '.join(map(latex, head))} \\\\\n"
        "  \\midrule\n" + "".join(f"  {' & '.join(row)} \\\\\n" for row in cells) + "  \\bottomrule\n\\end{tabular}\n"
    )


def html(results: Results) -> str:
    """The leaderboard as a table of HTML, for notebooks."""
    head, rows = _rows(results)
    heads = "".join(f"<th>{escape(text)}</th>" for text in head)
    cells = [
        "".join(f"<td>{f'<b>{escape(cell.text)}</b>' if cell.best else escape(cell.text)}</td>" for cell in row)
        for row in rows
    ]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


class Cell(NamedTuple):
    """A cell of a table: its text, and whether it is the best of its column."""

    text: str
    best: bool = False


def _rows(results: Results) -> tuple[list[str], list[list[Cell]]]:
    """The heads and the rows of the leaderboard: arm, number of trials, and mean and interval of each value."""
    board = results.leaderboard()
    head = ["arm", "n", *(f"{value.label} {words.arrow(value)}" for value in results.values.values())]
    rows = [[Cell(str(row["arm"])), Cell(str(row["n"]))] for _, row in board.iterrows()]
    for column, value in results.values.items():
        costs = results.measure(column).cost(board[f"{column}_mean"].tolist())
        # If all are alike, none is the best.
        least = np.nanmin(costs) if len(set(costs[np.isfinite(costs)])) > 1 else np.nan
        for row, cost, (_, own) in zip(rows, costs, board.iterrows(), strict=True):
            inside = words.bounds(own[f"{column}_low"], own[f"{column}_high"], value)
            mean = words.number(own[f"{column}_mean"], value)
            row.append(Cell(f"{mean} ({inside})" if inside else mean, bool(cost == least)))
    return head, rows


def _caption(results: Results) -> str:
    """What stands in the table, in a line."""
    chosen = choosing.told(results.plan)
    return (
        f"{results.plan.suite.name}{f' ({chosen})' if chosen else ''}: mean over the seeds (95 % interval). Bold is "
        "the best mean, which need not be beyond noise: the verdicts say."
    )


SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "→": r"$\to$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "×": r"$\times$",
    "<": "$<$",
    ">": "$>$",
}
"""Signs that LaTeX reads as orders or that its fonts lack, and how to write them."""


def latex(text: str) -> str:
    """A text for LaTeX, in one line."""
    return "".join(SIGNS.get(sign, sign) for sign in " ".join(text.split()))

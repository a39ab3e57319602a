"""The tables of a suite as files: full precision in CSV, as shown on the page in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report import words

if TYPE_CHECKING:
    import pandas as pd

    from harness.results import Results

SHOWN = 30
"""Arms that the page and the console show; the CSV file has all."""


def csv(table: pd.DataFrame) -> str:
    """A table as CSV: numbers with every digit that they have, nothing where there is no value."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def markdown(results: Results) -> str:
    """The leaderboard as a Markdown table: mean and interval of every value, best arm first."""
    values = results.values
    head = ["arm", "n", "failed", *(f"{value.label} {words.arrow(value)}" for value in values.values())]
    rows = []
    for _, row in results.leaderboard().iterrows():
        cells = [_escaped(str(row["arm"])), str(row["n"]), str(row["failed"])]
        for column, value in values.items():
            inside = words.bounds(row[f"{column}_low"], row[f"{column}_high"], value)
            mean = words.number(row[f"{column}_mean"], value)
            cells.append(f"{mean} ({inside})" if inside else mean)
        rows.append(cells)
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in [head, rule, *rows])


def _escaped(text: str) -> str:
    """Text that Markdown and the HTML that it becomes show as it is, in one cell."""
    for character in "\\`*_[]<>|&#":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())

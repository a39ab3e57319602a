"""Puts the result of a suite onto its parent run in MLflow: verdict, page, tables, and the arms' means.

So whoever opens the suite in MLflow's user interface finds the answer, and not only its trials.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.report import figures, tables, words

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.store.runs import Store

FILES = ("report.html", "leaderboard.csv", "verdicts.csv", "verdicts.md", "trials.csv", "figures/training.gif")
"""What of a report becomes artifacts of the parent run, in the folder ``report``."""
LONGEST = 5000
"""Characters of a run's description: databases of MLflow cut longer ones off."""


def publish(results: Results, page: Path, store: Store) -> None:
    """Put what a report says of a suite onto the suite's parent run.

    Args:
        results: what the report shows.
        page: the report; the tables lie beside it.
        store: the MLflow store of the suite.

    Raises:
        HarnessError: the store does not answer.
    """
    files = [path for name in FILES if (path := page.parent / name).is_file()]
    store.publish(results.plan.suite.name, _description(results), _means(results), files)


def _description(results: Results) -> str:
    """The question, the answer in a sentence, the verdicts and the leaderboard, as Markdown."""
    judged = results.judged or results
    parts = [results.plan.suite.question, f"**{words.headline(results)}**"]
    if judged.verdicts():
        parts.append(tables.verdicts_markdown(judged))
    parts.append(tables.leaderboard_markdown(results))
    text = ""
    for part in filter(None, parts):
        if len(text) + len(part) > LONGEST:
            return f"{text}The rest is in the artifact report/report.html.\n"
        text += f"{part}\n\n"
    return text


def _means(results: Results) -> dict[str, float]:
    """``COLUMN/ARM`` -> the mean of an arm. MLflow allows few characters in the names of metrics."""
    names = figures.slugs(results.arms)
    rows = results.leaderboard().to_dict("records")
    return {
        f"{column}/{names[row['arm']]}": float(row[f"{column}_mean"])
        for row in rows
        for column in results.values
        if row[f"{column}_mean"] == row[f"{column}_mean"]  # an arm without values has none
    }

"""How many classes an arm draws at once, and how many over the whole training: from its snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from harness.trial.task import AT_ONCE, VISITED

if TYPE_CHECKING:
    from harness.analysis.results import Results


def table(results: Results) -> pd.DataFrame:
    """One row per arm with such curves, in the order of the leaderboard: arm, n, at_once, visited.

    n is the number of its trials with these curves. ``at_once`` is the effective number of classes of a snapshot, the
    mean over the snapshots of a trial, then over the trials; ``visited`` that of all snapshots of a trial together, the
    mean over the trials. If the second is far above the first, the generator runs from class to class.
    """
    curves = results.curves()
    columns = ["arm", "n", "at_once", "visited"]
    rows = []
    for arm in results.leaderboard()["arm"]:
        own = curves[curves["arm"] == arm].sort_values("step")
        at_once = own[own["name"] == AT_ONCE].groupby("key")["value"].mean()
        visited = own[own["name"] == VISITED].groupby("key")["value"].last()
        if len(at_once):
            rows.append((arm, len(at_once), at_once.mean(), visited.mean()))
    return pd.DataFrame(rows, columns=columns)

"""How many classes an arm draws at once, and how many over the whole training: from its snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from harness.trial.task import AT_ONCE, VISITED

if TYPE_CHECKING:
    from harness.analysis.results import Results

FEWEST = 3
"""Snapshots of a trial from which on the two numbers say different things."""


def table(results: Results) -> pd.DataFrame:
    """One row per arm, in the order of the leaderboard: arm, n, snapshots, at_once, visited.

    ``at_once`` is the effective number of classes of a snapshot, the mean over the snapshots of a trial, then over the
    trials; ``visited`` that of all snapshots of a trial together, the mean over the trials. If the second is far above
    the first, the generator runs from class to class. The more often one looks, the more is visited: of each arm only
    the trials with the most snapshots count (n), and arms with fewer than ``FEWEST`` are left out.
    """
    curves = results.curves()
    curves = curves[curves["name"].isin((AT_ONCE, VISITED))].sort_values("step")  # few of many points
    of_arms = dict(iter(curves.groupby("arm")))
    rows = []
    for arm in (arm for arm in results.leaderboard()["arm"] if arm in of_arms):
        own = of_arms[arm]
        at_once = own[own["name"] == AT_ONCE].groupby("key")["value"].agg(["size", "mean"])
        most = at_once["size"].max() if len(at_once) else 0
        if most >= FEWEST:
            counted = at_once[at_once["size"] == most]
            visited = own[own["name"] == VISITED].groupby("key")["value"].last()[counted.index]
            rows.append((arm, len(counted), most, counted["mean"].mean(), visited.mean()))
    return pd.DataFrame(rows, columns=["arm", "n", "snapshots", "at_once", "visited"])

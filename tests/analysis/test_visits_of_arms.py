"""The table of the classes that the snapshots of an arm show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from harness.analysis import visits


def results(*trials: tuple[str, str, list[float], list[float]]) -> Any:
    """Results with these trials: key, arm, the values of both curves at the steps 10, 20, …; the last point first."""
    rows = [
        (key, arm, 0, name, 10 * number, value)
        for key, arm, *curves in trials
        for name, values in zip(("classes_at_once", "classes_visited"), curves, strict=True)
        for number, value in reversed(list(enumerate(values, 1)))
    ]
    columns = ["key", "arm", "seed", "name", "step", "value"]
    arms = pd.DataFrame({"arm": list(dict.fromkeys(arm for _, arm, *_ in trials))})
    return SimpleNamespace(curves=lambda: pd.DataFrame(rows, columns=columns), leaderboard=lambda: arms)


def test_at_once_is_a_mean_and_visited_the_last_value() -> None:
    table = visits.table(
        results(
            ("a", "runs", [1.0, 2.0, 3.0], [1.0, 2.0, 4.0]),
            ("b", "runs", [2.0, 2.0, 5.0], [2.0, 3.0, 9.0]),
            ("c", "stays", [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
        )
    )
    assert table.to_dict("records") == [
        {"arm": "runs", "n": 2, "snapshots": 3, "at_once": pytest.approx(2.5), "visited": 6.5},
        {"arm": "stays", "n": 1, "snapshots": 3, "at_once": 1.0, "visited": 1.0},
    ]


def test_trials_with_fewer_snapshots_than_others_of_their_arm_do_not_count() -> None:
    table = visits.table(
        results(
            ("a", "arm", [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
            ("b", "arm", [3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 7.0]),
        )
    )
    assert table.to_dict("records") == [{"arm": "arm", "n": 1, "snapshots": 4, "at_once": 3.0, "visited": 7.0}]


def test_two_snapshots_say_nothing() -> None:
    assert visits.table(results(("a", "arm", [1.0, 1.0], [1.0, 2.0]))).empty

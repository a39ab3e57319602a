"""Reads the curves of runs, all their points.

MLflow's interface gives them metric by metric, each point as several objects: that takes minutes for a store of 10 000
runs. Of a database the rows are read, as ``artifacts`` does with the places of files; an MLflow server is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.store.addresses import connected
from harness.store.seals import CURVE_PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient

TOGETHER = 500
"""Runs whose points one query reads: SQLite allows some hundred values in a query on every system."""


def of_database(address: str, runs: Sequence[str]) -> Iterator[tuple[str, str, int, float]]:
    """The points of these runs, in no order: (run, metric, step, value)."""
    from sqlalchemy import bindparam, column, select, table

    names = ("run_uuid", "key", "step", "value", "is_nan")
    metrics = table("metrics", *map(column, names))
    query = select(*(metrics.c[name] for name in names)).where(
        metrics.c.run_uuid.in_(bindparam("runs", expanding=True)),
        metrics.c.key.startswith(CURVE_PREFIX, autoescape=True),
    )
    with connected(address) as connection:
        for begin in range(0, len(runs), TOGETHER):
            for run, name, step, value, is_nan in connection.execute(query, {"runs": runs[begin : begin + TOGETHER]}):
                yield run, name, step, float("nan") if is_nan else value


def of_server(client: MlflowClient, runs: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str, int, float]]:
    """The points of these metrics of runs (run -> names): (run, metric, step, value)."""
    for run, names in runs.items():
        for name in names:
            for point in client.get_metric_history(run, name):
                yield run, name, point.step, point.value

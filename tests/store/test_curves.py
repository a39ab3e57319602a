"""Curves read as rows are those that MLflow's interface gives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from harness.store import curves

Point = tuple[str, str, int, float | None]


def comparable(points: list[tuple[str, str, int, float]]) -> list[Point]:
    """Sorted, with None for NaN, which equals nothing."""
    found = [(run, name, step, None if math.isnan(value) else value) for run, name, step, value in points]
    return sorted(found, key=lambda point: point[:3])


def test_rows_are_what_mlflow_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "TOGETHER", 1)  # as for a store of many runs
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=address)
    runs = [client.create_run("0").info.run_id for _ in range(3)]
    for number, run in enumerate(runs):
        values = {"train/loss": [1.5 + number, math.nan, -2.0], "train/d_real": [0.25], "fid": [3.0]}
        points = [(name, value, step) for name, each in values.items() for step, value in enumerate(each)]
        client.log_batch(run, [Metric(name, value, 1000 + step, step) for name, value, step in points])
    asked = runs[:2]  # another run's points are not read
    read = list(curves.of_database(address, asked))
    given = list(curves.of_server(client, {run: ["train/loss", "train/d_real"] for run in asked}))
    assert comparable(read) == comparable(given)
    assert len(read) == 8

"""The pictures of a trial, as its files have them."""

from __future__ import annotations

from pathlib import Path

from made_up import maker

from harness.report import artifacts
from harness.trial.task import SNAPSHOTS, snapshot


def test_grids_of_older_runs_are_those_of_newer_ones(tmp_path: Path) -> None:
    record = maker(tmp_path)().records[0]
    assert record.artifacts is not None
    older = [(grid.caption, grid.path.read_bytes()) for grid in artifacts.grids(record)]
    assert [caption for caption, _ in older] == ["step 0", "step 400", "step 800", "step 1200", "step 1600", "end"]
    (record.artifacts / SNAPSHOTS).mkdir()
    for path in (record.artifacts / "samples").glob("step-*.png"):
        new = path.rename(record.artifacts / SNAPSHOTS / snapshot(int(path.stem.removeprefix("step-"))))
        new.with_name(f"{new.stem}+compressed.webp").write_bytes(b"small")
    assert [(grid.caption, grid.path.read_bytes()) for grid in artifacts.grids(record)] == older

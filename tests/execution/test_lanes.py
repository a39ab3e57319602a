"""Trials that share a worker: the same numbers as alone, and each has an end of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness_cli import Workspace, numbers, package
from test_outcomes import MODELS, POINTS, SMALL

DROPPING = """
import torch
from harness.plugins import GAN

class Dropping(GAN):
    name = "dropping"
    summary = "its discriminator draws from torch's own generator"

    def make_discriminator(self, architecture, channels):
        made = super().make_discriminator(architecture, channels)
        made.body.append(torch.nn.Dropout(0.3))
        return made
"""
ALIKE = [{"name": name, **SMALL} for name in ("gan", "infogan", "dropping")]


def run(folder: Path, fuse: int, models: list[Any], code: int = 0, seeds: int = 2, **train: Any) -> Workspace:
    folder.mkdir()
    workspace = Workspace(folder)
    package(folder / "site", "failing_models", MODELS, {"harness.models": without_others(POINTS)})
    package(folder / "site", "dropping_models", DROPPING, {"harness.models": "dropping = dropping_models:Dropping"})
    workspace.environment["PYTHONPATH"] = str(folder / "site")
    suite = workspace.suite(
        base={},
        matrix={"model": models},
        seeds=seeds,
        train={"steps": 20, "batch_size": 16, "precision": "float32", **train},
        run={"fuse": fuse, "snapshots": 2, "curve_points": 10},
        compare={"metric": "sharpness"},
    )
    workspace.run("run", suite, code=code)
    return workspace


def without_others(points: str) -> str:
    return "\n".join(line for line in points.splitlines() if "failing_models" in line)


def test_trials_side_by_side_have_the_numbers_of_trials_alone(tmp_path: Path) -> None:
    alone, together = (run(tmp_path / f"{fuse}", fuse, ALIKE) for fuse in (1, 4))
    assert numbers(together.table()) == numbers(alone.table())
    curves = [sorted(workspace.table(name="curves"), key=str) for workspace in (alone, together)]
    assert curves[0] == curves[1]
    devices = {line for log in (together.results / "work").glob("worker-*.log") for line in [log.name]}
    assert devices <= {"worker-0.log"}, "one worker"


def test_one_that_ends_badly_leaves_the_others_their_numbers(tmp_path: Path) -> None:
    """One diverges, one raises an error, one ends the process of all."""
    bad = [{"name": name, **SMALL} for name in ("diverging", "raising", "crashing")]
    alone = run(tmp_path / "alone", 1, ALIKE[:1])
    together = run(tmp_path / "together", 5, [*ALIKE[:1], *bad], code=1, seeds=2)
    rows = {(row["arm"].split()[0], row["seed"]): row for row in together.table()}
    states = {name: {row["state"] for (arm, _), row in rows.items() if arm == name} for name, _ in rows}
    assert states == {"gan": {"done"}, "diverging": {"diverged"}, "raising": {"failed"}, "crashing": {"failed"}}
    expected = {seed: row["sharpness"] for (_, seed), row in numbers(alone.table()).items()}
    assert {seed: row["sharpness"] for (arm, seed), row in rows.items() if arm == "gan"} == expected
    assert all("3 times" in row["reason"] for (arm, _), row in rows.items() if arm == "crashing")

"""`harness show`, `sample` and `export`: what the store has, as text, images and tables."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from harness_cli import Workspace
from PIL import Image

from harness.report.export import latex


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_store: Workspace) -> Workspace:
    """A copy of the tiny store, with a conditional model and an arm that was stopped."""
    made = tiny_store.copy(tmp_path_factory.mktemp("commands"))
    small: dict[str, Any] = {"seeds": 1, "compare": {}, "matrix": {"train.steps": [3]}}
    labelled = made.suite("labelled", base={"model": "cgan"}, names={"labelled": {"train.steps": 3}}, **small)
    late = made.suite("late", names={"late": {"train.steps": 3}}, run={"time_limit": 1e-6}, **small)
    made.run("run", labelled, late, code=(0, 1))
    return made


def key_of(workspace: Workspace, arm: str, seed: int, suite: str = "tiny") -> str:
    rows = workspace.table(suite)
    return next(row["key"] for row in rows if (row["arm"], row["seed"]) == (arm, str(seed)))


def test_an_arm_is_shown_with_its_settings_once_and_all_its_trials(workspace: Workspace) -> None:
    shown = workspace.run("show", "gan + ema")
    assert shown.count("model.architecture.width = 32") == 1
    for row in workspace.table():
        assert (f"key {row['key']}" in shown) == (row["arm"] == "gan + ema")
        if row["arm"] == "gan + ema":
            assert f"sharpness = {float(row['sharpness']):.6g}" in shown
    assert "fid.samples = 100" in shown
    assert "  device = cpu" in shown
    images = [Path(line.split(" = ")[1]) for line in shown.splitlines() if line.endswith(".png")]
    assert {path.name for path in images} >= {
        "final.png",
        "interpolation.png",
        "samples_above_their_nearest_training_images.png",
    }
    assert all(path.is_file() for path in images)


def test_a_trial_is_shown_by_the_beginning_of_its_key(workspace: Workspace) -> None:
    key = key_of(workspace, "gan", 1)
    shown = workspace.run("show", key[:10])
    assert shown.count("   key ") == 1
    assert f"seed 1   key {key}" in shown
    refused = workspace.run("show", "gan + em", code=2)
    assert "did you mean 'gan + ema'?" in refused
    assert "  late" in refused


def test_a_failed_trial_has_its_reason_and_its_traceback(workspace: Workspace) -> None:
    [row] = workspace.table("late")
    shown = workspace.run("show", "late")
    assert f"state: {row['state']}: {row['reason']}" in shown
    assert "traceback" not in shown
    [folder] = (workspace.results / "artifacts" / "late").glob(f"{row['mlflow_run_id']}/artifacts")
    (folder / "traceback.txt").write_text("File my_trick.py, line 3\n  in step\x1b[2J\n")
    shown = workspace.run("show", "late")
    assert f"traceback: {folder / 'traceback.txt'}" in shown
    assert "      in step\\x1b[2J" in shown


def test_samples_are_those_of_the_evaluation(workspace: Workspace) -> None:
    out = workspace.folder / "drawn"
    assert "64 images of gan, seed 1" in workspace.run("sample", "gan", "--seed", "1", "--out", out, "--walk")
    files = sorted((out / "samples").iterdir())
    assert [path.name for path in files] == [f"{number:06d}.png" for number in range(64)]
    assert {path.name for path in out.iterdir()} == {"samples", "grid.png", "interpolation.png", "latent_walk.png"}
    [run] = [row["mlflow_run_id"] for row in workspace.table() if row["key"] == key_of(workspace, "gan", 1)]
    kept = workspace.results / "artifacts" / "tiny" / run / "artifacts"
    grid = np.asarray(Image.open(out / "grid.png"))
    assert (grid == np.asarray(Image.open(kept / "samples" / "final.png"))).all()
    side = grid.shape[0] // 8
    assert (np.asarray(Image.open(files[9])) == grid[side : 2 * side, side : 2 * side]).all()
    assert "is not empty" in workspace.run("sample", "gan", "--out", out, code=2)


def test_samples_by_class(workspace: Workspace) -> None:
    out = workspace.folder / "classes"
    assert "30 images of labelled" in workspace.run("sample", "labelled", "--n", "25", "--by-class", "--out", out)
    assert {path.name: len(list(path.iterdir())) for path in (out / "samples").iterdir()} == dict.fromkeys(
        map(str, range(10)), 3
    )
    width, height = Image.open(out / "samples" / "7" / "000002.png").size
    assert Image.open(out / "grid.png").size == (3 * width, 10 * height)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("gan", "--by-class"), "draws no images of a given class"),
        (("gan", "--seed", "7"), "no trial with the seed 7 (seeds: 0, 1)"),
        (("late",), "no trial of late is done (seed 0 timed-out)"),
    ],
)
def test_what_cannot_be_sampled_is_refused_and_writes_nothing(
    workspace: Workspace, words: tuple[str, ...], fragment: str
) -> None:
    out = workspace.folder / "refused"
    assert fragment in workspace.run("sample", *words, "--out", out, code=2)
    assert not out.exists()


def test_tables_for_programs_have_all_digits(workspace: Workspace) -> None:
    suite, out = workspace.folder / "tiny.yaml", workspace.folder / "board.parquet"
    printed = workspace.run("export", suite)
    board = (workspace.results / "tiny" / "leaderboard.csv").read_text()
    assert printed == board
    workspace.run("export", suite, "--format", "parquet", "--table", "trials", "--out", out)
    rows = workspace.table()
    assert pd.read_parquet(out)["sharpness"].tolist() == [float(row["sharpness"]) for row in rows]
    assert "name a file with --out" in workspace.run("export", suite, "--format", "parquet", code=2)
    words = ("export", suite, "--format", "latex", "--table", "trials")
    assert "is for the leaderboard" in workspace.run(*words, code=2)


def test_tables_for_papers_have_the_best_in_bold(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    board = list(csv.DictReader((workspace.results / "tiny" / "leaderboard.csv").open()))
    best = min(board, key=lambda row: abs(float(row["sharpness_mean"]) - 1))
    lines = workspace.run("export", suite, "--format", "markdown").splitlines()
    assert "| Sharpness → 1 |" in lines[0]
    bold = [line for line in lines[2:] if line.endswith("** |")]
    assert [line.split(" | ")[0] for line in bold] == [f"| {best['arm']}"]
    assert f"**{float(best['sharpness_mean']):.3f} (" in bold[0]
    text = workspace.run("export", suite, "--format", "latex")
    assert text.count(r"\textbf") == "\n".join(lines[:-1]).count("**") // 2 > 0
    assert r"Sharpness $\to$ 1 \\" in text
    assert text.endswith("\\end{tabular}\n")
    assert latex("a_b 5 % {x} \\y ↓ −1") == r"a\_b 5 \% \{x\} \textbackslash{}y $\downarrow$ $-$1"

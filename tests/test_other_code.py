"""Results of other code: shown as such, trained anew, or kept where the author of the change vouches for them.

All through the real command line, by copies of the package in which something was changed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from harness_cli import SEARCH, Workspace

from harness.store import identity

ROOT = Path(__file__).parents[1]

LOOP = ("trial/loop.py", "self.progress.step += 1", "self.progress.step += 2 - 1")
EMA = ("zoo/tricks/ema.py", "self.steps + 9", "self.steps + 8")


def edited(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / "harness" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def workspace(tmp_path: Path, tiny_store: Workspace) -> Workspace:
    """A copy of a store with four trials, and a copy of the package, which commands run."""
    return with_package(tiny_store.copy(tmp_path))


def with_package(made: Workspace) -> Workspace:
    shutil.copytree(ROOT / "harness", made.folder / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    made.environment = {"PYTHONPATH": os.pathsep.join([str(made.folder), os.environ.get("PYTHONPATH", "")])}
    return made


def test_results_of_other_code_are_shown_as_such(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    before = workspace.table()
    edited(workspace.folder, *LOOP)
    output = workspace.run("report", suite)
    assert "4 trials of gan and gan + ema were trained by other code" in " ".join(output.split())
    assert "harness.trial.loop changed" in " ".join(output.split())
    after = workspace.table()
    assert [row["other_code"] for row in after] == ["harness.trial.loop"] * 4
    assert [row["fid"] for row in after] == [row["fid"] for row in before]
    assert "trained by other code" in (workspace.results / "tiny/report.html").read_text()
    assert {trial["state"] for trial in workspace.plan(suite)["trials"]} == {"to do"}
    assert "gan + ema" in workspace.run("compare", "gan + ema", "gan", "--suite", suite)


@pytest.mark.slow
def test_results_of_different_code_stand_in_no_verdict_together(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    edited(workspace.folder, *LOOP)
    # One arm is trained by the new code, the other is not yet.
    workspace.run("run", suite, "--set", 'matrix={"tricks": [[]]}', "--set", "compare.baseline=null")
    output = workspace.run("report", suite)
    assert "no verdict on gan + ema" in output
    assert re.search(r"code \(harness\.trial\.loop\): \w{8} against \w{8}", " ".join(output.split()))
    assert "cannot be compared" in workspace.run("compare", "gan + ema", "gan", "--suite", suite, code=2)


def test_a_change_that_is_vouched_for_keeps_the_results_on_record(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    before = {row["mlflow_run_id"] for row in workspace.table()}
    edited(workspace.folder, *EMA)
    assert "known: " in workspace.run("run", suite, "--accept-change", "00000000", code=2)
    [named] = re.findall(r"--accept-change (\w{8})`", workspace.run("plan", suite))
    output = workspace.run("run", suite, "--accept-change", named)
    assert "accepted 2 results of other code" in output
    assert {row["mlflow_run_id"] for row in workspace.table()} == before
    assert {trial["state"] for trial in workspace.plan(suite)["trials"]} == {"done"}
    page = (workspace.results / "tiny/report.html").read_text()
    assert "harness.zoo.tricks.ema changed" in page
    assert "no verdict on" not in output

    # The next change is another one: nobody vouched for that.
    edited(workspace.folder, "zoo/tricks/ema.py", "self.steps + 8", "self.steps + 7")
    assert [trial["state"] for trial in workspace.plan(suite)["trials"]] == ["done"] * 2 + ["to do"] * 2


@pytest.mark.slow
def test_what_the_code_makes_anew_is_said(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    before = {row["mlflow_run_id"] for row in workspace.table()}
    edited(workspace.folder, *EMA)
    output = workspace.run("run", suite)
    assert "2 trials have results of other code" in output
    assert "harness.zoo.tricks.ema changed: to train again" in output
    rows = workspace.table()
    assert [row["mlflow_run_id"] in before for row in rows] == [True, True, False, False]
    assert {row["other_code"] for row in rows} == {""}


@pytest.mark.slow
def test_a_search_by_other_code_is_shown_and_kept_too(tmp_path: Path) -> None:
    made = Workspace(tmp_path)
    suite = made.suite(**SEARCH, seeds=1, compare={"metric": "fid"})
    made.run("run", suite)
    before = {row["mlflow_run_id"] for row in made.table()}
    assert len(before) == 3
    with_package(made)
    edited(tmp_path, *LOOP)
    assert "3 trials" in made.run("report", suite)
    assert {row["mlflow_run_id"] for row in made.table()} == before
    [named] = re.findall(r"--accept-change (\w{8})`", made.run("plan", suite))
    made.run("run", suite, "--accept-change", named)
    assert {row["mlflow_run_id"] for row in made.table()} == before


# --- the same, without a command -------------------------------------------------------------------------


def test_a_change_is_named_alike_for_all_trials_that_it_changes_alike() -> None:
    loop = {"harness.trial.loop:Trainer": "11111111", "a:x": "22222222"}
    other = {"harness.trial.loop:Trainer": "11111111", "b:y": "33333333"}
    new = {"harness.trial.loop:Trainer": "99999999"}
    changes = [identity.change(parts, parts | new) for parts in (loop, other)]
    assert changes[0].digest == changes[1].digest
    assert changes[0].modules == ("harness.trial.loop",)
    assert identity.change(loop, loop | {"a:x": "44444444"}).digest != changes[0].digest


def test_a_definition_that_moved_is_no_change() -> None:
    assert not identity.change({"a:x": "11111111"}, {"b:x": "11111111"}).parts


@pytest.mark.parametrize(
    ("codes", "differ"),
    [
        ([{"a:x": "1", "b:y": "2"}, {"a:x": "1", "c:z": "3"}], False),
        ([{"a:x": "1"}, {"b:y": "2"}, {"a:x": "2"}], True),
        ([{identity.UNKNOWN: "c0"}, {identity.UNKNOWN: "c0"}], False),
        ([{identity.UNKNOWN: "c0"}, {identity.UNKNOWN: "c1"}], True),
        ([{identity.UNKNOWN: "c0"}, {"a:x": "1"}], True),
        ([{"a:x": "1"}, {identity.UNKNOWN: "c0"}], True),
    ],
)
def test_codes_contradict_each_other_where_they_share_a_definition(codes: list[dict[str, str]], differ: bool) -> None:
    assert (identity.contradiction(codes) is not None) == differ


def test_the_parts_survive_their_tag() -> None:
    tags = {identity.PARTS: json.dumps({"a": {"x": "1"}, "b": {"y": "2", "z": "3"}})}
    assert identity.parts(tags) == {"a:x": "1", "b:y": "2", "b:z": "3"}
    assert identity.parts({"git_commit": "c0"}) == {identity.UNKNOWN: "c0"}

"""How a run tells what happens, and what a shell proposes: `--quiet`, `--json`, completion, tables in a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from harness_cli import Workspace

from harness.cli.commands import main


def events(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_run_as_json_and_in_silence(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(seeds=1)
    told = events(workspace.run("run", suite, "--json"))
    kinds = [event["event"] for event in told]
    assert kinds[0] == "planned"
    assert kinds[-1] == "report"
    assert [kinds.count(kind) for kind in ("began", "ended")] == [2, 2]
    assert all(isinstance(event["time"], float) for event in told)
    rows = {row["key"]: row for row in workspace.table()}
    assert {trial["key"] for trial in told[0]["trials"]} == set(rows)  # type: ignore[attr-defined]
    for event in told:
        if event["event"] == "ended":
            row = rows[str(event["key"])]
            assert (event["arm"], event["state"]) == (row["arm"], "done")
            assert event["values"]["sharpness"] == float(row["sharpness"])  # type: ignore[index]
    steps = [event["step"] for event in told if event["event"] == "stepped" and event["arm"] == "gan"]
    assert steps == sorted(steps)  # type: ignore[type-var]
    assert steps[-1] == 20
    [verdict] = told[-1]["verdicts"]  # type: ignore[misc, attr-defined]
    assert (verdict["arm"], verdict["kind"], verdict["low"]) == ("gan + ema", "inconclusive", None)  # NaN is no JSON
    page = workspace.results / "tiny" / "report.html"
    assert told[-1]["page"] == str(page)
    page.unlink()
    assert workspace.run("run", suite, "--quiet") == f"{page}\n"
    assert page.is_file()
    assert "exclude each other" in workspace.run("run", suite, "--quiet", "--json", code=2)


def test_what_goes_wrong_is_told_in_silence_and_as_json(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(seeds=1, matrix={"train.steps": [3]}, compare={}, run={"time_limit": 1e-6})
    told = events(workspace.run("run", suite, "--json", code=(0, 1)))
    [ended] = [event for event in told if event["event"] == "ended"]
    assert ended["state"] == "timed-out"
    quiet = workspace.run("run", suite, "--quiet", code=(0, 1))
    assert f"seed 0: timed-out: {ended['reason']}" in quiet


def test_tables_in_a_pipe_are_not_folded(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path)
    workspace.environment["COLUMNS"] = ""  # as in a shell that exports none
    long = "an arm with a name of so many words that no terminal"
    suite = workspace.suite(names={long: {"tricks": ["ema"]}})
    for command in ("plan", "report"):
        assert long in workspace.run(command, suite)
    workspace.environment["COLUMNS"] = "60"
    assert long not in workspace.run("plan", suite)


def proposed(*words: str) -> list[str]:
    shell = BashComplete(main, {}, "harness", "_HARNESS_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_the_shell_proposes_suites_arms_and_names(
    tiny_store: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    monkeypatch.chdir(workspace.folder)
    assert "quickstart" in proposed("run", "")
    assert proposed("plan", "tin") == ["tiny.yaml"]
    assert proposed("run", "tiny.yaml", "--only", "gan") == ["gan", "gan + ema"]
    assert proposed("plan", "nowhere.yaml", "--only", "") == []
    assert proposed("explain", "feature_m") == ["feature_matching"]
    results = str(workspace.results)
    assert proposed("show", "--results", results, "gan +") == ["gan + ema"]
    key = workspace.table()[0]["key"]
    assert proposed("sample", "--results", results, key[:8]) == [key]
    assert proposed("show", "--results", str(tmp_path / "none"), "") == []


def test_the_shell_is_answered_by_the_command_itself() -> None:
    asked = {"_HARNESS_COMPLETE": "bash_complete", "COMP_WORDS": "harness list mod", "COMP_CWORD": "2"}
    code = "from harness.cli import main; main(prog_name='harness')"
    found = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert found.stdout == "plain,models\n"

"""The commands that train nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness_cli import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_doctor_says_what_is_there_and_what_is_missing(workspace: Workspace) -> None:
    workspace.environment = {"HARNESS_DATA": str(workspace.folder / "empty"), "COLUMNS": "200"}
    workspace.environment["HARNESS_CACHE"] = str(workspace.folder / "cache")
    output = workspace.run("doctor")
    assert "ok data folder named in a suite" in " ".join(output.replace("│", "").split())  # nothing to fetch
    for expected in ("torch", "mlflow", "judge mnist", "weights", "data digits", "content", "store"):
        assert expected in output
    assert "harness data fetch mnist" in output


def test_the_plan_lists_cells_trials_and_what_is_left_out(workspace: Workspace) -> None:
    exclude = [{"where": {"tricks": ["ema"]}, "reason": "not today"}]
    plan = workspace.plan(workspace.suite(exclude=exclude))
    assert plan["suite"] == "tiny"
    assert [cell["excluded"] for cell in plan["cells"]] == [None, "not today"]
    assert [(t["arm"], t["seed"], t["state"]) for t in plan["trials"]] == [
        ("gan", 0, "to do"),
        ("gan", 1, "to do"),
    ]
    assert all(len(trial["key"]) == 16 for trial in plan["trials"])
    assert "not today" in workspace.run("plan", workspace.folder / "tiny.yaml")
    assert not workspace.results.exists()


def test_a_smoke_test_is_planned_with_one_seed_of_two_steps(workspace: Workspace) -> None:
    suite = workspace.suite()
    whole, small = workspace.plan(suite)["trials"], workspace.plan(suite, "--smoke")["trials"]
    assert [(trial["arm"], trial["seed"], trial["state"]) for trial in small] == [
        ("gan", 0, "to do"),
        ("gan + ema", 0, "to do"),
    ]
    assert not {trial["key"] for trial in small} & {trial["key"] for trial in whole}
    assert f"run `harness run {suite} --smoke` first" in workspace.run("report", suite, "--smoke", code=2)
    assert not workspace.results.exists()


def test_a_long_plan_says_at_once_what_it_does_and_is_printed_in_plain_columns(workspace: Workspace) -> None:
    exclude = [{"where": {"tricks": ["ema"]}, "reason": "not today"}]
    matrix = {"tricks": [[], ["ema"]], "train.steps": [1, 2, 3]}
    suite = workspace.suite(seeds=1000, matrix=matrix, exclude=exclude, compare={})
    first, *rest = workspace.run("plan", suite).splitlines()
    assert first == "planning 3000 trials: 3 cells × 1000 seeds"
    assert len(rest) == 3000 + 3 + 2
    columns = [line.split() for line in rest[:3000]]
    assert [int(seed) for *_, seed, _, _, _ in columns] == list(range(1000)) * 3
    assert len({key for *_, key, _, _ in columns}) == 3000
    assert sum("excluded: not today" in line for line in rest) == 3


def test_the_plan_of_a_search_says_how_much_there_is(workspace: Workspace) -> None:
    space = {"model.latent": {"type": "int", "low": 8, "high": 64}}
    suite = workspace.suite(search={"n_trials": 5, "space": space})
    output = workspace.run("plan", suite)
    assert "up to 5 configurations × 2 seeds" in output
    assert "repeat" not in output
    suite = workspace.suite(search={"n_trials": 5, "space": {"model.latent": {**space["model.latent"], "step": 50}}})
    output = " ".join(workspace.run("plan", suite).split())
    assert "only 2 different configurations: at least 3 of 5 will repeat earlier ones" in output


def test_the_schema_is_json(workspace: Workspace) -> None:
    schema = json.loads(workspace.run("schema"))
    assert {"suite", "matrix", "evaluate", "search"} <= schema["properties"].keys()


def test_all_mistakes_in_a_suite_are_reported_at_once_with_their_places(workspace: Workspace) -> None:
    path = workspace.folder / "wrong.yaml"
    path.write_text(
        "suite: wrong\n"
        "data: mnits\n"
        "train: {stepz: 5}\n"
        "base: {model: dcgan}\n"
        "matrix:\n"
        "  tricks: [[], [emma]]\n"
        "evaluate: {metrics: [fid]}\n"
    )
    output = workspace.run("run", path, code=2)
    for place, hint in (("2:7", "'mnist'"), ("3:9", "'steps'"), ("6:17", "'ema'")):
        [line] = [line for line in output.splitlines() if f"wrong.yaml:{place}:" in line]
        assert f"did you mean {hint}?" in line
    assert not workspace.results.exists()


def test_a_first_suite_is_written_once_and_can_be_run(workspace: Workspace) -> None:
    assert "`harness run mine.yaml` trains it" in workspace.run("init", "mine.yaml")
    assert len(workspace.plan(Path("mine.yaml"))["trials"]) == 6
    assert workspace.plan(Path("mine.yaml"))["suite"] == "mine"
    written = (workspace.folder / "mine.yaml").read_bytes()
    assert "mine.yaml exists already" in workspace.run("init", "mine.yaml", code=2)
    assert (workspace.folder / "mine.yaml").read_bytes() == written
    for name, fragment in {
        "mine": "ends in .yaml",
        "My Suite.yaml": "cannot be the name",
        "work.yaml": "cannot be the name",
        "nowhere/a.yaml": "cannot be written",
    }.items():
        assert fragment in workspace.run("init", name, code=2)
    assert [path.name for path in workspace.folder.iterdir()] == ["mine.yaml"]

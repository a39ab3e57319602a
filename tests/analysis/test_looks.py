"""Looks at a suite, by the command line: counted, paid for, remembered; rounds that go on until all is settled."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace

from harness.analysis import looks
from harness.suite import read_suite
from harness.suite.declaration import Rounds

# Points: a trial takes a moment. One step and two are alike, so that question stays open; 500 steps settle theirs.
SUITE: dict[str, Any] = {
    "data": "ring",
    "train": {"batch_size": 64, "precision": "float32"},
    "seeds": {"start": 3, "most": 5},
    "base": {
        "model": {
            "name": "gan",
            "architecture": {"name": "mlp", "width": 64},
            "latent": 2,
            "generator_rate": 0.001,
            "discriminator_rate": 0.001,
        }
    },
    "matrix": {"train.steps": [1, 2, 500]},
    "evaluate": {"samples": 500, "metrics": ["energy_distance"]},
    "run": {"snapshots": 0, "curve_points": 2},
    "compare": {"metric": "energy_distance", "delta": 0},
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path)
    made.suite("rounds", **SUITE)
    return made


def seeds_of(workspace: Workspace) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in workspace.table("rounds"):
        found.setdefault(row["arm"], []).append(row["seed"])
    return found


def verdicts_of(workspace: Workspace) -> list[dict[str, str]]:
    return [row for row in workspace.table("rounds", "verdicts") if row["verdict"]]


def test_rounds_add_seeds_to_what_is_open(workspace: Workspace) -> None:
    output = workspace.run("run", "rounds.yaml")
    assert "Round 1: 3 seeds" in output
    assert "Round 2: 5 seeds" in output
    seeds, verdicts = seeds_of(workspace), verdicts_of(workspace)
    settled = {row["arm"] for row in verdicts if row["verdict"] != "inconclusive" and row["look"] == "1"}
    assert len(settled) == 1, verdicts  # one arm is plainly different
    for row in verdicts:
        assert len(seeds[row["arm"]]) == (3 if row["arm"] in settled else 5)
    assert max(map(len, seeds.values())) == 5
    # The same command again trains nothing, and says the same.
    again = workspace.run("run", "rounds.yaml")
    assert "0 done before" not in again
    assert verdicts_of(workspace) == verdicts
    assert workspace.run("report", "rounds.yaml").count("Settled at look 1") == 1
    # More seeds later change no decision.
    workspace.run("run", "rounds.yaml", "--set", "seeds.most=6")
    later = {row["arm"]: row for row in verdicts_of(workspace)}
    assert all(later[row["arm"]]["verdict"] == row["verdict"] for row in verdicts if row["arm"] in settled)
    assert len(seeds_of(workspace)[next(iter(settled))]) == 3


@pytest.mark.slow
def test_a_kill_between_rounds_changes_nothing(tmp_path: Path) -> None:
    whole, killed = Workspace(tmp_path / "whole"), Workspace(tmp_path / "killed")
    for one in (whole, killed):
        one.folder.mkdir()
        one.suite("rounds", **SUITE)
    whole.run("run", "rounds.yaml")
    driver = killed.start("run", "rounds.yaml")
    until = time.monotonic() + 300
    while not (killed.results / "looks" / "rounds.sealed").is_file():
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    killed.run("run", "rounds.yaml")
    assert seeds_of(killed) == seeds_of(whole)
    columns = ("arm", "baseline", "verdict", "effect", "p", "look")
    one, other = ([{c: row[c] for c in columns} for row in verdicts_of(w)] for w in (killed, whole))
    assert one == other


def test_looks_at_a_plain_suite_are_counted_and_paid_for(workspace: Workspace) -> None:
    first = workspace.run("run", "rounds.yaml", "--set", "seeds=3")
    assert "look" not in first.partition("Report")[0]
    assert verdicts_of(workspace)[0]["look"] == "1"
    # Looking again at the same trials is the same look.
    assert workspace.run("report", "rounds.yaml", "--set", "seeds=3")
    assert verdicts_of(workspace)[0]["look"] == "1"
    workspace.run("run", "rounds.yaml", "--set", "seeds=4")
    looks = {row["verdict"]: row["look"] for row in verdicts_of(workspace)}
    assert looks["inconclusive"] == "2"
    page = (workspace.results / "rounds" / "report.html").read_text("utf-8")
    assert "over this look (number 2) and all others together" in page


def test_until_settled_gives_rounds_to_a_plain_suite(workspace: Workspace) -> None:
    told = workspace.run("run", "rounds.yaml", "--set", "seeds=[1, 5]", "--until-settled", code=2)
    assert "needs a suite without a search, whose seeds are a number" in told
    workspace.run("plan", "rounds.yaml", "--set", "seeds=3")


def test_rounds_that_a_run_gave_are_known_to_other_commands(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text("suite: s\ndata: digits\nseeds: 3\nbase: {model: gan}\nevaluate: {metrics: [fid]}\n")
    suite = read_suite(path)
    assert looks.with_rounds(suite, tmp_path) == suite
    given = suite.model_copy(update={"declared_seeds": Rounds(start=3, most=7)})
    looks.Looks.read(tmp_path, suite).add(looks.Taken(3, ("a",), None, {}))
    looks.keep_rounds(given, tmp_path)
    looks.Looks.read(tmp_path, suite).add(looks.Taken(4, ("a", "b"), None, {}))
    assert looks.with_rounds(suite, tmp_path).rounds == given.rounds
    assert len(looks.Looks.read(tmp_path, suite).taken) == 2
    for other in ("seeds=4", "seeds=[0, 1, 3]", "seeds={start: 3, most: 9}"):  # the user has another plan now
        changed = read_suite(path, (other,))
        assert looks.with_rounds(changed, tmp_path) == changed


@pytest.mark.slow
def test_a_budget_ends_the_rounds(workspace: Workspace) -> None:
    output = workspace.run("run", "rounds.yaml", "--set", "seeds.budget=1ms", code=2)
    assert "expected a time such as" in output
    output = workspace.run("run", "rounds.yaml", "--set", "seeds.budget=0.1")
    assert "Round 2" not in output
    assert max(map(len, seeds_of(workspace).values())) == 3


def test_a_damaged_record_of_looks_is_named(workspace: Workspace) -> None:
    workspace.run("run", "rounds.yaml", "--set", "seeds=2")
    path = workspace.results / "looks" / "rounds.sealed"
    path.write_bytes(path.read_bytes()[:-9])
    assert "the looks at this suite are forgotten" in workspace.run("report", "rounds.yaml", "--set", "seeds=2")

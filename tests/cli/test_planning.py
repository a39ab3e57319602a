"""What `harness plan` says of the cost: from the store, else from a few timed steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness_cli import SEARCH, SUITE, Workspace

from harness.cli.planning import Outlook
from harness.suite import suite_of
from harness.suite.plan import make_plan


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def summary(seconds: float | None, **changes: Any) -> list[str]:
    """The summary of a plan all of whose trials take so long."""
    return Outlook(make_plan(suite_of(SUITE | changes)), {}, lambda trial: seconds).summary()


def test_the_cost_is_that_of_all_trials_and_their_threads() -> None:
    assert summary(1800.0)[0] == "4 trials: 4 to do"
    assert summary(1800.0)[1].startswith("about 2 core-hours: ")
    assert summary(1800.0)[1].endswith(", estimated from the trials in this store")
    threads = {"train": {**SUITE["train"], "threads": 3}}
    assert summary(1800.0, **threads)[1].startswith("about 6 core-hours: ")


def test_the_cost_of_a_search_is_that_of_all_configurations() -> None:
    lines = summary(1200.0, **SEARCH)
    assert lines[0].endswith("up to 3 configurations × 2 seeds = 6 trials each")
    assert lines[1].startswith("about 2 core-hours: ")


def test_an_arm_that_nothing_is_known_of_counts_as_the_others() -> None:
    plan = make_plan(suite_of(SUITE))
    found = Outlook(plan, {}, lambda trial: 1800.0 if trial.arm.name == "gan" else None)
    assert found.summary()[1].startswith("about 2 core-hours: ")
    measured = Outlook(plan, {}, lambda trial: None, measured={"gan": 1800.0, "gan + ema": 5400.0})
    assert measured.summary()[1].startswith("about 4 core-hours: ")
    assert measured.summary()[1].endswith("estimated from a few steps and an evaluation of each arm")


def test_without_a_store_the_plan_says_how_to_have_an_estimate(workspace: Workspace) -> None:
    suite = workspace.suite()
    said = workspace.run("plan", suite)
    assert "--measure times a few steps of each arm" in said
    assert "Its file" not in said
    path = workspace.folder / suite
    path.write_text(f"# cost: 0.3 core-hours\n{path.read_text()}")
    assert "Its file puts the whole suite at 0.3 core-hours" in workspace.run("plan", suite)


def test_arms_are_timed_and_nothing_is_stored(workspace: Workspace) -> None:
    suite = workspace.suite(seeds=2, matrix={"train.steps": [20, 100_000]}, compare={"baseline": {"train.steps": 20}})
    said = workspace.run("plan", suite, "--measure", "--device", "cpu", "--json")
    assert said.count("measuring ") == 2
    trials = json.loads(said[said.index("{") :])["trials"]
    seconds = [trial["seconds"] for trial in trials if trial["seed"] == 0]
    assert [trial["seconds"] for trial in trials if trial["seed"] == 1] == seconds
    assert 0 < seconds[0] < seconds[1]
    assert seconds[1] > 20  # 100 000 steps, of which none is below 0.2 ms
    assert not workspace.results.exists()


def test_only_what_the_store_lacks_is_timed(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    assert "measuring" not in workspace.run("plan", "tiny.yaml", "--set", "seeds=3", "--measure")
    base = {"model": {"name": "dcgan", "architecture": {"name": "dcgan", "width": 8}}}
    said = workspace.run("plan", workspace.suite("other", base=base, matrix={}, compare={}), "--measure")
    assert "measuring dcgan (1 of 1)" in said
    assert "estimated from a few steps and an evaluation of each arm" in said


BROKEN = """
from harness.plugins import Trick


class Breaks(Trick):
    name = "breaks_in_a_step"
    summary = "x"

    def generator_loss(self, game, real, fake):
        raise ValueError("on purpose")
"""


def test_an_arm_that_fails_is_named_and_the_others_are_timed(workspace: Workspace) -> None:
    (workspace.folder / "breaks_in_a_step.py").write_text(BROKEN)
    suite = workspace.suite(plugins=["breaks_in_a_step.py"], matrix={"tricks": [[], ["breaks_in_a_step"]]})
    said = workspace.run("plan", suite, "--measure", "--device", "cpu")
    assert "gan + breaks_in_a_step cannot be measured: ValueError: on purpose" in said
    assert "core-hours" in said

"""Trials that go wrong, each in its own way, by models of another package: the sweep goes on and keeps the reason."""

from __future__ import annotations

import pytest
from harness_cli import Workspace

MODELS = '''
"""Models that fail on purpose."""

import os
import signal
import time

import torch

from harness.data.digits import Digits
from harness.models.gan import GAN


class Unjudged(Digits):
    name = "unjudged"
    summary = "digits that no judge knows"
    judge = None


class Diverging(GAN):
    name = "diverging"
    summary = "its loss becomes NaN"

    def step(self, batch):
        return {name: value * float("nan") for name, value in super().step(batch).items()}


class BadSamples(GAN):
    name = "bad_samples"
    summary = "it samples infinity"

    def sample(self, n, rng):
        return super().sample(n, rng) / 0


class Raising(GAN):
    name = "raising"
    summary = "it raises"

    def step(self, batch):
        raise ValueError("no such thing")


class Hungry(GAN):
    name = "hungry"
    summary = "it wants more memory than there is"

    def step(self, batch):
        torch.empty(2**50)


class Slow(GAN):
    name = "slow"
    summary = "it takes its time"

    def step(self, batch):
        time.sleep(1)
        return super().step(batch)


class Crashing(GAN):
    name = "crashing"
    summary = "it takes its process down"

    def step(self, batch):
        os.kill(os.getpid(), signal.SIGSEGV)
'''

SMALL = {"architecture": {"name": "fully_connected", "width": 32}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in whose environment a package offers the models above, by entry points."""
    folder = tmp_path_factory.mktemp("outcomes")
    package = folder / "site"
    information = package / "failing_models-1.0.dist-info"
    information.mkdir(parents=True)
    (package / "failing_models.py").write_text(MODELS)
    (package / "broken_models.py").write_text("import no_such_module\n")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: failing-models\nVersion: 1.0\n")
    names = ["Diverging", "BadSamples", "Raising", "Hungry", "Slow", "Crashing"]
    points = [f"{name.lower()} = failing_models:{name}" for name in names] + ["broken = broken_models:Broken"]
    (information / "entry_points.txt").write_text(
        "[harness.models]\n" + "\n".join(points) + "\n[harness.data]\nunjudged = failing_models:Unjudged\n"
    )
    return Workspace(folder, {"PYTHONPATH": str(package)})


@pytest.fixture(scope="module")
def table(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Model -> its row of the table, after a run in which all but one fail."""
    models = ["diverging", "bad_samples", "raising", "hungry", "slow", "crashing", "gan"]
    suite = workspace.suite(
        "outcomes",
        base={},
        matrix={"model": [{"name": name} | SMALL for name in models]},
        seeds=1,
        run={"time_limit": 5, "snapshots": 0},
        compare={"metric": "fid"},
    )
    output = workspace.run("run", suite, "--workers", "2", code=1)
    assert "7 trials" in output
    return {row["model"]: row for row in workspace.table("outcomes")}


@pytest.mark.parametrize(
    ("model", "state", "reason"),
    [
        ("gan", "done", ""),
        ("diverging", "diverged", "not finite by step 1"),
        ("bad_samples", "diverged", "samples hold NaN or infinity"),
        ("raising", "failed", "ValueError: no such thing"),
        ("hungry", "out-of-memory", "memory"),
        ("slow", "timed-out", "limit of 5 s"),
        ("crashing", "failed", "SIGSEGV"),
    ],
)
def test_outcome(table: dict[str, dict[str, str]], model: str, state: str, reason: str) -> None:
    assert table[model]["state"] == state
    assert reason in table[model]["reason"]


def test_only_what_failed_to_run_is_tried_again(workspace: Workspace, table: dict[str, dict[str, str]]) -> None:
    plan = workspace.plan(workspace.folder / "outcomes.yaml")
    states = {trial["arm"].split()[0]: trial["state"] for trial in plan["trials"]}
    assert states == {model: row["state"] for model, row in table.items()}
    output = workspace.run("run", workspace.folder / "outcomes.yaml", code=1)
    assert "7 trials, 3 done before" in output  # the two that diverged would diverge again


def test_a_broken_plug_in_is_listed_with_its_reason(workspace: Workspace) -> None:
    listed = {line.split()[0]: line for line in workspace.run("list", "models").splitlines()}
    assert "no_such_module" in listed["broken"]
    assert "slow" in listed
    suite = workspace.suite("names-it", base={"model": "broken"}, matrix={})
    assert "no_such_module" in workspace.run("plan", suite, code=2)


def test_metrics_that_need_a_judge_are_refused_where_there_is_none(workspace: Workspace) -> None:
    suite = workspace.suite("unjudged", data="unjudged")
    output = workspace.run("plan", suite, code=2)
    assert "mode_coverage: no judge knows the data 'unjudged'" in output
    assert "fid" not in output

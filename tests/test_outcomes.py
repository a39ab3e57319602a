"""Trials that go wrong, each in its own way, by models of another package: the sweep goes on and keeps the reason."""

from __future__ import annotations

import html
import os
from pathlib import Path

import optuna
import pytest
from harness_cli import Workspace, package
from mlflow import MlflowClient

PYTHONPATH = os.environ.get("PYTHONPATH", "")
pytestmark = pytest.mark.slow

MODELS = '''
"""Models that fail on purpose."""

import ctypes
import gc
import os
import resource
import signal
import time
from pathlib import Path

import torch

from harness.zoo.data.digits import Digits
from harness.zoo.models.gan import GAN


class Unjudged(Digits):
    name = "unjudged"
    summary = "digits that no judge knows"
    judge = None


class Counting(GAN):
    """It knows its step, writes it down, and goes wrong at the third."""

    own_steps = 0

    def step(self, batch):
        self.own_steps += 1
        if "LOG" in os.environ:
            with open(os.environ["LOG"], "a") as file:
                file.write(f"{self.name} {os.getpid()}\\n")
        scalars = super().step(batch)
        return (self.wrong(scalars) or scalars) if self.own_steps == 3 else scalars

    def wrong(self, scalars):
        pass

    def first(self):
        """Whether this is the first time that it goes wrong."""
        mark = Path(os.environ["LOG"]).with_name(self.name)
        there = mark.exists()
        mark.touch()
        return not there


class Diverging(Counting):
    name = "diverging"
    summary = "its loss becomes NaN"

    def wrong(self, scalars):
        return {name: value * float("nan") for name, value in scalars.items()}


class BadSamples(GAN):
    name = "bad_samples"
    summary = "it samples infinity"

    def sample(self, n, rng):
        return super().sample(n, rng) / 0


class BadWeights(GAN):
    name = "bad_weights"
    summary = "a weight that it publishes is infinite"

    def weights(self):
        return super().weights() | {"scale": torch.tensor([1.0, float("inf")])}


class Raising(Counting):
    name = "raising"
    summary = "it raises"

    def wrong(self, scalars):
        raise ValueError("no such thing <b>")


class Hungry(Counting):
    name = "hungry"
    summary = "it wants more of the device's memory than there is"

    def wrong(self, scalars):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB.")


class Crowded(Counting):
    name = "crowded"
    summary = "it gets less memory than it wants, once"

    def wrong(self, scalars):
        if self.first():
            used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
            bytearray(2**30)


class Killed(Counting):
    name = "killed"
    summary = "the kernel ends it, once"

    def wrong(self, scalars):
        if self.first():
            os.kill(os.getpid(), signal.SIGKILL)


class Crashing(Counting):
    name = "crashing"
    summary = "it takes its process down"

    def wrong(self, scalars):
        ctypes.string_at(0)


class Lingering(Counting):
    """After its last word its process is ended: once, before the driver hears that, and when all is delivered."""

    name = "lingering"
    summary = "the kernel ends it, once, when its end is recorded and delivered"

    def wrong(self, scalars):
        gc.disable()  # until the worker asks for it, as it lets go of a trial
        self.itself = self

    def __del__(self):
        records = Path(os.environ["HARNESS_RESULTS"], "work")
        if "itself" in vars(self) and self.first():
            while list(records.glob("*/records.jsonl")):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)


class Slow(GAN):
    name = "slow"
    summary = "it takes its time"

    def step(self, batch):
        time.sleep(1)
        return super().step(batch)


class Hanging(Counting):
    name = "hanging"
    summary = "a step of it has no end"

    def wrong(self, scalars):
        time.sleep(10_000)
'''

SMALL = {"architecture": {"name": "fully_connected", "width": 32}}
POINTS = """diverging = failing_models:Diverging
badsamples = failing_models:BadSamples
badweights = failing_models:BadWeights
raising = failing_models:Raising
hungry = failing_models:Hungry
crowded = failing_models:Crowded
killed = failing_models:Killed
crashing = failing_models:Crashing
lingering = failing_models:Lingering
slow = failing_models:Slow
hanging = failing_models:Hanging
broken = broken_models:Broken
leaving = leaving_models:Leaving"""
MODELS_OF = {
    "outcomes": ["diverging", "bad_samples", "bad_weights", "raising", "crashing", "gan"],
    "memory": ["hungry", "crowded", "killed", "gan"],
    "late": ["slow", "hanging"],
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in whose environment a package offers the models above, by entry points."""
    folder = tmp_path_factory.mktemp("outcomes")
    site = folder / "site"
    groups = {"harness.models": POINTS, "harness.data": "unjudged = failing_models:Unjudged"}
    package(site, "failing_models", MODELS, groups)
    (site / "broken_models.py").write_text("import no_such_module\n")
    (site / "leaving_models.py").write_text("raise SystemExit('gone')\n")
    return Workspace(folder, {"PYTHONPATH": f"{site}:{PYTHONPATH}", "LOG": str(folder / "steps")})


def suite_of(workspace: Workspace, name: str, models: list[str], **settings: float) -> Path:
    return workspace.suite(
        name,
        base={},
        matrix={"model": [{"name": model} | SMALL for model in models]},
        seeds=1,
        evaluate={"samples": 100, "metrics": ["fid", "sharpness"]},
        run={"snapshots": 0, "curve_points": 20, **settings},
        compare={"metric": "fid"},
    )


def run(workspace: Workspace, name: str, **settings: float) -> dict[str, dict[str, str]]:
    """Model -> its row of the table, after a run in which some fail."""
    suite = suite_of(workspace, name, MODELS_OF[name], **settings)
    said = workspace.run("run", suite, "--workers", "2", code=1)
    assert f"{len(MODELS_OF[name])} trials" in said
    (workspace.folder / f"{name}.said").write_text(said)
    return {row["model"]: row for row in workspace.table(name)}


@pytest.fixture(scope="module")
def outcomes(workspace: Workspace) -> dict[str, dict[str, str]]:
    return run(workspace, "outcomes")


@pytest.fixture(scope="module")
def memory(workspace: Workspace) -> dict[str, dict[str, str]]:
    (workspace.folder / "steps").unlink(missing_ok=True)
    return run(workspace, "memory")


@pytest.fixture(scope="module")
def late(workspace: Workspace) -> dict[str, dict[str, str]]:
    return run(workspace, "late", time_limit=5)


def assert_known_everywhere(workspace: Workspace, suite: str, row: dict[str, str], state: str, *reason: str) -> None:
    """The table, MLflow, Optuna and the page say the same of a trial."""
    assert row["state"] == state
    assert [part for part in reason if part not in row["reason"]] == [], row["reason"]
    run = MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}").get_run(row["mlflow_run_id"])
    assert (run.data.tags["state"], run.data.tags["reason"]) == (state, row["reason"])
    assert run.info.status == ("FINISHED" if state == "done" else "FAILED")
    study = optuna.load_study(study_name=f"{suite}/fid", storage=f"sqlite:///{workspace.results / 'optuna.db'}")
    [told] = [trial for trial in study.trials if trial.user_attrs["key"] == row["key"]]
    if state == "done":
        assert told.state.name == "COMPLETE"
        return
    assert told.state.name == "FAIL"
    assert (told.user_attrs["state"], told.user_attrs["reason"]) == (state, row["reason"])
    page = (workspace.results / suite / "report.html").read_text()
    assert row["reason"] in html.unescape(page)


@pytest.mark.parametrize(
    ("model", "state", "reason"),
    [
        ("gan", "done", []),
        ("diverging", "diverged", ["NaN or infinite at step 3"]),
        ("bad_samples", "diverged", ["samples hold NaN or infinity", "in the evaluation after step 20"]),
        ("bad_weights", "diverged", ["scale", "weights", "step 20"]),
        ("raising", "failed", ["ValueError: no such thing", "failing_models.py", "at step 3"]),
        ("crashing", "failed", ["SIGSEGV", "3 times", "after step 2"]),
    ],
)
def test_outcome(
    workspace: Workspace, outcomes: dict[str, dict[str, str]], model: str, state: str, reason: list[str]
) -> None:
    assert_known_everywhere(workspace, "outcomes", outcomes[model], state, *reason)


def test_the_report_counts_them(workspace: Workspace, outcomes: dict[str, dict[str, str]]) -> None:
    assert "5 trials without values" in (workspace.folder / "outcomes.said").read_text()
    board = {row["arm"].split()[0]: row for row in workspace.table("outcomes", "leaderboard")}
    assert {model: row["failed"] for model, row in board.items()} == dict.fromkeys(outcomes, "1") | {"gan": "0"}


def test_out_of_memory_is_tried_again_with_nothing_beside_it(
    workspace: Workspace, memory: dict[str, dict[str, str]], outcomes: dict[str, dict[str, str]]
) -> None:
    assert_known_everywhere(workspace, "memory", memory["hungry"], "out-of-memory", "CUDA out of memory", "at step 3")
    for model in ("crowded", "killed"):
        assert_known_everywhere(workspace, "memory", memory[model], "done")
        assert memory[model]["sharpness"] == memory["gan"]["sharpness"]  # nothing was made smaller for it
    steps = [line.split() for line in (workspace.folder / "steps").read_text().splitlines()]
    for model in ("hungry", "crowded", "killed"):
        pids = list(dict.fromkeys(pid for name, pid in steps if name == model))
        assert len(pids) == 2
        places = [place for place, step in enumerate(steps) if step == [model, pids[1]]]
        beside = {name for name, _ in steps[places[0] : places[-1] + 1]}
        assert beside == {model}


def test_a_worker_that_dies_after_its_last_word_is_not_missed(workspace: Workspace) -> None:
    (workspace.folder / "steps").unlink(missing_ok=True)
    workspace.run("run", suite_of(workspace, "lingering", ["lingering"]), "--workers", "1")
    assert (workspace.folder / "lingering").exists()  # it did die
    [row] = workspace.table("lingering")
    assert_known_everywhere(workspace, "lingering", row, "done")
    assert (workspace.folder / "steps").read_text().count("lingering") == 20


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("slow", ["reached the time limit of 5 s of training at step"]),
        ("hanging", ["no sign of life", "after step 2", "its worker was stopped"]),
    ],
)
def test_a_trial_past_its_time_limit_is_stopped(
    workspace: Workspace, late: dict[str, dict[str, str]], model: str, reason: list[str]
) -> None:
    assert_known_everywhere(workspace, "late", late[model], "timed-out", *reason)


def test_only_what_failed_to_run_is_tried_again(workspace: Workspace, outcomes: dict[str, dict[str, str]]) -> None:
    suite = suite_of(workspace, "again", ["diverging", "bad_samples", "bad_weights", "raising", "gan"])
    states = {trial["arm"].split()[0]: trial["state"] for trial in workspace.plan(suite)["trials"]}
    assert states == {model: row["state"] for model, row in outcomes.items() if model != "crashing"}
    output = workspace.run("run", suite, code=1)
    assert "5 trials, 4 done before" in output  # those that diverged would diverge again


def test_a_broken_plug_in_is_listed_with_its_reason(workspace: Workspace) -> None:
    listed = {line.split()[0]: line for line in workspace.run("list", "models").splitlines()}
    assert "no_such_module" in listed["broken"]
    assert "SystemExit: gone" in listed["leaving"]
    assert "slow" in listed
    suite = workspace.suite("names-it", base={"model": "broken"}, matrix={})
    assert "no_such_module" in workspace.run("plan", suite, code=2)


def test_metrics_that_need_a_judge_are_refused_where_there_is_none(workspace: Workspace) -> None:
    suite = workspace.suite("unjudged", data="unjudged")
    output = workspace.run("plan", suite, code=2)
    assert "mode_coverage: no judge knows the data 'unjudged'" in output
    assert "fid" not in output

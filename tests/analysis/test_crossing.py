"""`harness noise`: crossed trials are trained once and apart from the suite's; trained models are evaluated again."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from harness_cli import Workspace

from harness.analysis import crossing, noise
from harness.analysis.crossing import Crossing, crossed
from harness.analysis.noise import transformed
from harness.base.errors import HarnessError
from harness.base.seeds import derived
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.trial.device import computing
from harness.trial.evaluation import Evaluator, sampling_seed
from harness.trial.run import restored
from harness.trial.task import MODEL, WEIGHTS

SMALL = ("noise", "tiny.yaml", "--seeds", "3", "--workers", "1", "--device", "cpu")
CPU = torch.device("cpu")


def made(folder: Path, seeds: int, *arms: str) -> Crossing:
    return crossed(make_plan(read_suite(folder / "tiny.yaml")), arms, seeds)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[str]]:
    """A store in which the suite was run, then the noise of one arm, then of both; and what the commands printed."""
    workspace = Workspace(tmp_path_factory.mktemp("noise"), {"COLUMNS": "160"})
    workspace.suite(evaluate={"samples": 100, "metrics": ["fid", "sharpness"]})
    said = [workspace.run("run", "tiny.yaml", "--device", "cpu")]
    return workspace, [*said, workspace.run(*SMALL, "--arms", "gan"), workspace.run(*SMALL), workspace.run(*SMALL)]


def test_the_trials_are_a_latin_square_of_seeds(tmp_path: Path) -> None:
    Workspace(tmp_path).suite(seeds=[7, 4, 0, 9])
    found = made(tmp_path, 5)
    assert found.seeds == (7, 4, 0, 9, 1)  # those of the suite, then others
    assert list(found.trials) == ["gan", "gan + ema"]
    ordinary = {trial.key for trial in make_plan(read_suite(tmp_path / "tiny.yaml")).trials}
    for trials in found.trials.values():
        assert len({trial.key for trial in trials}) == 25
        each = [trial.seeds for trial in trials]
        for levels, seeds in zip(found.levels.tolist(), each, strict=True):
            assert [found.seeds[level] for level in levels] == [seeds.weights, seeds.order, seeds.latents]
        # Each has latents of its own in its evaluation, and the trials with one seed are those of the suite.
        assert len({seeds.samples for seeds in each}) == 25
        assert [seeds.weights for seeds in each if not seeds.own] == [7, 4, 0, 9, 1]
        assert len(ordinary & {trial.key for trial in trials}) == 4
    # The same seeds in both arms, so that they can be paired.
    one, other = found.trials.values()
    assert [trial.seeds for trial in one] == [trial.seeds for trial in other]
    assert (found.plan.suite.name, found.suite, found.baseline) == ("tiny-noise", "tiny", "gan")


def test_mistakes_have_one_message(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    plan = make_plan(read_suite(workspace.suite()))
    with pytest.raises(HarnessError, match="tiny has no value 'sharpnes', did you mean 'sharpness'"):
        crossing.chosen_columns(plan, ["sharpnes"])
    assert crossing.chosen_columns(plan, [])[:2] == ["sharpness", "fid"]
    assert "tiny trains no arm 'gann', did you mean 'gan'?" in workspace.run(*SMALL, "--arms", "gann", code=2)
    search = {"search": {"n_trials": 2, "space": {"model.latent": {"type": "int", "low": 8, "high": 64}}}}
    workspace.suite(matrix={"tricks": [[]]}, **search)
    assert "tiny has a search" in workspace.run(*SMALL, code=2)
    assert "3<=x<=32" in workspace.run("noise", "tiny.yaml", "--seeds", "2", code=2)


def test_only_the_difference_is_trained(measured: tuple[Workspace, list[str]]) -> None:
    _, (_, one, both, again) = measured
    # Of 9 trials of an arm the suite has two: seeds 0 and 1.
    assert "1 arm × 3² trials = 9, of which 7 are to be trained; then 2 more evaluations" in one
    assert "2 arms × 3² trials = 18, of which 7 are to be trained" in both
    assert "2 arms × 3² trials = 18, of which 0 are to be trained" in again
    assert one.count(": done in") == both.count(": done in") == 7
    assert again.count(": done in") == 0


def test_reports_and_verdicts_of_the_suite_do_not_see_them(measured: tuple[Workspace, list[str]]) -> None:
    workspace, _ = measured
    before = workspace.run("report", "tiny.yaml")
    rows = workspace.table()
    assert [(row["arm"], row["seed"]) for row in rows] == [(a, s) for a in ("gan", "gan + ema") for s in "01"]
    assert "2 seeds each" in before
    states = workspace.plan(workspace.folder / "tiny.yaml")["trials"]
    assert [trial["state"] for trial in states] == ["done"] * 4
    assert "done in" not in workspace.run("run", "tiny.yaml", "--device", "cpu")


def test_the_table_and_the_sentences(measured: tuple[Workspace, list[str]]) -> None:
    workspace, (*_, printed) = measured
    rows = workspace.table(name="noise")
    components = {(row["arm"], row["value"], row["source"]): row for row in rows if not row["paired_with"]}
    assert set(components) == {
        (arm, value, source)
        for arm in ("gan", "gan + ema")
        for value in ("fid", "sharpness")
        for source in (*noise.SOURCES, "total")
    }
    parts = [float(components["gan", "sharpness", source]["variance"]) for source in noise.SOURCES]
    assert sum(parts) == pytest.approx(float(components["gan", "sharpness", "total"]["variance"]), rel=0.02)
    own = [float(components["gan", "sharpness", source]["share"]) for source in noise.SOURCES]
    assert sum(own) == pytest.approx(1, abs=0.02)
    # After so few steps a network is nearly as it began.
    weights = components["gan", "sharpness", "weights"]
    assert float(weights["share_low"]) > 0.8
    assert (weights["trials"], weights["evaluations"]) == ("9", "3")
    [pairing] = [r for r in rows if r["paired_with"] == "gan" and (r["value"], r["source"]) == ("sharpness", "all")]
    assert float(pairing["share"]) > 0.9
    assert "initialisation alone is 9" in printed or "initialisation alone is 100 %" in printed
    assert "50 samples in place of 100 would do" in printed
    assert "Pairing gan + ema with gan by the seed removes" in printed


def test_another_order_of_the_square_shares_its_trials(measured: tuple[Workspace, list[str]]) -> None:
    workspace, _ = measured
    three, four = made(workspace.folder, 3, "gan"), made(workspace.folder, 4, "gan")
    assert three.todo(workspace.results) == 0
    shared = {trial.key for trial in three.plan.trials} & {trial.key for trial in four.plan.trials}
    assert len(shared) >= 3
    assert four.todo(workspace.results) == 16 - len(shared)


def test_the_component_of_the_evaluation_is_what_many_evaluations_of_each_model_give(
    measured: tuple[Workspace, list[str]],
) -> None:
    workspace, _ = measured
    found = made(workspace.folder, 3, "gan")
    sources = crossing.sources(found, workspace.results, "cpu", 6, ["sharpness", "fid"], lambda text: None)
    trials, store = found.trials["gan"], Store(workspace.results)
    runs, data = store.found(trials).current, trials[0].arm.data.make()
    evaluator = Evaluator(trials[0].arm.evaluate, data, data.load("train"), CPU, workspace.results / "cache")
    many: dict[str, list[float]] = {"sharpness": [], "fid": []}
    with computing(trials[0].arm, CPU):
        for trial in trials:
            path = store.record(runs[trial.key], "gan", False, trial).weights
            assert path is not None
            model = restored(trial.arm, trial.seed, CPU, data.shape, evaluator.training, path)
            values = [evaluator.evaluate(model, sampling_seed(derived(number, "test"))).values for number in range(50)]
            for column, variances in many.items():
                scaled = transformed([value[column] for value in values], found.plan.suite.columns[column])
                variances.append(float(np.var(scaled, ddof=1)))
    for column, variances in many.items():
        own = sources.arms["gan"][column]
        assert own is not None
        part, true = own.components["evaluation"], float(np.mean(variances))
        assert part.low < true < part.high
        assert part.value == pytest.approx(true, rel=0.5)
        assert true < own.total.value / 5  # it is not the whole variance, which is that of the models


def test_an_evaluation_is_computed_once(measured: tuple[Workspace, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, _ = measured
    computed: list[int] = []
    original = Evaluator.evaluate
    monkeypatch.setattr(Evaluator, "evaluate", lambda *args: (computed.append(1), original(*args))[1])
    found = made(workspace.folder, 3, "gan + ema")
    for evaluations, more in ((3, 0), (4, 9), (4, 0)):
        computed.clear()
        crossing.sources(found, workspace.results, "cpu", evaluations, ["fid"], lambda text: None)
        assert len(computed) == more


def test_a_trial_without_weights_is_left_out_by_name(measured: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    workspace = measured[0].copy(tmp_path / "copy")
    workspace.environment["COLUMNS"] = "160"
    [first, *_] = sorted(workspace.results.glob(f"artifacts/tiny/*/artifacts/{MODEL}/{WEIGHTS}"))
    config = json.loads((first.parent / "config.json").read_text())
    first.unlink()
    printed = workspace.run(*SMALL, code=1)
    assert printed.count("left out: ") == 1
    assert f"seed {config['seed']}: its file {WEIGHTS} is not at hand" in printed
    assert sorted({row["trials"] for row in workspace.table(name="noise") if row["trials"]}) == ["8", "9"]


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(measured: tuple[Workspace, list[str]], tmp_path: Path) -> None:
    whole, _ = measured
    workspace = Workspace(tmp_path, {"COLUMNS": "160"})
    workspace.suite(evaluate={"samples": 100, "metrics": ["fid", "sharpness"]})
    process = workspace.start(*SMALL, "--arms", "gan")
    assert process.stdout is not None
    for line in process.stdout:
        if "[3/9]" in line:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    time.sleep(0.5)
    printed = workspace.run(*SMALL, "--arms", "gan")
    # What was delivered or lies in a journal is not trained again.
    assert printed.count(": done in") in (5, 6)

    def components(one: Workspace) -> list[list[str]]:
        with (one.results / "tiny" / "noise.csv").open() as file:
            return [row for row in csv.reader(file) if row[:2] == ["gan", ""]]

    assert components(workspace) == components(whole)

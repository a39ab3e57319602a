"""`--only`: some arms of a suite, without taking the suite apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace

from harness.base.errors import HarnessError
from harness.suite import read_suite
from harness.suite.choosing import chosen
from harness.suite.plan import Plan, make_plan

BASE = {
    "matrix": {"tricks": [[], ["ema"], ["spectral_norm"]], "model.latent": [16, 32]},
    "compare": {"against": {"tricks": []}, "metric": "sharpness", "interaction": "model.latent"},
    "names": {"flipped, small": {"tricks": ["spectral_norm"], "model.latent": 16}},
    "expect": [
        {"where": {"tricks": ["ema"], "model.latent": 16}, "metric": "fid", "at_most": 9, "source": "of the chosen"},
        {"where": {"tricks": ["ema"], "model.latent": 32}, "metric": "fid", "at_most": 9, "source": "of another"},
        {
            "order": [{"tricks": ["ema"], "model.latent": 16}, {"tricks": ["spectral_norm"]}],
            "metric": "fid",
            "source": "lacks a place",
        },
    ],
}
THREE: dict[str, Any] = {"matrix": {"tricks": [[], ["ema"], ["spectral_norm"]]}, "seeds": 3}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(read_suite(Workspace(tmp_path).suite(**BASE)))


def names(plan: Plan) -> list[str]:
    return [cell.name for cell in plan.cells]


def test_names_and_patterns_choose_arms_and_keep_what_they_are_compared_with(plan: Plan) -> None:
    small = names(plan)[0]
    assert names(chosen(plan, [])) == names(plan)
    assert names(chosen(plan, ["flipped, small"])) == [small, "flipped, small"]  # its baseline, not that of the others
    assert names(chosen(plan, ["*ema*"])) == [names(plan)[place] for place in (0, 1, 2, 3)]
    left = chosen(plan, ["flipped, small", small])
    assert set(left.left_out) == set(names(plan)) - {small, "flipped, small"}


def test_what_is_chosen_keeps_its_keys_and_the_expectations_on_it(plan: Plan) -> None:
    left = chosen(plan, [names(plan)[2]])
    keys = {trial.key for trial in plan.trials}
    assert {trial.key for trial in left.trials} < keys
    assert len(left.trials) == 2 * 2
    assert [expectation.source for expectation in left.suite.expect] == ["of the chosen"]


def test_a_name_that_fits_nothing_is_one_message_with_all_arms(plan: Plan) -> None:
    with pytest.raises(HarnessError) as error:
        chosen(plan, ["*ema*", "fliped, small"])
    assert "did you mean 'flipped, small'?" in str(error.value)
    assert all(name in str(error.value) for name in names(plan))


def test_a_run_of_some_arms_leaves_the_report_of_all_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**THREE)
    some = workspace.run("run", suite, "--only", "*ema")
    assert "gan stays too: the arms of --only are compared with it" in some
    assert "2 of 3 arms, chosen with --only" in some
    assert {row["arm"] for row in workspace.table("tiny.only")} == {"gan", "gan + ema"}
    assert not (workspace.results / "tiny").exists()
    # The rest is trained, and nothing again.
    assert "9 trials, 6 done before" in workspace.run("run", suite)
    whole = (workspace.results / "tiny" / "report.html").read_bytes()
    shown = workspace.run("report", suite, "--only", "gan + ema")
    assert "spectral_norm" not in shown
    assert (workspace.results / "tiny" / "report.html").read_bytes() == whole
    assert "This page shows 2 of 3 arms" in (workspace.results / "tiny.only" / "report.html").read_text("utf-8")
    # Verdicts on some arms are corrected for all comparisons, and what was seen before is no further look.
    alone, among = ({r["arm"]: r for r in workspace.table(name, "verdicts")} for name in ("tiny.only", "tiny"))
    assert float(alone["gan + ema"]["confidence"]) == pytest.approx(1 - 0.025 / 2)
    assert (alone["gan + ema"]["look"], among["gan + ema"]["look"]) == ("1", "2")
    workspace.run("report", suite, "--only", "*spectral_norm")  # of what the look at all arms has seen
    assert [row["look"] for row in workspace.table("tiny.only", "verdicts") if row["verdict"]] == ["2"]
    # A check tests the chosen arms of the baseline, and never writes a smaller baseline.
    baseline = workspace.folder / "baseline.json"
    workspace.run("check", suite, "--baseline", baseline, "--update")
    assert "0 of 22 tests failed" in workspace.run("check", suite, "--baseline", baseline, "--only", "*ema")
    words = ("check", suite, "--baseline", baseline, "--only", "*ema", "--update")
    before = baseline.read_bytes()
    assert "leave out --only" in workspace.run(*words, code=2)
    assert baseline.read_bytes() == before
    assert len(json.loads(workspace.run("plan", suite, "--json", "--only", "gan"))["left_out"]) == 2


def test_a_search_of_some_cells(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    space = {"model.latent": {"type": "categorical", "choices": [8, 16]}}
    search = {"sampler": "random", "n_trials": 1, "space": space, "confirm": {"seeds": 1}}
    suite = workspace.suite(search=search, seeds=1, train={"steps": 2, "batch_size": 16})
    assert "1 of 2 arms, chosen with --only" in workspace.run("run", suite, "--only", "gan")
    assert {row["tricks"] for row in workspace.table("tiny.only")} == {""}

"""A search whose winners are confirmed, from the suite to the report, by the real command line."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace, numbers

SPACE = {"model.generator_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True}}
ORDER = [{"tricks": ["ema"]}, {"tricks": []}]
SUITE: dict[str, Any] = {
    "train": {"steps": 5, "batch_size": 16, "precision": "float32"},
    "seeds": 1,
    "expect": [{"order": ORDER, "metric": "sharpness", "source": "made up"}],
}


def search(n_trials: int = 2, **more: Any) -> dict[str, Any]:
    return {"sampler": "random", "n_trials": n_trials, "space": SPACE} | more


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("confirmed"), {"COLUMNS": "200"})
    workspace.suite(search=search(confirm={"seeds": 2}), **SUITE)
    (workspace.folder / "output").write_text(workspace.run("run", "tiny.yaml"))
    return workspace


def test_each_cell_s_best_configuration_is_trained_on_the_next_seeds(confirmed: Workspace) -> None:
    tried, new = confirmed.table(), confirmed.table(name="confirmed")
    for row in confirmed.table(name="searches"):
        of_cell = {one["arm"]: float(one["sharpness"]) for one in tried if one["arm"].startswith(f"{row['cell']} #")}
        assert len(of_cell) == 2
        best = max(of_cell, key=lambda arm: of_cell[arm])
        assert row["winner"] == best
        assert float(row["chosen_by"]) == pytest.approx(of_cell[best])
        values = {one["seed"]: float(one["sharpness"]) for one in new if one["arm"] == best}
        assert values.keys() == {"1", "2"}
        assert float(row["new_mean"]) == pytest.approx(statistics.fmean(values.values()))
        assert float(row["difference"]) == pytest.approx(float(row["new_mean"]) - float(row["chosen_by"]))
    assert {row["seed"] for row in tried} == {"0"}


def test_verdicts_and_expectations_are_on_new_seeds_only(confirmed: Workspace) -> None:
    baseline, other = [row["winner"] for row in confirmed.table(name="searches")]
    new = {(row["arm"], row["seed"]): float(row["sharpness"]) for row in confirmed.table(name="confirmed")}
    effect = statistics.fmean(new[other, seed] - new[baseline, seed] for seed in "12")
    verdicts = {row["arm"]: row for row in confirmed.table(name="verdicts")}
    assert verdicts.keys() == {baseline, other}
    assert verdicts[baseline]["verdict"] == ""
    assert float(verdicts[other]["effect"]) == pytest.approx(effect)
    [expected] = confirmed.table(name="expectations")
    assert (expected["arm"], expected["other"]) == (other, baseline)
    assert float(expected["effect"]) == pytest.approx(effect)


def test_the_page_and_the_console_show_both_means(confirmed: Workspace) -> None:
    page = (confirmed.results / "tiny" / "report.html").read_text("utf-8")
    output = (confirmed.folder / "output").read_text()
    assert "Tuned against tuned" in page
    assert output.count("chosen by Sharpness") == 2
    assert output.count("on new seeds") >= 2
    assert "undecided at every budget up to 2 configurations" in page
    assert "undecided at every budget up to 2 configurations" in output
    assert len(list((confirmed.results / "tiny" / "figures").glob("tuning-*.svg"))) == 1


def test_the_tuning_curve_is_a_table(confirmed: Workspace) -> None:
    rows = confirmed.table(name="tuning")
    assert [row["configurations"] for row in rows] == ["1", "2", "1", "2"]
    for row, search_ in zip(rows[1::2], confirmed.table(name="searches"), strict=True):
        assert float(row["expected_best"]) == pytest.approx(float(search_["chosen_by"]))


def test_another_run_trains_nothing(confirmed: Workspace, tmp_path: Path) -> None:
    again = confirmed.copy(tmp_path / "again")
    before = [again.table(name=name) for name in ("trials", "confirmed")]
    assert "done in" not in again.run("run", "tiny.yaml")
    assert [again.table(name=name) for name in ("trials", "confirmed")] == before


def test_a_search_without_confirm_has_no_verdict_and_adding_it_keeps_the_search(
    confirmed: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path, {"COLUMNS": "200"})
    workspace.suite(search=search(), **SUITE | {"expect": []})
    output = workspace.run("run", "tiny.yaml")
    assert "Against" not in output
    assert "not confirmed on new seeds" in output
    assert {row["verdict"] for row in workspace.table(name="verdicts")} == {""}
    ids = [row["mlflow_run_id"] for row in workspace.table()]
    workspace.suite(search=search(confirm={"seeds": 2}), **SUITE)
    workspace.run("run", "tiny.yaml")
    assert [row["mlflow_run_id"] for row in workspace.table()] == ids
    for name in ("trials", "confirmed"):
        assert numbers(workspace.table(name=name)) == numbers(confirmed.table(name=name))


def test_a_longer_search_trains_only_what_is_new(confirmed: Workspace, tmp_path: Path) -> None:
    longer = confirmed.copy(tmp_path / "longer")
    old = {row["key"]: row["mlflow_run_id"] for name in ("trials", "confirmed") for row in longer.table(name=name)}
    longer.suite(search=search(n_trials=5, confirm={"seeds": 2}), **SUITE)
    output = longer.run("run", "tiny.yaml")
    now = {row["key"]: row["mlflow_run_id"] for name in ("trials", "confirmed") for row in longer.table(name=name)}
    trained = output.count("done in")
    assert {key: now[key] for key in now if key in old} == {key: run for key, run in old.items() if key in now}
    assert trained == len(now.keys() - old.keys())
    assert len(longer.table()) == 10
    winners = {row["winner"] for row in longer.table(name="searches")}
    assert {row["arm"] for row in longer.table(name="confirmed")} == winners


def test_a_plan_says_that_winners_are_confirmed(confirmed: Workspace) -> None:
    assert "then the best configuration of each cell on 2 new seeds" in confirmed.run("plan", "tiny.yaml")


def test_tuned_and_untuned_rates_in_one_suite_are_said(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"COLUMNS": "200"})
    mixed = {"base": {}, "matrix": {"model": ["dcgan", "lsgan", "gan"]}, "compare": {"metric": "sharpness"}}
    workspace.suite(**mixed)
    told = workspace.run("plan", "tiny.yaml")
    assert "the learning rates of dcgan are tuned" in told
    assert "paper (lsgan); untuned default (gan)" in told
    for changes in (
        {"matrix": {"model": ["lsgan", "gan"]}},  # none is tuned
        {"matrix": {"model": ["dcgan", "lsgan"], "model.generator_rate": [0.001]}},  # the suite sets the rates
        {"search": search()},  # tunes all
    ):
        workspace.suite(**mixed | changes)
        assert "warning" not in workspace.run("plan", "tiny.yaml")


def test_the_list_of_models_says_where_rates_come_from() -> None:
    from harness.cli import overview

    lines = {line.split()[0]: line for line in overview.plugins("models")}
    assert lines["dcgan"].endswith("(rates: tuned: probes on MNIST at small budgets)")
    assert lines["wgan"].endswith("(rates: paper)")
    assert lines["gan"].endswith("(rates: untuned default)")
    assert "rates:" not in " ".join(overview.plugins("tricks"))

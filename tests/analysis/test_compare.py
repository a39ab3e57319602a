"""Arms, runs and suites side by side: the command, and what notebooks load."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness_cli import Workspace

import harness
from harness.analysis import comparison, regression, statistics
from harness.analysis.expectations import _measured
from harness.analysis.protocol import ProtocolMismatch
from harness.analysis.results import Results
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.report import tables, words
from harness.store.record import Record

QUICK = {"train": {"steps": 2, "batch_size": 16, "precision": "float32"}, "seeds": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two suites that share an arm's name, not its steps; one of another protocol; all trained."""
    workspace = Workspace(tmp_path_factory.mktemp("compare"), {"COLUMNS": "200"})
    tiny = workspace.suite("tiny", **QUICK)
    longer = workspace.suite("longer", **QUICK | {"train": QUICK["train"] | {"steps": 4}})  # type: ignore[operator]
    evaluate = {"samples": 64, "metrics": ["sharpness"]}
    fewer = workspace.suite("fewer", **QUICK, matrix={"tricks": [[]]}, evaluate=evaluate)
    formats = {"train.precision": ["float32", "bfloat16"]}
    halves = workspace.suite("halves", **QUICK, matrix=formats, compare={"metric": "sharpness"})
    digits = {"data": ["digits", {"name": "digits", "limit": 500}]}
    amounts = workspace.suite("amounts", **QUICK, matrix=digits, compare={"metric": "sharpness"})
    workspace.run("run", tiny, longer, fewer, halves, amounts, "--workers", "1", "--device", "cpu")
    return workspace


def _arms(workspace: Workspace, suite: str) -> list[str]:
    return list(dict.fromkeys(row["arm"] for row in workspace.table(suite)))


def test_two_arms_on_every_value(trained: Workspace) -> None:
    output = trained.run("compare", "gan + ema", "gan", "--suite", "tiny.yaml")
    for expected in ("FID ↓", "covered", "inconclusive", "Holm", "gan + ema against gan", "tricks.ema"):
        assert expected.lower() in output.lower()


def test_one_metric_needs_no_correction(trained: Workspace) -> None:
    output = trained.run("compare", "gan + ema", "gan", "--suite", "tiny.yaml", "--metric", "fid")
    assert "FID" in output
    assert "covered" not in output
    assert "Holm" not in output


def test_markdown(trained: Workspace) -> None:
    output = trained.run("compare", "gan + ema", "gan", "--suite", "tiny.yaml", "--markdown")
    assert output.startswith("| value | gan + ema | gan | effect | interval | seeds | p | verdict |\n| --- |")


def test_two_runs_with_the_settings_that_differ(trained: Workspace) -> None:
    tiny, longer = trained.table("tiny")[0], trained.table("longer")[0]
    output = trained.run("compare", tiny["key"], longer["mlflow_run_id"][:16])
    assert "train.steps" in output
    assert "evaluate.samples" not in output
    assert "verdict" not in output
    assert tiny["sharpness"] != longer["sharpness"]
    assert f"{float(tiny['sharpness']):.3f}" in output
    assert f"{float(longer['sharpness']):.3f}" in output


def test_two_suites_arm_by_arm(trained: Workspace) -> None:
    output = trained.run("compare", "tiny.yaml", "longer.yaml")
    for expected in ("tiny", "longer", "gan + ema", "train.steps", "2 arms were tested together"):
        assert expected in output


def test_the_same_trials_are_not_tested(trained: Workspace) -> None:
    shutil.copy(trained.folder / "tiny.yaml", trained.folder / "copy.yaml")
    output = trained.run("compare", "tiny.yaml", "copy.yaml")
    assert output.count("the same trials") == 2
    assert "Holm" not in output


def test_other_protocols_are_refused_by_field(trained: Workspace) -> None:
    output = trained.run("compare", "tiny.yaml", "fewer.yaml", code=2)
    assert "samples: 100 against 64" in output
    runs = [trained.table(name)[0]["mlflow_run_id"] for name in ("tiny", "fewer")]
    assert "samples: 100 against 64" in trained.run("compare", *runs, code=2)
    one, other = _arms(trained, "amounts")
    output = trained.run("compare", one, other, "--suite", "amounts.yaml", code=2)
    assert "data_hash: " in output
    runs = [row["mlflow_run_id"] for row in trained.table("halves") if row["seed"] == "0"]
    assert "trained_in: " in trained.run("compare", *runs, code=2)


def test_the_summary_names_the_arms_without_a_verdict(trained: Workspace) -> None:
    output = trained.run("report", "amounts.yaml")
    assert "different protocols, so there is no verdict" in output
    assert "no verdict on" in output
    assert "data_hash: " in output


def test_a_suite_that_asks_about_the_number_format_has_a_verdict(trained: Workspace) -> None:
    output = trained.run("report", "halves.yaml")
    assert "no verdict on" not in output
    assert "against gan with precision=float32" in output
    one, other = _arms(trained, "halves")
    assert "trained_in" not in trained.run("compare", one, other, "--suite", "halves.yaml")
    warning = "measured by different protocols"
    pages = {name: (trained.results / name / "report.html").read_text() for name in ("halves", "amounts")}
    assert warning not in pages["halves"]
    assert warning in pages["amounts"]


def test_a_number_format_that_a_machine_chooses_is_compared_with_no_other(trained: Workspace) -> None:
    asked = harness.load(trained.folder / "halves.yaml", trained.results).results
    suite = asked.plan.suite.model_copy(update={"matrix": {"train.precision": ("float32", "auto")}})
    chosen = dataclasses.replace(asked, plan=dataclasses.replace(asked.plan, suite=suite))
    assert asked.protocols == []
    assert {difference.field for difference in chosen.protocols} == {"trained_in"}
    assert {difference.field for difference in chosen.differing(*asked.arms)} == {"trained_in"}


@pytest.mark.parametrize(
    ("words_", "expected"),
    [
        (("gan + emma", "gan", "--suite", "tiny.yaml"), "did you mean 'gan + ema'?"),
        (("gan + ema", "gan", "--suite", "tiny.yaml", "--metric", "fit"), "did you mean 'fid'?"),
        (("gan", "gan", "--suite", "tiny.yaml"), "given twice"),
        (("gan", "gan + ema"), "To compare arms, add --suite SUITE"),
        (("nosuch.yaml", "tiny.yaml"), "nosuch.yaml: no such file"),
        (("abc", "abd", "--set", "seeds=1"), "runs have none"),
    ],
)
def test_mistakes(trained: Workspace, words_: tuple[str, ...], expected: str) -> None:
    output = trained.run("compare", *words_, code=2)
    assert expected in output
    assert len(output.splitlines()) == 1


def test_the_beginning_of_several_runs_is_refused(trained: Workspace) -> None:
    rows = [row for name in ("tiny", "longer", "fewer", "halves") for row in trained.table(name)]
    names = {row["mlflow_run_id"]: row["key"] for row in rows}  # suites share trials
    several = next(c for c in "0123456789abcdef" if sum(run[0] == c or key[0] == c for run, key in names.items()) > 1)
    assert "give more characters" in trained.run("compare", several, rows[0]["mlflow_run_id"], code=2)


def test_notebooks_load_a_suite_in_a_line(trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = harness.load(trained.folder / "tiny.yaml", trained.results)
    assert len(loaded.trials) == 6
    assert set(loaded.arms["arm"]) == {"gan", "gan + ema"}
    assert {"generator_loss", "discriminator_loss"} <= set(loaded.curves["name"])
    assert list(loaded.verdicts["arm"]) == ["gan + ema"]
    (trained.folder / "suites").mkdir(exist_ok=True)
    shutil.copy(trained.folder / "tiny.yaml", trained.folder / "suites")
    monkeypatch.chdir(trained.folder)
    assert harness.load("tiny").trials.equals(loaded.trials)
    with pytest.raises(HarnessError, match="did you mean 'tiny'"):
        harness.load("tinny")
    with pytest.raises(HarnessError, match="has no trial of tiny: run `harness run tiny` first"):
        harness.load("tiny", tmp_path / "elsewhere")
    table = loaded.compare("gan + ema", "gan").set_index("value")
    values = loaded.trials.pivot(index="seed", columns="arm", values="sharpness")
    effect = (values["gan + ema"] - values["gan"]).mean()
    assert table.loc["sharpness", "effect"] == pytest.approx(effect)
    assert effect != 0


def _results(tmp_path: Path, values: Callable[[str, int], float | None]) -> Results:
    """Two arms at five seeds with these FIDs; None for a trial that diverged."""
    from harness.suite import read_suite
    from harness.suite.plan import make_plan

    order = {"order": [{"tricks": []}, {"tricks": ["ema"]}], "metric": "fid", "source": "made up"}
    suite = Workspace(tmp_path).suite("made_up", seeds=5, expect=[order], compare={"metric": "fid"})
    plan = make_plan(read_suite(suite))
    records = []
    for trial in plan.trials:
        fid = values(trial.arm.name, trial.seed)
        folder = tmp_path / trial.key
        folder.mkdir(exist_ok=True)
        (folder / "protocol.json").write_text(json.dumps({"fid": {"samples": 100}}))
        own = {} if fid is None else {"fid": fid, "covered_classes": 10.0 + trial.seed}
        state = State.DIVERGED if fid is None else State.DONE
        head = (trial.key, trial.arm.name, "gan", "", "digits", trial.seed, state, "", 1.0, 1.0)
        records.append(Record(*head, own, trial.key, [], folder, {}))
    return Results(plan, tuple(records), 0, "", "made_up")


def test_values_tested_together_are_corrected(tmp_path: Path) -> None:
    noise = (-0.3, 0.1, 0.2, -0.1, 0.15)
    results = _results(tmp_path, lambda arm, seed: 10.0 if arm == "gan" else 7.0 + noise[seed])
    alone = comparison.arms(results, "gan + ema", "gan", "fid").rows[0].verdict
    found = comparison.arms(results, "gan + ema", "gan")
    together = found.rows[0].verdict
    assert alone is not None
    assert together is not None
    assert alone.kind == together.kind == "better"
    asked = len(found.tested)
    assert asked == 2  # the others have no value here
    assert together.p == pytest.approx(asked * alone.p)
    assert together.confidence == pytest.approx(1 - statistics.ALPHA / asked)
    assert any("at most 5 %" in text for text in words.comparing(found))


def test_the_other_way_round_is_worse(tmp_path: Path) -> None:
    results = _results(tmp_path, lambda arm, seed: (10.0 if arm == "gan" else 7.0) + seed % 2 * (len(arm) % 3))
    forth, back = (
        comparison.arms(results, *pair, "fid").rows[0] for pair in (("gan + ema", "gan"), ("gan", "gan + ema"))
    )
    assert forth.verdict
    assert back.verdict
    assert forth.verdict.effect == pytest.approx(1 / back.verdict.effect)  # factors
    assert (forth.one, forth.other) == (back.other, back.one)


def test_failed_trials_stand_against_a_verdict(tmp_path: Path) -> None:
    results = _results(tmp_path, lambda arm, seed: 10.0 + 0.1 * seed if arm == "gan" else None if seed == 4 else 7.0)
    found = comparison.arms(results, "gan + ema", "gan", "fid")
    assert any("1 of 5 trials" in text for text in words.comparing(found))


def test_an_arm_of_another_protocol_has_no_verdict(tmp_path: Path) -> None:
    results = _results(tmp_path, lambda arm, seed: len(arm) + 0.1 * seed)
    assert results.mismatched == {}
    assert len(results.verdicts()) == 1
    assert results.expectations()[0].outcome == "consistent"
    odd = results.of("gan + ema")[2].artifacts
    assert odd is not None
    (odd / "protocol.json").write_text(json.dumps({"fid": {"samples": 50}}))
    # Results and records keep what they have read.
    results = dataclasses.replace(results, records=tuple(map(dataclasses.replace, results.records)))
    assert [d[1:] for d in results.mismatched["gan + ema"]] in ([("samples", 100, 50)], [("samples", 50, 100)])
    assert results.verdicts() == []
    assert results.expectations()[0].outcome == "open"
    with pytest.raises(ProtocolMismatch, match="samples: "):
        comparison.arms(results, "gan + ema", "gan")
    board = results.leaderboard()  # the page is still written, without a mean of what cannot be averaged
    assert list(board["arm"]) == ["gan", "gan + ema"]
    assert list(np.isfinite(board["fid_mean"])) == [True, False]
    assert np.isnan(tables.verdicts(results).set_index("arm")["iqm"]["gan + ema"])
    for text in (tables.leaderboard_markdown(results), tables.verdicts_markdown(results)):
        assert "No verdict on gan + ema: measured by another protocol (samples: " in text
    assert len(results.trials()) == 10  # which have their values


def test_another_protocol_never_ranks(tmp_path: Path) -> None:
    # All of an arm, measured on fewer samples and lower than all others: it comes last, and fills no failed trial.
    results = _results(tmp_path, lambda arm, seed: 10.0 + seed if arm == "gan" else 0.5)
    for record in results.of("gan + ema"):
        assert record.artifacts is not None
        (record.artifacts / "protocol.json").write_text(json.dumps({"fid": {"samples": 50}}))
    results = dataclasses.replace(results)
    assert list(results.leaderboard()["arm"]) == ["gan", "gan + ema"]
    assert _measured(results, "gan + ema", "fid").mean == 0.5  # its own trials agree, so a paper's figure can be held


def test_unknown_protocols_are_reported(tmp_path: Path) -> None:
    results = _results(tmp_path, lambda arm, seed: len(arm) + 0.1 * seed)
    gone = results.of("gan + ema")[2].artifacts
    assert gone is not None
    (gone / "protocol.json").unlink()
    results = dataclasses.replace(results)
    assert len(results.unchecked) == 1
    assert any("The protocol of 1 trial was not checked" in line for line in words.reading(results))
    remarks = comparison.arms(results, "gan + ema", "gan").remarks
    assert ["seed 2" in remark and "was not checked" in remark for remark in remarks] == [True]
    with pytest.raises(HarnessError, match=r"the protocol of gan \+ ema, seed 2, is unknown"):
        regression.measured(results)


def test_failures_stand_in_the_headline(tmp_path: Path) -> None:
    results = _results(tmp_path, lambda arm, seed: 10.0 + seed if arm == "gan" else None)
    assert words.headline(results).endswith("Trials failed: gan + ema (5 of 5).")

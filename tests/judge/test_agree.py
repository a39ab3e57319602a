"""`harness judge agree`: the samples of finished trials, judged again by two judges."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from harness_cli import Workspace

from harness.analysis import agreement, loading
from harness.analysis.agreement import Ranking
from harness.metrics.base import Value
from harness.report import words
from harness.suite import read_suite
from harness.suite.plan import make_plan

FID = Value("FID", "lower", "")


def test_samples_are_drawn_again_as_they_were_judged(tiny_store: Workspace) -> None:
    results = loading.load(make_plan(read_suite(tiny_store.folder / "tiny.yaml")), tiny_store.results)
    said: list[str] = []
    found = agreement.agreement(results, "mnist-check", "cpu", report=said.append)
    assert found.judges == ("mnist", "mnist-check")
    assert found.trials == len(said) == len(results.records) == 4
    assert not found.left_out
    rankings = {ranking.column: ranking for ranking in found.rankings}
    # By the first judge the values are those of the store, to the last digit; by the other one they differ.
    for arm, (one, other) in rankings["fid"].means.items():
        own = results.by_seed(arm, "fid").values()
        assert one == pytest.approx(sum(own) / len(own), rel=1e-12)
        assert other != pytest.approx(one, rel=1e-3)
    assert "sharpness" not in rankings  # no judge is asked for it


def test_the_command_says_whether_the_order_survives(tiny_store: Workspace) -> None:
    printed = " ".join(tiny_store.run("judge", "agree", "tiny.yaml", "--samples", "50").split())
    assert "gan + ema, seed 1: judged by mnist and by mnist-check" in printed
    assert "Kendall's τ" in printed
    assert "did you mean 'mnist-check'" in tiny_store.run(
        "judge", "agree", "tiny.yaml", "--judge", "mnist-chek", code=2
    )


def test_without_a_finished_trial_it_says_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert "no trial of tiny can be judged" in workspace.run("judge", "agree", workspace.suite(), code=2)


def test_a_trial_without_its_weights_is_named(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    first, *others = sorted(workspace.results.glob("artifacts/tiny/*/artifacts/generator/generator.safetensors"))
    first.unlink()
    printed = workspace.run("judge", "agree", "tiny.yaml", "--samples", "50")
    assert printed.count("judged by mnist and") == len(others) == 3
    assert "not judged: gan" in printed


def ranked(means: dict[str, tuple[float, float]]) -> Ranking | None:
    values = {arm: [({"fid": one}, {"fid": other})] for arm, (one, other) in means.items()}
    return agreement._ranking("fid", FID, values)


def test_rankings_by_hand() -> None:
    # Three pairs, of which b and c change places: τ = (2 − 1) / 3.
    found = ranked({"a": (1, 10), "b": (2, 30), "c": (3, 20)})
    assert found is not None
    assert found.correlation == pytest.approx(1 / 3)
    assert found.swapped == (("b", "c"),)
    assert (found.best(0), found.best(1)) == (("a",), ("a",))
    text = "FID: Kendall's τ 0.33; both put a first; 1 of 3 pairs in another order: b / c."
    assert words.agreeing(found, ("one", "other")) == text
    turned = ranked({"a": (1, 2), "b": (2, 1)})
    assert turned is not None
    assert turned.correlation == -1
    assert "one puts a first, other b" in words.agreeing(turned, ("one", "other"))
    flat = ranked({"a": (1, 2), "b": (1, 3)})
    assert flat is not None
    assert math.isnan(flat.correlation)
    assert "one puts a and b first, other a;" in words.agreeing(flat, ("one", "other"))
    assert ranked({"a": (1, 2)}) is None
    assert ranked({"a": (1, 1), "b": (2, 2)}) is None

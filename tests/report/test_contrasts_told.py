"""Interactions and verdicts over data sets on made-up results: which are asked, what is written, and looks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.analysis import across, family, interactions, looks
from harness.analysis.results import Results
from harness.analysis.statistics import VerdictKind
from harness.report import contrasts, page

SUITE = """\
suite: made_up
data: digits
train: {steps: 2000, batch_size: 64}
seeds: SEEDS
base: {model: dcgan}
matrix:
  AXIS
  tricks: [[], [ema], [feature_matching]]
evaluate: {samples: 2000, metrics: [fid]}
compare: {against: {tricks: []}MORE, metric: fid}
"""
LIMITS = SUITE.replace("AXIS", "data.limit: [200, 1000]").replace("MORE", ", interaction: data.limit")
SETS = SUITE.replace("AXIS", "data: [{name: digits, limit: 200}, {name: digits, limit: 1000}]").replace("MORE", "")
ARMS = {
    "dcgan on digits (limit=200)": (20.0, 0.0),
    "dcgan + ema on digits (limit=200)": (10.0, 0.0),
    "dcgan + feature_matching on digits (limit=200)": (15.0, 0.0),
    "dcgan on digits (limit=1000)": (20.0, 0.0),
    "dcgan + ema on digits (limit=1000)": (18.0, 0.0),
    "dcgan + feature_matching on digits (limit=1000)": (15.0, 0.0),
}
Make = Callable[..., Results]


def test_the_questions_that_a_suite_declares(make_results: Make) -> None:
    names = list(ARMS)
    limits, sets = make_results(text=LIMITS, arms=ARMS).plan, make_results(text=SETS, arms=ARMS).plan
    comparisons = [(names[i], names[i - i % 3]) for i in (1, 2, 4, 5)]
    ema, matching = (names[1], names[0], names[4], names[3]), (names[2], names[0], names[5], names[3])
    assert family.declared(limits) == (*comparisons, ema, matching)
    assert [(one.axis, one.value, one.other) for one in family.interactions(limits)] == [
        ("data.limit", "200", "1000")
    ] * 2
    # An axis data asks for the verdict over the data sets; data.limit does not.
    assert family.groups(limits) == []
    assert family.declared(sets)[4] == (names[1], names[4], names[0], names[3])
    assert [one.arm for one in family.groups(sets)] == ["dcgan + ema", "dcgan + feature_matching"]


def test_an_interaction_is_told(make_results: Make, tmp_path: Path) -> None:
    results = make_results(text=LIMITS, arms=ARMS)
    ema, matching = interactions.found(results)
    assert (ema.verdict.kind, ema.verdict.effect) == ("better", pytest.approx(0.55, abs=0.05))
    assert matching.verdict.kind != "better"
    [section] = contrasts.sections(results)
    told = section.sentences[0][1]
    assert told.startswith("dcgan + ema helps more at data.limit 200 than at 1000: FID × 0.5")
    text = page.write(results, tmp_path / "report").read_text(encoding="utf-8")
    assert "dcgan + ema helps more at data.limit 200 than at 1000" in text
    table = pd.read_csv(tmp_path / "report" / "interactions.csv")
    assert table["verdict"][0] == "better"
    assert table["effect"][0] == ema.verdict.effect
    assert not (tmp_path / "report" / "across.csv").exists()


def test_an_arm_that_harms_at_both_values_harms_less(make_results: Make) -> None:
    worse = dict(zip(ARMS, [(fid, 0.0) for fid in (10.0, 12.0, 10.0, 10.0, 30.0, 10.0)], strict=True))
    [section] = contrasts.sections(make_results(text=LIMITS, arms=worse))
    assert section.sentences[0][1].startswith("dcgan + ema harms less at data.limit 200 than at 1000")


def test_a_verdict_over_data_sets_is_told(make_results: Make, tmp_path: Path) -> None:
    results = make_results(text=SETS, arms=ARMS)
    ema, matching = across.found(results)
    assert (matching.verdict.kind, matching.verdict.effect) == ("better", pytest.approx(0.75, abs=0.03))
    assert (matching.kinds, ema.kinds["better"]) == ({"better": 2}, 2)
    assert matching.iqm.mean == pytest.approx(0.75, abs=0.03)
    assert matching.iqm.low < matching.iqm.mean < matching.iqm.high
    [section] = contrasts.sections(results)
    assert "dcgan + feature_matching is better over 2 data sets" in section.sentences[1][1]
    page.write(results, tmp_path / "report")
    table = pd.read_csv(tmp_path / "report" / "across.csv")
    assert table["effect"].tolist() == [ema.verdict.effect, matching.verdict.effect]


def test_without_all_data_sets_there_is_no_verdict_over_them(make_results: Make) -> None:
    results = make_results(text=SETS, arms=dict(list(ARMS.items())[:5]))
    assert [one.of.arm for one in across.found(results)] == ["dcgan + ema"]
    assert contrasts.missing(results).startswith("1 verdict over data sets or on interactions needs")
    assert contrasts.missing(make_results(text=SETS, arms=ARMS)) == ""


def test_a_suite_without_them_has_none(make_results: Make) -> None:
    results = make_results()
    assert contrasts.sections(results) == []
    assert contrasts.missing(results) == ""


def test_they_are_corrected_with_the_comparisons_and_settled_by_looks(make_results: Make, tmp_path: Path) -> None:
    results = make_results(text=LIMITS, arms=ARMS)
    distinct = tuple(dataclasses.replace(record, key=f"{number:016x}") for number, record in enumerate(results.records))
    first = looks.take(dataclasses.replace(results, records=distinct), tmp_path)
    assert len(first.answered()) == 6
    key = family.interactions(results.plan)[0].key
    read = looks.Looks.read(tmp_path, results.plan.suite)
    assert read.taken[0].settled[key] == "better"
    # A later look, of fewer trials: what was settled stays.
    later = looks.take(dataclasses.replace(results, records=distinct[:-1]), tmp_path)
    assert (later.answered()[key].kind, later.answered()[key].settled) == ("better", 1)


def test_an_open_interaction_keeps_its_arms_open(make_results: Make, tmp_path: Path) -> None:
    text = LIMITS.replace("seeds: SEEDS", "seeds: {start: 3, most: 6}")
    progress = looks.progress(make_results(seeds=3, text=text, arms=ARMS).plan, tmp_path)
    assert set(progress.open) == set(family.declared(progress.plan))
    [key, _] = [one.key for one in family.interactions(progress.plan)]
    # All but the interaction are settled by a first look: its four arms go on, the two others stay.
    first = looks.Taken(3, tuple(trial.key for trial in progress.plan.trials), (0.01,) * 6, {})
    settled: dict[family.Key, VerdictKind] = {arms: "better" for arms in progress.open if arms != key}
    looks.Looks.read(tmp_path, progress.plan.suite).add(dataclasses.replace(first, settled=settled))
    ahead = looks.progress(progress.plan, tmp_path)
    assert ahead.open == (key,)
    more = {trial.arm.name for trial in ahead.plan.trials if trial.seed >= 3}
    assert more == set(key)

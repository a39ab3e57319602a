"""What the report says of searches, in words; searches and trials are made up."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_up import SUITE
from surfaces import ONE, OTHER

from harness.analysis import statistics
from harness.analysis.results import Results
from harness.analysis.tuning import CellSearch, Stretch
from harness.report import page
from harness.report.tuning import Tuning, Winner, chosen, parting

SEARCHED = SUITE + "search: {sampler: random, n_trials: 3, space: {model.beta1: {type: float, low: 0, high: 0.5}}}\n"
Make = Callable[..., Results]


def search(cell: str, values: list[float], independent: bool = True, seconds: float = 60) -> CellSearch:
    return CellSearch(cell, tuple(values), independent, seconds, None, math.nan)


def tuned(make_results: Make, *searches: CellSearch) -> Tuning:
    return Tuning(dataclasses.replace(make_results(text=SEARCHED), searches=searches))


def test_equal_searches_have_no_warning(make_results: Make) -> None:
    assert tuned(make_results, search("dcgan", [3, 4]), search("dcgan + ema", [4, 5])).warnings == []


def test_unequal_budgets_are_said(make_results: Make) -> None:
    found = tuned(make_results, search("dcgan + ema", [4, 5], seconds=90), search("dcgan", [3], seconds=60)).warnings
    assert found == [
        "The searches have tried different numbers of configurations (dcgan: 1; dcgan + ema: 2).",
        "The searches had no equal budget in seconds: dcgan + ema was trained for 90 s and dcgan for 60 s, which "
        "differ by more than the factor 1.25.",
    ]


def test_dependent_configurations_are_said_and_nothing_is_concluded_from_their_curves(make_results: Make) -> None:
    made = tuned(make_results, search("dcgan", [3, 4], independent=False), search("dcgan + ema", [40, 50]))
    [warning] = made.warnings
    assert warning.startswith("The curves are those of these searches as they went, without a band")
    assert made.partings == []


def test_where_curves_part_is_said_against_the_baseline(make_results: Make) -> None:
    one, other = ONE.search("dcgan", 100, seed=1), OTHER.search("dcgan + ema", 100, seed=2)
    [told] = tuned(make_results, other, one).partings
    assert told.startswith("dcgan + ema against dcgan: dcgan is better ")
    assert "; dcgan + ema is better from " in told
    assert told.endswith("to 100 configurations.")


def test_the_words_of_one_and_of_many_budgets() -> None:
    stretches = [Stretch(1, 1, "one"), Stretch(2, 7, "undecided"), Stretch(8, 9, "other")]
    assert parting("a", "b", stretches) == (
        "a against b: a is better with 1 configuration; undecided from 2 to 7 configurations; b is better from 8 to 9 "
        "configurations."
    )
    assert (
        parting("a", "b", [Stretch(1, 9, "one")]) == "a against b: a is better at every budget up to 9 configurations."
    )


@pytest.mark.parametrize(
    ("interval", "n", "failed", "confirmed", "told"),
    [
        ((13.0, 12.0, 14.0), 3, 0, True, "on new seeds 13.00 (95 % interval 12.00 to 14.00, 3 seeds): +1.00."),
        ((13.0, np.nan, np.nan), 1, 2, True, "on new seeds 13.00 (1 seed, 2 more failed): +1.00."),
        ((np.nan, np.nan, np.nan), 0, 3, True, "on new seeds all 3 trials failed."),
        ((np.nan, np.nan, np.nan), 0, 0, True, "on new seeds no value yet."),
        ((np.nan, np.nan, np.nan), 0, 0, False, "not confirmed on new seeds."),
    ],
)
def test_both_means_of_a_winner_are_told(
    make_results: Make, interval: tuple[float, ...], n: int, failed: int, confirmed: bool, told: str
) -> None:
    made = CellSearch("dcgan", (12.0, 15.0), True, 1.0, "dcgan #0", 12.0)
    winner = Winner(made, statistics.Interval(*interval), n, failed)
    text = chosen(winner, make_results().values["fid"], confirmed)
    assert text == f"dcgan #0: chosen by FID 12.00, the best of 2 configurations; {told}"


def test_a_search_in_which_everything_failed_has_a_page(make_results: Make, tmp_path: Path) -> None:
    failed, ended = search("dcgan", [math.nan, math.nan]), search("dcgan + ema", [math.nan, 4.0])
    made = tuned(make_results, failed, ended)
    text = page.write(made.results, tmp_path / "page").read_text("utf-8")
    assert "Tuned against tuned" in text
    assert "2 (2 failed)" in text
    assert (tmp_path / "page" / "tuning.csv").read_text().count("\n") == 5

"""Tuning curves: by hand, and on a surface where one arm is better untuned and another is better tuned."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from surfaces import ONE, OTHER, Surface, coverage

from harness.analysis import tuning
from harness.analysis.tuning import CellSearch, Curve, Stretch


def search(cell: str, values: list[float], independent: bool = True, seconds: float = 10) -> CellSearch:
    return CellSearch(cell, tuple(values), independent, seconds, None, math.nan)


def test_the_mean_of_the_best_is_that_over_all_subsets() -> None:
    values = [5.0, 3.0, 9.0, 4.0, 7.0]
    [curve] = tuning.curves([search("a", values)], "minimize")
    by_hand = [np.mean([min(some) for some in itertools.combinations(values, n)]) for n in range(1, 6)]
    assert curve.mean == pytest.approx(by_hand)
    [curve] = tuning.curves([search("a", values)], "maximize")
    by_hand = [np.mean([max(some) for some in itertools.combinations(values, n)]) for n in range(1, 6)]
    assert curve.mean == pytest.approx(by_hand)


def test_the_median_of_the_best_is_a_quantile_of_single_values() -> None:
    values = [float(value) for value in range(1, 11)]
    [curve] = tuning.curves([search("a", values)], "minimize")
    # The best of n is at most x with chance 1 − (1 − F(x))^n: half at F = 1 − 2^(−1/n), of ten values the next tenth.
    assert list(curve.best[:3]) == [5, 3, 3]
    assert curve.best[-1] == math.ceil(10 * (1 - 0.5**0.1))


def test_the_band_is_that_of_the_order_statistics() -> None:
    """By hand for one value u of a uniform distribution: the band holds u in its equal-tailed 95 % interval."""
    [curve] = tuning.curves([search("a", [0.3])], "minimize", scale=(0.0, 1.0))
    # F at 0.3 lies in [.025, .975], so that the median is at most .3 only if .975 > .5, and at least .3 as .025 < .5.
    assert (curve.low[0], curve.high[0]) == (0.0, 1.0)
    values = [float(value) for value in range(1, 101)]
    [curve] = tuning.curves([search("a", values)], "minimize", scale=(0.0, 1000.0))
    assert curve.low[0] < 45
    assert curve.high[0] > 56  # wider than one interval of the median, which the order statistics 40 and 61 bound
    assert 35 <= curve.low[0] <= 40
    assert 61 <= curve.high[0] <= 66
    assert curve.low[-1] == 0  # nobody knows how good the best of 100 can be
    assert np.isfinite(curve.high).all()


def test_a_failed_configuration_is_worse_than_every_value() -> None:
    [curve] = tuning.curves([search("a", [math.nan, math.nan, 2.0, 1.0])], "minimize")
    assert list(curve.best) == [2.0, 2.0, 1.0, 1.0]
    assert curve.mean[0] == math.inf
    assert curve.mean[2:] == pytest.approx([1.25, 1.0])  # of four subsets of three, one lacks the 1
    [curve] = tuning.curves([search("a", [math.nan, 0.5])], "maximize", scale=(0.0, 1.0))
    assert curve.mean == pytest.approx([0.25, 0.5])


def test_dependent_configurations_have_a_curve_without_a_band() -> None:
    [curve] = tuning.curves([search("a", [5, 7, 3, 4], independent=False)], "minimize")
    assert list(curve.best) == [5, 5, 3, 3]
    assert not curve.banded
    [other] = tuning.curves([search("b", [5, 7, 3, 4])], "minimize")
    assert tuning.stretches(curve, other, "minimize") == []


def test_more_cells_have_wider_bands() -> None:
    values = [float(value) for value in range(40)]
    [alone] = tuning.curves([search("a", values)], "minimize")
    among = tuning.curves([search(name, values) for name in "abcdefgh"], "minimize")[0]
    assert among.high[0] > alone.high[0]


def curve(low: list[float], high: list[float]) -> Curve:
    bounds = np.asarray(low), np.asarray(high)
    return Curve("a", sum(bounds) / 2, bounds[0], *bounds, 0.95)


def test_curves_part_where_their_bands_do_not_touch() -> None:
    one, other = curve([1, 1, 1, 1], [2, 2, 2, 2]), curve([3, 2, 0, -2], [4, 3, 1, 0.5])
    assert tuning.stretches(one, other, "minimize") == [
        Stretch(1, 1, "one"),
        Stretch(2, 3, "undecided"),
        Stretch(4, 4, "other"),
    ]
    assert tuning.stretches(one, other, "maximize")[0] == Stretch(1, 1, "other")


def test_budgets_that_differ_are_noticed() -> None:
    assert tuning.unequal_trials([search("a", [1]), search("b", [1, 2])])
    assert not tuning.unequal_trials([search("a", [1]), search("b", [2])])
    near, far = search("a", [1], seconds=12.4), search("b", [1], seconds=12.6)
    assert tuning.unequal_seconds([search("c", [1]), near]) is None
    found = tuning.unequal_seconds([search("c", [1]), near, far])
    assert found is not None
    assert [one.cell for one in found] == ["c", "b"]


def test_bands_cover_the_true_curves_and_the_verdict_turns_at_the_right_budget() -> None:
    """A small form of benchmarks/tuning.py: 400 pairs of simulated searches of 40 configurations."""
    found = coverage(ONE, OTHER, configurations=40, repetitions=400, seed=0)
    # Of 400 pairs, at 95 %, fewer than 369 are covered with a chance below 1 %.
    assert found.covered >= 369
    assert found.wrong <= 400 - 369


def test_with_enough_configurations_both_sides_of_the_turn_are_found() -> None:
    one, other = ONE.search("one", 100, seed=1), OTHER.search("other", 100, seed=2)
    found = tuning.stretches(*tuning.curves([one, other], "minimize"), "minimize")
    kinds = [stretch.better for stretch in found]
    assert kinds[0] == "one"
    assert "other" in kinds
    turn = Surface.turn(ONE, OTHER)
    assert found[0].last <= turn
    assert next(stretch.first for stretch in found if stretch.better == "other") > turn


def test_a_search_of_thousands_has_a_curve_in_a_moment() -> None:
    values = [float(value) for value in np.random.default_rng(0).random(5000)]
    [curve] = tuning.curves([search("a", values)], "minimize", scale=(0.0, 1.0))
    assert len(curve.best) == tuning.LONGEST
    truth = 1 - 0.5 ** (1 / np.arange(1, tuning.LONGEST + 1))
    assert ((curve.low <= truth) & (truth <= curve.high)).all()
    assert curve.mean[:20] == pytest.approx([1 / (n + 1) for n in range(1, 21)], abs=0.01)

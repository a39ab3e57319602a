"""Statistics: values worked out by hand, and error rates by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.analysis.statistics import (
    failure_rate,
    holm,
    interquartile_mean,
    interval,
    limit,
    probability_of_improvement,
    seeds_needed,
    verdict,
    verdicts,
)


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_interval_by_hand() -> None:
    # 1, 2, 3: mean 2, sd 1, standard error 1/√3, t(.975, 2) = 4.30265
    found = interval([1, 2, 3])
    assert found.mean == 2
    assert found.high - found.mean == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert found.mean - found.low == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)


def test_one_value_has_no_interval_and_what_is_not_finite_is_left_out() -> None:
    one = interval([5.0, float("nan"), float("inf")])
    assert one.mean == 5
    assert math.isnan(one.low)
    assert math.isnan(interval([]).mean)


def test_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([1, 2, 3, 100]) == 2.5
    assert interquartile_mean([1, 2, 3]) == 2


def test_probability_of_improvement_by_hand() -> None:
    # lower is better: of the four pairs (1,2) (1,1) (3,2) (3,1) one wins and one ties
    assert probability_of_improvement([1, 3], [2, 1], "lower") == 1.5 / 4
    assert probability_of_improvement([1, 3], [2, 1], "higher") == 2.5 / 4


def test_holm_by_hand() -> None:
    # sorted .01 .02 .04: ×3, ×2, ×1, made monotone
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, float("nan")]) == [1.0, 1.0]


def test_failure_rate_by_hand() -> None:
    # Wilson, 0 of 4 at 95 %: z² / (n + z²) = 3.8415 / 7.8415
    found = failure_rate(0, 4)
    assert found.mean == 0
    assert found.low == pytest.approx(0, abs=1e-12)
    assert found.high == pytest.approx(3.8415 / 7.8415, rel=1e-4)


def test_a_clear_difference_is_better_or_worse_as_the_metric_has_it() -> None:
    arm, baseline = seeds(5.0, 5.2, 4.9, 5.1), seeds(9.0, 9.1, 9.2, 8.9)
    assert verdict(arm, baseline, "lower", 0.1).kind == "better"
    assert verdict(arm, baseline, "higher", 0.1).kind == "worse"
    assert verdict(arm, baseline, "lower", 0.1).effect == pytest.approx(-4.0)


def test_equal_within_delta() -> None:
    baseline = seeds(9.0, 9.4, 8.8, 9.1, 9.2)
    arm = {
        seed: value + shift
        for (seed, value), shift in zip(baseline.items(), (0.01, -0.01, 0.02, 0, -0.02), strict=True)
    }
    assert verdict(arm, baseline, "lower", 0.5).kind == "no difference larger than δ"


@pytest.mark.parametrize(
    ("value", "scale", "where"),
    [
        (10.0, (0.0, 10.0), "highest"),
        (0.0, (0.0, 10.0), "lowest"),
        (142.92643275197776, (0.0, math.inf), "constant"),
        (7.0, (0.0, 10.0), None),  # a count within the scale may well be the same for every seed
    ],
)
def test_at_a_limit_of_the_metric_nothing_is_called_equal(
    value: float, scale: tuple[float, float], where: str | None
) -> None:
    same = dict.fromkeys(range(10), value)
    found = verdicts({"arm": same}, same, "lower", 1.0, scale=scale)["arm"]
    assert found.limit == limit(list(same.values()), scale) == where
    assert found.kind == ("no difference larger than δ" if where is None else "inconclusive")
    # Where one arm is off the limit, the two can be told apart.
    other = {seed: value - 3 + seed / 100 for seed in same}
    assert verdicts({"arm": other}, same, "lower", 1.0, scale=scale)["arm"].kind == "better"


def test_a_single_fraction_is_at_no_limit() -> None:
    assert limit([142.9]) is None
    assert limit([142.9, math.nan, 142.9]) == "constant"
    assert limit([142.9, 142.8]) is None


def test_pairing_takes_out_what_the_seeds_share() -> None:
    # The seeds differ by ten, the arms by one on every seed: unpaired nothing would show.
    baseline = seeds(10, 20, 30, 40)
    arm = seeds(9.1, 18.9, 29.05, 38.95)
    assert verdict(arm, baseline, "lower", 0.1).kind == "better"


def test_inconclusive_says_how_many_seeds_more() -> None:
    found = verdict(seeds(9, 11, 8), seeds(10, 10, 10), "lower", 0.1)
    assert found.kind == "inconclusive"
    assert found.further is not None
    assert found.further >= 1


def test_two_seeds_without_spread_prove_nothing() -> None:
    assert verdict(seeds(9, 9), seeds(10, 10), "lower", 0.1).kind == "inconclusive"


def test_a_diverged_trial_is_an_outcome_and_not_a_hole() -> None:
    # Better on the seeds that it survived, but half of them died: not called better.
    arm = seeds(8.5, 8.4, 8.6, 8.5, math.nan, math.nan, math.nan, math.nan)
    baseline = seeds(9.0, 9.1, 9.2, 8.9, 9.0, 9.1, 9.0, 9.1)
    found = verdict(arm, baseline, "lower", 0.1)
    assert found.kind == "inconclusive"
    assert found.held
    assert (found.failed, found.trials) == (4, 8)


def test_where_nothing_failed_nothing_is_held_against_a_verdict() -> None:
    # Alone, the fifth arm would be called equal; among four that plainly differ, equality is tested at a fifth of α.
    noise = (-1.2, -0.3, 0.1, 0.4, 1.0)
    baseline = seeds(*[10.0] * 5)
    arm = seeds(*(10 + 0.4 * z for z in noise))
    others = {f"far {i}": seeds(*(20 + 0.1 * z for z in noise)) for i in range(4)}
    assert verdict(arm, baseline, "lower", 0.6).kind == "no difference larger than δ"
    found = verdicts({"arm": arm} | others, baseline, "lower", 0.6)["arm"]
    assert found.kind == "inconclusive"
    assert not found.held
    assert found.further is not None


def test_many_arms_are_corrected_for() -> None:
    rng = np.random.default_rng(0)
    baseline = dict(enumerate(rng.normal(10, 1, 5)))
    arm = {seed: value - 1.0 + 0.9 * rng.normal() for seed, value in baseline.items()}
    alone = verdict(arm, baseline, "lower", 0.01)
    others = {f"other {i}": dict(enumerate(rng.normal(10, 1, 5))) for i in range(9)}
    among = verdicts({"arm": arm} | others, baseline, "lower", 0.01)["arm"]
    assert among.p > alone.p
    assert among.confidence > alone.confidence


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_as_often_as_they_say(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = [low <= 0 <= high for _, low, high in (interval(rng.normal(size=n)) for _ in range(2000))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)  # three standard errors


@pytest.mark.parametrize("n", [3, 5, 10])
def test_identical_arms_are_called_different_at_most_as_often_as_stated(n: int) -> None:
    rng = np.random.default_rng(n)
    kinds = [
        # A δ of 0 leaves no room for "equal", which would hide false alarms.
        verdict(dict(enumerate(rng.normal(size=n))), dict(enumerate(rng.normal(size=n))), "lower", 0.0).kind
        for _ in range(400)
    ]
    wrong = sum(kind in ("better", "worse") for kind in kinds) / len(kinds)
    assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("n", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 10))])
def test_of_five_equal_arms_any_is_called_different_at_most_as_often_as_stated(n: int) -> None:
    rng, wrong = np.random.default_rng(n), 0
    for _ in range(400):
        baseline, *arms = (dict(enumerate(rng.normal(size=n))) for _ in range(6))
        found = verdicts({str(i): arm for i, arm in enumerate(arms)}, baseline, "lower", 0.0)
        wrong += any(verdict.kind in ("better", "worse") for verdict in found.values())
    assert wrong / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


# Shares in docs/statistics.md; by the noncentral t distribution .18, .47, .75; .40, .91, 1; .80, 1, 1.
@pytest.mark.parametrize(
    ("n", "effect", "share"),
    [(3, 1, 0.18), (3, 2, 0.46), (3, 3, 0.76), (5, 1, 0.41), (5, 2, 0.91), (5, 3, 1), (10, 1, 0.82), (10, 2, 1)],
)
def test_true_effects_are_found_as_often_as_the_docs_claim(n: int, effect: float, share: float) -> None:
    rng = np.random.default_rng(n)
    kinds = [
        verdict(dict(enumerate(rng.normal(-effect, 1, n))), dict.fromkeys(range(n), 0.0), "lower", 0.0).kind
        for _ in range(400)
    ]
    # Both the docs' share (of 1000) and this one are simulated.
    room = 3 * math.sqrt(share * (1 - share) * (1 / 400 + 1 / 1000)) + 0.01
    assert kinds.count("better") / 400 == pytest.approx(share, abs=room)


def test_the_number_of_seeds_that_is_asked_for_settles_it_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    n = seeds_needed(effect=1.0, spread=1.0, delta=0.0)
    assert n is not None
    found = [
        verdict(dict(enumerate(rng.normal(-1, 1, n))), dict.fromkeys(range(n), 0.0), "lower", 0.0).kind == "better"
        for _ in range(400)
    ]
    assert np.mean(found) >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / 400)

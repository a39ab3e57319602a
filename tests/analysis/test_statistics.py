"""Statistics: values worked out by hand, and error rates by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import verdicts as benchmark

from harness.analysis.levels import ONE
from harness.analysis.scales import Measure
from harness.analysis.statistics import (
    Sample,
    failure_rate,
    holm,
    interquartile_mean,
    interval,
    limit,
    probability_of_improvement,
    verdict,
    verdicts,
)


def seeds(*values: float) -> Sample:
    return Sample(dict(enumerate(values)))


LOWER, HIGHER = Measure("lower"), Measure("higher")


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
    assert verdict(arm, baseline, LOWER, 0.1).kind == "better"
    assert verdict(arm, baseline, HIGHER, 0.1).kind == "worse"
    assert verdict(arm, baseline, LOWER, 0.1).effect == pytest.approx(-4.0)


def test_equal_within_delta() -> None:
    baseline = seeds(9.0, 9.4, 8.8, 9.1, 9.2)
    arm = seeds(9.01, 9.39, 8.82, 9.1, 9.18)
    assert verdict(arm, baseline, LOWER, 0.5).kind == "no difference larger than δ"


@pytest.mark.parametrize(
    ("value", "measure", "where"),
    [
        (10.0, Measure(least=0, most=10), "highest"),
        (0.0, Measure(least=0, most=10), "lowest"),
        (142.92643275197776, Measure(least=0), "constant"),
        (7.0, Measure(least=0, most=10), None),  # a count within the range may well be the same for every seed
    ],
)
def test_at_a_limit_of_the_metric_nothing_is_called_equal(value: float, measure: Measure, where: str | None) -> None:
    same = seeds(*[value] * 10)
    found = verdict(same, same, measure, 1.0)
    assert found.limit == limit(list(same.values.values()), measure) == where
    assert found.kind == ("no difference larger than δ" if where is None else "inconclusive")
    # Where one arm is off the limit, the two can be told apart.
    other = seeds(*(value - 3 + seed / 100 for seed in range(10)))
    assert verdict(other, same, measure, 1.0).kind == "better"


def test_a_single_fraction_is_at_no_limit() -> None:
    assert limit([142.9]) is None
    assert limit([142.9, math.nan, 142.9]) == "constant"
    assert limit([142.9, 142.8]) is None


def test_pairing_takes_out_what_the_seeds_share() -> None:
    # The seeds differ by ten, the arms by one on every seed: unpaired nothing would show.
    baseline = seeds(10, 20, 30, 40)
    found = verdict(seeds(9.1, 18.9, 29.05, 38.95), baseline, LOWER, 0.1)
    assert (found.kind, found.paired) == ("better", True)
    # Without anything in common they are not paired: that would cost half of the degrees of freedom.
    assert not verdict(seeds(9.1, 9.9, 10.05, 8.95), seeds(10, 10.6, 9.3, 9.9), LOWER, 0.1).paired


def test_the_spread_of_other_arms_helps() -> None:
    """Three seeds of two arms say little; among fourteen arms that vary alike, the same values are clear."""
    rng = np.random.default_rng(0)
    arm, baseline = seeds(5.0, 6.0, 7.0), seeds(9.0, 10.0, 11.0)
    others = {str(i): seeds(*rng.normal(20, 1, 3)) for i in range(14)}
    alone = verdict(arm, baseline, LOWER, 0.1)
    among = verdicts({"arm": arm} | others, baseline, LOWER, 0.1)["arm"]
    assert alone.p > among.p / 15  # among.p is corrected for fifteen arms
    assert among.kind == "better"


def test_two_seeds_without_spread_prove_nothing() -> None:
    assert verdict(seeds(9, 9), seeds(10, 10), LOWER, 0.1).kind == "inconclusive"


def test_a_diverged_trial_is_an_outcome_and_not_a_hole() -> None:
    # Better on the seeds that it survived, but half of them died: not called better.
    arm = seeds(8.5, 8.4, 8.6, 8.5, math.nan, math.nan, math.nan, math.nan)
    baseline = seeds(9.0, 9.1, 9.2, 8.9, 9.0, 9.1, 9.0, 9.1)
    found = verdict(arm, baseline, LOWER, 0.1)
    assert found.kind == "inconclusive"
    assert found.held
    assert (found.failed, found.trials) == (4, 8)


def test_many_arms_are_corrected_for() -> None:
    rng = np.random.default_rng(0)
    baseline, arm = seeds(*rng.normal(10, 1, 5)), seeds(*rng.normal(7, 1, 5))
    alone = verdict(arm, baseline, LOWER, 0.01)
    others = {f"other {i}": seeds(*rng.normal(10, 1, 5)) for i in range(9)}
    among = verdicts({"arm": arm} | others, baseline, LOWER, 0.01)["arm"]
    assert among.confidence == pytest.approx(1 - 0.05 / 10)
    assert alone.confidence == pytest.approx(0.95)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_as_often_as_they_say(n: int) -> None:
    rng = np.random.default_rng(n)
    covered = [low <= 0 <= high for _, low, high in (interval(rng.normal(size=n)) for _ in range(2000))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)  # three standard errors


# --- error rates, by a small form of benchmarks/verdicts.py ---------------------------------------------------------


RUNS = 2000
TOLERANCE = 3 * math.sqrt(0.05 * 0.95 / RUNS)


@pytest.mark.parametrize("name", list(benchmark.EQUAL_ARMS))
@pytest.mark.parametrize(("n", "arms"), [(3, 1), (3, 4), (3, 15), (5, 15), (10, 4)])
def test_equal_arms_are_called_different_at_most_as_often_as_stated(name: str, n: int, arms: int) -> None:
    values = benchmark.EQUAL_ARMS[name](np.random.default_rng([n, arms, 3]), RUNS, arms + 1, n)
    p, _, _ = benchmark.p_values(values)
    assert benchmark.decided(p).any(1).mean() <= 0.05 + TOLERANCE


@pytest.mark.parametrize("share", [0.1, 0.3])
@pytest.mark.parametrize(("n", "arms"), [(3, 15), (10, 4)])
def test_collapses_raise_no_alarm(share: float, n: int, arms: int) -> None:
    values, lost = benchmark.collapsing(share)(np.random.default_rng(n), RUNS, arms + 1, n)
    means, shares = benchmark.with_shares(values, lost)
    assert (means | shares).any(1).mean() <= 0.05 + TOLERANCE
    assert benchmark.decided(benchmark.p_values(values)[0]).any(1).mean() <= 0.05 + TOLERANCE


@pytest.mark.parametrize("delta", [1.0, 3.0])
def test_arms_that_differ_by_delta_are_called_equal_at_most_as_often_as_stated(delta: float) -> None:
    values = benchmark.normal(np.random.default_rng(1), RUNS, 5, 10)
    values[:, 1:] += delta
    _, equal, _ = benchmark.p_values(values, (-delta, delta))
    assert benchmark.decided(equal).any(1).mean() <= 0.05 + TOLERANCE


# The table of docs/statistics.md: three standard deviations, fifteen arms.
@pytest.mark.parametrize(
    ("draw", "n", "least"),
    [
        (benchmark.normal, 3, 0.40),
        (benchmark.normal, 5, 0.80),
        (benchmark.inverse_chi2, 3, 0.18),
        (benchmark.inverse_chi2, 5, 0.50),
    ],
)
def test_true_effects_are_found_as_often_as_the_docs_claim(draw: benchmark.Draw, n: int, least: float) -> None:
    assert benchmark.found(draw, n, 15, 3.0, RUNS) >= least - 0.02


def test_looks_are_paid_for() -> None:
    plan: list[benchmark.Levels] = []
    for look in range(1, len(benchmark.SCHEDULE) + 1):
        plan.append(benchmark.levels.planned(benchmark.SCHEDULE, look, plan, 0.05))
    values = benchmark.normal(np.random.default_rng(2), 1000, 2, benchmark.SCHEDULE[-1])
    _, called = benchmark.path(values, benchmark.SCHEDULE, plan)
    assert called.any(1).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    _, free = benchmark.path(values, benchmark.SCHEDULE, [ONE] * len(benchmark.SCHEDULE))
    assert free.any(1).mean() > 0.08  # what looking again costs if nobody pays for it
    values[:, 1] -= 3
    used, called = benchmark.path(values, benchmark.SCHEDULE, plan)
    assert called.mean() > 0.99
    assert used.mean() < 8


@pytest.mark.parametrize("draw", [benchmark.normal, benchmark.inverse_chi2, benchmark.shared(0.9)])
def test_the_simulation_decides_as_verdicts_do(draw: benchmark.Draw) -> None:
    for n, arms in ((3, 4), (5, 1)):
        values = draw(np.random.default_rng(n), 60, arms + 1, n)
        values[:, 1] -= 2
        p, _, sign = benchmark.p_values(values)
        called = benchmark.decided(p)
        for run in range(60):
            own = {str(arm): seeds(*values[run, arm + 1]) for arm in range(arms)}
            found = verdicts(own, seeds(*values[run, 0]), LOWER, 0.0)
            kinds = ["better" if down else "worse" for down in sign[run] < 0]
            wanted = [kind if yes else "inconclusive" for kind, yes in zip(kinds, called[run], strict=True)]
            assert [verdict.kind for verdict in found.values()] == wanted


def test_the_simulated_shares_decide_as_verdicts_do() -> None:
    values, lost = benchmark.collapsing(0.05)(np.random.default_rng(0), 60, 3, 10)
    lost[:, 1] |= np.random.default_rng(1).random((60, 10)) < 0.65
    means, shares = benchmark.with_shares(values, lost)
    rejected = 0
    for run in range(60):
        samples = [
            Sample(dict(enumerate(values[run, arm])), frozenset(np.flatnonzero(lost[run, arm]).tolist()))
            for arm in range(3)
        ]
        if any(len(sample.rest) < 2 for sample in samples):
            continue  # then a verdict takes all trials
        found = verdicts({"0": samples[1], "1": samples[2]}, samples[0], LOWER, 0.0)
        for arm, one in enumerate(found.values()):
            assert (one.rest != "inconclusive") == bool(means[run, arm])
            assert (one.share is not None and one.share.p <= 0.05) == bool(shares[run, arm])
            rejected += bool(shares[run, arm])
    assert rejected

"""Every function of the statistics against values from closed forms, tables, and small enumerations.

Student's t has closed forms for one and two degrees of freedom: P(t₁ > x) = ½ − atan(x) / π and
P(t₂ > x) = ½ − x / (2 √(2 + x²)).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.analysis import statistics
from harness.analysis.levels import Levels
from harness.analysis.scales import Measure
from harness.analysis.statistics import (
    Sample,
    failure_rate,
    holm,
    interquartile_mean,
    interval,
    more_failures,
    probability_of_improvement,
    seeds_needed,
    verdict,
    verdicts,
    welch_detectable,
    welch_worse,
)

NAN = math.nan
P_OF_2 = 1 - 2 * math.atan(2) / math.pi
"""The two-sided p-value of t = 2 with one degree of freedom."""


def array(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=float)


def seeds(*values: float) -> Sample:
    return Sample(dict(enumerate(values)))


LOWER, HIGHER = Measure("lower"), Measure("higher")


def test_the_stated_rates() -> None:
    assert (statistics.ALPHA, statistics.POWER, statistics.MOST_SEEDS) == (0.05, 0.8, 1000)


def test_intervals_of_two_values() -> None:
    # Mean 2, standard error √2 / √2 = 1; the quantiles of t₁ are tan(π (p − ½)): .75 has 1, .7 has tan(.2 π).
    assert interval([1, 3], 0.5) == pytest.approx((2, 1, 3))
    assert interval([1, 3], 0.4) == pytest.approx((2, 2 - math.tan(0.2 * math.pi), 2 + math.tan(0.2 * math.pi)))
    assert interval([1, 3]).high == pytest.approx(2 + 12.7062, abs=1e-4)  # t(.975, 1) of any table
    assert interval([5]).mean == 5
    assert all(math.isnan(bound) for bound in (*interval([]), *interval([5])[1:]))


def test_the_interquartile_mean_of_eleven_values() -> None:
    # A quarter of 11 is 2.75, rounded down 2: (0 + 1 · 5 + 8) / 7
    assert interquartile_mean([100, 0, 1, 1, 0, 1, 8, 1, 1, 0, 100]) == pytest.approx(13 / 7)
    assert math.isnan(interquartile_mean([NAN]))
    # A failed trial is the worst: of five, one is cut at either end.
    assert interquartile_mean([NAN, 1, 2, 3, 0], "lower") == 2
    assert interquartile_mean([NAN, 1, 2, 3, 4], "higher") == 2
    assert math.isnan(interquartile_mean([NAN, NAN, 1, 2, 3]))


def test_the_probability_of_improvement_without_pairs() -> None:
    assert math.isnan(probability_of_improvement([], [1], "lower"))
    assert probability_of_improvement([1], [NAN], "lower") == 1  # a failed trial is worse than any value
    assert probability_of_improvement([NAN, 1], [NAN, 2], "lower") == pytest.approx(2.5 / 4)  # and ties with another
    assert probability_of_improvement([1], [2], "lower") == 1  # a single pair
    # A half more wins, a half less does not.
    assert [probability_of_improvement([1], [1.5, 0.5], better) for better in ("lower", "higher")] == [0.5, 0.5]
    # Three pairs, none of them a tie: (1, 0) (1, 2) (1, 3)
    assert probability_of_improvement([1], [0, 2, 3], "lower") == pytest.approx(2 / 3)


def test_a_failure_rate_of_one_in_four() -> None:
    # Wilson, z² = 3.84146: centre (¼ + z²/8) / (1 + z²/4) = .37249, half z √(3/64 + z²/64) / (1 + z²/4) = .32690
    assert failure_rate(1, 4) == pytest.approx((0.25, 0.0456, 0.6994), abs=1e-4)
    # z = 1 has the confidence .68269: (¼ + ⅛) / 1.25 = .3, and √(3/64 + 1/64) / 1.25 = .2
    assert failure_rate(1, 4, 0.6826895) == pytest.approx((0.25, 0.1, 0.5), abs=1e-6)
    assert failure_rate(1, 1).mean == 1
    assert all(math.isnan(number) for number in failure_rate(0, 0))


def test_holm_is_at_most_1() -> None:
    assert holm([0.6, 0.7]) == [1, 1]
    # An unusable one counts among the three: .01 · 3, .02 · 2, 1
    assert holm([NAN, 0.01, 0.02]) == pytest.approx([1, 0.03, 0.04])


@pytest.mark.parametrize(
    ("p", "levels"),
    [
        # All rejected: α/3, α/2, α in the order of the p-values.
        ([0.01, 0.04, 0.02], [0.05 / 3, 0.05, 0.05 / 2]),
        # .03 is above α/2: it and the larger have that level.
        ([0.03, 0.001, 0.04], [0.05 / 2, 0.05 / 3, 0.05 / 2]),
        # The first is above α/2 already.
        ([0.9, NAN], [0.05 / 2, 0.05 / 2]),
        # Exactly at its level counts as rejected.
        ([0.025, 0.025], [0.05 / 2, 0.05]),
        ([NAN], [0.05]),
    ],
)
def test_the_levels_of_holm_s_procedure(p: list[float], levels: list[float]) -> None:
    assert [one.level for one in statistics.tested_at(p, Levels())] == pytest.approx(levels)


ROOT8 = 8**0.5
"""Two arms with the values x and x + 2 have a standard error of √2: a difference of √8 is t = 2, with 1 degree."""


def test_the_p_value_of_a_difference() -> None:
    base = seeds(0, 2)
    assert verdict(seeds(ROOT8, ROOT8 + 2), base, LOWER, 0.0).p == pytest.approx(P_OF_2)
    assert verdict(seeds(-ROOT8, 2 - ROOT8), base, LOWER, 0.0).p == pytest.approx(P_OF_2)
    # Without a spread, permutations: 2 / C(4, 2), and 2 / C(6, 3).
    assert verdict(seeds(1, 1), seeds(0, 0), LOWER, 0.0).p == pytest.approx(1 / 3)
    assert verdict(seeds(1, 1, 1), seeds(0, 0, 0), LOWER, 0.0).p == pytest.approx(0.1)
    assert verdict(seeds(1, 1, 1), seeds(1, 1, 1), LOWER, 0.0).p == 1
    assert verdict(seeds(1), base, LOWER, 0.0).p == 1


def test_rounding_is_no_lack_of_spread() -> None:
    """The differences .3 − .1 and .4 − .2 are equal but for rounding; the arms' values are not."""
    small = verdict(Sample({0: 0.3, 1: 0.4}), Sample({0: 0.1, 1: 0.2}), HIGHER, 0.01)
    large = verdict(Sample({0: 3.0, 1: 4.0}), Sample({0: 1.0, 1: 2.0}), HIGHER, 0.01)
    assert small.p == pytest.approx(large.p)
    assert small.kind == large.kind == "inconclusive"
    # And values that differ by rounding alone have no spread.
    assert verdict(seeds(0.1 + 0.2, 0.3), seeds(0.5, 0.5), HIGHER, 0.0).p == pytest.approx(1 / 3)


def test_the_p_value_of_equality() -> None:
    base = seeds(0, 2)
    # No difference, and a δ of √8: t = 2 to either side.
    level = Levels(P_OF_2 + 1e-5)
    assert verdict(seeds(0, 2), base, LOWER, ROOT8, level).kind == "no difference larger than δ"
    assert verdict(seeds(0, 2), base, LOWER, ROOT8, Levels(P_OF_2 - 1e-5)).kind == "inconclusive"
    assert verdict(seeds(0, 2), base, LOWER, ROOT8 - 0.01, level).kind == "inconclusive"
    # A difference of 1 leaves less room on its side.
    assert verdict(seeds(1, 3), base, LOWER, ROOT8 + 1, level).kind == "no difference larger than δ"
    assert verdict(seeds(1, 3), base, LOWER, ROOT8 + 0.99, level).kind == "inconclusive"


# Cohen's effect sizes .2, .5, .8 and 1 of the paired t test at α = .05 and a power of .8: any table of sample sizes.
@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (100.0, 2)])
def test_the_seeds_that_show_a_difference(effect: float, n: int) -> None:
    assert seeds_needed(effect, 1.0) == n
    assert seeds_needed(-3 * effect, 3.0) == n  # only the ratio counts


@pytest.mark.parametrize(
    ("effect", "level", "n"),
    [
        # Without an effect both tests have the power Φ(√n − t): 2 Φ − 1 = .8 at 1.2816. With t₁₁ = 2.2010 and
        # t₁₂ = 2.1788: √12 = 3.464 < 3.483, √13 = 3.606 > 3.460.
        (0.0, None, 13),
        # At .1: t₈ = 1.8595, t₉ = 1.8331: √9 < 3.141, √10 = 3.162 > 3.115.
        (0.0, 0.1, 10),
        # With an effect of .2 δ: Φ(1.2 √n − t) + Φ(.8 √n − t) − 1 is .990 + .798 − 1 at 14, .994 + .830 − 1 at 15.
        (0.2, None, 15),
        (-0.2, None, 15),
    ],
)
def test_the_seeds_that_show_equality(effect: float, level: float | None, n: int) -> None:
    assert seeds_needed(effect, 1.0, (-1.0, 1.0), alpha_equal=level) == n
    assert seeds_needed(5 * effect, 5.0, (-5.0, 5.0), alpha_equal=level) == n


def test_the_power_of_both_tests() -> None:
    n, freedom = np.array([13]), np.array([12])
    # Φ(√13 − 2.1788) = Φ(1.4268) = .9232
    equal = statistics._power_equivalence(0.0, 1.0, (-1.0, 1.0), n, freedom, 0.05)
    assert equal == pytest.approx([2 * 0.9232 - 1], abs=1e-3)
    at_delta = statistics._power_equivalence(1.0, 1.0, (-1.0, 1.0), n, freedom, 0.05)
    assert at_delta.tolist() == [0]  # an effect of δ is not below it
    # Without an effect, a difference is found on one side with the chance α / 2.
    assert statistics._power_difference(0.0, 1.0, n, freedom, 0.05) == pytest.approx([0.025])


def test_when_there_is_no_number_of_seeds() -> None:
    # (1.960 + .842)² / d² + 1.92, the usual approximation, is 999.5 for .0887 and 1000.4 for .08866.
    assert seeds_needed(0.0887, 1.0) == 1000
    assert seeds_needed(0.08866, 1.0) is None
    for effect, spread in ((1.0, 0.0), (1.0, -1.0), (NAN, 1.0), (1.0, NAN)):
        assert seeds_needed(effect, spread, (-2.0, 2.0)) is None


def test_a_whole_verdict_by_hand() -> None:
    # t = 2 with one degree of freedom. At α = .6 the interval has the confidence .4: ± tan(.2 π) standard errors.
    found = verdict(seeds(ROOT8, ROOT8 + 2, NAN), seeds(0, 2), HIGHER, 0.0, Levels(0.6))
    half = math.tan(0.2 * math.pi) * 2**0.5
    assert (found.kind, found.n, found.baseline_n, found.delta) == ("better", 2, 2, 0)  # the third seed failed
    assert (found.effect, found.low, found.high) == pytest.approx((ROOT8, ROOT8 - half, ROOT8 + half))
    assert found.confidence == pytest.approx(0.4)
    assert found.improvement == 4 / 6  # both beat 0 and 2, and the failed one beats neither
    assert (found.failed, found.trials, found.baseline_failed, found.baseline_trials) == (1, 3, 0, 2)
    whole = verdict(seeds(ROOT8, ROOT8 + 2), seeds(0, 2), HIGHER, 0.0, Levels(0.6))
    assert (whole.kind, whole.p, whole.further, whole.held) == ("better", pytest.approx(P_OF_2), None, False)
    assert verdict(seeds(ROOT8, ROOT8 + 2), seeds(0, 2), LOWER, 0.0, Levels(0.6)).kind == "worse"


def test_a_second_arm_is_tested_at_the_full_level_when_the_first_is_rejected() -> None:
    # Without any spread: 2 / C(4, 2) = ⅓ for both.
    arms = {"one": seeds(2, 2), "other": seeds(3, 3)}
    both = verdicts(arms, seeds(1, 1), HIGHER, 0.0, Levels(0.7))
    assert {name: (found.p, found.confidence, found.kind) for name, found in both.items()} == {
        "one": (pytest.approx(2 / 3), pytest.approx(0.65), "better"),
        "other": (pytest.approx(2 / 3), pytest.approx(0.3), "better"),
    }


def test_failed_trials_alone_prevent_a_verdict() -> None:
    # The finished trials differ by √8; the failed one counts as the worst value, 0, and so does the mean no more.
    found = verdict(seeds(ROOT8, ROOT8 + 2, NAN), seeds(0, 2), HIGHER, 0.0, Levels(0.3))
    assert (found.kind, found.held, found.further) == ("inconclusive", True, None)
    # Below that level the finished trials show nothing either.
    assert not verdict(seeds(ROOT8, ROOT8 + 2, NAN), seeds(0, 2), HIGHER, 0.0, Levels(0.29)).held


def test_a_failed_trial_counts_as_the_worst_of_all_arms_and_the_baseline() -> None:
    # The fill is another arm's 70: the mean of the arm is then above the baseline's, on the other side.
    arm, other, baseline = seeds(1, 1.5, NAN), seeds(70, 2, 2), seeds(2, 2.5, 3)
    assert verdicts({"arm": arm}, baseline, LOWER, 0.0)["arm"].p < 1
    assert verdicts({"arm": arm, "other": other}, baseline, LOWER, 0.0)["arm"].p == 1


def test_an_arm_whose_trials_all_fail_is_worse() -> None:
    # Fisher: 5 of 5 against 0 of 5, 2 / C(10, 5).
    found = verdict(seeds(*[NAN] * 5), seeds(1, 2, 3, 2, 1), LOWER, 0.1)
    assert (found.kind, found.rest) == ("worse", "inconclusive")
    assert found.share is not None
    # Two tests: that of the means has no value, and that of the shares is the smaller.
    assert found.share.p == pytest.approx(2 * 2 / 252)
    # Three of three could be chance: 2 / C(6, 3) = .1.
    three = verdict(seeds(NAN, NAN, NAN), seeds(1, 2, 3), LOWER, 0.1)
    assert (three.kind, three.share and three.share.p) == ("inconclusive", 1.0)


def test_tests_of_shares_that_cannot_reject_cost_nothing() -> None:
    """Tarone: one failed trial of three cannot be significant, so the level of the means is the full one."""
    arms = {"one": seeds(1.0, 2.1, NAN), "other": seeds(1.3, 0.8, 2.2)}
    found = verdicts(arms, seeds(1, 1.1, 2.2), LOWER, 0.0)
    assert found["other"].confidence == pytest.approx(1 - 0.05 / 2)


def test_collapsed_trials_are_left_out_of_the_means_and_counted() -> None:
    rest, base = (1.0, 1.2, 0.9, 1.1), seeds(2.2, 2.0, 1.9, 2.1)
    collapsed = Sample(dict(enumerate([*rest, 80.0])), frozenset({4}))
    found = verdict(collapsed, base, LOWER, 0.0)
    assert found.kind == found.rest == "better"
    assert (found.n, found.collapsed, found.trials) == (4, 1, 5)
    assert found.effect == pytest.approx(-1.0)
    assert verdict(Sample(collapsed.values), base, LOWER, 0.0).kind == "inconclusive"


def test_an_arm_that_only_collapses_is_compared_with_all_its_trials() -> None:
    collapsed = Sample({0: 80.0, 1: 82.0, 2: 79.0}, frozenset({0, 1, 2}))
    found = verdict(collapsed, seeds(2.0, 2.2, 1.9), LOWER, 0.0)
    assert (found.kind, found.whole, found.n, found.collapsed) == ("worse", True, 3, 3)


def test_means_and_shares_that_contradict_each_other_are_inconclusive() -> None:
    values = {seed: 1.0 + (seed * 7 % 4) / 50 for seed in range(4)} | dict.fromkeys(range(4, 20), 90.0)
    arm = Sample(values, frozenset(range(4, 20)))
    baseline = Sample({seed: 2.0 + seed / 100 for seed in range(20)})
    found = verdict(arm, baseline, LOWER, 0.0)
    assert (found.kind, found.rest) == ("inconclusive", "better")
    assert found.share is not None
    assert found.share.p < 0.05


def test_further_seeds_are_a_range() -> None:
    found = verdict(seeds(0, 2, 1), seeds(1, 2, 3), LOWER, 0.0)
    assert found.further is not None
    low, high = found.further
    assert low >= 1
    assert high is None or high > low


def test_welch_by_hand() -> None:
    # Variances 2 and 2 of two values each: the error is √(1 + 1), with 2² / (1 + 1) = 2 degrees of freedom.
    # t = ±1 / √2: P(t₂ > t) = ½ ∓ 1 / (2 √5).
    assert welch_worse([1, 3], [0, 2], "lower") == pytest.approx(0.5 - 1 / (2 * 5**0.5))
    assert welch_worse([1, 3], [0, 2], "higher") == pytest.approx(0.5 + 1 / (2 * 5**0.5))
    # Variances 2 of two and 4 of three: √(1 + 4/3), and (7/3)² / (1 / 1 + (16/9) / 2) = 49/17.
    assert statistics._welch(array(1, 3), array(0, 2, 4)) == pytest.approx(((7 / 3) ** 0.5, 49 / 17))
    assert statistics._welch(array(0, 2, 4), array(1, 3)) == pytest.approx(((7 / 3) ** 0.5, 49 / 17))
    # One side without a spread: the other's alone, 1² / (1² / 1).
    assert statistics._welch(array(1, 3), array(0.1, 0.1, 0.1)) == pytest.approx((1, 1))
    assert statistics._welch(array(2, 2), array(5, 5)) == (0, 1)
    assert statistics._welch(array(0.1, 0.1, 0.1), array(0.7, 0.7, 0.7)) == (0, 1)  # whatever the means are rounded to
    # A range of 1 is one: variances ½ of two values each.
    assert statistics._welch(array(0, 1), array(3, 4)) == pytest.approx((0.5**0.5, 2))


def test_welch_without_a_spread_or_without_values() -> None:
    # All of two are worse than all of three: one of C(5, 2) = 10 ways to divide them.
    assert welch_worse([2, 2], [1, 1, 1], "lower") == 0.1
    assert welch_worse([2, 2], [1, 1, 1], "higher") == 1
    assert welch_worse([1, 1], [1, 1, 1], "lower") == 1
    assert [welch_detectable([2, 2], [1, 1, 1], level) for level in (0.1, 0.09)] == [0, math.inf]
    for one, other in (([1], [1, 2]), ([1, 2], [1]), ([1, NAN], [1, 2]), ([], [])):
        assert math.isnan(welch_worse(one, other, "lower"))
        assert welch_detectable(one, other, 0.05) == math.inf


def test_the_loss_that_welch_detects() -> None:
    # The quantiles of t₂ are (2 p − 1) / √(2 p (1 − p)): .9 has 8 / (3 √2), .8 has 3 / (2 √2). The error is √2.
    assert welch_detectable([1, 3], [0, 2], 0.1) == pytest.approx(8 / 3 + 3 / 2)
    assert welch_detectable([1, 3], [0, 2], 0.1, power=0.5) == pytest.approx(8 / 3)


def test_more_failures_by_counting() -> None:
    # Of 2 and 2 trials the first two failed: one way of C(4, 2).
    assert more_failures(2, 2, 0, 2) == pytest.approx(1 / 6)
    # 2 of 3 against 1 of 4: (C(3, 2) C(4, 1) + C(3, 3)) / C(7, 3)
    assert more_failures(2, 3, 1, 4) == pytest.approx(13 / 35)
    assert more_failures(0, 2, 2, 2) == pytest.approx(1)

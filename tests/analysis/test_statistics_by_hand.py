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
from harness.analysis.statistics import (
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
    worst,
)

NAN = math.nan
P_OF_2 = 1 - 2 * math.atan(2) / math.pi
"""The two-sided p-value of t = 2 with one degree of freedom."""


def array(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=float)


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


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


def test_the_probability_of_improvement_without_pairs() -> None:
    assert math.isnan(probability_of_improvement([], [1], "lower"))
    assert math.isnan(probability_of_improvement([1], [NAN], "lower"))
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
    assert statistics._holm_levels(p, 0.05) == pytest.approx(levels)


def test_the_p_value_of_a_difference() -> None:
    # Mean 2, standard error 1: t = ±2 with one degree of freedom.
    assert statistics._p_difference(array(1, 3)) == pytest.approx(P_OF_2)
    assert statistics._p_difference(array(-3, -1)) == pytest.approx(P_OF_2)
    # Mean 1, variance 3, standard error 1: t = 1 with two: 1 − 1 / √3.
    assert statistics._p_difference(array(0, 0, 3)) == pytest.approx(1 - 1 / 3**0.5)
    # Without a spread the sign test: 2 · ½ⁿ.
    assert statistics._p_difference(array(1, 1)) == 0.5
    assert statistics._p_difference(array(-4, -4, -4)) == 0.25
    assert statistics._p_difference(array(0, 0, 0)) == 1
    assert math.isnan(statistics._p_difference(array(1)))


def test_the_p_value_with_and_without_failed_trials() -> None:
    two, three = array(1, 3), array(0, 0, 3)  # .295 and .423
    assert statistics._p_both(two, three) == pytest.approx(1 - 1 / 3**0.5)
    assert statistics._p_both(three, two) == pytest.approx(1 - 1 / 3**0.5)
    assert statistics._p_both(two, -three) == 1  # the failed trials turn the sign round
    assert statistics._p_both(array(1), three) == 1  # a pair alone shows nothing
    assert statistics._p_both(array(1, 1), array(1, 1)) == 0.5


def test_the_p_value_of_equality() -> None:
    assert statistics._p_equivalence(array(1, 3), 4) == pytest.approx(P_OF_2)  # 2 below δ, in units of 1
    assert statistics._p_equivalence(array(-1, -3), 4) == pytest.approx(P_OF_2)
    assert statistics._p_equivalence(array(2, 6), 8) == pytest.approx(P_OF_2)  # 4 below, in units of 2
    assert statistics._p_equivalence(array(1, 3), 1) == 1  # outside of δ: 2 · P(t > −1) = 1.5
    # Without a spread 2 · ½ⁿ inside, 1 on the border and outside.
    assert [statistics._p_equivalence(array(1, 1, 1), delta) for delta in (2, 1, 0.5)] == [0.25, 1, 1]
    assert statistics._p_equivalence(array(-1, -1), 2) == 0.5
    assert math.isnan(statistics._p_equivalence(array(0), 1))


def test_failed_trials_are_left_out_of_pairs_or_filled() -> None:
    arm, baseline = {3: 5.0, 1: 2.0, 2: NAN, 9: 1.0}, {1: 1.0, 2: 4.0, 3: 1.0, 4: 7.0}
    assert statistics._paired(arm, baseline).tolist() == [1, 4]
    assert statistics._filled(arm, 8.0) == {3: 5.0, 1: 2.0, 2: 8.0, 9: 1.0}
    assert (worst([1, 3, NAN], "lower"), worst([1, 3, NAN], "higher")) == (3, 1)
    assert math.isnan(worst([NAN], "lower"))


# Cohen's effect sizes .2, .5, .8 and 1 of the paired t test at α = .05 and a power of .8: any table of sample sizes.
@pytest.mark.parametrize(("effect", "n"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (100.0, 2)])
def test_the_seeds_that_show_a_difference(effect: float, n: int) -> None:
    assert seeds_needed(effect, 1.0, 0.0) == n
    assert seeds_needed(-3 * effect, 3.0, 0.0) == n  # only the ratio counts


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
    assert seeds_needed(effect, 1.0, 1.0, alpha_equal=level) == n
    assert seeds_needed(5 * effect, 5.0, 5.0, alpha_equal=level) == n


def test_the_power_of_both_tests() -> None:
    n = np.array([13])
    # Φ(√13 − 2.1788) = Φ(1.4268) = .9232
    assert statistics._power_equivalence(0.0, 1.0, 1.0, n, 0.05) == pytest.approx([2 * 0.9232 - 1], abs=1e-3)
    assert statistics._power_equivalence(1.0, 1.0, 1.0, n, 0.05).tolist() == [0]  # an effect of δ is not below it
    # Without an effect, a difference is found on one side with the chance α / 2.
    assert statistics._power_difference(0.0, 1.0, n, 0.05) == pytest.approx([0.025])


def test_when_there_is_no_number_of_seeds() -> None:
    # (1.960 + .842)² / d² + 1.92, the usual approximation, is 999.5 for .0887 and 1000.4 for .08866.
    assert seeds_needed(0.0887, 1.0, 0.0) == 1000
    assert seeds_needed(0.08866, 1.0, 0.0) is None
    for effect, spread in ((1.0, 0.0), (1.0, -1.0), (NAN, 1.0), (1.0, NAN)):
        assert seeds_needed(effect, spread, 2.0) is None


def test_how_many_seeds_more() -> None:
    # Effect 1, spread 1: ten in all, of which there are three; and of twelve with that effect and spread at least one.
    assert statistics._further(array(0, 1, 2), 0.0, 0.05, 0.05) == 7
    half = (11 / 12) ** 0.5
    assert statistics._further(array(*[1 - half, 1 + half] * 6), 0.0, 0.05, 0.05) == 1
    # Effect 0, spread 1 and δ = 1: 13 at .05 and 10 at .1, as above.
    assert statistics._further(array(-1, 0, 1), 1.0, 0.05, 0.05) == 10
    assert statistics._further(array(-1, 0, 1), 1.0, 0.05, 0.1) == 7
    # Two suffice for an estimate: 1 ± √½ have a spread of 1, too.
    assert statistics._further(array(1 - 0.5**0.5, 1 + 0.5**0.5), 0.0, 0.05, 0.05) == 8
    assert statistics._further(array(1), 0.0, 0.05, 0.05) is None
    assert statistics._further(array(1, 1), 0.0, 0.05, 0.05) is None


def test_a_whole_verdict_by_hand() -> None:
    # Differences 1 and 3: p = .295. At α = .6 the interval has the confidence .4, and ends at 2 ± tan(.2 π).
    found = verdict({0: 6.0, 1: 9.0, 2: NAN}, {0: 5.0, 1: 6.0}, "higher", 0.0, alpha=0.6)
    assert (found.kind, found.effect, found.n, found.delta) == ("better", 2, 2, 0)
    assert (found.confidence, found.p) == pytest.approx((0.4, P_OF_2))
    assert (found.low, found.high) == pytest.approx((2 - math.tan(0.2 * math.pi), 2 + math.tan(0.2 * math.pi)))
    assert found.improvement == 3.5 / 4  # 6 beats 5 and ties with 6, 9 beats both
    assert (found.failed, found.trials, found.baseline_failed, found.baseline_trials) == (1, 3, 0, 2)
    assert (found.further, found.held) == (None, False)
    assert verdict({0: 6.0, 1: 9.0}, {0: 5.0, 1: 6.0}, "lower", 0.0, alpha=0.6).kind == "worse"
    # The same in units ten times as large: the sign decides, not the size.
    small = {0: 0.1, 1: 0.3}
    kinds = [verdict(small, {0: 0.0, 1: 0.0}, better, 0.0, alpha=0.6).kind for better in ("higher", "lower")]
    assert kinds == ["better", "worse"]


def test_a_verdict_at_its_level() -> None:
    # Two equal differences have p = ½, of a difference and, within δ, of equality.
    arm, baseline = seeds(2, 2), seeds(1, 1)
    assert verdict(arm, baseline, "higher", 0.0, alpha=0.5).kind == "better"
    assert verdict(arm, baseline, "higher", 0.0, alpha=0.49).kind == "inconclusive"
    assert verdict(arm, baseline, "higher", 2.0, alpha=0.5).kind == "no difference larger than δ"
    assert verdict(arm, baseline, "higher", 2.0, alpha=0.49).kind == "inconclusive"
    # Of two arms the second is tested at α as the first was rejected at half of it.
    both = verdicts({"one": seeds(2, 2, 2), "other": seeds(3, 3)}, seeds(1, 1, 1), "higher", 0.0, alpha=0.5)
    assert {name: (found.p, found.confidence, found.kind) for name, found in both.items()} == {
        "one": (0.5, 0.75, "better"),
        "other": (0.5, 0.5, "better"),
    }


@pytest.mark.parametrize(("delta", "kind"), [(0.0, "better"), (2.0, "no difference larger than δ")])
def test_failed_trials_alone_prevent_a_verdict(delta: float, kind: str) -> None:
    # Two pairs differ by 1: p = ½, at the level. The third seed failed: it counts as the worst value, 0, which is 9
    # below the baseline's and turns the mean round; so nothing is settled, and more seeds are no help.
    arm, baseline = {0: 1.0, 1: 2.0, 2: NAN}, {0: 0.0, 1: 1.0, 2: 9.0}
    found = verdict(arm, baseline, "higher", delta, alpha=0.5)
    assert (found.kind, found.held, found.further) == ("inconclusive", True, None)
    assert verdict({0: 1.0, 1: 2.0}, baseline, "higher", delta, alpha=0.5).kind == kind
    # Below that level the pairs show nothing either.
    assert not verdict(arm, baseline, "higher", delta, alpha=0.49).held


def test_failed_trials_alone_prevent_that_equality_is_shown_at_its_level() -> None:
    # Two differences of 0: p = 1 of a difference, and ½ of equality, which is the level.
    found = verdict({0: 0.0, 1: 1.0, 2: NAN}, {0: 0.0, 1: 1.0, 2: 9.0}, "higher", 2.0, alpha=0.5)
    assert (found.kind, found.held) == ("inconclusive", True)


def test_one_finished_pair_shows_nothing_whatever_failed_trials_count_as() -> None:
    # The finished pair differs by −4, with failed trials (6 each) the three are −4, 1 and 0, of the same sign.
    assert verdict({0: 1.0, 1: NAN, 2: NAN}, {0: 5.0, 1: 5.0, 2: 6.0}, "lower", 0.0).p == 1


def test_a_failed_trial_counts_as_the_worst_of_all_arms_and_the_baseline() -> None:
    # The fill is 7, another arm's: arm − baseline is then (−1, −1, 6), which turns the mean round.
    arm, other, baseline = seeds(1, 1, NAN), seeds(7, 2, 2), seeds(2, 2, 1)
    assert verdicts({"arm": arm}, baseline, "lower", 0.0, 0.9)["arm"].p < 1
    assert verdicts({"arm": arm, "other": other}, baseline, "lower", 0.0, 0.9)["arm"].p == 1


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

"""The statistics against statsmodels, which is the reference of the field."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from harness.analysis import spread
from harness.analysis.levels import Levels
from harness.analysis.scales import Measure
from harness.analysis.statistics import Sample, failure_rate, holm, seeds_needed, verdict

statsmodels = pytest.importorskip("statsmodels.api", reason="statsmodels is not installed (extra: test)")

from statsmodels.stats.multitest import multipletests  # noqa: E402
from statsmodels.stats.power import TTestIndPower, TTestPower  # noqa: E402
from statsmodels.stats.proportion import proportion_confint  # noqa: E402
from statsmodels.stats.weightstats import ttest_ind, ttost_paired  # noqa: E402


def test_holm() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 30):
        p = rng.random(size) ** 3
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])


@pytest.mark.parametrize(("failed", "trials"), [(0, 3), (1, 5), (10, 10), (7, 20)])
def test_wilson(failed: int, trials: int) -> None:
    found = failure_rate(failed, trials)
    assert (found.low, found.high) == pytest.approx(proportion_confint(failed, trials, method="wilson"), abs=1e-12)


@pytest.mark.parametrize("effect", [0.3, 0.7, 1.5])
def test_power(effect: float) -> None:
    paired = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)
    assert seeds_needed(effect, 1.0) == math.ceil(paired)
    unpaired = TTestIndPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)
    assert seeds_needed(effect, 2**0.5, paired=False) == math.ceil(unpaired)


def test_the_paired_test_and_equivalence() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(0, 10, 12)
    arm = base + rng.normal(0.3, 1, 12)
    samples = [Sample(dict(enumerate(values.tolist()))) for values in (arm, base)]
    one_sided = ttost_paired(arm, base, -1.5, 1.5)[0]
    for level, kind in ((2.02 * one_sided, "no difference larger than δ"), (1.98 * one_sided, "inconclusive")):
        found = verdict(*samples, Measure(), 1.5, Levels(level))
        assert found.paired
        assert found.kind == kind


def test_two_arms_alone_share_no_spread() -> None:
    """Their statistic is Welch's; its degrees of freedom are the smaller arm's, which is on the safe side."""
    rng = np.random.default_rng(2)
    arm, base = rng.normal(1, 1, 4), rng.normal(0, 3, 9)
    t, p, _ = ttest_ind(arm, base, usevar="unequal")
    found = verdict(*(Sample(dict(enumerate(values.tolist()))) for values in (arm, base)), Measure(), 0.0)
    from scipy import stats

    assert found.p == pytest.approx(2 * stats.t.sf(abs(t), 3), rel=1e-4)
    assert found.p > p


def test_the_prior_of_many_arms_is_recovered() -> None:
    """Variances drawn as Smyth (2004) has them, 2 · 4 / χ²(4): d₀ is 4, and s₀² is 2."""
    rng = np.random.default_rng(3)
    true = 2 * 4 / rng.chisquare(4, size=(1, 20_000, 1))
    _, variance, n = spread.variances(np.sqrt(true) * rng.normal(size=(1, 20_000, 5)))
    found = spread.moderated(variance, n, baseline=None)
    assert found.alike[0] == pytest.approx(4, rel=0.05)


def test_a_moderated_variance_by_hand() -> None:
    # Four equal variances are as alike as can be: the prior has a quarter of the other two arms' four degrees.
    variance, n = np.array([[2.0, 2.0, 2.0, 2.0]]), np.array([[3, 3, 3, 3]])
    found = spread.moderated(variance, n, baseline=None)
    assert found.freedom == pytest.approx(np.full((1, 4), 2 + 1.0))
    # s₀² is Smyth's: the variance, times exp(ψ(d₀ / 2) − log(d₀ / 2) − ψ(d / 2) + log(d / 2)).
    common = 2 * math.exp(special.digamma(0.5) - math.log(0.5) - special.digamma(1) + math.log(1))
    assert found.variance == pytest.approx(np.full((1, 4), (1 * common + 2 * 2) / 3), rel=1e-3)


def test_the_inverse_of_the_trigamma_function() -> None:
    y = np.array([0.05, 0.7, 3.0, 200.0])
    assert spread._inverse_trigamma(special.polygamma(1, y)) == pytest.approx(y)


def test_the_effect_of_seeds_by_hand() -> None:
    # Two arms with the seed means 1, 2, 3 and residuals ±½ on the outer seeds: F = 2 / .25 with 2 and 2 degrees.
    groups = np.array([[0.5, 2, 3.5], [1.5, 2, 2.5]])
    within = (4 * 0.5**2) / 2
    f = (2 * (1 + 0 + 1) / 2) / within
    assert spread.seeds_matter(groups) == pytest.approx(2 / (2 + 2 * f))  # P(F(2, 2) > f) = 1 / (1 + f)
    assert spread.seeds_matter(np.array([[1.0, 2.0], [1.0, 2.0]])) == 1  # two seeds show nothing

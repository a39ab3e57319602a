"""Interactions and verdicts over data sets: by hand, by simulation, and against rliable and scipy."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence

import contrasts as benchmark
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.analysis import across, spread
from harness.analysis.scales import Measure
from harness.analysis.statistics import Contrast, Interval, Question, Sample, Verdict, answers

LOWER, RATIO = Measure("lower"), Measure("lower", "ratio", 0)


def seeds(*values: float) -> Sample:
    return Sample(dict(enumerate(values)))


def asked(
    samples: dict[str, Sample], weights: Sequence[float], measure: Measure = LOWER, delta: float = 0.1
) -> Contrast:
    """Each pair of samples in their order: arm, baseline."""
    names = list(samples)
    pairs = zip(names[::2], names[1::2], strict=True)
    questions = [Question(arm, baseline, samples, measure, delta) for arm, baseline in pairs]
    return Contrast(tuple(zip(weights, questions, strict=True)))


def answer(
    samples: dict[str, Sample], weights: Sequence[float], measure: Measure = LOWER, delta: float = 0.1
) -> Verdict:
    return answers({"": asked(samples, weights, measure, delta)})[""]


# --- a sum of means ---------------------------------------------------------------------------------------


def test_the_error_of_a_sum_by_hand() -> None:
    # Four arms, no other one: nothing is shared. Variances 1, 1, 1 and 4 of three values each, weights ±1:
    # error² = 7 / 3; Satterthwaite 7² / ((1 + 1 + 1 + 16) / 2) = 98 / 19; the smallest 2; their geometric mean.
    variance, n, weights = np.array([1.0, 1, 1, 4]), np.full(4, 3), np.array([1.0, -1, -1, 1])
    found = spread.moderated(variance, n, None, weights)
    error, freedom = spread.combined(found, n, weights)
    assert found.variance == pytest.approx(variance, rel=1e-3)
    assert error == pytest.approx(math.sqrt(7 / 3), rel=1e-3)
    assert freedom == pytest.approx(math.sqrt(2 * 98 / 19), rel=1e-3)


def test_other_arms_help_a_sum_and_an_arm_of_weight_0_is_not_in_it() -> None:
    weights = np.array([1.0, -1, -1, 1, 0, 0, 0, 0])
    found = spread.moderated(np.ones(8), np.full(8, 3), None, weights)
    error, freedom = spread.combined(found, np.full(8, 3), weights)
    assert error == pytest.approx(math.sqrt(4 / 3), rel=0.2)
    assert (
        freedom
        > spread.combined(spread.moderated(np.ones(4), np.full(4, 3), None, weights[:4]), np.full(4, 3), weights[:4])[1]
    )


# --- interactions -----------------------------------------------------------------------------------------


def test_an_interaction_is_a_ratio_of_ratios() -> None:
    # × 0.5 at the first value, × 0.8 at the other: × 0.625 of it.
    arms = {
        "a": seeds(5, 5.1, 4.9, 5),
        "b": seeds(10, 10.2, 9.8, 10),
        "a2": seeds(8, 8.1, 7.9, 8),
        "b2": seeds(10, 9.9, 10.1, 10),
    }
    found = answer(arms, (1, -1), RATIO)
    assert found.effect == pytest.approx(0.625, rel=1e-3)
    assert found.low < 0.625 < found.high < 1
    assert found.kind == "better"
    assert answer(arms, (-1, 1), RATIO).kind == "worse"


def test_effects_that_are_large_and_equal_are_no_interaction() -> None:
    arms = {
        "a": seeds(5, 5.1, 4.9, 5),
        "b": seeds(10, 10.2, 9.8, 10),
        "a2": seeds(49, 50, 50, 51),
        "b2": seeds(101, 99, 100, 100),
    }
    found = answer(arms, (1, -1), RATIO, delta=5.0)
    assert found.effect == pytest.approx(1, abs=1e-3)
    assert (found.kind, found.paired) == ("no difference larger than δ", False)


def test_an_interaction_of_shares_is_told_in_points_of_what_the_arm_would_have() -> None:
    share = Measure("higher", "share", 0, 1)
    arms = {"a": seeds(0.8, 0.8), "b": seeds(0.5, 0.5), "a2": seeds(0.5, 0.5), "b2": seeds(0.5, 0.5)}
    assert answer(arms, (1, -1), share).effect == pytest.approx(0.3)


def test_an_interaction_with_one_seed_is_inconclusive() -> None:
    arms = {"a": seeds(5.0), "b": seeds(10.0, 11), "a2": seeds(8.0, 8), "b2": seeds(10.0, 9)}
    found = answer(arms, (1, -1))
    assert (found.kind, found.n) == ("inconclusive", 1)
    assert math.isnan(found.effect)


def test_seeds_that_all_arms_share_are_taken_out_on_each_seed() -> None:
    luck = np.array([0.0, 10, 20, 30])
    rng = np.random.default_rng(0)
    arms = {
        name: seeds(*(mean + luck + rng.normal(0, 0.1, 4))) for name, mean in (("a", 1), ("b", 2), ("a2", 5), ("b2", 5))
    }
    found = answer(arms, (1, -1))
    assert found.paired
    assert found.kind == "better"


def test_a_contrast_is_corrected_with_the_other_questions() -> None:
    rng = np.random.default_rng(3)
    arms = {name: seeds(*rng.normal(mean, 1, 5)) for name, mean in (("a", 5), ("b", 10), ("a2", 10), ("b2", 10))}
    contrast = asked(arms, (1, -1))
    alone = answers({"i": contrast})["i"]
    together = answers({"i": contrast, **{str(k): contrast.terms[1][1] for k in range(9)}})["i"]
    assert together.p > alone.p
    assert together.confidence > alone.confidence


@pytest.mark.parametrize("weights", benchmark.WEIGHTS.values(), ids=benchmark.WEIGHTS.keys())
@pytest.mark.parametrize("n", [3, 5, 10])
def test_false_alarms_are_at_most_five_per_cent(weights: NDArray[np.float64], n: int) -> None:
    for name, draw in benchmark.verdicts.EQUAL_ARMS.items():
        groups = draw(np.random.default_rng([n, 1]), 2000, len(weights), n)
        alarms = float((benchmark.p_values(groups, weights)[0] <= 0.05).mean())
        assert alarms <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000), name


def test_an_interaction_that_is_there_is_found() -> None:
    rng, weights = np.random.default_rng(0), benchmark.interaction(8)
    groups = rng.normal(size=(1000, 8, 5))
    groups[:, 0] += 4
    p, sign = benchmark.p_values(groups, weights)
    assert ((p <= 0.05) & (sign > 0)).mean() > 0.8
    assert ((p <= 0.05) & (sign < 0)).mean() < 0.01


def test_the_simulations_are_of_the_real_verdicts() -> None:
    for number in range(20):
        rng = np.random.default_rng(number)
        groups = rng.normal(size=(1, 8, 4)) + (rng.normal(size=(1, 1, 4)) if number % 2 else 0)
        samples = {str(arm): seeds(*groups[0, arm]) for arm in range(8)}
        questions = [Question("0", "1", samples, LOWER, 0.0), Question("3", "2", samples, LOWER, 0.0)]
        found = answers({"": Contrast(tuple(zip((1.0, 1.0), questions, strict=True)))})[""]
        weights = np.array([1.0, -1, -1, 1, 0, 0, 0, 0])
        assert found.p == pytest.approx(float(benchmark.p_values(groups, weights)[0][0]), rel=1e-9)


# --- several data sets ------------------------------------------------------------------------------------


def test_the_verdict_over_data_sets_is_on_the_mean_of_their_differences() -> None:
    # Each data set has its own level and effect: × 0.5 and × 0.8, whose geometric mean is √0.4.
    arms = {
        "a": seeds(5, 5.1, 4.9, 5),
        "b": seeds(10, 10.2, 9.8, 10),
        "a2": seeds(80, 81, 79, 80),
        "b2": seeds(100, 99, 101, 100),
    }
    found = answer(arms, (0.5, 0.5), RATIO)
    assert found.effect == pytest.approx(math.sqrt(0.4), rel=1e-3)
    assert (found.kind, found.improvement, found.trials) == ("better", 1.0, 8)


def test_opposite_effects_are_no_verdict_over_data_sets() -> None:
    arms = {
        "a": seeds(5, 5.1, 4.9, 5),
        "b": seeds(10, 10.1, 9.9, 10),
        "a2": seeds(10, 10.1, 9.9, 10),
        "b2": seeds(5, 5.1, 4.9, 5),
    }
    found = answer(arms, (0.5, 0.5))
    assert found.effect == pytest.approx(0, abs=1e-9)
    assert found.improvement == 0.5
    assert found.kind == "inconclusive" or found.kind == "no difference larger than δ"


def test_lost_trials_over_data_sets_are_tested_exactly_within_each() -> None:
    # 3 of 3 against 0 of 3 on each of two data sets: the chance of this table or its mirror is 2 / 20².
    fails = seeds(*[math.nan] * 3)
    arms = {"a": fails, "b": seeds(1, 2, 3), "a2": fails, "b2": seeds(1, 2, 3)}
    found = answer(arms, (0.5, 0.5))
    assert found.share is not None
    assert found.share.p == pytest.approx(2 / 400 * 2)  # of two questions: the means, and the shares
    assert found.kind == "worse"
    # Levels that differ between data sets are no difference: all trials of one data set fail, none of the other.
    arms = {"a": fails, "b": fails, "a2": seeds(1, 2, 3), "b2": seeds(1, 2, 3)}
    found = answer(arms, (0.5, 0.5))
    assert found.share is not None
    assert found.share.p == 1


def test_the_interquartile_mean_is_the_trimmed_mean_of_all_runs() -> None:
    rng = np.random.default_rng(0)
    strata = [rng.normal(size=n) for n in (3, 5, 6)]
    assert across.interquartile_mean(strata) == pytest.approx(stats.trim_mean(np.concatenate(strata), 0.25))
    # 1 … 8 without 1, 2, 7, 8
    assert across.interquartile_mean([np.array([1.0, 2, 3, 4]), np.array([5.0, 6, 7, 8])]) == 4.5


def test_the_bootstrap_is_stratified() -> None:
    # Strata without any spread of their own: drawing within them changes nothing, drawing over all of them would.
    found = across.bootstrap([np.full(3, 1.0), np.full(3, 9.0)], [np.full(3, 0.0), np.full(3, 8.0)])
    assert found == pytest.approx((1.0, 1.0, 1.0))


def test_the_interquartile_mean_and_its_bootstrap_are_those_of_rliable(monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("rliable.library", reason="rliable is not installed", exc_type=ImportError)
    metrics = pytest.importorskip("rliable.metrics", reason="rliable is not installed", exc_type=ImportError)
    _drop_random_state(monkeypatch)
    rng = np.random.default_rng(1)
    arm, baseline = rng.normal(0.5, 1, (5, 3)), rng.normal(0, 1, (5, 3))  # runs × data sets
    own = across.bootstrap(list(arm.T), list(baseline.T), repetitions=20_000)
    assert across.interquartile_mean(list(arm.T)) == pytest.approx(metrics.aggregate_iqm(arm))

    def difference(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([metrics.aggregate_iqm(one) - metrics.aggregate_iqm(other)])

    points, intervals = library.get_interval_estimates({"x": (arm, baseline)}, difference, reps=5000)
    assert own.mean == pytest.approx(points["x"][0])
    assert own[1:] == pytest.approx(intervals["x"][:, 0].tolist(), abs=0.06)


def _drop_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """rliable 1.2 gives arch an argument that later versions of arch do not know."""
    bootstrap = pytest.importorskip("arch.bootstrap", exc_type=ImportError).IndependentSamplesBootstrap
    init = bootstrap.__init__
    if "random_state" not in inspect.signature(init).parameters:

        def without(self: object, *args: object, random_state: object = None, **kwargs: object) -> None:
            init(self, *args, **kwargs)

        monkeypatch.setattr(bootstrap, "__init__", without)


def test_the_interval_is_widened_by_hand() -> None:
    # Three seeds of three data sets: √(3 / 2) · t(.975, 12) / z(.975) = 1.2247 · 2.17881 / 1.95996
    found = across.widened(Interval(1.0, 0.0, 3.0), 3, 3)
    factor = math.sqrt(1.5) * 2.178813 / 1.959964
    assert found == pytest.approx((1.0, 1 - factor, 1 + 2 * factor), rel=1e-5)
    assert math.isnan(across.widened(Interval(1.0, 0.0, 3.0), 1, 3).low)


@pytest.mark.parametrize(("data", "n"), [(3, 3), (5, 3), (3, 10)])
def test_the_widened_interval_covers(data: int, n: int) -> None:
    covered = np.mean([benchmark._covered("alike", data, n, run) for run in range(400)], axis=0)
    assert covered[1] >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 400)


def test_scores_are_relative_to_the_baseline_of_the_same_data_set_and_failed_trials_are_the_worst() -> None:
    arm, baseline = normalised_of([seeds(1, math.nan), seeds(103, 105)], [seeds(2, 4), seeds(100, 102)])
    assert [scores.tolist() for scores in arm] == [[-2, 1], [2, 4]]
    assert [scores.tolist() for scores in baseline] == [[-1, 1], [-1, 1]]


def normalised_of(
    arm: list[Sample], baseline: list[Sample]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    return across.normalised(arm, baseline, LOWER)

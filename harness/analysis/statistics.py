"""Intervals, tests and verdicts over seeds: arrays in, numbers out.

A verdict compares an arm with a baseline on the scale of the metric (``scales``), with a spread that the arms of the
suite share (``spread``). Holm's procedure corrects for the number of questions, and the level for the number of looks
(``levels``). Collapsed and failed trials are outcomes of their own: their share is tested exactly (Fisher), and the
means are over the other trials. ``docs/statistics.md`` has the error rates that simulations measured.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.analysis import distributions
from harness.analysis import spread as spreads
from harness.analysis.levels import ONE, Levels
from harness.analysis.scales import Better, Measure

VerdictKind = Literal["better", "worse", "no difference larger than δ", "inconclusive"]
Limit = Literal["lowest", "highest", "constant"]
"""Why values cannot tell arms apart: all are the lowest or the highest possible, or one fraction to the last digit."""

ALPHA = 0.05
"""The largest chance that a suite calls any arm different that is not (family-wise error rate)."""
POWER = 0.8
"""The chance that a number of further seeds settles the question, for one size of the true effect."""
MOST_SEEDS = 1000
"""The largest number of seeds that ``seeds_needed`` tries."""
SIZES = np.unique(np.geomspace(2, MOST_SEEDS, 45).round().astype(int))
"""The numbers of seeds that the range of further seeds is made of."""
LIKELY = (0.2, 0.8)
"""The number of further seeds is given for true effects between these quantiles of what the data allow."""


class Interval(NamedTuple):
    """A mean and the bounds of its confidence interval, in the unit of the values; NaN if there is none."""

    mean: float
    low: float
    high: float


class Further(NamedTuple):
    """Further seeds of both arms that would settle a question: the range for likely true effects."""

    low: int
    high: int | None
    """None: more than ``MOST_SEEDS`` in all."""


@dataclass(frozen=True)
class Sample:
    """The trials of an arm on one metric.

    Attributes:
        values: value by seed; NaN for a failed trial.
        collapsed: the seeds whose trials collapsed, by the suite's rule.
    """

    values: Mapping[int, float]
    collapsed: frozenset[int] = frozenset()

    @property
    def rest(self) -> dict[int, float]:
        """The values of the trials that neither failed nor collapsed."""
        return {s: v for s, v in self.values.items() if math.isfinite(v) and s not in self.collapsed}

    @property
    def failed(self) -> int:
        """The number of trials without a value."""
        return sum(not math.isfinite(value) for value in self.values.values())

    @property
    def lost(self) -> int:
        """The number of trials that failed or collapsed."""
        return len(self.values) - len(self.rest)


@dataclass(frozen=True)
class Share:
    """Whether more trials of an arm than of the baseline failed or collapsed, by Fisher's exact test.

    Attributes:
        lost: trials of the arm that failed or collapsed.
        baseline_lost: those of the baseline.
        p: two-sided p-value, corrected as that of the means; 1 where so few trials cannot show a difference.
    """

    lost: int
    baseline_lost: int
    p: float


@dataclass(frozen=True)
class Verdict:
    """The verdict on an arm against the baseline.

    Attributes:
        kind: the verdict: by the shares of failed and collapsed trials if they differ, else by the means of the rest.
        rest: the verdict on the means of the trials that neither failed nor collapsed.
        effect: the difference of these means as the scale tells it: a factor, or a difference (NaN without values).
        low: lower bound of its interval (NaN without one).
        high: upper bound.
        confidence: the confidence of that interval: the level at which Holm's procedure tested the arm, at this look.
        n: the arm's trials that neither failed nor collapsed; if paired, the seeds on which both arms have one.
        baseline_n: the same of the baseline.
        paired: whether seeds were paired.
        whole: whether collapsed trials count in the means, because all but one at most of either arm collapsed.
        p: p-value of no difference of the means, corrected for questions and looks: at most α if there is one.
        improvement: probability of improvement, in [0, 1]; a failed trial is worse than any other.
        delta: the difference below which two arms count as equal, in the unit of the metric.
        further: the further seeds that would settle an inconclusive verdict; None if it is settled, or if there is no
            estimate.
        held: whether only failed trials prevent a verdict: without them the means would settle it.
        limit: where the values of both arms are at a limit of the metric; None if they are not. There is no verdict of
            equality there: beyond its limit the metric sees no difference.
        share: the test of failed and collapsed trials; None if there are none.
        failed: trials of the arm without a value.
        collapsed: trials of the arm that collapsed.
        trials: all trials of the arm.
        baseline_failed: trials of the baseline without a value.
        baseline_collapsed: trials of the baseline that collapsed.
        baseline_trials: all trials of the baseline.
        look: at which look at the suite the verdict was given, from 1.
    """

    kind: VerdictKind
    rest: VerdictKind
    effect: float
    low: float
    high: float
    confidence: float
    n: int
    baseline_n: int
    paired: bool
    whole: bool
    p: float
    improvement: float
    delta: float
    further: Further | None
    held: bool
    limit: Limit | None
    share: Share | None
    failed: int
    collapsed: int
    trials: int
    baseline_failed: int
    baseline_collapsed: int
    baseline_trials: int
    look: int = 1


def interval(values: ArrayLike, confidence: float = 0.95, measure: Measure | None = None) -> Interval:
    """The mean of n values and its Student-t interval: mean ± t(n − 1) · sd / √n, within the range of the measure.

    Not a bootstrap: over three seeds a percentile bootstrap covers far less than its nominal level. Values that
    are not finite are left out. One value has no interval (NaN bounds); without values the mean is NaN too.
    """
    x = _finite(values)
    if len(x) == 0:
        return Interval(np.nan, np.nan, np.nan)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, np.nan, np.nan)
    half = float(distributions.t_bound((1 - confidence) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    least, most = (measure.least, measure.most) if measure else (-math.inf, math.inf)
    return Interval(mean, max(mean - half, least), min(mean + half, most))


def limit(values: ArrayLike, measure: Measure | None = None) -> Limit | None:
    """The limit at which all values are; None if they are not at one, or if there is none.

    Two or more equal values that are no whole numbers are at an unknown limit: seeds do not agree to the last digit.
    """
    x = _finite(values)
    if len(x) == 0 or np.ptp(x) != 0:
        return None
    ends = (measure.least, measure.most) if measure else (-math.inf, math.inf)
    lowest, highest = (math.isclose(x[0], end, rel_tol=1e-6, abs_tol=1e-9) for end in ends)
    if lowest or highest:
        return "lowest" if lowest else "highest"
    return "constant" if len(x) > 1 and not float(x[0]).is_integer() else None


def interquartile_mean(values: ArrayLike, better: Better = "lower") -> float:
    """The mean without the lowest and the highest quarter (25 % trimmed mean; Agarwal et al. 2021).

    A quarter is rounded down: for three values or fewer it is the plain mean. NaN, a failed trial, counts as worse
    than any value; the mean is NaN if more than a quarter failed.
    """
    x = np.sort(_costs(values, better))
    cut = len(x) // 4
    kept = x[cut : len(x) - cut]
    if len(kept) == 0 or not np.isfinite(kept).all():
        return np.nan
    return float(kept.mean()) * (1 if better == "lower" else -1)


def probability_of_improvement(arm: ArrayLike, baseline: ArrayLike, better: Better) -> float:
    """The chance that a trial of the arm beats a trial of the baseline, over all pairs of trials.

    Agarwal et al. 2021: the Mann-Whitney U statistic (a tie counts half) divided by the number of pairs, in [0, 1].
    NaN, a failed trial, is worse than any value, and ties with another one. NaN without trials.
    """
    own, other = _costs(arm, better)[:, None], _costs(baseline, better)[None, :]
    if own.size == 0 or other.size == 0:
        return np.nan
    return float(np.mean((own < other) + 0.5 * (own == other)))


@functools.lru_cache(10_000)
def failure_rate(failed: int, trials: int, confidence: float = 0.95) -> Interval:
    """The share of failed trials, with Wilson's interval, in [0, 1]; NaN without trials."""
    if trials == 0:
        return Interval(np.nan, np.nan, np.nan)
    return Interval(failed / trials, *distributions.wilson(failed, trials, confidence))


def _costs(values: ArrayLike, better: Better) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=float) * (1 if better == "lower" else -1)
    return np.asarray(np.where(np.isnan(x), np.inf, x))


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, dtype=float)
    finite: NDArray[np.float64] = x[np.isfinite(x)]
    return finite


# --- many tests ------------------------------------------------------------------------------------------


class Tested(NamedTuple):
    """A test under Holm's procedure: its corrected p-value, and the level at which it was tested."""

    p: float
    level: float


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's procedure, in the order given; NaN counts as 1."""
    return [tested.p for tested in tested_at(p, ONE)]


def tested_at(p: Sequence[float], levels: Levels) -> list[Tested]:
    """p-values tested by Holm's procedure at the levels of a look, in the order given; NaN counts as 1.

    The smallest is tested at the level for m questions, the next at that for m − 1, and so on. From the first that is
    not rejected, all have the level of that one: so an interval of confidence 1 − level excludes "no difference"
    exactly if the procedure rejects, and a corrected p-value is at most α exactly then.
    """
    raw = np.nan_to_num(np.asarray(p, dtype=float), nan=1.0)
    found = [Tested(1.0, levels.alpha)] * len(raw)
    level, corrected, rejecting = levels.alpha, 0.0, True
    for step, position in enumerate(np.argsort(raw, kind="stable")):
        own = levels.at(len(raw) - step)
        corrected = max(corrected, min(1.0, float(raw[position]) * (levels.alpha / own)))
        if rejecting:
            level = own
            rejecting = bool(raw[position] <= level)
        found[position] = Tested(corrected, level)
    return found


# --- verdicts --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """The question whether one arm differs from another on one metric.

    Attributes:
        arm: the name of the one.
        baseline: the name of the other.
        samples: the arms that share their spread, by name; the two are among them. Questions with the same mapping
            (the same object) share work.
        measure: how the values are compared.
        delta: the difference below which the two count as equal, in the unit of the values.
    """

    arm: str
    baseline: str
    samples: Mapping[str, Sample]
    measure: Measure
    delta: float

    @property
    def terms(self) -> tuple[tuple[float, Question], ...]:
        """The comparisons that it is made of, with their weights: itself."""
        return ((1.0, self),)

    def over(self, samples: Mapping[str, Sample]) -> Question:
        """The same question on other samples."""
        return replace(self, samples=samples)


@dataclass(frozen=True)
class Contrast:
    """The question whether a weighted sum of differences is 0: whether two differ, or what several are on average.

    Its verdict is "better" if the sum is on the better side of 0.

    Attributes:
        terms: weight and comparison; at least two, with the same samples and measure, and no arm in common.
    """

    terms: tuple[tuple[float, Question], ...]

    @property
    def samples(self) -> Mapping[str, Sample]:
        """The arms that share their spread."""
        return self.terms[0][1].samples

    @property
    def measure(self) -> Measure:
        """How the values are compared."""
        return self.terms[0][1].measure

    @property
    def delta(self) -> float:
        """The sum below which there is none, in the unit of the values: the mean δ of the comparisons."""
        return float(np.mean([question.delta for _, question in self.terms]))

    def over(self, samples: Mapping[str, Sample]) -> Contrast:
        """The same question on other samples."""
        return Contrast(tuple((weight, question.over(samples)) for weight, question in self.terms))


Asked = Question | Contrast


def verdict(arm: Sample, baseline: Sample, measure: Measure, delta: float, levels: Levels = ONE) -> Verdict:
    """The verdict on a single arm; see ``answers``."""
    return verdicts({"arm": arm}, baseline, measure, delta, levels)["arm"]


def verdicts(
    arms: Mapping[str, Sample], baseline: Sample, measure: Measure, delta: float, levels: Levels = ONE
) -> dict[str, Verdict]:
    """A verdict on every arm against the baseline; see ``answers``."""
    samples = {**arms, "": baseline}
    return answers({name: Question(name, "", samples, measure, delta) for name in arms}, levels)


def verdict_alone(question: Question) -> Verdict:
    """The verdict on a question that is corrected for no other; its ``p`` can be corrected with those of others."""
    return answers({"": question})[""]


def answers(
    questions: Mapping[Any, Asked],
    levels: Levels = ONE,
    settled: Mapping[Any, VerdictKind] | None = None,
    others: int = 0,
) -> dict[Any, Verdict]:
    """A verdict on every question. Questions may differ in metric and in baseline; all are corrected together.

    Over all questions, and over all looks that ``levels`` stands for, the chance of calling an arm better or worse
    that equals the other is at most α; so is the chance of calling an arm equal that differs by ``delta``.

    - ``no difference larger than δ``: equality is shown, by two one-sided tests against ±δ under their own Holm
      procedure (also if the interval excludes 0: a difference below δ does not matter to the user). Not if all values
      of both arms are at a limit of the metric (``limit``).
    - ``better``, ``worse``: equality is not shown, and the interval excludes "no difference"; or the shares of failed
      and collapsed trials differ (Fisher's exact test).
    - ``inconclusive``: neither; or the means say one thing and the shares another.

    If trials failed, a verdict on the means must also hold with every failed trial counted as the worst value of any
    finished trial. So an arm that fails on most seeds is not called better or equal for the few seeds that it survived.

    ``settled``: the verdicts of earlier looks: Holm's procedure has rejected these hypotheses already.

    ``others``: further questions that are corrected for, and not answered here: those about arms that the user chose
    to leave out, perhaps because their values are known. They count as not rejected.
    """
    asked = list(questions.values())
    before = [(settled or {}).get(name, "inconclusive") for name in questions]
    found, filled = _estimates(asked), _estimates(_filled(asked))
    own = [_p_both(one, other) for one, other in zip(found, filled, strict=True)]
    raw = [0.0 if kind in ("better", "worse") else p for kind, p in zip(before, own, strict=True)]
    shares = [_Shares.of(question) for question in asked]
    able = _testable(shares, levels)
    different = tested_at([*raw, *(shares[place].p for place in able), *[1.0] * others], levels)
    for place, kind in enumerate(before):
        if kind != "inconclusive":  # what is shown is the p-value of these data
            level = different[place].level
            different[place] = Tested(min(1.0, own[place] * levels.alpha / level), level)
    by_share = dict(zip(able, different[len(asked) : len(asked) + len(able)], strict=True))
    raw_equal = [
        0.0 if kind == "no difference larger than δ" else max(one.p_equal, other.p_equal)
        for kind, one, other in zip(before, found, filled, strict=True)
    ]
    equal = tested_at([*raw_equal, *[1.0] * others], levels)
    return {
        name: _verdict(question, levels, _Tests(found[i], different[i], equal[i], shares[i], by_share.get(i)))
        for i, (name, question) in enumerate(questions.items())
    }


def raw_tests(questions: Mapping[Any, Question]) -> dict[Any, tuple[VerdictKind, float]]:
    """Which way the means of each question differ, and the p-value, corrected for nothing: hints, and no verdicts."""
    found: dict[Any, tuple[VerdictKind, float]] = {}
    for name, estimate in zip(questions, _estimates(list(questions.values())), strict=True):
        lower = estimate.difference < 0
        better = lower == (questions[name].measure.better == "lower")
        p = 1.0 if math.isnan(estimate.difference) else estimate.p
        found[name] = ("better" if better else "worse", p)
    return found


@dataclass(frozen=True)
class _Shares:
    """Fisher's test of the shares of lost trials: its p-value, and the smallest that these numbers allow."""

    lost: int
    baseline_lost: int
    p: float
    least: float
    worse: bool

    @classmethod
    def of(cls, question: Asked) -> _Shares:
        """Of several comparisons: the exact test of the sum of their tables. Of a difference of effects: no test."""
        lost, baseline_lost, least, chances, expected = 0, 0, 0, np.ones(1), 0.0
        for _, term in question.terms:
            own, other = term.samples[term.arm], term.samples[term.baseline]
            a, b, n, m = own.lost, other.lost, len(own.values), len(other.values)
            first = max(0, a + b - m)
            table = distributions.hypergeometric(np.arange(first, min(n, a + b) + 1), n + m, a + b, n)
            chances, least = np.convolve(chances, table), least + first
            lost, baseline_lost = lost + a, baseline_lost + b
            expected += (a + b) * n / max(n + m, 1)
        if min(weight for weight, _ in question.terms) < 0:
            return cls(lost, baseline_lost, 1.0, 1.0, False)
        p = [min(1.0, float(chances[chances <= own * (1 + 1e-7)].sum())) for own in chances]
        return cls(lost, baseline_lost, p[lost - least], min(p), lost > expected)


def _testable(shares: Sequence[_Shares], levels: Levels) -> list[int]:
    """The positions of the tests of shares that could reject at all (Tarone 1990).

    A test whose smallest possible p-value is above its level can never be a false alarm, so it is not counted among
    the questions: without failed and collapsed trials, or with three seeds, these tests cost nothing.
    """
    for number in range(len(shares) + 1):
        able = [place for place, one in enumerate(shares) if one.least <= levels.at(len(shares) + number)]
        if len(able) <= number:
            return able
    return list(range(len(shares)))


class _Tests(NamedTuple):
    """All that is known of one question."""

    estimate: _Estimate
    different: Tested
    equal: Tested
    shares: _Shares
    by_share: Tested | None


def _verdict(question: Asked, levels: Levels, tests: _Tests) -> Verdict:
    """The verdict that follows from the tests."""
    sides = [(term.samples[term.arm], term.samples[term.baseline]) for _, term in question.terms]
    estimate, measure = tests.estimate, question.measure
    limits = [limit([*own.values.values(), *other.values.values()], measure) for own, other in sides]
    at_limit = next((found for found in limits if found), None)
    rest = _of_means(tests, measure, levels.alpha, at_limit)
    kind = _of_both(rest, tests, levels.alpha)
    low, high = estimate.bounds(1 - tests.different.level)
    # Only failed trials prevent a verdict that the finished trials alone would give.
    settled = estimate.p <= tests.different.level or estimate.p_equal <= tests.equal.level
    held = kind == rest == "inconclusive" and settled and at_limit is None
    wants_more = kind == "inconclusive" and not held and at_limit is None
    lost = tests.shares.lost + tests.shares.baseline_lost
    p_share = tests.by_share.p if tests.by_share else 1.0
    return Verdict(
        kind,
        rest,
        effect=measure.effect(estimate.difference, estimate.base),
        low=measure.effect(low, estimate.base),
        high=measure.effect(high, estimate.base),
        confidence=1 - tests.different.level,
        n=estimate.n,
        baseline_n=estimate.baseline_n,
        paired=estimate.paired,
        whole=estimate.whole,
        p=tests.different.p,
        improvement=_improvement(question),
        delta=question.delta,
        further=_further(estimate, tests.different.level, tests.equal.level) if wants_more else None,
        held=held,
        limit=at_limit,
        share=Share(tests.shares.lost, tests.shares.baseline_lost, p_share) if lost else None,
        failed=sum(own.failed for own, _ in sides),
        collapsed=sum(own.lost - own.failed for own, _ in sides),
        trials=sum(len(own.values) for own, _ in sides),
        baseline_failed=sum(other.failed for _, other in sides),
        baseline_collapsed=sum(other.lost - other.failed for _, other in sides),
        baseline_trials=sum(len(other.values) for _, other in sides),
        look=levels.look,
    )


def _improvement(question: Asked) -> float:
    """The probability of improvement; of several comparisons their mean, of a difference of effects NaN."""
    weights, chances = [], []
    for weight, term in question.terms:
        own, other = (list(term.samples[name].values.values()) for name in (term.arm, term.baseline))
        chances.append(probability_of_improvement(term.measure.cost(own), term.measure.cost(other), "lower"))
        weights.append(weight)
    return float(np.average(chances, weights=weights)) if min(weights) > 0 else np.nan


def _of_means(tests: _Tests, measure: Measure, alpha: float, at_limit: Limit | None) -> VerdictKind:
    if tests.equal.p <= alpha:
        return "inconclusive" if at_limit else "no difference larger than δ"
    if tests.different.p <= alpha:
        lower = tests.estimate.difference < 0
        return "better" if lower == (measure.better == "lower") else "worse"
    return "inconclusive"


def _of_both(rest: VerdictKind, tests: _Tests, alpha: float) -> VerdictKind:
    if tests.by_share is None or tests.by_share.p > alpha:
        return rest
    by_share: VerdictKind = "worse" if tests.shares.worse else "better"
    return "inconclusive" if {rest, by_share} == {"better", "worse"} else by_share


# --- estimates -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Estimate:
    """The estimated difference of the transformed means of two arms.

    Attributes:
        difference: arm − baseline; NaN with fewer than two values of either.
        error: its standard error.
        freedom: the degrees of freedom of the error.
        base: the baseline's transformed mean.
        spread: √(variance of a value of the arm + of the baseline), or that of a paired difference.
        n: values of the arm (if paired: pairs).
        baseline_n: values of the baseline.
        paired: whether seeds were paired.
        least: the smallest p-value that so few values allow, where the values of each arm are all equal; else 0.
        whole: whether collapsed trials count.
        margins: the differences that count as none.
    """

    difference: float
    error: float
    freedom: float
    base: float
    spread: float
    n: int
    baseline_n: int
    paired: bool
    least: float
    whole: bool = False
    margins: tuple[float, float] = (0.0, 0.0)

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference; NaN without an estimate."""
        if self.error == 0:
            return 1.0 if self.difference == 0 else self.least
        return max(float(2 * distributions.t_above(abs(self.difference) / self.error, self.freedom)), self.least)

    @property
    def p_equal(self) -> float:
        """p-value of the two one-sided tests: the smallest level whose two-sided interval lies within the margins."""
        room = min(self.difference - self.margins[0], self.margins[1] - self.difference)
        if math.isnan(room) or room <= 0:
            return 1.0
        if self.error == 0:
            return self.least
        return max(min(1.0, float(2 * distributions.t_above(room / self.error, self.freedom))), self.least)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """The interval of the difference."""
        if self.error == 0:
            return self.difference, self.difference
        half = float(distributions.t_bound((1 - confidence) / 2, self.freedom)) * self.error
        return self.difference - half, self.difference + half


def _estimates(questions: Sequence[Asked]) -> list[_Estimate]:
    """The estimate for each question. Comparisons with the same samples and baseline share the work.

    Collapsed trials are left out. Where that leaves fewer than two values of an arm, its collapse is not an outcome
    beside others but its level: the question is answered with the collapsed trials of all arms.
    """
    known: dict[tuple[int, str, bool], dict[str, _Estimate]] = {}
    whole: dict[int, Mapping[str, Sample]] = {}
    found = []
    for question in questions:
        sides = [term.samples[name] for _, term in question.terms for name in (term.arm, term.baseline)]
        without_rest = any(len(side.rest) < 2 and side.collapsed for side in sides)
        of = id(question.samples)
        if without_rest:
            samples = whole.setdefault(
                of, {name: replace(one, collapsed=frozenset()) for name, one in question.samples.items()}
            )
            question = question.over(samples)
        if isinstance(question, Contrast):
            found.append(replace(_contrasted(question), whole=without_rest))
            continue
        group = (of, question.baseline, without_rest)
        if group not in known:
            known[group] = _against(question)
        own = known[group][question.arm]
        found.append(replace(own, whole=without_rest, margins=question.measure.margins(question.delta, own.base)))
    return found


def _against(question: Question) -> dict[str, _Estimate]:
    """Every arm that shares the question's samples against the question's baseline, without margins."""
    values = _transformed(question, first=question.baseline)
    return _paired(values) if _pairing(list(values.values())) else _unpaired(values)


def _transformed(question: Asked, first: str) -> dict[str, dict[int, float]]:
    """Arm → its values by seed on the scale of the metric, without the lost trials; all arms of the samples."""
    values: dict[str, dict[int, float]] = {}
    for name in dict.fromkeys([first, *question.samples]):
        rest = question.samples[name].rest
        values[name] = dict(zip(rest, question.measure.transformed(list(rest.values())).tolist(), strict=True))
    return values


def _contrasted(contrast: Contrast) -> _Estimate:
    """The estimate of a weighted sum of differences.

    Unpaired, its error is made of the moderated variances of all its arms. If seeds are paired, the sum is taken on
    each seed that all its arms have: then it does not matter how the differences on one seed hang together.
    """
    values = _transformed(contrast, first=contrast.terms[0][1].arm)
    weights: dict[str, float] = {}
    for weight, term in contrast.terms:
        weights |= {term.arm: weight, term.baseline: -weight}
    if _pairing(list(values.values())):
        common = set.intersection(*(set(values[name]) for name in weights))
        values = {name: {seed: values[name][seed] for seed in sorted(common)} for name in weights}
        found = _paired_sum(values, weights)
    else:
        found = _unpaired_sum(values, weights)
    mean = {name: float(np.mean(list(values[name].values()))) if values[name] else np.nan for name in weights}
    leading = sum(weight * mean[term.arm] for weight, term in contrast.terms if weight > 0)
    margins = [term.measure.margins(term.delta, mean[term.baseline]) for _, term in contrast.terms]
    below, above = np.average(margins, axis=0, weights=[abs(weight) for weight, _ in contrast.terms])
    return replace(found, base=leading - found.difference, margins=(float(below), float(above)))


def _unpaired_sum(values: Mapping[str, Mapping[int, float]], weights: Mapping[str, float]) -> _Estimate:
    mean, variance, n = spreads.variances(_table([list(own.values()) for own in values.values()]))
    weight = np.array([weights.get(name, 0.0) for name in values])
    inside = weight != 0
    found = spreads.moderated(variance, n, baseline=None, weights=weight)
    error, freedom = spreads.combined(found, n, weight)
    least = int(n[inside].min())
    return _Estimate(
        difference=float((weight * mean)[inside].sum()) if least > 1 else np.nan,
        error=float(error),
        freedom=float(freedom),
        base=np.nan,
        spread=float(np.sqrt((weight**2 * found.variance)[inside].sum())),
        n=least,
        baseline_n=least,
        paired=False,
        # As few trials as those of two arms: careful, where no trial of four arms or more has a spread.
        least=2 / math.comb(2 * least, least) if (variance[inside] == 0).all() else 0.0,
    )


def _paired_sum(values: Mapping[str, Mapping[int, float]], weights: Mapping[str, float]) -> _Estimate:
    rows = np.array([[weight * value for value in values[name].values()] for name, weight in weights.items()])
    (mean,), (variance,), (n,) = spreads.variances(rows.sum(0, keepdims=True))
    return _Estimate(
        difference=float(mean) if n > 1 else np.nan,
        error=float(np.sqrt(variance / max(n, 1))),
        freedom=float(max(n - 1, 1)),
        base=np.nan,
        spread=float(np.sqrt(variance)),
        n=int(n),
        baseline_n=int(n),
        paired=True,
        least=min(1.0, 2 * 0.5 ** int(n)) if variance == 0 else 0.0,  # the sign test
    )


def _pairing(values: Sequence[Mapping[int, float]]) -> bool:
    """Whether seeds are paired: whether the seeds that all arms have show an effect that all arms share.

    The rule is fixed before the data are seen: the F test of seeds in the two-way layout, at ``spread.PAIRED``.
    """
    common = sorted(set.intersection(*(set(own) for own in values)))
    if len(common) < 3:
        return False
    return bool(spreads.seeds_matter(np.array([[own[seed] for seed in common] for own in values])) < spreads.PAIRED)


def _unpaired(values: Mapping[str, Mapping[int, float]]) -> dict[str, _Estimate]:
    """Estimates of all arms against the first one, by the means and the moderated variance of each arm."""
    groups = _table([list(own.values()) for own in values.values()])
    mean, variance, n = spreads.variances(groups)
    found = spreads.moderated(variance, n)
    error, freedom = spreads.compared(found, n)
    return {
        name: _Estimate(
            difference=float(mean[row] - mean[0]) if min(n[row], n[0]) > 1 else np.nan,
            error=float(error[row]),
            freedom=float(freedom[row]),
            base=float(mean[0]),
            spread=float(np.sqrt(found.variance[row] + found.variance[0])),
            n=int(n[row]),
            baseline_n=int(n[0]),
            paired=False,
            # Permutations of n + m trials: all of one arm below all of the other, or above.
            least=2 / math.comb(int(n[row] + n[0]), int(n[0])) if variance[row] == variance[0] == 0 else 0.0,
        )
        for row, name in enumerate(values)
    }


def _paired(values: Mapping[str, Mapping[int, float]]) -> dict[str, _Estimate]:
    """Estimates of all arms but the first against it, by the differences on each seed, with a moderated variance."""
    names = list(values)
    base = values[names[0]]
    seeds = {name: sorted(values[name].keys() & base.keys()) for name in names[1:]}
    groups = _table([[values[name][seed] - base[seed] for seed in own] for name, own in seeds.items()])
    mean, variance, n = spreads.variances(groups)
    found = spreads.moderated(variance, n, baseline=None)
    return {
        name: _Estimate(
            difference=float(mean[row]) if n[row] > 1 else np.nan,
            error=float(np.sqrt(found.variance[row] / max(n[row], 1))),
            freedom=float(found.freedom[row]),
            base=float(np.mean([base[seed] for seed in seeds[name]])) if seeds[name] else np.nan,
            spread=float(np.sqrt(found.variance[row])),
            n=int(n[row]),
            baseline_n=int(n[row]),
            paired=True,
            least=min(1.0, 2 * 0.5 ** int(n[row])) if variance[row] == 0 else 0.0,  # the sign test
        )
        for row, name in enumerate(names[1:])
    }


def _table(rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Rows of different lengths as an array, with NaN at the end of the shorter ones."""
    table = np.full((len(rows), max(1, *map(len, rows))), np.nan)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table


def _filled(questions: Sequence[Asked]) -> list[Asked]:
    """The questions with every failed trial as the worst value of any finished one that shares its samples."""
    known: dict[int, Mapping[str, Sample]] = {}
    first: dict[int, Asked] = {}
    for question in questions:
        first.setdefault(id(question.samples), question)
    for question in first.values():  # all questions of a suite share their samples
        samples = question.samples
        finished = [v for sample in samples.values() for v in sample.values.values() if math.isfinite(v)]
        if finished and any(sample.failed for sample in samples.values()):
            worst = finished[int(np.argmax(question.measure.cost(finished)))]
            known[id(samples)] = {
                name: replace(own, values={s: v if math.isfinite(v) else worst for s, v in own.values.items()})
                for name, own in samples.items()
            }
    return [question.over(known.get(id(question.samples), question.samples)) for question in questions]


def _p_both(finished: _Estimate, filled: _Estimate) -> float:
    """The larger p-value of a difference, without and with failed trials; 1 if their means differ in sign."""
    if math.isnan(finished.difference) or finished.difference * filled.difference < 0:
        return 1.0
    return max(finished.p, filled.p)


# --- how many seeds --------------------------------------------------------------------------------------


def seeds_needed(
    effect: float,
    spread: float,
    margins: tuple[float, float] = (0.0, 0.0),
    alpha: float = ALPHA,
    power: float = POWER,
    alpha_equal: float | None = None,
    paired: bool = True,
) -> int | None:
    """The number of seeds of each arm that settle a question with chance ``power``, by the power of the t tests.

    Assumes normal values with exactly this difference and this spread, and no spread that is shared between arms.

    Args:
        effect: the true difference.
        spread: the standard deviation of a paired difference, or √(sum of both arms' variances).
        margins: the differences that count as none: below and above 0.
        alpha: the two-sided level of the test.
        power: the chance.
        alpha_equal: the level of the test of equality, if it is not ``alpha``.
        paired: n − 1 degrees of freedom; else 2 (n − 1).

    Returns:
        The smallest number from 2 to ``MOST_SEEDS`` that shows a difference, or that shows that none is beyond the
        margins; None if there is no such number.
    """
    if not np.isfinite([effect, spread]).all() or spread <= 0:
        return None
    return _needed(effect, spread, margins, np.arange(2, MOST_SEEDS + 1), alpha, power, alpha_equal or alpha, paired)


def _needed(
    effect: float,
    spread: float,
    margins: tuple[float, float],
    n: NDArray[Any],
    alpha: float,
    power: float,
    alpha_equal: float,
    paired: bool,
) -> int | None:
    """The first of the numbers n that is enough; see ``seeds_needed``."""
    freedom = (n - 1) * (1 if paired else 2)
    enough = _power_difference(effect, spread, n, freedom, alpha) >= power
    enough |= _power_equivalence(effect, spread, margins, n, freedom, alpha_equal) >= power
    return int(n[np.argmax(enough)]) if enough.any() else None


def _power_difference(
    effect: float, spread: float, n: NDArray[Any], freedom: NDArray[Any], alpha: float
) -> NDArray[np.float64]:
    """The chance that the two-sided t test of n seeds finds the effect."""
    critical = distributions.t_bound(alpha / 2, freedom)
    # Only the tail on the effect's side: a significant difference of the wrong sign settles nothing.
    found = distributions.noncentral_t_above(critical, freedom, abs(effect) / spread * np.sqrt(n))
    return np.asarray(np.nan_to_num(found))


def _power_equivalence(
    effect: float,
    spread: float,
    margins: tuple[float, float],
    n: NDArray[Any],
    freedom: NDArray[Any],
    alpha: float,
) -> NDArray[np.float64]:
    """The chance that the 1 − alpha interval of n seeds lies within the margins (two one-sided t tests).

    The usual approximation: the sum of the powers of the two tests, minus 1. It can be below 0 for small n.
    """
    if not margins[0] < effect < margins[1]:
        return np.zeros(len(n))
    critical = distributions.t_bound(alpha / 2, freedom)
    error = spread / np.sqrt(n)
    # Normal in place of noncentral t, which is slow and numerically unsafe at such large shifts.
    above = distributions.normal_above(critical - (effect - margins[0]) / error)
    below = distributions.normal_above(critical - (margins[1] - effect) / error)
    return np.asarray(above + below - 1)


def _further(estimate: _Estimate, alpha: float, alpha_equal: float) -> Further | None:
    """The further seeds for true effects that the data allow: the middle part (``LIKELY``) of their distribution.

    A single number, for the effect as measured, would promise too much: a pilot of few seeds knows its effect badly.
    """
    if not estimate.error > 0:
        return None
    likely = distributions.t_bound(np.linspace(*LIKELY, 7), estimate.freedom)
    needed = [
        _needed(float(effect), estimate.spread, estimate.margins, SIZES, alpha, POWER, alpha_equal, estimate.paired)
        for effect in estimate.difference + likely * estimate.error
    ]
    now = min(estimate.n, estimate.baseline_n)
    known = [max(number - now, 1) for number in needed if number is not None]
    if not known:
        return None
    return Further(min(known), None if None in needed else max(known))


# --- two independent samples of seeds ---------------------------------------------------------------------


def welch_worse(values: ArrayLike, before: ArrayLike, better: Better) -> float:
    """One-sided p-value of "not worse than before", by Welch's t on two independent samples.

    NaN with fewer than two values on either side. If neither sample has a spread, t would be infinite: the
    permutation test replaces it, 1 / C(n + m, n) if all values are worse, and 1 otherwise.
    """
    x, y = _finite(values), _finite(before)
    if min(len(x), len(y)) < 2:
        return np.nan
    loss = float(x.mean() - y.mean()) * (1 if better == "lower" else -1)
    error, freedom = _welch(x, y)
    if error == 0:
        return 1 / math.comb(len(x) + len(y), len(x)) if loss > 0 else 1.0
    return float(distributions.t_above(loss / error, freedom))


def welch_detectable(values: ArrayLike, before: ArrayLike, level: float, power: float = POWER) -> float:
    """The smallest loss that ``welch_worse`` finds at this level with chance ``power``, given these spreads.

    (t(1 − level) + t(power)) · standard error, the usual approximation; infinite with fewer than two values on
    either side.
    """
    x, y = _finite(values), _finite(before)
    if min(len(x), len(y)) < 2:
        return np.inf
    error, freedom = _welch(x, y)
    if error == 0:
        return 0.0 if 1 / math.comb(len(x) + len(y), len(x)) <= level else np.inf
    return float((distributions.t_bound(level, freedom) + distributions.t_bound(1 - power, freedom)) * error)


def more_failures(failed: int, trials: int, failed_before: int, trials_before: int) -> float:
    """One-sided p-value of "no more failures than before", by Fisher's exact test."""
    now, before = (failed, trials - failed), (failed_before, trials_before - failed_before)
    return distributions.fisher_above((now, before))


def _welch(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch-Satterthwaite)."""
    # The variance of equal values may not be exactly 0 in floating point, because their mean is rounded.
    one, other = (0.0 if np.ptp(s) == 0 else float(s.var(ddof=1)) / len(s) for s in (x, y))
    if one + other == 0:
        return 0.0, 1.0
    return math.sqrt(one + other), (one + other) ** 2 / (one**2 / (len(x) - 1) + other**2 / (len(y) - 1))

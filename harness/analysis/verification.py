"""Trains fresh seeds of a published arm, and says whether they reproduce what was published.

Two questions, each answered by the harness's own tests (``statistics``):

- The values: are the fresh seeds of an arm like the published ones? Equal within δ: reproduced. Different:
  contradicted. Neither can be shown: cannot tell. Values of another protocol are not compared.
- The comparison: does the verdict on the arm against its baseline come out again, from fresh seeds of both alone? The
  same verdict: reproduced. Another one: contradicted. An open one: cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.analysis import distributions, protocol, questions, statistics
from harness.analysis.statistics import Question, Verdict, VerdictKind
from harness.base.errors import HarnessError
from harness.base.validation import lines_of, nearest, shown

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.analysis.scales import Measure

Answer = Literal["reproduced", "contradicted", "cannot tell"]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Values:
    """Whether the fresh seeds of an arm have the values of the published ones.

    Attributes:
        arm: the arm.
        answer: the answer.
        published: the values by seed.
        fresh: the values by seed.
        low: lower bound of where the mean of so many fresh seeds lies with 95 %, by the published ones (NaN: none).
        high: its upper bound.
        verdict: the verdict on the fresh against the published seeds; None if they are of different protocols.
        why: the fields in which the protocols differ.
    """

    arm: str
    answer: Answer
    published: Mapping[int, float]
    fresh: Mapping[int, float]
    low: float
    high: float
    verdict: Verdict | None
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """Whether the verdict on an arm against its baseline comes out again.

    Attributes:
        arm: the arm.
        baseline: the arm that it is compared with.
        answer: the answer.
        published: the published verdict.
        fresh: the verdict on the fresh seeds alone; None without one.
    """

    arm: str
    baseline: str
    answer: Answer
    published: VerdictKind
    fresh: Verdict | None


@dataclass(frozen=True)
class Verification:
    """What fresh seeds say of a published arm.

    Attributes:
        metric: the column that is compared.
        values: the answer for the arm, and for its baseline if there is one.
        compared: the answer for each published comparison of the arm that was settled.
    """

    metric: str
    values: tuple[Values, ...]
    compared: tuple[Compared, ...]

    @property
    def answer(self) -> Answer:
        """The answer on the whole: that of the comparisons if there are any, else that of the arm's values."""
        found = {one.answer for one in self.compared} or {self.values[0].answer}
        if "contradicted" in found:
            return "contradicted"
        return "reproduced" if found == {"reproduced"} else "cannot tell"


def arms(results: Results, arm: str) -> list[str]:
    """The arm, and the arms that it is compared with.

    Raises:
        HarnessError: the published results have no such arm.
    """
    if arm not in results.arms:
        near = nearest(arm, list(results.arms))
        raise HarnessError(f"there is no arm {shown(arm)}{near}; published are", *lines_of(list(results.arms)))
    return [arm, *(baseline for own, baseline in results.pairs if own == arm)]


def fresh_seeds(results: Results, arm: str, n: int) -> dict[str, range]:
    """Arm -> seeds of it, and of what it is compared with, that were not published."""
    names = arms(results, arm)
    begin = 1 + max(record.seed for name in names for record in results.of(name))
    return {name: range(begin, begin + n) for name in names}


def verify(published: Results, fresh: Results, arm: str) -> Verification:
    """Compare fresh seeds with the published ones.

    Args:
        published: the published results.
        fresh: the results of fresh seeds of the same arms.
        arm: the arm.
    """
    metric = published.metric
    values = tuple(_values(published, fresh, name) for name in arms(published, arm) if published.offers(name, metric))
    return Verification(metric, values, tuple(_compared(published, fresh, arm)))


def _values(published: Results, fresh: Results, arm: str) -> Values:
    column, measure = published.metric, published.measure(published.metric)
    before, now = published.by_seed(arm, column), fresh.by_seed(arm, column)
    low, high = predicted([v for v in before.values() if math.isfinite(v)], len(now), measure)
    differing = [
        difference
        for one in published.of(arm)
        for other in fresh.of(arm)
        for difference in protocol.differences(protocol.of(one), protocol.of(other))
        if difference.metric == published.metric_of(column)
    ]
    if differing:
        return Values(arm, "cannot tell", before, now, low, high, None, tuple(protocol.told(differing)))
    samples = {"fresh": questions.sample(fresh, arm, column), "published": questions.sample(published, arm, column)}
    delta = questions.delta(published, arm, column)
    verdict = statistics.verdict_alone(Question("fresh", "published", samples, measure, delta))
    kinds: dict[VerdictKind, Answer] = {"no difference larger than δ": "reproduced", "inconclusive": "cannot tell"}
    return Values(arm, kinds.get(verdict.kind, "contradicted"), before, now, low, high, verdict)


def predicted(values: list[float], n: int, measure: Measure) -> tuple[float, float]:
    """Where the mean of n further values lies with 95 %: mean ± t(m − 1) · sd · √(1/m + 1/n), of m values.

    NaN for fewer than two values. The bounds stay within the range of the measure.
    """
    if len(values) < 2 or n < 1:
        return math.nan, math.nan
    x = np.asarray(values)
    width = distributions.t_bound((1 - CONFIDENCE) / 2, len(x) - 1) * x.std(ddof=1) * math.sqrt(1 / len(x) + 1 / n)
    return max(float(x.mean() - width), measure.least), min(float(x.mean() + width), measure.most)


def _compared(published: Results, fresh: Results, arm: str) -> Iterator[Compared]:
    """The answer for each comparison of the arm that the published results settled."""
    asked = fresh.asked
    for verdict in published.verdicts():
        if verdict.arm != arm or verdict.kind == "inconclusive":
            continue
        question = asked.get((arm, verdict.baseline))
        found = statistics.verdict_alone(question) if question is not None else None
        answer: Answer = "cannot tell"
        if found is not None and found.kind != "inconclusive":
            answer = "reproduced" if found.kind == verdict.kind else "contradicted"
        yield Compared(arm, verdict.baseline, answer, verdict.kind, found)

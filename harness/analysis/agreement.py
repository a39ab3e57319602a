"""Do the rankings of a suite survive another judge? The samples are drawn again and judged by both.

A trial keeps the weights that generate its samples, so its samples can be drawn again: the same latents, the same
images. Needs torch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from scipy import stats

from harness import judge
from harness.base import digests
from harness.base.errors import HarnessError
from harness.metrics.base import Value
from harness.trial.device import computing, on_device
from harness.trial.evaluation import Evaluator, sampling_seed
from harness.trial.run import restored
from harness.trial.task import WEIGHTS

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.store.record import Record
    from harness.suite.plan import Arm
    from harness.zoo.data.base import Labelled


Values = tuple[dict[str, float], dict[str, float]]
"""The values of a trial by the first and by the second judge."""


@dataclass(frozen=True)
class Ranking:
    """The arms by one value, as two judges see it.

    Attributes:
        column: the value's column.
        meaning: its meaning.
        means: arm -> its means over the seeds by the first and by the second judge.
        correlation: Kendall's τ of the two rankings, in [-1, 1]; NaN if one judge gives all arms the same mean.
        swapped: the pairs of arms that the judges put in another order: (better by the first, better by the second).
    """

    column: str
    meaning: Value
    means: Mapping[str, tuple[float, float]]
    correlation: float
    swapped: tuple[tuple[str, str], ...]

    def best(self, which: int) -> tuple[str, ...]:
        """The best arm by the first (0) or by the second judge (1); several if they are equal."""
        values = [means[which] for means in self.means.values()]
        top = min(values) if self.meaning.better == "lower" else max(values)
        return tuple(arm for arm, means in self.means.items() if means[which] == top)


@dataclass(frozen=True)
class Agreement:
    """What two judges say of a suite.

    Attributes:
        judges: the names of the judge of the data and of the other one.
        trials: how many trials were judged.
        left_out: trials that were not judged, and why.
        rankings: one for each value that depends on a judge; first the value that the suite compares, if it does.
    """

    judges: tuple[str, str]
    trials: int
    left_out: tuple[str, ...]
    rankings: tuple[Ranking, ...]


def agreement(
    results: Results, other: str, device: str, samples: int | None = None, report: Callable[[str], None] = print
) -> Agreement:
    """Judge the finished trials of a suite by the judge of their data and by another judge.

    Args:
        results: the results of the suite so far.
        other: the name of the other judge.
        device: where to compute.
        samples: the number of samples of each trial; None: as many as the suite says.
        report: receives a message for each trial.

    Raises:
        HarnessError: there is no such judge, or no trial can be judged.
    """
    arms = {trial.key: trial.arm for trial in results.plan.trials}
    found: dict[str, list[Values]] = {}
    shared_by: dict[str, _BothJudges] = {}
    left_out = []
    for record in results.records:
        why = _unfit(record, arms)
        if why is None:
            arm = arms[record.key]
            # Arms with the same data and evaluation share the features of the real images.
            config = arm.config()
            shared = digests.of_value([config["data"], config["evaluate"]])
            if shared not in shared_by:
                shared_by[shared] = _BothJudges.of(arm, other, torch.device(device), samples)
            both = shared_by[shared]
            found.setdefault(record.arm, []).append(both.judged(record, arm))
            report(f"{record.arm}, seed {record.seed}: judged by {both.name} and by {other}")
        else:
            left_out.append(f"{record.arm}, seed {record.seed}: {why}")
    if not found:
        said = "; ".join(left_out[:3]) or "no trial has an outcome yet"
        raise HarnessError(f"no trial of {results.plan.suite.name} can be judged: {said}")
    columns = [results.metric, *(column for column in results.values if column != results.metric)]
    rankings = (_ranking(column, results.values[column], found) for column in columns)
    judged = sum(map(len, found.values()))
    names = sorted({both.name for both in shared_by.values()})
    return Agreement((" and ".join(names), other), judged, tuple(left_out), tuple(filter(None, rankings)))


def _unfit(record: Record, arms: Mapping[str, Arm]) -> str | None:
    """Why a trial cannot be judged, or None if it can."""
    if not record.done:
        return f"it is not done ({record.state})"
    if record.key not in arms:
        return "the suite's matrix has no such trial (trials of a search are not judged)"
    path = record.weights
    if path is None or not path.is_file():
        return f"its file {WEIGHTS} is not at hand"
    if judge.of(arms[record.key].data.make()) is None:
        return "its data have no judge"
    return None


@dataclass(frozen=True)
class _BothJudges:
    """Both judges, with the real images that samples of some arms are compared with.

    Attributes:
        name: the name of the judge of the data.
        training: the training split, on the device.
        judges: an evaluator with the judge of the data, and one with the other judge.
    """

    name: str
    training: Labelled
    judges: tuple[Evaluator, Evaluator]

    @classmethod
    def of(cls, arm: Arm, other: str, device: torch.device, samples: int | None) -> _BothJudges:
        """Both judges for the data and the evaluation of an arm."""
        data = arm.data.make()
        training = on_device(data.load("train"), device)
        config = arm.evaluate.model_copy(update={} if samples is None else {"samples": samples})
        first = Evaluator(config, data, training, device, None)
        assert first.judge is not None
        return cls(first.judge.name, training, (first, first.judged_by(other)))

    def judged(self, record: Record, arm: Arm) -> Values:
        """The values of a trial by both judges."""
        path, first = record.weights, self.judges[0]
        assert path is not None
        with computing(arm, first.device):
            model = restored(arm, record.seed, first.device, first.data.shape, self.training, path)
            one, two = (judge.evaluate(model, sampling_seed(record.seed)).values for judge in self.judges)
        return one, two


def _ranking(column: str, meaning: Value, found: Mapping[str, list[Values]]) -> Ranking | None:
    """The arms by one value; None if fewer than two arms have it, or if it is the same by both judges."""
    means = {
        arm: (_mean([one[column] for one, _ in values]), _mean([two[column] for _, two in values]))
        for arm, values in found.items()
        if all(column in one for one, _ in values)
    }
    if len(means) < 2 or all(one == two for one, two in means.values()):
        return None
    sign = 1 if meaning.better == "lower" else -1
    swapped = []
    for (arm, (one, two)), (against, (other_one, other_two)) in itertools.combinations(means.items(), 2):
        before, after = sign * (one - other_one), sign * (two - other_two)
        if before * after < 0:
            swapped.append((arm, against) if before < 0 else (against, arm))
    first, second = zip(*means.values(), strict=True)
    same = min(len(set(first)), len(set(second))) < 2
    correlation = math.nan if same else float(stats.kendalltau(first, second).statistic)
    return Ranking(column, meaning, means, correlation, tuple(swapped))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)

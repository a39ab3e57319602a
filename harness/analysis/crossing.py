"""The trials behind `harness noise`: random streams with seeds of their own, crossed; and what they were measured at.

Each arm has a Latin square of trials (see ``harness.analysis.noise``). Those on its diagonal have one seed for all
streams: they are ordinary trials, and those that the suite has trained are not trained again. Needs torch.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harness.analysis import noise, protocol
from harness.analysis.noise import Noise, Pairing
from harness.base import digests, files
from harness.base.errors import HarnessError
from harness.base.seeds import Seeds, derived
from harness.base.states import State
from harness.base.validation import nearest
from harness.store.folders import Folders
from harness.store.runs import Store, standing
from harness.suite.plan import Plan, trials_of
from harness.trial.device import computing, on_device
from harness.trial.evaluation import Evaluator, sampling_seed
from harness.trial.run import restored
from harness.trial.task import WEIGHTS

if TYPE_CHECKING:
    from harness.metrics.base import Value
    from harness.store.record import Record
    from harness.suite.plan import Arm, Trial

Values = list[dict[str, float]]
"""The values of one trained model, by column: one dictionary for each evaluation."""


@dataclass(frozen=True)
class Crossing:
    """The trials that are needed.

    Attributes:
        plan: a plan of these trials only. Its suite has a name of its own, so that its study and its experiment are
            not those of the suite.
        suite: the name of the suite.
        baseline: the arm that the others are paired with.
        seeds: the seeds; each stream takes all of them.
        levels: (trials of an arm, 3): which of the seeds the weights, the order and the latents of a trial take.
        trials: arm -> its trials, in the order of ``levels``.
    """

    plan: Plan
    suite: str
    baseline: str
    seeds: tuple[int, ...]
    levels: NDArray[np.int64]
    trials: Mapping[str, Sequence[Trial]]

    def todo(self, results: Path) -> int:
        """How many of the trials have no outcome in the store yet."""
        known = Store(results).found(self.plan.trials).current
        return sum(t.key not in known or not standing(known[t.key]).state.settled for t in self.plan.trials)


@dataclass(frozen=True)
class Sources:
    """Where the noise of a suite's arms comes from.

    Attributes:
        crossing: the trials.
        evaluations: how often each trained model was evaluated.
        meanings: column -> its meaning.
        arms: arm -> column -> its components; None where the trials are too few, or all values are the same.
        pairings: (arm, column) -> what pairing the arm with the baseline removes, where both have components.
        left_out: trials without values, and why.
    """

    crossing: Crossing
    evaluations: int
    meanings: Mapping[str, Value]
    arms: Mapping[str, Mapping[str, Noise | None]]
    pairings: Mapping[tuple[str, str], Pairing]
    left_out: tuple[str, ...]

    def samples(self, arm: str) -> int:
        """The number of samples of an evaluation of an arm."""
        return self.crossing.trials[arm][0].arm.evaluate.samples


def crossed(plan: Plan, arms: Sequence[str], seeds: int) -> Crossing:
    """The trials that cross the random streams of some arms.

    Args:
        plan: the plan of a suite.
        arms: names of arms; none: all.
        seeds: the number of seeds of each stream, at least ``noise.LEAST``: the first of the suite, and further ones
            if it has fewer.

    Raises:
        HarnessError: the suite has a search, or no such arm.
    """
    if plan.suite.search is not None:
        raise HarnessError(f"{plan.suite.name} has a search, which chooses its arms as it runs: name a suite without")
    known = {cell.name: cell.arm for cell in plan.cells if cell.excluded is None}
    for name in arms:
        if name not in known:
            raise HarnessError(f"{plan.suite.name} trains no arm {name!r}{nearest(name, list(known))}")
    chosen = [name for name in known if name in arms] if arms else list(known)
    more = (seed for seed in itertools.count() if seed not in plan.suite.seeds)
    own = tuple(itertools.islice(itertools.chain(plan.suite.seeds, more), seeds))
    row, column = np.divmod(np.arange(seeds * seeds), seeds)
    levels = np.stack([row, column, noise.latin_square(seeds)[row, column]], axis=1)
    each = [_seeds(*(own[place] for place in places)) for places in levels.tolist()]
    trials = {name: trials_of(known[name], each) for name in chosen}
    suite = plan.suite.model_copy(update={"name": f"{plan.suite.name}-noise"})
    asked = tuple(trial for several in trials.values() for trial in several)
    baseline = plan.baseline.name if plan.baseline.name in chosen else chosen[0]
    made = dataclasses.replace(plan, suite=suite, trials=asked)
    return Crossing(made, plan.suite.name, baseline, own, levels, trials)


def _seeds(weights: int, order: int, latents: int) -> Seeds:
    """The seeds of a trial; its evaluation has a seed that no other trial of the arm has."""
    if weights == order == latents:
        return Seeds.of(weights)
    return Seeds(weights, order, latents, derived(weights, f"{order}/{latents}") % 10**9)


def chosen_columns(plan: Plan, columns: Sequence[str]) -> list[str]:
    """The value columns of these names; none: all columns of the suite, that which it compares first.

    Raises:
        HarnessError: the suite has no such column.
    """
    known = plan.suite.columns
    for column in columns:
        if column not in known:
            raise HarnessError(f"{plan.suite.name} has no value {column!r}{nearest(column, list(known))}")
    return list(dict.fromkeys(columns or [plan.suite.metric, *known]))


def sources(
    crossing: Crossing,
    results: Path,
    device: str,
    evaluations: int,
    columns: Sequence[str],
    report: Callable[[str], None] = print,
) -> Sources:
    """Evaluate the trained models again, and split the variance of their values.

    Args:
        crossing: the trials; those that are not done are left out.
        results: the results folder.
        device: where to compute.
        evaluations: how often each model is evaluated in all, at least 2; the first time was in its trial.
        columns: the columns to split.
        report: receives a message for each arm.

    Raises:
        HarnessError: no trial has values, or trials of an arm were measured by different protocols.
    """
    records = _records(crossing.plan, results)
    again = _Again(torch.device(device), Folders(results).cache, evaluations)
    values, left_out = dict[str, list[Values | None]](), list[str]()
    for arm, trials in crossing.trials.items():
        own = [records[trial.key] for trial in trials if trial.key in records]
        protocol.refuse(protocol.among(own), f"the trials of {arm}")
        report(f"{arm}: evaluating {len(trials)} models {evaluations - 1} more time{'s' * (evaluations > 2)}")
        values[arm] = []
        for trial in trials:
            record = records.get(trial.key)
            why = _unfit(record)
            values[arm].append(again.evaluated(trial, record) if record is not None and why is None else None)
            left_out += [f"{trial.label}: {why}"] if why else []
    if not any(one for several in values.values() for one in several):
        raise HarnessError(f"no trial of {crossing.suite} has values: {'; '.join(left_out[:3])}")
    meanings = {column: crossing.plan.suite.columns[column] for column in columns}
    arms = {arm: dict(_split(crossing, several, meanings)) for arm, several in values.items()}
    others = [arm for arm in arms if arm != crossing.baseline and _comparable(crossing, records, arm)]
    pairings = {
        (arm, column): found
        for arm in others
        for column in meanings
        if (found := _paired(crossing, values, arm, column, meanings[column])) is not None
    }
    return Sources(crossing, evaluations, meanings, arms, pairings, tuple(left_out))


def _records(plan: Plan, results: Path) -> dict[str, Record]:
    """Key -> the record of each trial of the plan that is in the store."""
    store = Store(results)
    found = store.found(plan.trials, with_files=True).current
    trials = {trial.key: trial for trial in plan.trials}
    read = (key for key, run in found.items() if standing(run).state is not State.ALTERED)
    return {key: store.record(found[key], trials[key].arm.name, False, trials[key]) for key in read}


def _comparable(crossing: Crossing, records: Mapping[str, Record], arm: str) -> bool:
    """Whether an arm and the baseline were measured by one protocol."""
    both = [*crossing.trials[arm], *crossing.trials[crossing.baseline]]
    return not protocol.among(records[trial.key] for trial in both if trial.key in records)


def _unfit(record: Record | None) -> str | None:
    """Why a trial is left out; None if it has values and its model can be evaluated again."""
    if record is None:
        return "it is not in the store, or its run was altered"
    if not record.done:
        return f"{record.state}: {record.reason}"
    path = record.weights
    return None if path is not None and path.is_file() else f"its file {WEIGHTS} is not at hand"


@dataclass
class _Again:
    """Evaluates trained models on further latents; values that were computed before are read from the cache."""

    device: torch.device
    cache: Path
    evaluations: int
    evaluators: dict[str, Evaluator] = dataclasses.field(default_factory=dict)
    """Arms with the same data and evaluation share the features of the real images."""

    def evaluated(self, trial: Trial, record: Record) -> Values:
        """The values of a finished trial, and those of the further evaluations of its model."""
        path, evaluator = record.weights, self._evaluator(trial.arm)
        assert path is not None
        values = [record.values]
        with computing(trial.arm, self.device):
            model, weights = None, digests.of_file(path)
            for number in range(1, self.evaluations):
                seed = derived(trial.seeds.samples, f"again {number}")
                place = self._place(evaluator, [trial.key, weights, seed, str(self.device)])
                kept = files.read_sealed(place, files.COMPUTED_ANEW)
                if kept is None:
                    shape, training = evaluator.data.shape, evaluator.training
                    model = model or restored(trial.arm, trial.seed, self.device, shape, training, path)
                    kept = json.dumps(evaluator.evaluate(model, sampling_seed(seed)).values).encode()
                    files.write_sealed(place, kept)
                values.append(json.loads(kept))
        return values

    @staticmethod
    def _place(evaluator: Evaluator, name: list[object]) -> Path:
        assert evaluator.cache is not None
        return evaluator.cache / f"again-{digests.of_value(name)[:24]}.sealed"

    def _evaluator(self, arm: Arm) -> Evaluator:
        config = arm.config()
        shared = digests.of_value([config["data"], config["evaluate"]])
        if shared not in self.evaluators:
            data = arm.data.make()
            training = on_device(data.load("train"), self.device)
            self.evaluators[shared] = Evaluator(arm.evaluate, data, training, self.device, self.cache)
        return self.evaluators[shared]


def _split(
    crossing: Crossing, values: Sequence[Values | None], meanings: Mapping[str, Value]
) -> Iterator[tuple[str, Noise | None]]:
    """The components of the columns that an arm has."""
    for column, meaning in meanings.items():
        array = _array(values, column)
        if (whole := np.isfinite(array).all(axis=1)).any():
            yield column, noise.split(crossing.levels[whole], noise.transformed(array[whole], meaning))


def _paired(
    crossing: Crossing, values: Mapping[str, Sequence[Values | None]], arm: str, column: str, meaning: Value
) -> Pairing | None:
    """What pairing an arm with the baseline removes, by the trials that both have."""
    one, other = (_array(values[name], column) for name in (arm, crossing.baseline))
    whole = np.isfinite(one).all(axis=1) & np.isfinite(other).all(axis=1)
    one, other = (noise.transformed(array[whole], meaning) for array in (one, other))
    return noise.pairing(crossing.levels[whole], one, other) if whole.any() else None


def _array(values: Sequence[Values | None], column: str) -> NDArray[np.float64]:
    """A column of an arm: (trials, evaluations), NaN for a trial or a value that there is not."""
    times = max((len(one) for one in values if one), default=0)
    return np.array([[each.get(column, np.nan) for each in one or [{}] * times] for one in values])

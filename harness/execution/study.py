"""The queues of trials, in Optuna: what is still to do, in which order, and what a search tries next.

Only this module uses optuna (``store/studies`` opens its store). The matrix of a suite is one study: a queue of trials
with their keys. Every cell of a search is a study of its own. When a run starts, the queue is brought in line with
MLflow, in case a crash left them different.

Only the driver uses Optuna's SQLite store, so there are no concurrent writes. On a database server several drivers may
share a study: an outcome is entered by one of them, and a search is asked by the one that has claimed it.
"""

from __future__ import annotations

import abc
import copy
import math
import statistics
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from harness.base import digests, surroundings
from harness.base.diagnosis import storage_error
from harness.base.errors import HarnessError
from harness.base.seeds import derived
from harness.base.states import State
from harness.execution import parameters
from harness.store import sqlite
from harness.store.shared import Shared
from harness.store.studies import FILE, Studies
from harness.suite import plan as planning
from harness.suite.cells import space_of
from harness.suite.declaration import points
from harness.trial.task import Intermediate

if TYPE_CHECKING:
    from pathlib import Path

    from harness.suite import Search, Suite
    from harness.suite.declaration import Categorical, FloatRange, IntRange
    from harness.suite.plan import Cell, Plan, Trial
    from harness.suite.reading import Target
    from harness.trial.task import Outcome

SEAL, PARAMETERS_SEAL, KEYS_SEAL = "seal", "seal_parameters", "seal_keys"
"""Attributes of a search's configuration: digests of its result, of its parameters, of its number and trials."""

Parameters = tuple[tuple[str, Any], ...]
"""The parameters of a configuration: path and value, in the order of the paths."""

REFUSED = "refused"
"""In place of a state, for a configuration whose values do not fit together: it has no trials."""

surroundings.imported()


@dataclass(frozen=True)
class Work:
    """A trial to run now."""

    trial: Trial
    intermediate: Intermediate | None = None


@dataclass(frozen=True)
class Known:
    """What the store has for a key: its state, its values if it is done, the reason if it is not, how long it took."""

    state: State
    values: Mapping[str, float]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Configuration:
    """A configuration that a search has tried.

    Attributes:
        trials: its trials; empty if its values did not fit together.
        closed: whether it is closed: then no more of them run.
        value: the mean over its trials that the search chooses by; None unless all of them had values.
        pruned: whether the search gave it up.
    """

    trials: tuple[Trial, ...]
    closed: bool
    value: float | None
    pruned: bool

    @property
    def complete(self) -> bool:
        """Whether all of its trials had values when it was closed."""
        return self.value is not None


class Queue(abc.ABC):
    """The trials of a study that are still to do.

    Attributes:
        lost: how many of them have a value in the study, but not in the store of results.
        waits: whether another driver has the study, so that there may be more to do when it ends.
    """

    lost = 0
    waits = False

    @property
    def ahead(self) -> int:
        """How many configurations of a search are open beside the first. The search with the fewest is asked first."""
        return 0

    @abc.abstractmethod
    def next(self) -> Work | None:
        """The next trial to run; None if there is none now (in a search: until running trials have ended)."""

    @abc.abstractmethod
    def tell(self, key: str, outcome: Outcome) -> None:
        """Report the outcome of a trial."""

    def measured(self, key: str, step: int, value: float) -> bool:
        """Report an intermediate value; whether to prune the trial."""
        return False

    def give_up(self, name: str) -> bool:
        """Forget what was going on, if another driver has the study of this name now, and it is that of this queue."""
        return False

    @property
    def repeated(self) -> str:
        """What the user should know about repeated configurations; empty if there are none."""
        return ""

    @property
    @abc.abstractmethod
    def remaining(self) -> int:
        """How many trials have no outcome yet (of a search: an estimate)."""


def storage(results: Path) -> optuna.storages.BaseStorage:
    """The Optuna store of a results folder, or the one that is named for it.

    Raises:
        HarnessError: it is damaged, another version of Optuna wrote it, or its server does not answer.
    """
    return Studies(results).opened()


def queues(
    plan: Plan, store: optuna.storages.BaseStorage, known: dict[str, Known], claim: Callable[[str], bool] | None = None
) -> list[Queue]:
    """The queues of a plan: one for its matrix, or one for every cell of a search.

    They share ``known``, and add the outcomes that they are told. With ``claim``, which claims a study by its name,
    other drivers may ask a search: it is taken from here only once it is claimed.
    """
    if plan.suite.search is None:
        return [MatrixQueue(plan, store, known)]
    cells = [cell for cell in plan.cells if cell.excluded is None]
    searches = [SearchQueue(plan.suite, cell, store, known, complete=True, claim=claim) for cell in cells]
    return [*searches, *(ConfirmQueue(search) for search in searches if plan.suite.confirm_seeds)]


def asked_for(plan: Plan, store: optuna.storages.BaseStorage) -> list[Trial]:
    """The trials that a plan asks for; for a search, those of its configurations, and of its winners on new seeds."""
    if plan.suite.search is None:
        return list(plan.trials)
    trials: list[Trial] = []
    for cell in plan.cells:
        tried = configurations(plan.suite, cell, store) if cell.excluded is None else []
        trials += [trial for one in tried for trial in one.trials]
        trials += confirming(plan.suite, winner(plan.suite, tried))
    return trials


class MatrixQueue(Queue):
    """The exact product of a matrix and its seeds.

    It waits here, and the study has its outcomes, one write for each: a queue in Optuna's store would read all that
    waits for every trial that is taken, and its grid sampler would not try a failed trial again.

    One trial of every arm comes first. From then on the arm with the longest trials is next, so that no long one is
    left for the end, when other slots have nothing to do. Equal ones keep the order of the plan.
    """

    def __init__(self, plan: Plan, store: optuna.storages.BaseStorage, known: Mapping[str, Known]) -> None:
        self._shared = store if isinstance(store, Shared) else None
        self.metric = plan.suite.metric
        better = plan.suite.columns[self.metric].better
        self.study = optuna.create_study(
            storage=store,
            study_name=f"{plan.suite.name}/{self.metric}",
            direction="minimize" if better == "lower" else "maximize",
            load_if_exists=True,
        )
        self._trials = {trial.key: trial for trial in plan.trials}
        self._todo = {key for key in self._trials if key not in known or not known[key].state.settled}
        self._waiting: dict[str, deque[Trial]] = {}
        """The trials of every arm that nobody has asked for."""
        self._measured: dict[str, tuple[int, float]] = {}
        """How many trials of an arm have ended, and the seconds that they took in all."""
        for key, trial in self._trials.items():
            if key in self._todo:
                self._waiting.setdefault(trial.arm.name, deque()).append(trial)
            elif known[key].seconds:
                self._took(trial.arm.name, known[key].seconds)
        self._asked = set(self._measured)
        """The arms of which a trial has run, or runs."""
        self._complete: set[str] = set()
        """The keys that have a value in the study."""
        self._newest = -1
        """The last of its trials that has been read, by its number over all studies."""
        self._cells = {cell.name: cell for cell in plan.cells}
        self._run = plan.suite.run
        self._reconcile(plan, store, known)

    @property
    def remaining(self) -> int:
        return len(self._todo)

    def _reconcile(self, plan: Plan, store: optuna.storages.BaseStorage, known: Mapping[str, Known]) -> None:
        """Bring the study in line with the store of results."""
        entered = _trials(self.study)
        self._note(entered)
        self._space = parameters.space(plan.suite.matrix, entered)
        for frozen in entered:
            if not frozen.state.is_finished() and self._shared is None:  # the queue of an older harness
                store.set_trial_state_values(frozen._trial_id, TrialState.FAIL)
        self.lost = sum(key in self._todo and key not in known for key in self._complete)
        for key, trial in self._trials.items():
            if key not in self._todo and key not in self._complete and known[key].state is State.DONE:
                self._enter(trial, known[key])  # done for another suite, or lost in a crash

    def _note(self, entered: Iterable[FrozenTrial]) -> None:
        """Note what is in the study."""
        for frozen in entered:
            self._newest = max(self._newest, frozen._trial_id)
            if frozen.state == TrialState.COMPLETE:
                self._complete.add(frozen.user_attrs.get("key", ""))

    def _enter(self, trial: Trial, known: Known) -> None:
        """Add an outcome to the study; where drivers share it, only if none of them has."""
        if self._shared is None:
            self._add(trial, known)
            return
        with self._shared.alone(self.study.study_name):
            self._note(self._shared.added(self.study, self._newest))
            if trial.key not in self._complete:
                self._add(trial, known)

    def _add(self, trial: Trial, known: Known) -> None:
        attributes = {"key": trial.key, "arm": trial.arm.name, "seed": trial.seed}
        cell = self._cells.get(trial.arm.name)
        params, kinds = parameters.of(cell.axes if cell else {}, self._space)
        value = known.values.get(self.metric, math.nan)
        if known.state is State.DONE and math.isfinite(value):
            told = optuna.trial.create_trial(value=value, params=params, distributions=kinds, user_attrs=attributes)
            self.study.add_trial(told)
            return
        # A done trial without the metric: it does not apply to this model.
        reason = known.reason if known.state is not State.DONE else f"it has no value of {self.metric}"
        attributes |= {"state": known.state, "reason": reason}
        failed = optuna.trial.create_trial(
            state=TrialState.FAIL, params=params, distributions=kinds, user_attrs=attributes
        )
        self.study.add_trial(failed)

    def next(self) -> Work | None:
        if not self._waiting:
            return None
        arm = max(self._waiting, key=self._urgency)
        self._asked.add(arm)
        trial = self._waiting[arm].popleft()
        if not self._waiting[arm]:
            del self._waiting[arm]
        return Work(trial, self._over_training(trial))

    def _over_training(self, trial: Trial) -> Intermediate | None:
        """The evaluations during training that the suite asks for; none if the model has no value of the metric."""
        cell = self._cells.get(trial.arm.name)
        parts = cell and cell.combination.parts
        metric = next(each.plugin for each in trial.arm.evaluate.metrics if self.metric in each.plugin.values)
        if not self._run.quality or not parts or metric.requires - parts.offers:
            return None
        every = max(1, round(trial.arm.train.steps / max(1, self._run.snapshots - 1)))
        return Intermediate(every, self._run.quality, self.metric)

    def _urgency(self, arm: str) -> tuple[bool, float]:
        """How early a trial of an arm should run: first of all one of each, then by the seconds that they take.

        An arm whose first trial still runs takes longer than those that have ended.
        """
        ended, seconds = self._measured.get(arm, (0, 0.0))
        return arm not in self._asked, seconds / ended if ended else math.inf

    def _took(self, arm: str, seconds: float) -> None:
        ended, before = self._measured.get(arm, (0, 0.0))
        self._measured[arm] = ended + 1, before + seconds

    def tell(self, key: str, outcome: Outcome) -> None:
        trial = self._trials[key]
        self._enter(trial, Known(outcome.state, outcome.values, outcome.reason))
        self._took(trial.arm.name, outcome.seconds_train + outcome.seconds_evaluate)
        self._todo.discard(key)


@dataclass
class _Open:
    """A configuration of a search that is not closed."""

    id: int
    """Its number in the store, over all studies."""
    number: int
    """Its number in the study."""
    trials: dict[str, Trial] = field(default_factory=dict)
    """Key -> trial, one for each seed."""
    values: dict[str, float] = field(default_factory=dict)
    """Key -> value, of the trials that are done."""
    bad: str | None = None
    """The state of a trial that has no value; None if there is none."""
    reason: str = ""

    @property
    def scout(self) -> str:
        """The key of the trial whose intermediate values a pruner sees."""
        return next(iter(self.trials))

    def note(self, key: str, known: Known, metric: str) -> None:
        """Add the outcome of a trial."""
        if known.state is State.DONE:
            self.values[key] = known.values[metric]
        else:
            self.bad, self.reason = known.state, known.reason


class _Memory:
    """A search's configurations in memory, where the sampler sees them. Reading the store for each would take long."""

    def __init__(self, search: Search, target: Target, past: list[FrozenTrial]) -> None:
        self._search = search
        self._store = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._store, direction=target.direction)
        self._study.add_trials(past)
        self.firsts: dict[Parameters, int] = {}
        """Parameters -> the number of the first configuration that has them."""
        self.size = 0
        for frozen in past:
            self._count(frozen.params)

    def _count(self, params: Mapping[str, Any]) -> None:
        self.firsts.setdefault(_parameters(params), self.size)
        self.size += 1

    def propose(self, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
        """Sample the next configuration; the sampler knows the closed ones, and which are open."""
        # Optuna does not store a sampler's random state. The seed is therefore derived from the number of past
        # trials, so that an interrupted search continues exactly as an uninterrupted one.
        self._study.sampler = _sampler(self._search, self.size)
        drawn = self._study.ask(dict(space))
        self._count(drawn.params)
        return self._store.get_trial(drawn._trial_id)

    def close(self, closed: FrozenTrial) -> None:
        """Learn how a configuration has ended."""
        study = self._store.get_study_id_from_name(self._study.study_name)
        own = self._store.get_trial_id_from_study_id_trial_number(study, closed.number)
        for step, value in closed.intermediate_values.items():
            self._store.set_trial_intermediate_value(own, step, value)
        self._store.set_trial_state_values(own, closed.state, closed.values)


class SearchQueue(Queue):
    """A search in one cell. A configuration is trained with all seeds, and its value is their mean.

    With a pruner, the first seed runs first, alone: its intermediate values decide whether the configuration is
    pruned. The other seeds follow only if it is not. By default one configuration is open at a time, so that what the
    sampler knows does not depend on the number of workers; seeds, and other cells, run in parallel. With ``parallel``
    several are open, and the sampler knows of the open ones that they have no value yet.

    Nobody else writes to its study meanwhile: it is read once.
    """

    def __init__(
        self,
        suite: Suite,
        cell: Cell,
        store: optuna.storages.BaseStorage,
        known: dict[str, Known],
        complete: bool = False,
        claim: Callable[[str], bool] | None = None,
    ) -> None:
        """``complete``: all outcomes that the store of results has are in ``known``, so what is not there is lost.

        ``claim``: claims the study, where other drivers may ask it; then ``known`` has what they have done.
        """
        assert suite.search is not None
        self.suite = suite
        self._complete = complete
        self.cell = cell
        self.search: Search = suite.search
        self.space = space_of(suite.search, cell.combination)
        self.target = suite.target
        self.known = known
        self._store = optuna.storages.get_storage(store)
        self.study = optuna.create_study(
            storage=self._store,
            study_name=_name(suite, cell),
            direction=self.target.direction,
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(0),  # unused: ``_Memory`` samples
            pruner=_pruner(self.search),
        )
        self._claim = claim
        self.waits = claim is not None
        self._look()

    def _look(self) -> None:
        """Read what the search has tried. While another driver may ask it, nothing of it is closed or begun here."""
        past = _trials(self.study)
        self.finished = sum(frozen.state.is_finished() for frozen in past)
        self._left = deque(frozen for frozen in past if not frozen.state.is_finished())
        """Configurations that an earlier driver left open."""
        self._memory = _Memory(self.search, self.target, past)
        self.repeats = 0
        self._retrain = deque([] if self.waits else self._altered_or_lost(past))
        """Trials of closed configurations whose runs were altered or are gone: trained again; the configurations do
        not change."""
        self._forget()

    def _forget(self) -> None:
        """Nothing is open here, and nothing runs."""
        self._open: list[_Open] = []
        self._running: set[str] = set()
        self._again: set[str] = set()

    def _claimed(self) -> bool:
        """Whether this driver asks the search: it does, or can claim it now."""
        if self._claim is not None and self.waits and self._claim(self.study.study_name):
            self.waits = False
            self._look()
        return not self.waits

    def give_up(self, name: str) -> bool:
        if name != self.study.study_name:
            return False
        self.waits = True
        self._retrain.clear()
        self._forget()
        return True

    @property
    def remaining(self) -> int:
        left = self.search.n_trials - self.finished
        ended = sum(len(one.values) for one in self._open)
        return max(0, left * len(self.suite.seeds) - ended) + len(self._retrain) + len(self._again)

    @property
    def ahead(self) -> int:
        return max(0, len(self._open) - 1)

    @property
    def repeated(self) -> str:
        if not self.repeats:
            return ""
        size = points(self.space)
        space = "" if size is None else f": the space has {size} different {'one' if size == 1 else 'ones'}"
        tried = self._memory.size
        many = f"{tried - len(self._memory.firsts)} of {tried} configurations repeat earlier ones"
        return f"{self.cell.name}: {many}, and are not trained again{space}"

    def _altered_or_lost(self, past: list[FrozenTrial]) -> list[Trial]:
        found: dict[str, Trial] = {}
        for one in _tried(self.suite, self.cell, past) if self.finished else ():
            for trial in one.trials if one.closed else ():
                known = self.known.get(trial.key)
                lost = self._complete and known is None and one.complete and trial.key not in found
                if lost or (known is not None and known.state is State.ALTERED):
                    found[trial.key] = trial
                    self.lost += lost
        return list(found.values())

    def next(self) -> Work | None:
        if not self._claimed():
            return None
        if self._retrain:
            trial = self._retrain.popleft()
            self._again.add(trial.key)
            return Work(trial)
        while True:
            for one in self._open:
                if (wanted := self._wanted(one)) is not None:
                    self._running.add(wanted.key)
                    return Work(wanted, self._intermediate(one, wanted))
            if not self._may_begin:
                return None
            self._begin()

    def _wanted(self, one: _Open) -> Trial | None:
        """The next trial of a configuration that may start now."""
        if one.bad is not None:
            return None
        scouting = self.search.pruner is not None and one.scout not in one.values
        for key, trial in one.trials.items():
            if key not in one.values and key not in self._running and key not in self._again:
                return trial if not scouting or key == one.scout else None
        return None

    @property
    def _may_begin(self) -> bool:
        many = math.inf if self.search.parallel == "slots" else self.search.parallel
        return len(self._open) < many and self.finished + len(self._open) < self.search.n_trials

    def _begin(self) -> None:
        """Continue a configuration that an earlier driver left open, or begin the next one."""
        if self._left:
            frozen = self._left.popleft()
            if frozen.params.keys() != self.space.keys():  # an older harness was killed while it sampled them
                self._memory.close(self.study.tell(frozen.number, state=TrialState.FAIL))
                self.finished += 1
                return
            one = _Open(frozen._trial_id, frozen.number)
            for name, value in self._arm(one, frozen.params).items():
                self._store.set_trial_user_attr(one.id, name, value)
        else:
            frozen = self._memory.propose({path: _distribution(space) for path, space in self.space.items()})
            one = _Open(-1, frozen.number)
            one.id = self._add(frozen, self._arm(one, frozen.params))
        self._open.append(one)
        for key in one.trials:
            found = self.known.get(key)
            # A trial that another search pruned counts only for the first seed: only that seed can be pruned here.
            pruned = self.search.pruner is not None and key == one.scout
            if found is not None and (found.state.settled or (pruned and found.state is State.PRUNED)):
                one.note(key, found, self.target.metric)
        self._settle(one)

    def _arm(self, one: _Open, params: Mapping[str, Any]) -> dict[str, Any]:
        """Make the trials of a configuration. Returns the attributes that the store has of them."""
        first = self._memory.firsts[_parameters(params)]
        self.repeats += first != one.number
        try:
            arm = planning.with_parameters(self.suite, self.cell, {path: params[path] for path in self.space}, first)
        except HarnessError as error:  # the values do not fit together: the configuration fails, the search continues
            one.bad, one.reason = REFUSED, str(error)
            return {}
        one.trials = {trial.key: trial for trial in planning.trials_of(arm, self.suite.seeds)}
        keys = list(one.trials)
        return {"arm": arm.name, "keys": keys, KEYS_SEAL: digests.seal([one.number, keys])}

    def _add(self, drawn: FrozenTrial, attributes: dict[str, Any]) -> int:
        """Store a configuration in one write: a kill leaves all of it or nothing. Returns its number in the store."""
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=drawn.params,
            distributions=drawn.distributions,
            user_attrs={PARAMETERS_SEAL: digests.seal(drawn.params), **attributes},
        )
        study = self._store.get_study_id_from_name(self.study.study_name)
        return self._store.create_new_trial(study, template)

    def _settle(self, one: _Open) -> None:
        """Close a configuration if nothing of it runs, and nothing is left to run."""
        ended = one.bad is not None or len(one.values) == len(one.trials)
        if ended and self._running.isdisjoint(one.trials):
            self._open.remove(one)
            self._close(one)

    def _close(self, one: _Open) -> None:
        closed = copy.copy(self._store.get_trial(one.id))
        if one.bad is None:
            closed.state, closed.value = TrialState.COMPLETE, statistics.fmean(one.values.values())
        else:
            closed.state = TrialState.PRUNED if one.bad is State.PRUNED else TrialState.FAIL
            self._store.set_trial_user_attr(one.id, "state", one.bad)
            self._store.set_trial_user_attr(one.id, "reason", one.reason)
        self._store.set_trial_user_attr(one.id, SEAL, _seal(closed))
        self._memory.close(self.study.tell(one.number, closed.value, closed.state))
        self.finished += 1

    def tell(self, key: str, outcome: Outcome) -> None:
        self._running.discard(key)
        self._again.discard(key)
        known = self.known[key] = Known(outcome.state, outcome.values, outcome.reason)
        for one in [one for one in self._open if key in one.trials]:  # several: they repeat each other
            one.note(key, known, self.target.metric)
            self._settle(one)

    def measured(self, key: str, step: int, value: float) -> bool:
        one = next(one for one in self._open if key in one.trials)
        stored = optuna.Trial(self.study, one.id)
        stored.report(value, step)
        return stored.should_prune()

    def _intermediate(self, one: _Open, trial: Trial) -> Intermediate | None:
        pruner = self.search.pruner
        if pruner is None or trial.key != one.scout:
            return None
        return Intermediate(pruner.every, pruner.samples, self.target.metric)

    @property
    def ended(self) -> bool:
        """Whether it has tried all configurations."""
        return not self.waits and not self._open and self.finished >= self.search.n_trials

    def winner(self) -> Configuration | None:
        """The configuration that it chose; None before its end, and if no configuration has a value."""
        return winner(self.suite, _tried(self.suite, self.cell, _trials(self.study)))


class ConfirmQueue(Queue):
    """The winner of a cell's search on new seeds. It waits for the end of the search.

    It needs no study: the winner follows from that of the search, and the store of results knows what is done.
    """

    def __init__(self, search: SearchQueue) -> None:
        self.search = search
        self._todo: dict[str, Trial] | None = None
        """Trials without an outcome; None before the end of the search."""
        self._waiting: deque[Trial] = deque()
        self._begin()

    def _begin(self) -> None:
        if self._todo is None and self.search.ended:
            known = self.search.known
            trials = confirming(self.search.suite, self.search.winner())
            self._todo = {t.key: t for t in trials if t.key not in known or not known[t.key].state.settled}
            self._waiting = deque(self._todo.values())

    @property
    def remaining(self) -> int:
        return len(self.search.suite.confirm_seeds if self._todo is None else self._todo)

    def next(self) -> Work | None:
        self._begin()
        return Work(self._waiting.popleft()) if self._waiting else None

    def tell(self, key: str, outcome: Outcome) -> None:
        assert self._todo is not None
        del self._todo[key]
        self.search.known[key] = Known(outcome.state, outcome.values, outcome.reason)


def _name(suite: Suite, cell: Cell) -> str:
    """The name of a search's study: another space, objective, sampler or set of seeds is another study.

    How many configurations it tries, and how many at a time, is not part of it, so that a search can be extended, nor
    is what follows the search. A trial that another study asked for is found by its key.
    """
    assert suite.search is not None
    search = suite.search.model_dump(mode="json", exclude={"n_trials", "parallel", "spaces", "confirm"})
    search["space"] = {
        path: one.model_dump(mode="json") for path, one in space_of(suite.search, cell.combination).items()
    }
    digest = digests.of_value([search, suite.seeds, suite.target])
    return f"{suite.name}/{suite.target.metric}/{cell.key}/{digest[:8]}"


def configurations(suite: Suite, cell: Cell, store: optuna.storages.BaseStorage) -> list[Configuration]:
    """The configurations that a cell's search has tried: with this code, or, if there are none, with other code."""
    own, names = _name(suite, cell), optuna.get_all_study_names(store)
    before = [name for name in names if name != own and _same_search(name, own)]
    studies = (_of_cell(name, names, cell, store) for name in [own, *reversed(before)])
    study = next((study for study in studies if study is not None), None)
    return [] if study is None else _tried(suite, cell, _trials(study))


def _tried(suite: Suite, cell: Cell, tried: Sequence[FrozenTrial]) -> list[Configuration]:
    """The configurations of a study, from all its trials. Those that repeat each other are one arm, with one name."""
    found, firsts = [], dict[Parameters, int]()
    for frozen in tried:
        trials: tuple[Trial, ...] = ()
        first = firsts.setdefault(_parameters(frozen.params), frozen.number)
        if "keys" in frozen.user_attrs:  # a configuration whose values did not fit together has no arm
            arm = planning.with_parameters(suite, cell, frozen.params, first)
            trials = tuple(planning.trials_of(arm, suite.seeds))
        value = frozen.value if frozen.state == TrialState.COMPLETE else None
        pruned = frozen.state == TrialState.PRUNED
        found.append(Configuration(trials, frozen.state.is_finished(), value, pruned))
    return found


def winner(suite: Suite, tried: Sequence[Configuration]) -> Configuration | None:
    """The configuration with the best value, the first of equal ones; None before the search has tried them all."""
    assert suite.search is not None
    closed = [one for one in tried if one.closed]
    sign = 1 if suite.target.direction == "minimize" else -1
    valued = [(sign * one.value, place) for place, one in enumerate(closed) if one.value is not None]
    return closed[min(valued)[1]] if valued and len(closed) >= suite.search.n_trials else None


def confirming(suite: Suite, winner: Configuration | None) -> list[Trial]:
    """The trials of a winner on new seeds."""
    return planning.trials_of(winner.trials[0].arm, suite.confirm_seeds) if winner else []


def _parameters(params: Mapping[str, Any]) -> Parameters:
    """Parameters as the key of a dict."""
    return tuple(sorted(params.items()))


def _same_search(name: str, own: str) -> bool:
    """Whether two names of studies differ only in the key of their cell."""
    parts, others = name.split("/"), own.split("/")
    return len(parts) == len(others) and parts[:-2] == others[:-2] and parts[-1] == others[-1]


def _of_cell(name: str, names: list[str], cell: Cell, store: optuna.storages.BaseStorage) -> optuna.Study | None:
    """The study of this name; None if it has tried no configuration of this cell."""
    if name not in names:
        return None
    study = optuna.load_study(study_name=name, storage=store)
    arms = [frozen.user_attrs["arm"] for frozen in _trials(study) if "arm" in frozen.user_attrs]
    return study if any(arm.startswith(f"{cell.name} #") for arm in arms) else None


def _trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a study, after their digests are checked.

    Raises:
        HarnessError: the store is damaged.
    """
    try:
        found = study.get_trials(deepcopy=False)
    except HarnessError:  # a database server does not answer
        raise
    except Exception as error:  # a damaged value can make Optuna raise anything
        raise storage_error(error, FILE) or _damaged(study, f"{type(error).__name__}: {error}") from error
    if [frozen.number for frozen in found] != list(range(len(found))):
        raise _damaged(study, "trials are missing from the sequence")
    for frozen in found:
        attributes = frozen.user_attrs
        seals = {PARAMETERS_SEAL: digests.seal(frozen.params)}
        if frozen.state.is_finished():
            seals |= {SEAL: _seal(frozen), KEYS_SEAL: digests.seal([frozen.number, attributes.get("keys")])}
        if any(attributes.get(name) not in (None, right) for name, right in seals.items()):
            raise _damaged(study, f"trial {frozen.number} is not as it was written: its digest differs")
    return found


def _damaged(study: optuna.Study, why: str) -> HarnessError:
    store = getattr(study._storage, "_backend", None)  # of the storage that keeps what it has read
    place = store.shown if isinstance(store, Shared) else FILE
    return HarnessError(
        f"{place} is damaged: the study {study.study_name} cannot be used ({why}). Restore a copy of it, or "
        f"{sqlite.OPTUNA.without}"
    )


def _seal(frozen: FrozenTrial) -> str:
    """The digest of what the sampler and the pruner learn from a closed configuration."""
    value = frozen.value if frozen.state == TrialState.COMPLETE else None
    return digests.seal([frozen.params, value, sorted(frozen.intermediate_values.items())])


def _distribution(space: FloatRange | IntRange | Categorical) -> BaseDistribution:
    if space.type == "float":
        return FloatDistribution(space.low, space.last, log=space.log, step=space.step)
    if space.type == "int":
        return IntDistribution(space.low, space.last, log=space.log, step=space.step)
    return CategoricalDistribution(space.choices)


class _Sequence(optuna.samplers.QMCSampler):
    """A quasi-random sampler that takes its position in the sequence from the number of the configuration.

    Optuna's own class counts in the store; a kill after that count would skip a point.
    """

    def __init__(self, seed: int, number: int) -> None:
        with warnings.catch_warnings():  # that it is marked as experimental is for the documentation to say
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(seed=seed)
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number - 1  # the first configuration is not from the sequence


def _sampler(search: Search, number: int) -> optuna.samplers.BaseSampler:
    own = search.sampler.seed
    seed = derived(own, str(number)) % 2**32  # the range of NumPy's seeds
    if search.sampler.name == "qmc":
        return _Sequence(own, number)
    if search.sampler.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    return optuna.samplers.TPESampler(seed=seed)


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    if search.pruner is None:
        return optuna.pruners.NopPruner()
    if search.pruner.name == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=search.pruner.warmup_steps)
    rung = max(search.pruner.every, search.pruner.warmup_steps)
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=rung)

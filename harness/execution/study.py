"""The queues of trials, in Optuna: what is still to do, in which order, and what a search tries next.

Only this module uses optuna (``store/studies`` opens its store). The matrix of a suite is one study: a queue of trials
with their keys. Every cell of a search is a study of its own. When a run starts, the queue is brought in line with
MLflow, in case a crash left them different.

Only the driver uses Optuna's SQLite store, so there are no concurrent writes. On a database server several drivers may
share a study: an outcome is entered by one of them, and a search is asked by the one that has claimed it.
"""

from __future__ import annotations

import abc
import math
import statistics
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from harness.base import digests, surroundings
from harness.base.diagnosis import storage_error
from harness.base.errors import HarnessError
from harness.base.seeds import derived
from harness.base.states import State
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
    from harness.trial.task import Outcome

SEAL, PARAMETERS_SEAL, KEYS_SEAL = "seal", "seal_parameters", "seal_keys"
"""Attributes of a search's configuration: digests of its result, of its parameters, of its number and trials."""

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
        self._measured: dict[str, list[float]] = {}
        """The seconds that the finished trials of an arm took."""
        for key, trial in self._trials.items():
            if key in self._todo:
                self._waiting.setdefault(trial.arm.name, deque()).append(trial)
            elif known[key].seconds:
                self._measured.setdefault(trial.arm.name, []).append(known[key].seconds)
        self._asked = set(self._measured)
        """The arms of which a trial has run, or runs."""
        self._reconcile(store, known)

    @property
    def remaining(self) -> int:
        return len(self._todo)

    def _reconcile(self, store: optuna.storages.BaseStorage, known: Mapping[str, Known]) -> None:
        """Bring the study in line with the store of results."""
        complete: set[str] = set()
        for frozen in _trials(self.study):
            if not frozen.state.is_finished() and self._shared is None:  # the queue of an older harness
                store.set_trial_state_values(frozen._trial_id, TrialState.FAIL)
            elif frozen.state == TrialState.COMPLETE:
                complete.add(frozen.user_attrs.get("key", ""))
        for key, trial in self._trials.items():
            if key not in self._todo and key not in complete and known[key].state is State.DONE:
                self._enter(trial, known[key])  # done for another suite, or lost in a crash
            if key in self._todo and key in complete and key not in known:
                self.lost += 1

    def _enter(self, trial: Trial, known: Known) -> None:
        """Add an outcome to the study; where drivers share it, only if none of them has."""
        if self._shared is None:
            self._add(trial, known)
            return
        with self._shared.alone(self.study.study_name):
            entered = (frozen for frozen in _trials(self.study) if frozen.user_attrs.get("key") == trial.key)
            if not any(frozen.state == TrialState.COMPLETE for frozen in entered):
                self._add(trial, known)

    def _add(self, trial: Trial, known: Known) -> None:
        attributes = {"key": trial.key, "arm": trial.arm.name, "seed": trial.seed}
        value = known.values.get(self.metric, math.nan)
        if known.state is State.DONE and math.isfinite(value):
            self.study.add_trial(optuna.trial.create_trial(value=value, user_attrs=attributes))
            return
        # A done trial without the metric: it does not apply to this model.
        reason = known.reason if known.state is not State.DONE else f"it has no value of {self.metric}"
        attributes |= {"state": known.state, "reason": reason}
        self.study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL, user_attrs=attributes))

    def next(self) -> Work | None:
        if not self._waiting:
            return None
        arm = max(self._waiting, key=self._urgency)
        self._asked.add(arm)
        trial = self._waiting[arm].popleft()
        if not self._waiting[arm]:
            del self._waiting[arm]
        return Work(trial)

    def _urgency(self, arm: str) -> tuple[bool, float]:
        """How early a trial of an arm should run: first of all one of each, then by the seconds that they take.

        An arm whose first trial still runs takes longer than those that have ended.
        """
        measured = self._measured.get(arm)
        return arm not in self._asked, statistics.fmean(measured) if measured else math.inf

    def tell(self, key: str, outcome: Outcome) -> None:
        trial = self._trials[key]
        self._enter(trial, Known(outcome.state, outcome.values, outcome.reason))
        self._measured.setdefault(trial.arm.name, []).append(outcome.seconds_train + outcome.seconds_evaluate)
        self._todo.discard(key)


class SearchQueue(Queue):
    """A search in one cell: one configuration at a time, trained with all seeds. Its value is their mean.

    With a pruner, the first seed runs first, alone: its intermediate values decide whether the configuration is
    pruned. The other seeds follow only if it is not. The sampler proposes one configuration at a time, so that what it
    knows does not depend on the number of workers; seeds, and other cells, run in parallel.
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
        self.study = optuna.create_study(
            storage=store,
            study_name=_name(suite, cell),
            direction=self.target.direction,
            load_if_exists=True,
            pruner=_pruner(self.search),
        )
        self.finished = 0
        self.repeats = 0
        self._retrain: deque[Trial] = deque()
        """Trials of closed configurations whose runs were altered or are gone: trained again; the configurations do
        not change."""
        self._claim = claim
        self.waits = claim is not None
        self._look()
        self.current: optuna.Trial | None = None
        self._values: dict[str, float] = {}
        self._bad: str | None = None
        self._reason = ""
        self._trials: dict[str, Trial] = {}
        self._ready: deque[Trial] = deque()
        self._running: set[str] = set()
        self._again: set[str] = set()

    def _look(self) -> None:
        """Read what the search has tried."""
        self.finished = sum(frozen.state.is_finished() for frozen in _trials(self.study))
        self._retrain = deque([] if self.waits else self._altered_or_lost())

    def _claimed(self) -> bool:
        """Whether this driver asks the search: it does, or can claim it now."""
        if self._claim is not None and self.waits and self._claim(self.study.study_name):
            self.waits = False
            self._look()
        return not self.waits

    def give_up(self, name: str) -> bool:
        if name != self.study.study_name:
            return False
        self.waits, self.current, self._values = True, None, {}
        self._retrain, self._ready, self._running, self._again = deque(), deque(), set(), set()
        return True

    @property
    def remaining(self) -> int:
        left = self.search.n_trials - self.finished
        ended = len(self._values) if self.current is not None else 0
        return max(0, left * len(self.suite.seeds) - ended) + len(self._retrain) + len(self._again)

    @property
    def repeated(self) -> str:
        if not self.repeats:
            return ""
        size = points(self.space)
        space = "" if size is None else f": the space has {size} different {'one' if size == 1 else 'ones'}"
        tried = [sorted(frozen.params.items()) for frozen in _trials(self.study)]
        repeats = sum(one in tried[:number] for number, one in enumerate(tried))
        many = f"{repeats} of {len(tried)} configurations repeat earlier ones"
        return f"{self.cell.name}: {many}, and are not trained again{space}"

    def _altered_or_lost(self) -> list[Trial]:
        found: dict[str, Trial] = {}
        for one in _tried(self.suite, self.cell, self.study) if self.finished else ():
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
        while not self._ready:
            if self.current is not None or self.finished >= self.search.n_trials:
                return None
            self._begin()
        trial = self._ready.popleft()
        self._running.add(trial.key)
        return Work(trial, self._intermediate(trial))

    def _begin(self) -> None:
        """Continue the configuration that a crash left open, or begin the next one."""
        [frozen] = self._open() or self._propose()
        self.current = optuna.Trial(self.study, frozen._trial_id)
        parameters = {path: frozen.params[path] for path in self.space}
        number = _first(frozen, _trials(self.study))
        self.repeats += number != frozen.number
        self._values, self._bad, self._trials = {}, None, {}
        try:
            arm = planning.with_parameters(self.suite, self.cell, parameters, number)
        except HarnessError as error:  # the values do not fit together: the configuration fails, the search continues
            self._bad, self._reason = REFUSED, str(error)
            self._close()
            return
        trials = [planning.trial(arm, seed) for seed in self.suite.seeds]
        self._trials = {trial.key: trial for trial in trials}
        self.current.set_user_attr("arm", arm.name)
        self.current.set_user_attr("keys", list(self._trials))
        self.current.set_user_attr(KEYS_SEAL, digests.seal([self.current.number, list(self._trials)]))
        for trial in trials:
            found = self.known.get(trial.key)
            # A trial that another search pruned counts only for the first seed: only that seed can be pruned here.
            pruned = self.search.pruner is not None and trial is trials[0]
            if found is not None and (found.state.settled or (pruned and found.state is State.PRUNED)):
                self._note(trial.key, found)
        self._release()

    def _open(self) -> list[FrozenTrial]:
        """The configuration that is not closed; empty if there is none."""
        found = [frozen for frozen in _trials(self.study) if frozen.state == TrialState.RUNNING]
        for frozen in found:
            if frozen.params.keys() != self.space.keys():  # an older harness was killed while it sampled them
                self.study.tell(frozen.number, state=TrialState.FAIL)
                self.finished += 1
                return []
        return found

    def _propose(self) -> list[FrozenTrial]:
        """Sample the next configuration, and store it in one write: a kill leaves all of it or nothing.

        It is sampled in a copy of the study in memory, because Optuna stores every parameter separately.
        """
        past = _trials(self.study)
        # Optuna does not store a sampler's random state. The seed is therefore derived from the number of past
        # trials, so that an interrupted search continues exactly as an uninterrupted one.
        copy = optuna.create_study(sampler=_sampler(self.search, len(past)), direction=self.target.direction)
        copy.add_trials(past)
        drawn = copy.ask({path: _distribution(space) for path, space in self.space.items()})
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=drawn.params,
                distributions=drawn.distributions,
                user_attrs={PARAMETERS_SEAL: digests.seal(drawn.params)},
            )
        )
        return self._open()

    def _release(self) -> None:
        """Queue the seeds that may start now, or close the configuration."""
        open_trials = [t for key, t in self._trials.items() if key not in self._values and key not in self._running]
        if self._bad is not None and not self._running:
            self._close()
        elif self._bad is None and open_trials:
            scouting = self.search.pruner is not None and next(iter(self._trials)) not in self._values
            wanted = open_trials[:1] if scouting else open_trials
            self._ready = deque(wanted if not (scouting and self._running) else [])
        elif not self._running:
            self._close()

    def _close(self) -> None:
        assert self.current is not None
        [frozen] = [f for f in self.study.get_trials() if f.number == self.current.number]
        if self._bad is None:
            frozen.state, frozen.value = TrialState.COMPLETE, statistics.fmean(self._values.values())
        else:
            frozen.state = TrialState.PRUNED if self._bad is State.PRUNED else TrialState.FAIL
            self.current.set_user_attr("state", self._bad)
            self.current.set_user_attr("reason", self._reason)
        self.current.set_user_attr(SEAL, _seal(frozen))
        self.study.tell(self.current, frozen.value, frozen.state)
        self.current = None
        self.finished += 1

    def tell(self, key: str, outcome: Outcome) -> None:
        self._running.discard(key)
        self.known[key] = Known(outcome.state, outcome.values, outcome.reason)
        if key in self._again:
            self._again.discard(key)
            return
        self._note(key, self.known[key])
        if self._bad is not None:
            self._ready.clear()
        if not self._ready:
            self._release()

    def _note(self, key: str, known: Known) -> None:
        if known.state is State.DONE:
            self._values[key] = known.values[self.target.metric]
        else:
            self._bad, self._reason = known.state, known.reason

    def measured(self, key: str, step: int, value: float) -> bool:
        assert self.current is not None
        self.current.report(value, step)
        return self.current.should_prune()

    def _intermediate(self, trial: Trial) -> Intermediate | None:
        pruner = self.search.pruner
        if pruner is None or trial.key != next(iter(self._trials)):
            return None
        return Intermediate(pruner.every, pruner.samples, self.target.metric)

    @property
    def ended(self) -> bool:
        """Whether it has tried all configurations."""
        return not self.waits and self.current is None and self.finished >= self.search.n_trials

    def winner(self) -> Configuration | None:
        """The configuration that it chose; None before its end, and if no configuration has a value."""
        return winner(self.suite, _tried(self.suite, self.cell, self.study))


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

    The number of configurations is not part of it, so that a search can be extended, nor is what follows the search. A
    trial that another study asked for is found by its key.
    """
    assert suite.search is not None
    search = suite.search.model_dump(mode="json", exclude={"n_trials", "spaces", "confirm"})
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
    return [] if study is None else _tried(suite, cell, study)


def _tried(suite: Suite, cell: Cell, study: optuna.Study) -> list[Configuration]:
    """The configurations of a study."""
    found, tried = [], _trials(study)
    for frozen in tried:
        trials: tuple[Trial, ...] = ()
        if "keys" in frozen.user_attrs:  # a configuration whose values did not fit together has no arm
            arm = planning.with_parameters(suite, cell, frozen.params, _first(frozen, tried))
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


def _first(one: FrozenTrial, tried: list[FrozenTrial]) -> int:
    """The number of the first configuration with these parameters: repetitions are one arm, with one name."""
    return min((other.number for other in tried if other.params == one.params), default=one.number)


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

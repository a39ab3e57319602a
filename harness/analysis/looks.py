"""The looks at a suite that a results folder has taken: each is counted, and paid for.

A look is one set of finished trials for which verdicts were shown. Looking at the same trials again is the same look.
Looks at growing data share one error rate (``levels``); what a look settled stays settled.

A suite with rounds (``seeds: {start, most, …}``) is looked at after each round, at planned levels. Any other suite is
looked at when its user likes, so each further look spends half of what the looks before it left.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from harness.analysis import family, levels
from harness.analysis.family import Key
from harness.analysis.levels import Levels
from harness.analysis.results import Look, Results
from harness.analysis.statistics import ALPHA, VerdictKind
from harness.base import files
from harness.base.messages import note
from harness.suite.declaration import Rounds

if TYPE_CHECKING:
    from harness.suite import Suite
    from harness.suite.plan import Plan

FOLDER, ENDING = "looks", ".sealed"
FORMAT = 1
FORGOTTEN = "the looks at this suite are forgotten, so its verdicts are no longer paid for as a whole"


@dataclass(frozen=True)
class Taken:
    """A look that was taken.

    Attributes:
        seeds: the seeds of the arm that had the most.
        trials: the keys of the trials that it saw, sorted.
        points: the levels (``Levels.points``).
        settled: the verdicts that this look settled.
    """

    seeds: int
    trials: tuple[str, ...]
    points: tuple[float, ...] | None
    settled: Mapping[Key, VerdictKind]


@dataclass(frozen=True)
class Looks:
    """The looks of a suite on its compare metric, in one results folder, in their order."""

    path: Path
    metric: str
    taken: tuple[Taken, ...]

    @classmethod
    def read(cls, results: Path, suite: Suite) -> Looks:
        """The looks that a results folder knows."""
        path = _path(results, suite)
        return cls(path, suite.metric, tuple(_taken(one) for one in _content(path)["looks"].get(suite.metric, ())))

    def of(self, keys: Sequence[str]) -> tuple[Taken, ...]:
        """The looks that saw any of these trials: looks at others, for example of older code, cost these nothing."""
        known = set(keys)
        return tuple(one for one in self.taken if known & set(one.trials))

    def add(self, new: Taken) -> None:
        """Write a further look; a folder that cannot be written to is a note."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path.with_suffix(".lock")):
                content = _content(self.path)
                content["looks"].setdefault(self.metric, []).append(_plain(new))
                _write(self.path, content)
        except OSError as error:
            note(f"this look cannot be recorded, and will not be paid for ({error})")


def with_rounds(suite: Suite, results: Path) -> Suite:
    """The suite with the rounds that a run ``--until-settled`` gave it; as it is if none did, or its seeds changed."""
    kept = _content(_path(results, suite)).get("rounds")
    if kept is None or suite.rounds is not None or suite.search or suite.seeds != tuple(range(kept["start"])):
        return suite
    return suite.model_copy(update={"declared_seeds": Rounds.model_validate(kept)})


def keep_rounds(suite: Suite, results: Path) -> None:
    """Remember the rounds of a suite that states none itself; a folder that cannot be written to is a note."""
    if suite.rounds is None:
        return
    path = _path(results, suite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock")):
            _write(path, _content(path) | {"rounds": suite.rounds.model_dump(mode="json")})
    except OSError as error:
        note(f"the rounds of {suite.name} cannot be recorded, so other commands do not know them ({error})")


def bring(source: Path, results: Path, suite: str = "*") -> None:
    """Copy the looks at a suite, or at all, into a folder that has none."""
    for path in sorted((source / FOLDER).glob(f"{suite}{ENDING}")):
        files.write_bytes(results / FOLDER / path.name, path.read_bytes())


def join(source: Path, results: Path, keys: Set[str]) -> None:
    """Add the looks of another folder that saw any of these trials, because they must be paid for, too.

    What they settled stays settled if this folder has no look at the suite. Else the next look here decides anew, on
    all trials: two histories that settled a question each on their own would err more often than is said.
    """
    for path in sorted((source / FOLDER).glob(f"*{ENDING}")):
        own = results / FOLDER / path.name
        own.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(own.with_suffix(".lock")):
            mine = _joined(_content(own), _content(path), keys)
            if any(mine["looks"].values()):
                _write(own, mine)


def _joined(mine: dict[str, Any], theirs: Mapping[str, Any], keys: Set[str]) -> dict[str, Any]:
    """The looks of a suite here, with those of another folder that saw any of these trials."""
    for metric, taken in theirs["looks"].items():
        here = mine["looks"].setdefault(metric, [])
        known, alone = {tuple(one["trials"]) for one in here}, not here
        new = [one for one in taken if keys & set(one["trials"]) and tuple(one["trials"]) not in known]
        here += [one if alone else one | {"settled": []} for one in new]
        here.sort(key=lambda one: int(one["seeds"]))
    return ({"rounds": theirs["rounds"]} if "rounds" in theirs else {}) | mine


def _path(results: Path, suite: Suite) -> Path:
    return results / FOLDER / f"{suite.name}{ENDING}"


def _content(path: Path) -> dict[str, Any]:
    """``looks``: metric -> its looks; ``rounds``, if a run gave the suite some."""
    content = files.read_sealed(path, FORGOTTEN)
    found: dict[str, Any] = json.loads(content) if content else {"format": FORMAT, "looks": {}}
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    files.write_sealed(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _plain(one: Taken) -> dict[str, Any]:
    settled = [[*pair, kind] for pair, kind in one.settled.items()]
    return {"seeds": one.seeds, "trials": list(one.trials), "points": one.points, "settled": settled}


def _taken(plain: Mapping[str, Any]) -> Taken:
    settled = {tuple(arms): kind for *arms, kind in plain["settled"]}
    points = None if plain["points"] is None else tuple(plain["points"])
    return Taken(plain["seeds"], tuple(plain["trials"]), points, settled)


def take(results: Results, folder: Path) -> Results:
    """These results as a look: with the levels of its tests, and what earlier looks settled. A new look is recorded.

    Results whose arms have fewer than two seeds have no test: they are no look.
    """
    if results.confirmed is not None:  # the verdicts of a search are on its winners
        return dataclasses.replace(results, confirmed=take(results.confirmed, folder))
    asked = results.asked
    if not any(min(len(q.samples[arm].values) for arm in pair) > 1 for pair, q in asked.items()):
        return results
    arms = dict.fromkeys(arm for pair in asked for arm in pair)
    trials = tuple(sorted(record.key for arm in arms for record in results.of(arm)))
    seeds = max(len(results.of(arm)) for arm in arms)
    looks = Looks.read(folder, results.plan.suite)
    path = looks.of(trials)
    same = next((number for number, one in enumerate(path) if _saw(one, trials, seeds, results)), None)
    if same is not None:
        return dataclasses.replace(results, look=_look(path, same, results.plan.suite, path[same].points))
    points = _new_levels(results.plan.suite, path, seeds).points
    seen = dataclasses.replace(results, look=_look(path, len(path), results.plan.suite, points))
    settled = {
        arms: verdict.kind
        for arms, verdict in seen.answered().items()
        if verdict.kind != "inconclusive" and verdict.settled is None
    }
    looks.add(Taken(seeds, trials, points, settled))
    return seen


def _saw(one: Taken, trials: Sequence[str], seeds: int, results: Results) -> bool:
    """Whether a look has seen the same: the same trials, or more arms with as many seeds if arms were chosen here."""
    return one.trials == trials or (bool(results.plan.only) and one.seeds == seeds and set(trials) <= set(one.trials))


def _look(path: Sequence[Taken], number: int, suite: Suite, points: Sequence[float] | None) -> Look:
    """The look at this place of a path (from 0)."""
    settled = {pair: (kind, at + 1) for at, one in enumerate(path[:number]) for pair, kind in one.settled.items()}
    return Look(Levels(_alpha(suite), points, number + 1), settled)


def _new_levels(suite: Suite, path: Sequence[Taken], seeds: int) -> Levels:
    before = [Levels(_alpha(suite), one.points, number) for number, one in enumerate(path, start=1)]
    if suite.rounds is None:
        return levels.unplanned([*(one.seeds for one in path), seeds], before, _alpha(suite))
    planned = schedule(suite, path)
    return levels.planned(planned, len(path) + 1, before, _alpha(suite))


def _alpha(suite: Suite) -> float:
    return suite.rounds.error if suite.rounds is not None else ALPHA


# --- rounds ----------------------------------------------------------------------------------------------


def schedule(suite: Suite, path: Sequence[Taken]) -> list[int]:
    """Seeds of an open arm in each round: those of the looks that were taken, then on to the most."""
    assert suite.rounds is not None
    return suite.rounds.after([one.seeds for one in path])


@dataclass(frozen=True)
class Progress:
    """How far the rounds of a suite are.

    Attributes:
        path: the looks that were taken, one after each round.
        plan: the plan with the seeds of the next round; of the last one if it is over.
        seen: the plan with the seeds of the last look; of the first round if there is none.
        open: the questions that are not settled.
        over: whether there is no further round.
    """

    path: tuple[Taken, ...]
    plan: Plan
    seen: Plan
    open: tuple[Key, ...]
    over: bool


def progress(plan: Plan, folder: Path) -> Progress:
    """How far the rounds of a plan are; of a plan without rounds: the first is the only one."""
    suite = plan.suite
    if suite.rounds is None:
        return Progress((), plan, plan, (), True)
    most = max(suite.rounds.most, *suite.seeds)
    everything = plan.with_seeds({cell.name: range(most) for cell in plan.cells})
    path = Looks.read(folder, suite).of([trial.key for trial in everything.trials])
    pairs = family.open_to(plan)
    open_ = tuple(pair for pair in pairs if not any(pair in one.settled for one in path))
    sizes = schedule(suite, path)
    over = len(path) >= len(sizes) or not open_
    seen = _seeds(plan, path, pairs, path[-1].seeds if path else sizes[0], before=path[:-1])
    ahead = seen if over else _seeds(plan, path, pairs, sizes[len(path)], before=path)
    return Progress(path, plan.with_seeds(ahead), plan.with_seeds(seen), open_, over)


def _seeds(
    plan: Plan, path: Sequence[Taken], pairs: Sequence[Key], size: int, before: Sequence[Taken]
) -> dict[str, range]:
    """Arm -> its seeds in a round of this size, where ``before`` are the looks before it.

    Arms of open comparisons have all; others keep the seeds that they had when their last comparison was settled.
    """
    found = {cell.name: 0 for cell in plan.cells if cell.excluded is None}
    for pair in pairs:
        at = next((one.seeds for one in before if pair in one.settled), size)
        for arm in pair:
            found[arm] = max(found[arm], at)
    first = plan.suite.seeds
    return {arm: range(seeds or len(first)) for arm, seeds in found.items()}


def spent(results: Results) -> float:
    """Seconds that the trials of these results took."""
    return sum(record.seconds_train + record.seconds_evaluate for record in results.records)


def exhausted(results: Results) -> bool:
    """Whether the budget of a suite with rounds is spent."""
    rounds = results.plan.suite.rounds
    return rounds is not None and rounds.budget is not None and spent(results) >= float(rounds.budget)

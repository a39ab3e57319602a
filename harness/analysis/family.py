"""All questions that a suite declares: they are corrected together.

These are its comparisons (named by arm and baseline), its interactions, and its comparisons over several data sets
(named by all their arms).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.statistics import Asked, Contrast, Question
from harness.suite.cells import normal

if TYPE_CHECKING:
    from harness.suite.plan import Cell, Plan

Key = tuple[str, ...]
"""The arms of a question: those of a comparison are two."""
Pair = tuple[str, str]
AXIS = "data"
"""The axis whose values are data sets."""


def declared(plan: Plan) -> tuple[Key, ...]:
    """The names of all questions that a plan declares."""
    pairs: list[Key] = [(arm.name, baseline.name) for arm, baseline in plan.pairs]
    return (*pairs, *(one.key for one in _contrasts(plan)))


def open_to(plan: Plan) -> tuple[Key, ...]:
    """Those of them that its arms can answer: of a plan of chosen arms, not those about arms that it leaves out."""
    left_out = set(plan.left_out)
    return tuple(arms for arms in declared(plan) if not left_out.intersection(arms))


def asked(plan: Plan, pairs: Mapping[Pair, Question]) -> dict[Key, Asked]:
    """The questions of a plan of whose comparisons these can be made."""
    found: dict[Key, Asked] = dict(pairs.items())
    for one in _contrasts(plan):
        if (contrast := one.question(pairs)) is not None:
            found[one.key] = contrast
    return found


def _contrasts(plan: Plan) -> list[Interaction | Group]:
    return [*interactions(plan), *groups(plan)]


# --- interactions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interaction:
    """One comparison at two values of an axis.

    Attributes:
        axis: the axis.
        value: its first value, as text.
        other: its other value, as text.
        pair: arm and baseline at the first value.
        at: arm and baseline at the other value.
    """

    axis: str
    value: str
    other: str
    pair: Pair
    at: Pair

    @property
    def key(self) -> Key:
        """Its name among the questions of a suite: its four arms."""
        return (*self.pair, *self.at)

    def question(self, asked: Mapping[Pair, Question]) -> Contrast | None:
        """The question; None if one of its comparisons cannot be made."""
        if self.pair not in asked or self.at not in asked:
            return None
        return Contrast(((1.0, asked[self.pair]), (-1.0, asked[self.at])))


def interactions(plan: Plan) -> list[Interaction]:
    """The interactions that a suite declares."""
    axis = plan.suite.compare.interaction
    if axis is None:
        return []
    order = [normal(value, axis) for value in plan.suite.matrix[axis]]
    alike: dict[tuple[str, ...], dict[str, tuple[Cell, Cell]]] = {}
    for arm, baseline in plan.pairs:
        others = tuple(normal(value, name) for name, value in arm.axes.items() if name != axis)
        alike.setdefault(others, {})[normal(arm.axes[axis], axis)] = (arm, baseline)
    found = []
    for at in alike.values():
        first, *rest = sorted(at, key=order.index)
        (arm, baseline), value = at[first], text(at[first][0].axes[axis])
        for other, other_baseline in (at[place] for place in rest):
            names = (arm.name, baseline.name), (other.name, other_baseline.name)
            found.append(Interaction(axis, value, text(other.axes[axis]), *names))
    return found


def text(value: Any) -> str:
    """A value of an axis as text: a name by itself."""
    if isinstance(value, Mapping) and set(value) == {"name"}:
        value = value["name"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# --- several data sets -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """The comparisons of one arm on several data sets.

    Attributes:
        arm: the arm without its data.
        data: the data sets, as text.
        pairs: arm and baseline on each.
    """

    arm: str
    data: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def key(self) -> Key:
        """Its name among the questions of a suite: all arms, then all baselines."""
        return (*(arm for arm, _ in self.pairs), *(baseline for _, baseline in self.pairs))

    def question(self, asked: Mapping[Pair, Question]) -> Contrast | None:
        """The question; None if one of its comparisons cannot be made: a verdict is over all data sets or none."""
        if not all(pair in asked for pair in self.pairs):
            return None
        return Contrast(tuple((1 / len(self.pairs), asked[pair]) for pair in self.pairs))


def groups(plan: Plan) -> list[Group]:
    """The comparisons of a suite that are made on several data sets."""
    against = plan.suite.compare.against
    if against is None or AXIS in against or AXIS not in plan.suite.matrix:
        return []
    alike: dict[tuple[str, ...], list[tuple[str, Pair]]] = {}
    for arm, baseline in plan.pairs:
        others = tuple(normal(value, name) for name, value in arm.axes.items() if name != AXIS)
        alike.setdefault(others, []).append((text(arm.axes[AXIS]), (arm.name, baseline.name)))
    found = []
    for members in alike.values():
        data, pairs = zip(*members, strict=True)
        if len(pairs) > 1:
            found.append(Group(stem([arm for arm, _ in pairs]), tuple(data), tuple(pairs)))
    return found


def stem(names: Sequence[str]) -> str:
    """The common part of the names of an arm on several data sets; the first name if the suite gives other names."""
    stems = {name.rpartition(" on ")[0] for name in names}
    return stems.pop() if len(stems) == 1 and "" not in stems else f"{names[0]} and the like"

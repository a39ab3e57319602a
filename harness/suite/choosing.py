"""Some arms of a plan instead of all (``--only``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError
from harness.base.messages import note
from harness.base.validation import lines_of, nearest, shown
from harness.suite.cells import Places

if TYPE_CHECKING:
    from harness.suite import Expectation, Suite
    from harness.suite.plan import Cell, Plan


def chosen(plan: Plan, patterns: Sequence[str]) -> Plan:
    """The plan with the arms that have one of these names or match one of these patterns (``*``, ``?``, ``[…]``).

    The arms that they are compared with stay, which the user is told. Names and keys do not change. The comparisons
    remain those of the whole suite, because verdicts are corrected for all of them; expectations remain that are about
    the arms that are left. Without patterns it is the plan itself.

    Raises:
        HarnessError: a name or pattern fits no arm.
    """
    if not patterns:
        return plan
    trained = [cell for cell in plan.cells if cell.excluded is None]
    asked = {name for pattern in patterns for name in _matching(plan, [cell.name for cell in trained], pattern)}
    needed = {baseline.name for arm, baseline in plan.pairs if arm.name in asked} - asked
    for name in sorted(needed):
        note(f"{name} stays too: the arms of --only are compared with it")
    cells = tuple(cell for cell in trained if cell.name in asked | needed)
    seeds = () if plan.suite.search else plan.suite.seeds
    # Arms of a smoke test may be equal.
    trials = {trial.key: trial for cell in cells for trial in cell.trials(seeds)}
    return dataclasses.replace(
        plan,
        suite=plan.suite.model_copy(update={"expect": tuple(_expected(plan.suite, cells))}),
        cells=cells,
        trials=tuple(trials.values()),
        baseline=plan.baseline if plan.baseline in cells else cells[0],
        only=tuple(patterns),
        left_out=tuple(cell.name for cell in trained if cell not in cells),
    )


def told(plan: Plan) -> str:
    """How many arms were chosen: ``2 of 16 arms, chosen with --only``; empty if all are there."""
    arms = sum(cell.excluded is None for cell in plan.cells)
    return f"{arms} of {arms + len(plan.left_out)} arms, chosen with --only" if plan.only else ""


def _matching(plan: Plan, names: Sequence[str], pattern: str) -> list[str]:
    """The names that a pattern means: a name means itself, whatever signs it has."""
    found = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        near = nearest(pattern, list(names))
        raise HarnessError(
            f"--only {shown(pattern)}: {plan.suite.path} has no arm of this name{near}; it has",
            *lines_of(names, " (`harness plan`)"),
        )
    return found


def _expected(suite: Suite, cells: Collection[Cell]) -> list[Expectation]:
    """The expectations that are about these cells; of an order, about some at every place."""
    places = Places([cell.combination for cell in cells])
    return [expectation for expectation in suite.expect if all(places.of(where) for where in expectation.groups)]

"""The output of `harness plan` and `harness list`. Needs no torch."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from harness.base import terminal
from harness.base.errors import HarnessError
from harness.base.messages import visible
from harness.base.states import State
from harness.cli.progress import duration
from harness.execution.devices import cores
from harness.suite import choosing
from harness.suite.cells import space_of
from harness.suite.declaration import points
from harness.suite.rates import uneven
from harness.zoo import registry

if TYPE_CHECKING:
    from rich.console import Console

    from harness.store.runs import Standing
    from harness.suite import Search
    from harness.suite.plan import Plan, Trial

TO_DO = "to do"
UNKNOWN = "not known"
"""The state of every trial while the store does not answer."""
LONG = 500
"""With more trials than this the plan is printed in plain columns."""
Guess = Callable[["Trial"], float | None]


def as_json(plan: Plan, states: Mapping[str, Standing] | None, guess: Guess) -> str:
    """The plan as JSON."""
    value = {
        "suite": plan.suite.name,
        "left_out": plan.left_out,
        "cells": [
            {"arm": cell.name, "key": cell.key, "axes": dict(cell.axes), "excluded": cell.excluded}
            for cell in plan.cells
        ],
        "trials": [
            {
                "key": trial.key,
                "arm": trial.arm.name,
                "seed": trial.seed,
                "state": _state(trial, states),
                "reason": states[trial.key].reason if states and trial.key in states else "",
                "seconds": guess(trial),
            }
            for trial in plan.trials
        ],
        "search": plan.suite.search.model_dump(mode="json") if plan.suite.search else None,
    }
    # ASCII: other characters as JSON's own escapes, so that none can be an order to a terminal.
    return json.dumps(value, indent=2, default=str)


def show(plan: Plan, states: Mapping[str, Standing] | None, guess: Guess) -> None:
    """The plan on the console."""
    from rich.table import Table
    from rich.text import Text

    console = terminal.console()
    if len(plan.trials) > LONG:
        terminal.echo("\n".join(_lines(plan, states)))
        _remarks(plan, states, guess, console)
        return
    table = Table("arm", "seed", "key", "state", title=Text(plan.suite.name), title_justify="left")
    for trial in plan.trials:
        table.add_row(Text(trial.arm.name), str(trial.seed), trial.key, _state(trial, states))
    for cell in plan.cells:
        if cell.excluded is not None:
            table.add_row(Text(cell.name), "", "", Text(f"excluded: {cell.excluded}"))
    console.print(table)
    _remarks(plan, states, guess, console)


def _lines(plan: Plan, states: Mapping[str, Standing] | None) -> Iterator[str]:
    """The trials and the excluded cells in plain columns: rich takes a millisecond for a row of a table."""
    width = max(len(visible(cell.name)) for cell in plan.cells)
    for trial in plan.trials:
        yield f"{visible(trial.arm.name):<{width}}  {trial.seed:>4}  {trial.key}  {_state(trial, states)}"
    for cell in plan.cells:
        if cell.excluded is not None:
            yield f"{visible(cell.name):<{width}}  excluded: {visible(cell.excluded)}"


def _remarks(plan: Plan, states: Mapping[str, Standing] | None, guess: Guess, console: Console) -> None:
    """The altered trials, and the summary."""
    for trial in plan.trials:
        if states and trial.key in states and states[trial.key].state is State.ALTERED:
            line = f"{trial.label}: {State.ALTERED}: {states[trial.key].reason}"
            console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
    for line in [*summary(plan, states, guess), *filter(None, [uneven(plan)])]:
        console.print(visible(line), markup=False, highlight=False)


def summary(plan: Plan, states: Mapping[str, Standing] | None, guess: Guess) -> list[str]:
    """How many trials are to do, and an estimate of the time.

    The states are None if the store does not answer.
    """
    search = plan.suite.search
    if search is not None:
        return [*_of_search(search, plan), *filter(None, [choosing.told(plan)])]
    counts = Counter(_state(trial, states) for trial in plan.trials)
    lines = [f"{len(plan.trials)} trials: " + ", ".join(f"{n} {state}" for state, n in counts.items())]
    lines += filter(None, [choosing.told(plan)])
    if states is None:
        return lines
    todo = [trial for trial in plan.trials if trial.key not in states or not states[trial.key].state.settled]
    known = [seconds for trial in todo if (seconds := guess(trial)) is not None]
    if todo and known:
        total = sum(known) / len(known) * len(todo)
        workers = max(1, cores() // plan.trials[0].arm.train.threads)
        lines.append(
            f"about {duration(total / min(workers, len(todo)))} with {workers} worker(s), "
            "estimated from the trials in this store"
        )
    elif todo:
        lines.append("this store has no finished trial of these models yet: no estimate of the time")
    return lines


def _of_search(search: Search, plan: Plan) -> Iterator[str]:
    """How many trials a search may need."""
    cells = [cell.combination for cell in plan.cells if cell.excluded is None]
    each = search.n_trials * len(plan.suite.seeds)
    yield (
        f"a search in {len(cells)} cell(s): up to {search.n_trials} configurations × {len(plan.suite.seeds)} seeds = "
        f"{each} trials each"
    )
    if new := plan.suite.confirm_seeds:
        yield f"then the best configuration of each cell on {len(new)} new seeds"
    sizes = {points(space_of(search, cell)) for cell in cells}
    for size in sorted(size for size in sizes if size is not None and size < search.n_trials):
        yield (
            f"the space has only {size} different configurations: at least {search.n_trials - size} of "
            f"{search.n_trials} will repeat earlier ones, and are not trained again"
        )


def _state(trial: Trial, states: Mapping[str, Standing] | None) -> str:
    if states is None:
        return UNKNOWN
    return states[trial.key].state if trial.key in states else TO_DO


def plugins(kind: str) -> list[str]:
    """One line per plug-in of a kind; a broken one with the reason."""
    lines = []
    for entry in registry.entries(kind):
        paper = f"  [{entry.paper}]" if entry.paper else ""
        rates = f"  (rates: {entry.rates_from})" if entry.rates_from else ""
        text = f"broken: {entry.broken}" if entry.broken else f"{entry.summary}{paper}{rates}"
        lines.append(visible(f"{entry.name:<26} {text}"))
    return lines


def suites() -> list[str]:
    """One line per suite that can be named: its trials, its question, and its cost where its file states one."""
    from harness.suite import read_suite, shipped

    lines = []
    for name, path in shipped.names().items():
        try:
            suite = read_suite(path)
            cells = sum(cell.excluded is None for cell in suite.combinations)
            tried = suite.search.n_trials if suite.search else 1
            stated = re.search(COST, suite.text, re.M)
            cost = f"  [{stated[1]}]" if stated else ""
            text = f"{cells * tried * len(suite.seeds):>5} trials  {suite.question}{cost}"
        except HarnessError as error:
            text = f"broken: {str(error).splitlines()[0]}"
        lines.append(visible(f"{name:<22} {text}"))
    return lines


COST = r"^# cost: (.+?)\s*$"
"""The line of a suite file that says what the suite costs."""

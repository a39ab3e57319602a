"""The output of `harness plan` and `harness list`. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.base import terminal
from harness.base.errors import HarnessError
from harness.base.messages import visible
from harness.cli import planning
from harness.suite.rates import uneven
from harness.zoo import registry

if TYPE_CHECKING:
    from rich.console import Console

    from harness.cli.planning import Outlook

LONG = 500
"""With more trials than this the plan is printed in plain columns."""


def as_json(found: Outlook) -> str:
    """The plan as JSON."""
    plan, states = found.plan, found.states
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
                "state": found.state(trial),
                "reason": states[trial.key].reason if states and trial.key in states else "",
                "seconds": found.seconds(trial),
            }
            for trial in plan.trials
        ],
        "search": plan.suite.search.model_dump(mode="json") if plan.suite.search else None,
    }
    # ASCII: other characters as JSON's own escapes, so that none can be an order to a terminal.
    return json.dumps(value, indent=2, default=str)


def show(found: Outlook) -> None:
    """The plan on the console."""
    from rich.table import Table
    from rich.text import Text

    console, plan = terminal.console(), found.plan
    if len(plan.trials) > LONG:
        terminal.echo("\n".join(_lines(found)))
        _remarks(found, console)
        return
    table = Table("arm", "seed", "key", "state", title=Text(plan.suite.name), title_justify="left")
    for trial in plan.trials:
        table.add_row(Text(trial.arm.name), str(trial.seed), trial.key, found.state(trial))
    for cell in plan.cells:
        if cell.excluded is not None:
            table.add_row(Text(cell.name), "", "", Text(f"excluded: {cell.excluded}"))
    console.print(table)
    _remarks(found, console)


def _lines(found: Outlook) -> Iterator[str]:
    """The trials and the excluded cells in plain columns: rich takes a millisecond for a row of a table."""
    plan = found.plan
    width = max(len(visible(cell.name)) for cell in plan.cells)
    for trial in plan.trials:
        yield f"{visible(trial.arm.name):<{width}}  {trial.seed:>4}  {trial.key}  {found.state(trial)}"
    for cell in plan.cells:
        if cell.excluded is not None:
            yield f"{visible(cell.name):<{width}}  excluded: {visible(cell.excluded)}"


def _remarks(found: Outlook, console: Console) -> None:
    """The altered trials, the summary, and what else is to be said."""
    for line in [*planning.altered(found), *found.summary(), *filter(None, [uneven(found.plan)])]:
        console.print(visible(line), markup=False, highlight=False, soft_wrap=True)  # a file has whole lines
    for text in found.remarks:
        terminal.echo(text)


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
            stated = shipped.cost(suite.text)
            cost = f"  [{stated}]" if stated else ""
            text = f"{cells * tried * len(suite.seeds):>5} trials  {suite.question}{cost}"
        except HarnessError as error:
            text = f"broken: {str(error).splitlines()[0]}"
        lines.append(visible(f"{name:<22} {text}"))
    return lines

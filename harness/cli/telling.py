"""How a run tells what happens: on a terminal or in a log, in silence (`--quiet`), or as JSON (`--json`)."""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.base.messages import visible
from harness.base.terminal import console, echo
from harness.cli.progress import display

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from harness.analysis.results import Results
    from harness.execution.driver import Listener
    from harness.suite.plan import Trial
    from harness.trial.task import Outcome


class Telling(Protocol):
    """Where what a run has to say goes."""

    def listener(self) -> AbstractContextManager[Listener]:
        """Receives the events of the training, inside its ``with`` block."""

    def say(self, text: str) -> None:
        """A sentence for the reader."""

    def report(self, results: Results, page: Path) -> None:
        """The results of a suite, and the page that was written."""


class Printed:
    """Prints for a reader: bars on a terminal, lines elsewhere, then the tables."""

    def __init__(self) -> None:
        self.console = console()

    def listener(self) -> AbstractContextManager[Listener]:
        return display(self.console)

    def say(self, text: str) -> None:
        self.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)

    def report(self, results: Results, page: Path) -> None:
        from harness import report

        report.console(results, page, self.console)


class Silence:
    """Prints the path of the page; messages about what goes wrong go to standard error."""

    def listener(self) -> AbstractContextManager[Listener]:
        return nullcontext(self)

    def say(self, text: str) -> None:
        pass

    def report(self, results: Results, page: Path) -> None:
        for record in results.failures:
            self.note(f"{record.arm}, seed {record.seed}: {record.state}: {record.reason}")
        echo(str(page))

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        pass

    def began(self, trial: Trial) -> None:
        pass

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        pass

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        pass

    def settled(self, trials: int) -> None:
        pass

    def note(self, text: str) -> None:
        echo(text, err=True)


class Lines:
    """Prints one JSON object a line for each event; docs/commands.md has their fields."""

    def listener(self) -> AbstractContextManager[Listener]:
        return nullcontext(self)

    def say(self, text: str) -> None:
        self.note(text)

    def report(self, results: Results, page: Path) -> None:
        suite = results.plan.suite.name
        names = ("arm", "baseline", "metric", "kind", "effect", "low", "high", "p")
        verdicts = [{name: getattr(verdict, name) for name in names} for verdict in results.verdicts()]
        _print("report", suite=suite, page=str(page), missing=results.missing, verdicts=verdicts)

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        _print("planned", total=total, done=done, trials=[_named(trial) for trial in trials])

    def began(self, trial: Trial) -> None:
        _print("began", **_named(trial))

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        _print("stepped", **_named(trial), step=step, steps=trial.arm.train.steps, scalars=point)

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        seconds = {"seconds_train": outcome.seconds_train, "seconds_evaluate": outcome.seconds_evaluate}
        told = {"state": outcome.state, "reason": outcome.reason, "values": outcome.values}
        _print("ended", **_named(trial), **told, **seconds)

    def settled(self, trials: int) -> None:
        _print("settled", trials=trials)

    def note(self, text: str) -> None:
        _print("note", text=text)


def _named(trial: Trial) -> dict[str, Any]:
    return {"key": trial.key, "arm": trial.arm.name, "seed": trial.seed}


def _print(event: str, **fields: Any) -> None:
    # ASCII: other characters as JSON's own escapes, so that none can be an order to a terminal.
    echo(json.dumps({"event": event, "time": round(time.time(), 3), **_finite(fields)}, allow_nan=False))


def _finite(value: Any) -> Any:
    """A value for JSON, which has no NaN and no infinity: null instead."""
    if isinstance(value, dict):
        mapping: Mapping[str, Any] = value
        return {name: _finite(inner) for name, inner in mapping.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

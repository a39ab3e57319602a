"""What a run shows while it goes: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from harness.plan import Trial
    from harness.task import Outcome

SECONDS_BETWEEN_LINES = 15.0


class Remaining:
    """The time that is left, from the speed of what was done since the run began."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.total = 0.0
        self.done = 0.0
        self.part: dict[str, float] = {}

    def text(self) -> str:
        """For example ``about 4 min left``; empty as long as nothing can be said."""
        progressed = self.done + sum(self.part.values())
        if progressed < 0.02:
            return ""
        left = (time.monotonic() - self.started) / progressed * max(0.0, self.total - progressed)
        return f"about {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Lines:
    """Plain lines, for logs: one for every outcome, and one now and then between."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.remaining = Remaining()
        self.total = self.settled = 0
        self._spoke = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def planned(self, total: int, done: int) -> None:
        self.total, self.settled = total, done
        self.remaining.total = total - done
        self.note(f"{total} trials, {done} done before")

    def began(self, trial: Trial) -> None:
        self.remaining.part[trial.key] = 0.0

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        self.remaining.part[trial.key] = step / trial.arm.train.steps
        if time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES:
            scalars = ", ".join(f"{name} {value:.3g}" for name, value in point.items())
            self.note(f"  {label(trial)}: step {step} of {trial.arm.train.steps} ({scalars})")

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.remaining.part.pop(trial.key, None)
        if outcome.state != "stopped":
            self.settled += 1
            self.remaining.done += 1
        left = self.remaining.text() if self.settled < self.total else ""
        self.note(f"[{self.settled}/{self.total}] {label(trial)}: {verdict(outcome)}" + (f" ({left})" if left else ""))

    def note(self, text: str) -> None:
        self._spoke = time.monotonic()
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


class Bars:
    """Live bars: one for the whole, one for every trial that runs."""

    def __init__(self, console: Console) -> None:
        self.remaining = Remaining()
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", style="dim", markup=False),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.progress.stop()

    def planned(self, total: int, done: int) -> None:
        self.remaining.total = total - done
        self._whole = self.progress.add_task("trials", total=total, completed=done, text="")

    def began(self, trial: Trial) -> None:
        self.remaining.part[trial.key] = 0.0
        self._drop(trial)
        self._tasks[trial.key] = self.progress.add_task(label(trial), total=trial.arm.train.steps, text="starting")

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        self.remaining.part[trial.key] = step / trial.arm.train.steps
        evaluating = step == trial.arm.train.steps
        text = "evaluating" if evaluating else "  ".join(f"{name} {value:.3g}" for name, value in point.items())
        self.progress.update(self._tasks[trial.key], completed=step, text=text)
        self.progress.update(self._whole, text=self.remaining.text())

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.remaining.part.pop(trial.key, None)
        self._drop(trial)
        if outcome.state != "stopped":
            self.remaining.done += 1
            self.progress.advance(self._whole)
        self.note(f"{label(trial)}: {verdict(outcome)}")

    def note(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False)

    def _drop(self, trial: Trial) -> None:
        if (task := self._tasks.pop(trial.key, None)) is not None:
            self.progress.remove_task(task)


def label(trial: Trial) -> str:
    """How a trial is called in front of people."""
    return f"{trial.arm.name}, seed {trial.seed}"


def verdict(outcome: Outcome) -> str:
    """An outcome in a few words."""
    if outcome.state == "done":
        values = ", ".join(f"{name} {value:.4g}" for name, value in outcome.values.items())
        return f"done in {duration(outcome.seconds_train + outcome.seconds_evaluate)}: {values}"
    return f"{outcome.state}: {outcome.reason}" if outcome.reason else outcome.state


def display(console: Console) -> Bars | Lines:
    """Bars where somebody watches, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)

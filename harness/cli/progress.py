"""What a run shows while it goes: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.base.states import State

if TYPE_CHECKING:
    from harness.suite.plan import Trial
    from harness.trial.task import Outcome

SECONDS_BETWEEN_LINES = 15.0


@dataclass
class _Running:
    """A trial on its way: when it began, the share of its steps behind it then (it may be gone on with) and now."""

    arm: str
    began: float
    first: float | None = None
    share: float = 0.0


class Remaining:
    """The time that is left: each trial takes as long as those of its arm did, or do; an arm not seen yet, the mean.

    Arms may differ by ten times and more, and those of one kind come one after the other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._waiting: dict[str, str] = {}
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, list[float]] = {}
        self._unknown = self._abreast = 0

    def planned(self, total: int, trials: Sequence[Trial]) -> None:
        """So many are to be trained, and these are they, as far as it is known."""
        self._waiting = {trial.key: trial.arm.name for trial in trials}
        self._unknown = total - len(self._waiting)

    def began(self, trial: Trial) -> None:
        """It is trained from now on."""
        if self._waiting.pop(trial.key, None) is None and trial.key not in self._running:
            self._unknown = max(0, self._unknown - 1)
        self._running[trial.key] = _Running(trial.arm.name, self.clock())
        self._abreast = max(self._abreast, len(self._running))

    def stepped(self, trial: Trial, step: int) -> None:
        """It came to a step."""
        running = self._running[trial.key]
        running.share = step / trial.arm.train.steps
        if running.first is None:
            running.first, running.began = running.share, self.clock()

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """It is not trained any more."""
        self._running.pop(trial.key, None)
        if outcome.state is State.DONE:
            seconds = outcome.seconds_train + outcome.seconds_evaluate
            self._ended.setdefault(trial.arm.name, []).append(seconds)

    def text(self) -> str:
        """For example ``about 4 min left``; empty as long as nothing can be said."""
        means = self._seconds()
        if not means:
            return ""
        usual = sum(means.values()) / len(means)
        left = sum((1 - r.share) * means.get(r.arm, usual) for r in self._running.values())
        left += sum(means.get(arm, usual) for arm in self._waiting.values()) + self._unknown * usual
        abreast = min(self._abreast, len(self._running) + len(self._waiting) + self._unknown)
        return f"about {duration(left / max(1, abreast))} left"

    def _seconds(self) -> dict[str, float]:
        """What a trial takes, by arm: by those that ended, else by those that run."""
        found: dict[str, list[float]] = {}
        for running in self._running.values():
            since = running.share - (running.first or 0)
            if since > 0.02:
                found.setdefault(running.arm, []).append((self.clock() - running.began) / since)
        return {arm: sum(each) / len(each) for arm, each in (found | self._ended).items()}


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

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        self.total, self.settled = total, done
        self.remaining.planned(total - done, trials)
        self.note(f"{total} trials, {done} done before")

    def began(self, trial: Trial) -> None:
        self.remaining.began(trial)

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        self.remaining.stepped(trial, step)
        if time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES:
            scalars = ", ".join(f"{name} {value:.3g}" for name, value in point.items())
            self.note(f"  {trial.label}: step {step} of {trial.arm.train.steps} ({scalars})")

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.remaining.ended(trial, outcome)
        if outcome.state is not State.INTERRUPTED:
            self.settled += 1
        left = self.remaining.text() if self.settled < self.total else ""
        self.note(f"[{self.settled}/{self.total}] {trial.label}: {verdict(outcome)}" + (f" ({left})" if left else ""))

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

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        self.remaining.planned(total - done, trials)
        self._whole = self.progress.add_task("trials", total=total, completed=done, text="")

    def began(self, trial: Trial) -> None:
        self.remaining.began(trial)
        self._drop(trial)
        self._tasks[trial.key] = self.progress.add_task(trial.label, total=trial.arm.train.steps, text="starting")

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        self.remaining.stepped(trial, step)
        evaluating = step == trial.arm.train.steps
        text = "evaluating" if evaluating else "  ".join(f"{name} {value:.3g}" for name, value in point.items())
        self.progress.update(self._tasks[trial.key], completed=step, text=text)
        self.progress.update(self._whole, text=self.remaining.text())

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.remaining.ended(trial, outcome)
        self._drop(trial)
        if outcome.state is not State.INTERRUPTED:
            self.progress.advance(self._whole)
        self.note(f"{trial.label}: {verdict(outcome)}")

    def note(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False)

    def _drop(self, trial: Trial) -> None:
        if (task := self._tasks.pop(trial.key, None)) is not None:
            self.progress.remove_task(task)


def verdict(outcome: Outcome) -> str:
    """An outcome in a few words."""
    if outcome.state is State.DONE:
        values = ", ".join(f"{name} {value:.4g}" for name, value in outcome.values.items())
        return f"done in {duration(outcome.seconds_train + outcome.seconds_evaluate)}: {values}"
    return f"{outcome.state}: {outcome.reason}" if outcome.reason else outcome.state


def display(console: Console) -> Bars | Lines:
    """Bars where somebody watches, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)

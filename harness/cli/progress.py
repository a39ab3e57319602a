"""The progress of a run: live bars on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from harness.base import terminal
from harness.base.messages import visible
from harness.base.states import State

if TYPE_CHECKING:
    from harness.suite.plan import Trial
    from harness.trial.task import Outcome

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_PICTURES = 0.5
"""How often the output of a notebook's cell is replaced."""
LAST_LINES = 12
"""The messages and outcomes that it shows."""


@dataclass
class _Running:
    """A trial that is being trained.

    Attributes:
        arm: its arm.
        began: the time of its first event.
        first: the share of its steps that was done then (over 0 if it resumed from a checkpoint); None before that.
        share: the share of its steps that is done now.
    """

    arm: str
    began: float
    first: float | None = None
    share: float = 0.0


class Remaining:
    """Estimates the time that is left.

    A trial takes as long as the mean of its arm: of the trials that ended, else of those that run. An arm without
    either takes the mean of the other arms. One mean for all would mislead: arms can differ tenfold or more, and
    the trials of an arm run one after the other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._waiting: dict[str, str] = {}
        self._running: dict[str, _Running] = {}
        self._ended: dict[str, list[float]] = {}
        self._unnamed = self._parallel = 0

    def planned(self, total: int, trials: Sequence[Trial]) -> None:
        """``total`` trials are to do; ``trials`` are those that are known already (a search chooses the rest)."""
        self._waiting = {trial.key: trial.arm.name for trial in trials}
        self._unnamed = total - len(self._waiting)

    def began(self, trial: Trial) -> None:
        """The trial started."""
        if self._waiting.pop(trial.key, None) is None and trial.key not in self._running:
            self._unnamed = max(0, self._unnamed - 1)
        self._running[trial.key] = _Running(trial.arm.name, self.clock())
        self._parallel = max(self._parallel, len(self._running))

    def stepped(self, trial: Trial, step: int) -> None:
        """The trial reached a step."""
        running = self._running[trial.key]
        running.share = step / trial.arm.train.steps
        if running.first is None:
            running.first, running.began = running.share, self.clock()

    def settled(self, trials: int) -> None:
        """So many trials that no name was known of need not be run."""
        self._unnamed = max(0, self._unnamed - trials)

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """The trial ended."""
        self._running.pop(trial.key, None)
        if outcome.state is State.DONE:
            seconds = outcome.seconds_train + outcome.seconds_evaluate
            self._ended.setdefault(trial.arm.name, []).append(seconds)

    def text(self) -> str:
        """For example ``about 4 min left``; empty while there is no estimate."""
        means = self._seconds()
        if not means:
            return ""
        usual = sum(means.values()) / len(means)
        left = sum((1 - r.share) * means.get(r.arm, usual) for r in self._running.values())
        left += sum(means.get(arm, usual) for arm in self._waiting.values()) + self._unnamed * usual
        parallel = min(self._parallel, len(self._running) + len(self._waiting) + self._unnamed)
        return f"about {duration(left / max(1, parallel))} left"

    def _seconds(self) -> dict[str, float]:
        """Seconds per trial by arm: of the trials that ended, else of those that run."""
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
    """Plain lines, for logs: one per outcome, and one after ``SECONDS_BETWEEN_LINES`` without any."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.remaining = Remaining()
        self.total = self.done = 0
        self._last_line = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        self.total, self.done = total, done
        self.remaining.planned(total - done, trials)
        self.note(f"{total} trials, {done} done before")

    def began(self, trial: Trial) -> None:
        self.remaining.began(trial)

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        self.remaining.stepped(trial, step)
        if time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            scalars = ", ".join(f"{name} {value:.3g}" for name, value in point.items())
            self.note(f"  {trial.label}: step {step} of {trial.arm.train.steps} ({scalars})")

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.remaining.ended(trial, outcome)
        if outcome.state is not State.INTERRUPTED:
            self.done += 1
        left = self.remaining.text() if self.done < self.total else ""
        self.note(f"[{self.done}/{self.total}] {trial.label}: {verdict(outcome)}" + (f" ({left})" if left else ""))

    def settled(self, trials: int) -> None:
        self.remaining.settled(trials)
        self.done += trials

    def note(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


class Bars:
    """Live bars: one for the suite, one for each trial that runs."""

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

    def settled(self, trials: int) -> None:
        self.remaining.settled(trials)
        self.progress.advance(self._whole, trials)

    def note(self, text: str) -> None:
        if terminal.unread() and self.progress.live.is_started:
            self.progress.stop()  # bars are of no use to a log
        self.progress.console.print(visible(text), markup=False, highlight=False)

    def _drop(self, trial: Trial) -> None:
        if (task := self._tasks.pop(trial.key, None)) is not None:
            self.progress.remove_task(task)


class Cell:
    """The output of a notebook's cell: bars for the suite and for each trial that runs, and the last messages."""

    def __init__(self) -> None:
        self.remaining = Remaining()
        self.total = self.done = 0
        self._running: dict[str, tuple[Trial, int, str]] = {}
        self._lines: list[str] = []
        self._shown = 0.0

    def __enter__(self) -> Cell:
        from IPython.display import display

        self._handle = display(self._picture(), raw=True, display_id=True)  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *_: Any) -> None:
        self._running.clear()
        self._show()

    def planned(self, total: int, done: int, trials: Sequence[Trial]) -> None:
        self.total, self.done = total, done
        self.remaining.planned(total - done, trials)
        self._show()

    def began(self, trial: Trial) -> None:
        self.remaining.began(trial)
        self._running[trial.key] = trial, 0, "starting"
        self._show()

    def stepped(self, trial: Trial, step: int, point: dict[str, float]) -> None:
        self.remaining.stepped(trial, step)
        evaluating = step == trial.arm.train.steps
        text = "evaluating" if evaluating else "  ".join(f"{name} {value:.3g}" for name, value in point.items())
        self._running[trial.key] = trial, step, text
        if time.monotonic() - self._shown > SECONDS_BETWEEN_PICTURES:
            self._show()

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        self.remaining.ended(trial, outcome)
        self._running.pop(trial.key, None)
        self.done += outcome.state is not State.INTERRUPTED
        self.note(f"{trial.label}: {verdict(outcome)}")

    def settled(self, trials: int) -> None:
        self.remaining.settled(trials)
        self.done += trials
        self._show()

    def note(self, text: str) -> None:
        self._lines = [*self._lines, visible(text)][-LAST_LINES:]
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._handle.update(self._picture(), raw=True)

    def _picture(self) -> dict[str, str]:
        """What the cell shows, as HTML and as text, by media type."""
        left = self.remaining.text() if self.done < self.total else ""
        whole = f"{self.done} of {self.total} trials" + (f", {left}" if left else "")
        rows = [(whole, self.done, self.total, "")]
        rows += [(trial.label, step, trial.arm.train.steps, text) for trial, step, text in self._running.values()]
        table = "".join(
            f'<tr><td style="text-align: left">{escape(visible(name))}</td>'
            f'<td><progress value="{value}" max="{max(1, most)}"></progress></td>'
            f'<td style="text-align: left">{escape(text)}</td></tr>'
            for name, value, most, text in rows
        )
        lines = "<br>".join(map(escape, self._lines))
        return {
            "text/html": f"<table>{table}</table><small>{lines}</small>",
            "text/plain": "\n".join([whole, *self._lines]),
        }


def verdict(outcome: Outcome) -> str:
    """An outcome in a few words."""
    if outcome.state is State.DONE:
        values = ", ".join(f"{name} {value:.4g}" for name, value in outcome.values.items())
        return f"done in {duration(outcome.seconds_train + outcome.seconds_evaluate)}: {values}"
    return f"{outcome.state}: {outcome.reason}" if outcome.reason else outcome.state


def display(console: Console) -> Bars | Cell | Lines:
    """Bars on a terminal and in a notebook, lines elsewhere."""
    if console.is_jupyter:
        return Cell()
    return Bars(console) if console.is_terminal else Lines(console)

"""What a trial is given, what it tells while it runs, and what it comes to. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.base.states import State

if TYPE_CHECKING:
    from harness.suite import Run
    from harness.suite.plan import Trial


@dataclass(frozen=True)
class Intermediate:
    """Evaluations during training, for a pruner."""

    every: int
    samples: int
    metric: str


@dataclass(frozen=True)
class Task:
    """A trial to run, and all that running it needs to know but the device: that is the worker's."""

    trial: Trial
    run: Run
    folder: Path
    """Where the trial keeps its checkpoint and its files until they are recorded."""
    cache: Path
    """What all trials share: features, floors, digests. Every file in it is whole or not there."""
    intermediate: Intermediate | None = None

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.trial.key


@dataclass
class Outcome:
    """How a trial ended, or that it was interrupted."""

    state: State
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)
    seconds_train: float = 0.0
    seconds_evaluate: float = 0.0

    def __post_init__(self) -> None:
        """A journal holds the state as text."""
        self.state = State(self.state)


class RecordingError(Exception):
    """What a trial does cannot be written down: the disk is full. Not the trial's fault."""


class Recorder(Protocol):
    """Where a running trial tells what it does. Nothing here changes its numbers.

    Its methods raise ``RecordingError`` where they cannot write.
    """

    def points(self, points: list[tuple[str, int, float]]) -> None:
        """Points of curves: (name, step, value)."""

    def file(self, path: Path, folder: str = "") -> None:
        """A file to keep with the run, under a folder of its artifacts."""

    def progress(self, step: int, point: dict[str, float]) -> None:
        """The trial has come to this step; without scalars, as its training begins."""

    def should_stop(self) -> bool:
        """Whether to save and stop."""

    def should_prune(self, step: int, value: float) -> bool:
        """Whether an intermediate value is the trial's last."""

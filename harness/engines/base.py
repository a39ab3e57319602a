"""What an engine is: it runs trials in slots and tells what becomes of them. It knows nothing of Optuna."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.task import Outcome, Task


@dataclass(frozen=True)
class Job:
    """A task, and where its run is recorded."""

    task: Task
    results: Path
    suite: str
    experiment: str
    parent: str
    run_id: str | None
    """The MLflow run to go on with, or None for a new one."""

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.task.trial.key


@dataclass(frozen=True)
class Started:
    """The trial's MLflow run exists."""

    key: str
    run_id: str


@dataclass(frozen=True)
class Stepped:
    """The trial has come to a step."""

    key: str
    step: int
    point: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """An intermediate evaluation; the trial waits until ``Engine.answer`` says whether it is pruned."""

    key: str
    step: int
    value: float


@dataclass(frozen=True)
class Ended:
    """The trial has reached an outcome, and its run is recorded."""

    key: str
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """The worker is gone, and with it the trial: killed, crashed, or unable to record."""

    key: str
    reason: str
    run_id: str | None


Event = Started | Stepped | Measured | Ended | Died


class Engine(abc.ABC):
    """Runs trials somewhere. One driver owns it and is the only one to call it."""

    @property
    @abc.abstractmethod
    def free(self) -> int:
        """How many more jobs it can take now."""

    @property
    @abc.abstractmethod
    def device(self) -> str:
        """The device of the slot that the next job goes to."""

    @abc.abstractmethod
    def submit(self, job: Job) -> None:
        """Start a job in a free slot."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """What has happened, waiting for at most that long for something to happen."""

    @abc.abstractmethod
    def answer(self, key: str, prune: bool) -> None:
        """Answer a ``Measured`` event."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask every trial to save and stop; each one's ``Ended`` (state ``stopped``) follows."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the workers; a trial that still runs is killed."""

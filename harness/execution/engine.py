"""What an engine is: it runs trials in slots and tells what becomes of them. It knows nothing of Optuna."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.trial.task import Outcome, Task


@dataclass(frozen=True)
class Stepped:
    """The trial has come to a step; with no scalars, where its training begins."""

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
class Noted:
    """Something worth a line has happened in a trial."""

    key: str
    text: str


@dataclass(frozen=True)
class Ended:
    """The trial has reached an outcome, which is recorded but for ``out-of-memory``: that may be tried again."""

    key: str
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """The worker is gone, and with it the trial: killed, crashed, or unable to record.

    ``refusal`` is what to tell the user where a disk is at fault, so that to try again now is of no use; ``killed``
    whether the system may have killed it for want of memory.
    """

    key: str
    reason: str
    refusal: str | None = None
    killed: bool = False


Event = Stepped | Measured | Noted | Ended | Died


class Engine(abc.ABC):
    """Runs trials somewhere. One driver owns it and is the only one to call it."""

    @property
    @abc.abstractmethod
    def free(self) -> int:
        """How many more trials it can take now."""

    @property
    @abc.abstractmethod
    def device(self) -> str:
        """The device of the slot that the next trial goes to."""

    @abc.abstractmethod
    def submit(self, task: Task) -> None:
        """Start a trial in a free slot. Its records are begun."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """What has happened, waiting for at most that long for something to happen."""

    @abc.abstractmethod
    def answer(self, key: str, prune: bool) -> None:
        """Answer a ``Measured`` event."""

    @abc.abstractmethod
    def kill(self, key: str) -> None:
        """End a trial's worker at once; no event tells of it."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask every trial to save and stop; each one's ``Ended`` (state ``interrupted``) follows."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the workers; a trial that still runs is killed."""

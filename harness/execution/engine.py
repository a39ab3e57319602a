"""What an engine is: it runs trials in slots and tells what becomes of them. It knows nothing of Optuna and MLflow.

One driver owns an engine, and calls its methods from one thread. An engine has workers: processes, here or elsewhere,
each of which runs one trial at a time with ``harness.execution.worker.perform``. What the driver relies on, and
``harness.testing.EngineContract`` tries:

Devices. Which trial runs on which device is the engine's business. The driver does not know it before the worker says
so with ``Started``; the worker writes it into the trial's journal, too.

Files. A task names two folders, which must be at the same path for driver and workers. In ``Task.folder`` the driver
begins the journal before it submits the trial. From then on the trial's worker alone writes there, until its last
event (``Ended``, ``Died``) is told or ``kill`` has returned; the driver reads the journal meanwhile, and writes what
comes after. ``Task.cache`` is for all workers at once: each file in it is renamed to its place when it is whole, and
its name says what it holds. An engine keeps files of its own (logs) elsewhere. No worker opens the stores of Optuna
and MLflow: what a trial gives is in its journal, and its events carry only what the driver must act on.

Events. Of one trial they come in this order: ``Started``; ``Stepped`` with rising steps, the first with no scalars,
and ``Measured``, after each of which the trial waits for ``answer``; at the end exactly one ``Ended`` or ``Died``.
``Noted`` may come in between. Events of different trials come in any order. ``wait`` gives every event once. With its
last event a trial's slot is free. A trial that has ended may be submitted again, and is then new.

Stop. ``stop`` asks every trial that was submitted to save itself. Each ends with ``Ended``: with the state
``interrupted`` and a checkpoint in its folder, or, where it came to its end first, with that. The call does not wait,
and to call it twice is to call it once.

Kill. When ``kill`` returns, the trial's worker writes no more, its slot is free, and no event of it comes, not even one
that was on its way. A trial that the engine does not have is passed over.

Death. A worker that goes away by itself is one event, ``Died``, after which nothing more is written. So is one that
cannot be started. When the driver goes away, its workers must end at once, by themselves: the next driver takes up
the journals. A worker in which a trial failed, or found no memory, runs no other: an error of the device would fail it.

Close. ``close`` leaves no process behind; trials that still run are killed. To call it twice is to call it once.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from harness.trial.task import Outcome, Task


@dataclass(frozen=True)
class Started:
    """A worker has begun with the trial, on this device (as torch names it there: ``cpu``, ``cuda:1``)."""

    key: str
    device: str


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


Event = Started | Stepped | Measured | Noted | Ended | Died


class Engine(abc.ABC):
    """Runs trials somewhere: see the head of this file for what its methods promise.

    Attributes:
        queues: whether a trial may wait for a worker after it was submitted. If so, its silence counts from
            ``Started`` on, and ``free`` says how many the engine is ready to queue.
    """

    queues: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def free(self) -> int:
        """How many more trials it can take now."""

    @abc.abstractmethod
    def submit(self, task: Task) -> None:
        """Take a trial, whose journal is begun. There is a free slot."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """What has happened since the last call, waiting for at most that long for something to happen."""

    @abc.abstractmethod
    def answer(self, key: str, prune: bool) -> None:
        """Answer a ``Measured`` event: whether the trial is given up."""

    @abc.abstractmethod
    def kill(self, key: str) -> None:
        """End a trial's worker at once; no event tells of it."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask every trial to save itself and stop."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the workers."""

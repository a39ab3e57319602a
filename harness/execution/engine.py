"""The interface of an engine. An engine runs trials in slots and reports events. It knows nothing of Optuna and MLflow.

One driver owns an engine, and calls its methods from one thread. An engine has workers: processes, here or elsewhere.
A worker runs one trial at a time with ``harness.execution.worker.perform``, or several that take turns, its lanes, with
``harness.execution.worker.Worker``. The driver relies on the following, and
``harness.testing.EngineContract`` tests it:

Devices. The engine chooses the device of a trial. The driver learns it from the event ``Started``; the worker also
writes it into the trial's journal.

Files. A task names two folders. Where workers do not see them, the engine gives a worker other folders, and brings all
that it records to these. In ``Task.folder`` the driver begins the journal before it submits the trial. From then on
only the trial's worker writes there, until the driver gets its last event (``Ended``, ``Died``) or ``kill`` has
returned; after that only the driver writes. The driver may read the journal at any time. Workers that see it share
``Task.cache``: each file in it is written under another name and then renamed, and its name says what it holds. An
engine keeps its own files (logs) elsewhere. No worker opens the stores of Optuna and MLflow: the results of a trial are
in its journal, and events carry only what the driver must act on.

Events. The events of one trial come in this order: ``Started``; then ``Stepped`` with rising steps, the first without
scalars, and ``Measured``, after which the trial waits for ``answer``; at the end exactly one ``Ended`` or ``Died``.
``Noted`` may come in between. Events of different trials come in any order. ``wait`` returns every event once. With its
last event a trial's slot is free. A trial that has ended may be submitted again, as a new one. Where a cluster moves a
job elsewhere (preemption, a time limit, a node that is gone), the trial goes on from its checkpoint: ``Waiting`` may
come, and ``Started`` comes again, with steps that may be lower; that is no death.

Stop. ``stop`` asks every submitted trial to save itself. Each ends with ``Ended``: with the state ``interrupted`` and
a checkpoint in its folder, or with its own outcome if it ended first. The call does not wait. A second call has no
effect.

Kill. When ``kill`` returns, nothing is written for the trial, its slot is free, and no event of it comes, not even one
that was already sent. Trials that share its worker go on, or die. A trial that the engine does not have is ignored.

Death. A worker that dies gives one event, ``Died``, after which it writes nothing. So does a worker that cannot be
started. When the driver dies, its workers must end at once, by themselves: the next driver continues from the journals.
Or they go on, and the engine of the next driver finds them (``running``): submitting such a trial takes it over, and
its events come from then on. A worker in which a trial failed or ran out of memory gets no other trial: after an error
of the device, the next trial would fail too. Those that it has go on.

Close. ``close`` leaves no process behind; trials that still run are killed. A second call has no effect.
"""

from __future__ import annotations

import abc
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.zoo.registry import Plugin, Settings

if TYPE_CHECKING:
    from harness.suite import Resources, Run
    from harness.trial.task import Outcome, Task


@dataclass(frozen=True)
class Started:
    """A worker has started the trial, on this device (as torch names it there: ``cpu``, ``cuda:1``)."""

    key: str
    device: str


@dataclass(frozen=True)
class Stepped:
    """The trial has reached a step. When training begins, there are no scalars."""

    key: str
    step: int
    point: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """An intermediate evaluation. The trial waits until ``Engine.answer`` says whether to prune it."""

    key: str
    step: int
    value: float


@dataclass(frozen=True)
class Waiting:
    """The trial waits for a worker again: its machine was taken away, or is gone."""

    key: str


@dataclass(frozen=True)
class Noted:
    """A message for the user from a trial."""

    key: str
    text: str


@dataclass(frozen=True)
class Ended:
    """The trial has ended. The journal has its outcome, except ``out-of-memory``, which the driver may try again."""

    key: str
    outcome: Outcome


@dataclass(frozen=True)
class Died:
    """The worker of the trial is gone: it was killed, it crashed, or it could not write the journal.

    Attributes:
        refusal: the message for the user if a disk is at fault. Another attempt is then of no use.
        killed: whether a trial beside this one may be the reason: the system killed the worker because memory ran out,
            or several trials shared it. Then it is tried again alone.
    """

    key: str
    reason: str
    refusal: str | None = None
    killed: bool = False


Event = Started | Waiting | Stepped | Measured | Noted | Ended | Died


@dataclass(frozen=True)
class Site:
    """What an engine is made for.

    Attributes:
        results: the results folder.
        run: how the suite's trials are run.
        resources: what a trial of the suite needs.
        threads: the largest number of threads that a trial computes with.
        device: what ``--device`` says: ``auto``, ``cpu``, ``cuda`` or ``cuda:i``.
        workers: what ``--workers`` says: how many trials may run at a time, at most; None: as the engine chooses.
        logs: the folder for the engine's own files.
    """

    results: Path
    run: Run
    resources: Resources
    threads: int = 1
    device: str = "auto"
    workers: int | None = None

    @property
    def logs(self) -> Path:
        return self.results / "work"


class Engine(Plugin, abc.ABC):
    """Runs trials. The docstring of this module says what the methods guarantee.

    An engine is a plug-in: a file in ``harness/execution/engines``, or an entry point in the group
    ``harness.engines``. ``--engine`` chooses it by its name, with its settings.

    Args:
        settings: the engine's own settings.
        site: what it is made for.

    Raises:
        HarnessError: it cannot be used here, with what to do.

    Attributes:
        queues: whether a submitted trial may wait for a worker, as on a cluster. If so, the driver measures its
            silence from ``Started`` on (until ``Waiting``), and ``free`` is how many trials the engine accepts.
        outlives: whether trials go on without a driver. Then a closed terminal ends the driver only.
        isolates: whether a trial has resources of its own, so that no other trial can take memory from it.
        processes: how many processes it has on this machine, each with open files of the driver.
    """

    queues: ClassVar[bool] = False
    outlives: ClassVar[bool] = False
    isolates: bool = False
    processes: int = 0

    def __init__(self, settings: Settings, site: Site) -> None:
        self.settings = settings
        self.site = site

    def running(self) -> Set[str]:
        """The keys of trials that an earlier driver has submitted, and that still wait or run."""
        return frozenset()

    @property
    @abc.abstractmethod
    def free(self) -> int:
        """The number of trials that can be submitted now."""

    @abc.abstractmethod
    def submit(self, task: Task) -> None:
        """Run a trial. Its journal is begun, and there is a free slot."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> list[Event]:
        """The events since the last call. Waits up to this time for one."""

    @abc.abstractmethod
    def answer(self, key: str, prune: bool) -> None:
        """Answer a ``Measured`` event: whether the trial is pruned."""

    @abc.abstractmethod
    def kill(self, key: str) -> None:
        """End the worker of a trial at once, without an event."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask every trial to save its checkpoint and stop."""

    @abc.abstractmethod
    def close(self) -> None:
        """End the workers."""

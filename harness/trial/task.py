"""The task of a trial (its input), its recorder (what it reports), and its outcome. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.base.states import State
from harness.zoo import importing, registry

if TYPE_CHECKING:
    from harness.suite import Run
    from harness.suite.plan import Trial


@dataclass(frozen=True)
class Intermediate:
    """Evaluations during training, for a pruner."""

    every: int
    """Steps between two evaluations."""
    samples: int
    metric: str


@dataclass(frozen=True)
class Task:
    """A trial to run, and all that it needs except the device, which the worker chooses."""

    trial: Trial
    run: Run
    folder: Path
    """The trial's journal, checkpoint and files, until they are delivered."""
    cache: Path
    """Shared by all trials: features, floors, digests. Each file in it is written atomically."""
    intermediate: Intermediate | None = None

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.trial.key

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the plug-in files first, so that a worker imports them before it meets their classes."""
        return _unpacked, (_Files(), *(getattr(self, each.name) for each in fields(self)))


class _Files:
    """The plug-in files of the process that pickles it. Where it is unpickled, they are imported."""

    def __reduce__(self) -> tuple[Any, ...]:
        return registry.add_again, ([str(path) for path in importing.files()],)


def _unpacked(_: None, *content: Any) -> Task:
    """The task that was pickled."""
    return Task(*content)


TRACEBACK = "traceback.txt"
"""The artifact of a run with the traceback of its failure."""
MODEL, WEIGHTS = "generator", "generator.safetensors"
"""The folder of a run's artifacts that is an MLflow model, and its file with the weights that generate samples."""
SNAPSHOTS = "images"
"""The folder with the grids of samples over training: where MLflow's interface looks for images with a step."""

AT_ONCE, VISITED = "classes_at_once", "classes_visited"
"""The curves of the classes that the snapshots show (``harness.trial.visits``)."""


def snapshot(step: int) -> str:
    """The name of the grid of a step, as MLflow's ``log_image(key="samples", step=step)`` gives it.

    But without the time, so that a grid that is drawn again replaces the first.
    """
    return f"samples+step+{step:06d}+timestamp+0+grid.png"


def step_of(name: str) -> int | None:
    """The step of a grid, from the name of its file; older ones are ``step-000100.png``. None if it is none."""
    found = re.fullmatch(r"(?:samples\+step\+(\d+)\+timestamp\+0\+grid|step-(\d+))\.png", name)
    return int(found[1] or found[2]) if found else None


@dataclass
class Outcome:
    """How a trial ended, or that it was interrupted."""

    state: State
    reason: str = ""
    values: dict[str, float] = field(default_factory=dict)
    seconds_train: float = 0.0
    seconds_evaluate: float = 0.0

    def __post_init__(self) -> None:
        """Convert a state that was read from a journal as text."""
        self.state = State(self.state)


class RecordingError(Exception):
    """Curves or files cannot be written, for example to a full disk. It is not the trial's fault."""


class Recorder(Protocol):
    """Records a running trial. It may not change the trial's numbers.

    ``points`` and ``file`` raise ``RecordingError`` if they cannot write.
    """

    def points(self, points: list[tuple[str, int, float]]) -> None:
        """Record points of curves: (name, step, value)."""

    def file(self, path: Path, folder: str = "") -> None:
        """Record a file as an artifact of the run, in this folder of its artifacts."""

    def progress(self, step: int, point: dict[str, float]) -> None:
        """Report the step and its scalars; no scalars when training begins."""

    def should_stop(self) -> bool:
        """Whether the trial must save its checkpoint and stop."""

    def should_prune(self, step: int, value: float) -> bool:
        """Report an intermediate value; whether the pruner stops the trial."""

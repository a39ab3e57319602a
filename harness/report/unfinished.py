"""The trials of a suite that have begun and not ended, with the last samples that they drew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.report.artifacts import Picture, grid
from harness.store.folders import Folders
from harness.trial.task import step_of

if TYPE_CHECKING:
    from harness.analysis.results import Results


@dataclass(frozen=True)
class Unfinished:
    """A trial that runs now, or that was interrupted.

    Attributes:
        arm: its arm.
        seed: its seed.
        steps: the steps that it is to train.
        last: its last grid of samples; the caption says when it was drawn. None if it has drawn none yet.
    """

    arm: str
    seed: int
    steps: int
    last: Picture | None


def trials(results: Results, folder: Path) -> list[Unfinished]:
    """The unfinished trials of a suite, in the order of its plan.

    Args:
        results: the results so far.
        folder: the results folder, where the files of running trials lie.
    """
    ended, found = {record.key for record in results.records}, []
    for trial in results.plan.trials:
        work = Folders(folder).work / trial.key
        if trial.key not in ended and work.is_dir():
            drawn = {step: path for path in work.glob("*.png") if (step := step_of(path.name)) is not None}
            last = grid(drawn[max(drawn)]) if drawn else None
            found.append(Unfinished(trial.arm.name, trial.seed, trial.arm.train.steps, last))
    return found

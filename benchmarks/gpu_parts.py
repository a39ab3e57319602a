"""The parts of ``benchmarks/gpu.py``: what each does, in which order, and how long it may take.

The parent process imports this, so it needs the standard library alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

MINUTES = 9.0
"""The length of a run that the seconds below are for; with another they are scaled."""
RESERVE = 10.0
"""Seconds of these minutes that no part has: to end the processes and to write the last page."""

State = Literal["passed", "failed", "skipped", "cut off"]
"""What became of an item that was begun. "cut off": the run was over before the item was."""


@dataclass(frozen=True)
class Part:
    """One group of checks or measurements.

    Attributes:
        name: its name on the command line.
        kind: a check passes or fails; a measurement gives numbers.
        title: its heading on the page.
        seconds: what it may take of a run of ``MINUTES``; 0: what the others leave over.
        limit: seconds after which one of its items is ended and counts as failed, however long the run is.
    """

    name: str
    kind: Literal["check", "measurement"]
    title: str
    seconds: float
    limit: float


PARTS = (
    Part("machine", "check", "What is there", 30, 60),
    Part("tests", "check", "The tests marked gpu, but for those that the checks below make too", 35, 90),
    Part("trains", "check", "Models and tricks train a few steps, and every number is finite", 50, 30),
    Part("metrics", "check", "CPU and device give the same values for the same samples", 25, 30),
    Part("checkpoint", "check", "A training that was stopped goes on where it was", 20, 30),
    Part("deterministic", "check", "`deterministic: true` gives the same numbers twice", 25, 30),
    Part("graphs", "check", "A step as a CUDA graph gives the same numbers as launch by launch", 50, 30),
    Part("memory", "check", "Memory: a trial that finds too little, and the most that each model takes", 20, 60),
    Part("figures", "measurement", "The machine's own figures", 15, 40),
    Part("steps", "measurement", "Training steps", 70, 30),
    Part("fused", "measurement", "Several trainings in one process, each on a stream of its own", 30, 40),
    Part("kernels", "measurement", "Kernels of a step, and the share of time in which the device is idle", 30, 30),
    Part("evaluation", "measurement", "Evaluation", 35, 60),
    Part("quickstart", "measurement", "The quickstart", 60, 90),
    Part("beside", "measurement", "Trials side by side, each in a process of its own", 35, 60),
    Part("cross", "check", "The tests marked gpu of every model with every trick", 0, 30),
)


@dataclass
class Result:
    """What became of an item.

    Attributes:
        state: see ``State``.
        message: of a failure or a skip the reason, else a remark.
        trace: the whole traceback, or the end of what the process printed.
        seconds: how long it took.
        rows: measured numbers: quantity, value, unit.
    """

    state: State
    message: str = ""
    trace: str = ""
    seconds: float = 0.0
    rows: list[tuple[str, float, str]] = field(default_factory=list)


@dataclass
class Course:
    """How far a part has come.

    Attributes:
        part: which.
        allowed: seconds that it has in this run.
        took: seconds that it took.
        items: all its items, as its process listed them; empty until it did.
        results: item -> what became of it.
    """

    part: Part
    allowed: float
    took: float = 0.0
    items: list[str] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def not_reached(self) -> list[str]:
        """The items that were not begun."""
        return [name for name in self.items if name not in self.results]

    @property
    def begun(self) -> bool:
        """Whether anything of it was tried."""
        return bool(self.results)

    def count(self, state: State) -> int:
        """How many items came to this."""
        return sum(result.state == state for result in self.results.values())


def allowances(names: list[str], minutes: float) -> dict[str, float]:
    """Part -> seconds that it has in a run of these minutes, of these parts alone."""
    parts = [part for part in PARTS if part.name in names]
    whole = 60 * minutes * (1 - RESERVE / (60 * MINUTES))
    total = sum(part.seconds for part in parts) or 1.0
    return {part.name: whole * part.seconds / total for part in parts}


def plain(courses: list[Course], facts: dict[str, Any]) -> dict[str, Any]:
    """All of it as JSON has it."""
    parts = [
        {
            "name": course.part.name,
            "kind": course.part.kind,
            "title": course.part.title,
            "seconds_allowed": round(course.allowed, 1),
            "seconds_taken": round(course.took, 1),
            "items": {name: vars(result) for name, result in course.results.items()},
            "not_reached": course.not_reached,
            "begun": course.begun,
        }
        for course in courses
    ]
    return facts | {"parts": parts}

"""What the checks and the measurements of ``benchmarks/gpu.py`` share: where they run, arms, trainers, trials."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

# torch asks for it where train.deterministic is set; cuBLAS reads it once, before its first product.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch

from harness import judge
from harness.base.seeds import Seeds
from harness.suite.declaration import Evaluate, Run, Train
from harness.suite.fingerprint import Code
from harness.suite.plan import Arm, Trial
from harness.trial.device import on_device
from harness.trial.loop import Hooks, Progress, Trainer
from harness.trial.run import build, run
from harness.trial.task import Outcome, Task
from harness.zoo import registry
from harness.zoo.compatibility import refusals, with_own
from harness.zoo.data.base import DataSet, Labelled


class Row(NamedTuple):
    """A measured number."""

    quantity: str
    value: float
    unit: str = ""


@dataclass
class Found:
    """What an item has to say beside having passed: numbers, and a remark."""

    rows: list[Row] = field(default_factory=list)
    said: str = ""


class Skip(Exception):
    """The item cannot be tried here, and why."""


Item = Callable[[], Found | None]
"""A check or measurement. It raises ``Skip``, or anything else if it fails."""
Items = dict[str, Item]


@dataclass(frozen=True)
class Place:
    """Where the items run.

    Attributes:
        device: the device.
        folder: a folder for their files.
        start: what the start of the process took: what -> seconds.
    """

    device: torch.device
    folder: Path
    start: dict[str, float] = field(default_factory=dict)

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU. On a CPU, where only the script is tried, everything is smaller."""
        return self.device.type == "cuda"

    @property
    def steps(self) -> int:
        """Steps of a training that is to show that it works."""
        return 6 if self.cuda else 2

    @property
    def batch(self) -> int:
        """Its mini-batch."""
        return 16 if self.cuda else 4

    @cached_property
    def digits(self) -> DataSet:
        """The 1 797 digits, the only images that every machine has."""
        return data("digits")

    @cached_property
    def training(self) -> Labelled:
        """Their training split, on the device."""
        return on_device(self.digits.load("train"), self.device)

    def synchronise(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def new_folder(self) -> Path:
        """An empty folder."""
        number = len(list(self.folder.iterdir())) if self.folder.is_dir() else 0
        path = self.folder / f"{number:04d}"
        path.mkdir(parents=True)
        return path


def data(name: str) -> DataSet:
    """A data set with its default settings."""
    choice = registry.choose("data", name)
    found: DataSet = choice.make()
    return found


def refused(model: Any, tricks: Iterable[Any], place: Place) -> list[str]:
    """Why the model cannot be trained on the digits with these tricks: a sentence each, none if it can."""
    choice = registry.choose("models", model)
    chosen = with_own(choice, tuple(registry.choose("tricks", trick) for trick in tricks))
    reason = choice.plugin.refusal(choice.settings, place.digits.shape)
    return [reason] if reason else refusals(choice, chosen, place.digits.shape)


def arm(
    place: Place,
    model: Any,
    tricks: Iterable[Any] = (),
    metrics: Iterable[Any] = ("fid", "mode_coverage"),
    samples: int = 100,
    **train: Any,
) -> Arm:
    """An arm on the digits, as a suite would make it."""
    choice = registry.choose("models", model)
    chosen = with_own(choice, tuple(registry.choose("tricks", trick) for trick in tricks))
    measured = Evaluate(samples=samples, features=judge.of(place.digits), metrics=tuple(metrics))
    settings = {"steps": place.steps, "batch_size": place.batch, **train}
    return Arm(choice.name, choice, chosen, registry.choose("data", "digits"), Train(**settings), measured)


def trainer(place: Place, made: Arm, folder: Path, graphs: bool = True, seed: int = 0) -> Trainer:
    """A training of the arm, before its first step, that can stop and be saved after every one."""
    model = build(made, Seeds.of(seed), place.device, place.digits.shape, place.training)
    often = Run(curve_points=made.train.steps, snapshots=0, graphs=graphs)
    return Trainer(model, place.training, made.train, often, seed, folder / "checkpoint.pt")


def quiet(stop: Callable[[], bool] = lambda: False) -> Hooks:
    """Hooks that do nothing, and stop the training where they are told to."""

    def point(progress: Progress, values: dict[str, float]) -> None:
        pass

    return Hooks(point, lambda step: None, stop)


def first_step(place: Place) -> None:
    """One step of the smallest model: it loads all that any other needs."""
    made = arm(place, "gan", steps=1)
    trainer(place, made, place.new_folder()).run_to_end(quiet())


class Silent:
    """A recorder that keeps the curves and nothing else."""

    def __init__(self) -> None:
        self.curves: list[tuple[str, int, float]] = []

    def points(self, points: list[tuple[str, int, float]]) -> None:
        self.curves += points

    def file(self, path: Path, folder: str = "") -> None:
        pass

    def progress(self, step: int, point: dict[str, float]) -> None:
        pass

    def should_stop(self) -> bool:
        return False

    def should_prune(self, step: int, value: float) -> bool:
        return False


def trial(place: Place, made: Arm, seed: int = 0) -> tuple[Outcome, Silent]:
    """A trial from its data to its values, without a store; how it ended, and its curves."""
    folder, recorder = place.new_folder(), Silent()
    planned = Trial(made, seed, "settings", Code("code", {}))
    task = Task(planned, Run(snapshots=0), folder, place.folder / "cache")
    return run(task, recorder, str(place.device)), recorder

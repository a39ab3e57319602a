"""The training loop: mini-batches, curves, snapshots, checkpoints, divergence, time limit.

A step never waits for the device: its scalars are summed up there and read once per point of the curves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.base import files
from harness.zoo.data.base import Labelled
from harness.zoo.data.order import Shuffled
from harness.zoo.data.pixels import as_floats

if TYPE_CHECKING:
    from torch import Tensor

    from harness.suite import Run, Train
    from harness.zoo.models.base import Model


class Diverged(Exception):
    """A scalar is no longer a finite number."""


class TimedOut(Exception):
    """The time limit of the trial has passed."""


class Stopped(Exception):
    """The driver asked the trial to stop; its checkpoint is written."""


class Batches:
    """Endless mini-batches of a data set that lies on the device, epoch after epoch, each in a new order.

    Args:
        data: images as stored and labels, on the device.
        size: images in a mini-batch.
        seed: of the orders; equal seeds give equal batches whatever else is random.
    """

    def __init__(self, data: Labelled, size: int, seed: int) -> None:
        self.data = data
        self.size = size
        self.order = Shuffled(len(data.images), torch.Generator().manual_seed(seed))

    def next(self) -> Labelled:
        """Images as floats in [-1, 1], labels. A batch may reach over the end of an epoch."""
        chosen = self.order.next(self.size).to(self.data.images.device, non_blocking=True)
        images = as_floats(self.data.images[chosen]).contiguous(memory_format=torch.channels_last)
        return Labelled(images, self.data.labels[chosen])


@dataclass
class Progress:
    """How far a training has come: what a checkpoint holds beside the states."""

    step: int = 0
    seconds: float = 0.0
    curves: list[tuple[str, int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Hooks:
    """What the loop tells whoever runs it. Nothing here may change the training's numbers."""

    point: Callable[[Progress, dict[str, float]], None]
    """At every point of the curves; may raise ``Stopped`` by way of ``should_stop``."""
    snapshot: Callable[[int], None]
    """At every snapshot: the step."""
    should_stop: Callable[[], bool]
    """Asked at every point of the curves."""
    evaluate: Callable[[int], None] | None = None
    """At every intermediate evaluation: the step. May raise to end the training."""
    evaluate_every: int = 0


class Trainer:
    """Trains one model from where its checkpoint left off.

    Args:
        model: what is trained.
        data: the training split, as stored, on the device.
        train: steps, batch size and the like.
        run: time limit, how often to save and to show.
        seed: of the data's order.
        checkpoint: the file that keeps the state of an unfinished training.
    """

    def __init__(self, model: Model, data: Labelled, train: Train, run: Run, seed: int, checkpoint: Path) -> None:
        self.model = model
        self.batches = Batches(data, train.batch_size * model.batches_per_step, seed)
        self.train_config = train
        self.run = run
        self.checkpoint = checkpoint
        self.progress = Progress()
        self.every = max(1, train.steps // run.curve_points)
        count = max(1, run.snapshots - 1)
        self.snapshots = {round(train.steps * i / count) for i in range(count + 1)} if run.snapshots else set()

    def resume(self) -> bool:
        """Take up the checkpoint; False where there is none that is whole and of this device and precision.

        What was begun elsewhere begins anew: gone on with, its numbers would be those of neither.
        """
        state = files.load_state(self.checkpoint, "the training begins anew", self.model.compute.device)
        if state is None or state["compute"] != self._compute():
            return False
        self.model.load_state_dict(state["model"])
        self.batches.order.load_state_dict(state["batches"])
        self.model.rng.set_state(state["rng"].cpu())
        torch.set_rng_state(state["torch_rng"].cpu())
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.model.compute.device)
        progress = state["progress"]
        self.progress = Progress(progress["step"], progress["seconds"], [tuple(p) for p in progress["curves"]])
        return True

    def save(self) -> None:
        """Write the checkpoint: all that is needed to end bit for bit as an uninterrupted training would."""
        device = self.model.compute.device
        state = {
            "compute": self._compute(),
            "model": self.model.state_dict(),
            "batches": self.batches.order.state_dict(),
            "rng": self.model.rng.get_state(),
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            "progress": vars(self.progress),
        }
        files.save_state(self.checkpoint, state)

    def _compute(self) -> list[str]:
        return [self.model.compute.device.type, str(self.model.compute.dtype)]

    def run_to_end(self, hooks: Hooks) -> None:
        """Train up to the last step.

        Raises:
            Diverged: a scalar is NaN or infinite.
            TimedOut: ``run.time_limit`` seconds of training have passed.
            Stopped: the hooks asked for it; the checkpoint is written.
        """
        self._started = time.monotonic() - self.progress.seconds
        self._saved = time.monotonic()
        sums: dict[str, Tensor] = {}
        count = 0
        if self.progress.step == 0 and 0 in self.snapshots:
            hooks.snapshot(0)
        while self.progress.step < self.train_config.steps:
            scalars = self.model.step(self.batches.next())
            sums = {name: sums[name] + value if name in sums else value for name, value in scalars.items()}
            count += 1
            self.progress.step += 1
            step, last = self.progress.step, self.progress.step == self.train_config.steps
            point_due = step % self.every == 0 or last
            if point_due:
                self._point(sums, count, hooks)
                sums, count = {}, 0
            if step in self.snapshots:
                hooks.snapshot(step)
            if hooks.evaluate is not None and step % hooks.evaluate_every == 0 and not last:
                hooks.evaluate(step)
            if point_due:
                # Only here, where the sums are empty: a checkpoint need not hold them.
                self._pause(hooks, last)

    def _pause(self, hooks: Hooks, last: bool) -> None:
        """Keep the time and its limit, save where it is due, stop where that is asked."""
        self.progress.seconds = time.monotonic() - self._started
        stop = hooks.should_stop() and not last
        if stop or last or time.monotonic() - self._saved > self.run.checkpoint_seconds:
            self.save()
            self._saved = time.monotonic()
        if stop:
            raise Stopped
        limit = self.run.time_limit
        if limit is not None and self.progress.seconds > limit and not last:
            raise TimedOut(f"the limit of {limit:g} s of training had passed by step {self.progress.step}")

    def _point(self, sums: dict[str, Tensor], count: int, hooks: Hooks) -> None:
        """Read the scalars' means from the device, in one transfer, and add a point to the curves."""
        names = sorted(sums)
        means = (torch.stack([sums[name].float() for name in names]) / count).tolist()
        point = dict(zip(names, means, strict=True))
        bad = [name for name, value in point.items() if not math.isfinite(value)]
        if bad:
            raise Diverged(f"{', '.join(bad)} not finite by step {self.progress.step}")
        self.progress.curves += [(name, self.progress.step, value) for name, value in point.items()]
        hooks.point(self.progress, point)

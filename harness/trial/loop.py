"""The training loop: mini-batches, curves, snapshots, checkpoints, divergence, time limit.

A training step does not wait for the device: scalars are summed on the device, and read once per point of the curves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.base import files
from harness.trial.graph import Graph, Recorded, obstacle
from harness.zoo.data.base import Labelled
from harness.zoo.data.order import Shuffled
from harness.zoo.data.pixels import as_floats

if TYPE_CHECKING:
    from harness.suite import Run, Train
    from harness.zoo.models.base import Model


class Diverged(Exception):
    """A scalar or a weight is NaN or infinite."""


class TimedOut(Exception):
    """The time limit of the trial has passed."""


class Stopped(Exception):
    """The driver asked the trial to stop; its checkpoint is written."""


class Batches:
    """Endless mini-batches of a data set on the device. Every epoch has a new order.

    ``advance`` chooses the next one and ``read`` gives it: in a CUDA graph only ``read`` can be.

    Args:
        data: images as stored and labels, on the device.
        size: images in a mini-batch.
        seed: the seed of the orders. Equal seeds give equal batches; no other random number affects them.
    """

    def __init__(self, data: Labelled, size: int, seed: int) -> None:
        self.data = data
        device = data.images.device
        self.order = Shuffled(len(data.images), torch.Generator().manual_seed(seed), device)
        self._places = torch.zeros(size, dtype=torch.long, device=device)

    def advance(self) -> None:
        """Go on to the next batch. A batch may span the end of an epoch."""
        self._places.copy_(self.order.next(len(self._places)))

    def read(self) -> Labelled:
        """Images as floats in [-1, 1], and labels."""
        images = as_floats(self.data.images.index_select(0, self._places))
        labels = self.data.labels.index_select(0, self._places)
        return Labelled(images.contiguous(memory_format=torch.channels_last), labels)


class Steps:
    """Takes the steps of a training and sums their scalars, all on the device.

    Args:
        model: the model.
        batches: its mini-batches.
        graphs: whether a step may be a graph (``harness.trial.graph``).
    """

    def __init__(self, model: Model, batches: Batches, graphs: bool) -> None:
        self._model = model
        self._batches = batches
        self._names: list[str] = []
        device = batches.data.images.device
        self._sums = torch.zeros(0, device=device)
        self._count = 0
        self._step: Callable[[], None] = self._take
        if graphs and obstacle(model, device) is None:
            self._step = Graph(self._take, device, [model.rng]) if device.type == "cuda" else Recorded(self._take)

    def take(self) -> None:
        """One step of the model on its next mini-batch."""
        self._batches.advance()
        self._step()
        self._count += 1

    def _take(self) -> None:
        scalars = self._model.step(self._batches.read())
        if not self._names:
            self._names = list(scalars)
            self._sums = self._sums.new_zeros(len(scalars))
        if list(scalars) != self._names:
            raise ValueError(f"a step returned the scalars {list(scalars)}, an earlier one {self._names}")
        self._sums += torch.stack([value.float() for value in scalars.values()])

    def settled(self) -> Iterator[None]:
        """Yields until the device has done all steps so far: reading a number back would keep the process waiting.

        Trials that share the process give the GPU work meanwhile.
        """
        if self._sums.is_cuda:
            reached = torch.cuda.Event()  # type: ignore[no-untyped-call]
            reached.record(torch.cuda.current_stream(self._sums.device))
            while not reached.query():  # type: ignore[no-untyped-call]
                yield

    def means(self) -> dict[str, float]:
        """The means of the scalars since the last call, by name, read from the device in one transfer."""
        means = (self._sums / self._count).tolist()
        self._sums.zero_()
        self._count = 0
        return dict(sorted(zip(self._names, means, strict=True)))


@dataclass
class Progress:
    """How far a training is. A checkpoint holds it beside the states of model, data order and random generators."""

    step: int = 0
    seconds: float = 0.0
    curves: list[tuple[str, int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Hooks:
    """The callbacks of the loop. They may not change the numbers of the training."""

    point: Callable[[Progress, dict[str, float]], None]
    """Called at every point of the curves, with the means of the scalars since the last point."""
    snapshot: Callable[[int], None]
    """Called at every snapshot, with the step."""
    should_stop: Callable[[], bool]
    """Called at every point of the curves; True makes the loop save and raise ``Stopped``."""
    evaluate: Callable[[int], None] | None = None
    """Called at every intermediate evaluation, with the step. An exception ends the training."""
    evaluate_every: int = 0
    """Steps between two intermediate evaluations."""


class Trainer:
    """Trains one model: ``resume`` loads the checkpoint if there is one, ``run_to_end`` does the rest.

    Args:
        model: the model to train.
        data: the training split, as stored, on the device.
        train: steps, batch size and other settings.
        run: time limit, number of snapshots and curve points, seconds between two checkpoints.
        seed: the seed of the data's order.
        checkpoint: the file with the state of an unfinished training.
    """

    def __init__(self, model: Model, data: Labelled, train: Train, run: Run, seed: int, checkpoint: Path) -> None:
        self.model = model
        self.batches = Batches(data, train.batch_size * model.batches_per_step, seed)
        self.steps = Steps(model, self.batches, run.graphs)
        self.train_config = train
        self.run = run
        self.checkpoint = checkpoint
        self.progress = Progress()
        self.every = max(1, train.steps // run.curve_points)
        count = max(1, run.snapshots - 1)
        self.snapshots = {round(train.steps * i / count) for i in range(count + 1)} if run.snapshots else set()

    def resume(self) -> bool:
        """Load the checkpoint. False if there is none, if it is damaged, or if its device or precision differs.

        A training that changes its device or precision on the way would have the numbers of neither of the two.
        """
        state = files.load_state(self.checkpoint, "the training starts again from step 0", self.model.compute.device)
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
        """Write the checkpoint: with it, a resumed training ends bit for bit as an uninterrupted one does."""
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
        """Train up to the last step: ``course`` without a break."""
        for _ in self.course(hooks):
            pass

    def course(self, hooks: Hooks) -> Iterator[None]:
        """Train up to the last step, and let others of the process go on after every step.

        Raises:
            Diverged: a scalar is NaN or infinite.
            TimedOut: ``run.time_limit`` seconds of training have passed.
            Stopped: ``hooks.should_stop`` returned True; the checkpoint is written.
        """
        self._started = time.monotonic() - self.progress.seconds
        self._saved = time.monotonic()
        if self.progress.step == 0 and 0 in self.snapshots:
            hooks.snapshot(0)

        while self.progress.step < self.train_config.steps:
            # Train on the next mini-batches. The scalars (losses) stay on the device until the next point.
            self.steps.take()
            self.progress.step += 1
            step, last = self.progress.step, self.progress.step == self.train_config.steps

            # Add a point to the curves: the means since the last point. Here a divergence is detected.
            point_due = step % self.every == 0 or last
            if point_due:
                yield from self._given_way(self.steps.settled())
                self._point(hooks)

            # Save a grid of samples.
            if step in self.snapshots:
                hooks.snapshot(step)

            # Evaluate for the pruner. After the last step the trial runs the full evaluation instead.
            if hooks.evaluate is not None and step % hooks.evaluate_every == 0 and not last:
                hooks.evaluate(step)

            # Save the checkpoint if it is due, stop if asked to, enforce the time limit. Only at a point of the
            # curves: there the sums are empty, so the checkpoint need not hold them.
            if point_due:
                self._save_or_stop(hooks, last)

            yield from self._given_way([None])

    def _given_way(self, turns: Iterable[None]) -> Iterator[None]:
        """Let others go on. Their time is not that of this training."""
        for _ in turns:
            paused = time.monotonic()
            yield
            self._started += time.monotonic() - paused

    def _save_or_stop(self, hooks: Hooks, last: bool) -> None:
        """Count the time, save the checkpoint if it is due, and end the training if asked to or out of time."""
        self.progress.seconds = time.monotonic() - self._started
        stop = hooks.should_stop() and not last
        if stop or time.monotonic() - self._saved > self.run.checkpoint_seconds:
            self.save()
            self._saved = time.monotonic()
        if stop:
            raise Stopped
        limit = self.run.time_limit
        if limit is not None and self.progress.seconds > limit and not last:
            raise TimedOut(f"reached the time limit of {limit:g} s of training at step {self.progress.step}")

    def _point(self, hooks: Hooks) -> None:
        """Add the means of the scalars since the last point to the curves."""
        point = self.steps.means()
        bad = [name for name, value in point.items() if not math.isfinite(value)]
        if bad:
            raise Diverged(f"{', '.join(bad)} is NaN or infinite at step {self.progress.step}")
        self.progress.curves += [(name, self.progress.step, value) for name, value in point.items()]
        hooks.point(self.progress, point)

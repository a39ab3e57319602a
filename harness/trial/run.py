"""Runs one trial end to end: data → model → training → evaluation → values and artifacts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.base.errors import HarnessError
from harness.base.seeds import Seeds, derived
from harness.base.states import State
from harness.trial.artifacts import Files
from harness.trial.device import computing, on_device, precision
from harness.trial.evaluation import Evaluator, sampling_seed
from harness.trial.loop import Diverged, Hooks, Progress, Stopped, TimedOut, Trainer
from harness.trial.outcomes import Pruned, explain, keep_traceback
from harness.trial.task import Outcome, RecordingError
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models.base import Model

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.suite.plan import Arm
    from harness.trial.task import Recorder, Task


def run(task: Task, recorder: Recorder, device: str) -> Outcome:
    """Run a trial to its end: ``course`` without a break."""
    steps = course(task, recorder, device)
    with computing(task.trial.arm, torch.device(device)):
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome


def course(task: Task, recorder: Recorder, device: str) -> Generator[None, None, Outcome]:
    """A trial from step 0, or from its checkpoint. It yields after every step of its training.

    An error in the trial is returned as its outcome. The caller sets up torch (``computing``).

    Args:
        task: the trial, its folder and the cache.
        recorder: receives curves, files and progress.
        device: the worker's device, as torch names it.

    Raises:
        RecordingError: curves or files cannot be written. The last checkpoint remains valid.
    """
    where = _Whereabouts()
    try:
        values = yield from _run(task, recorder, torch.device(device), where)
        return Outcome(State.DONE, "", values, where.seconds_train, where.seconds_evaluate)
    except Stopped:
        return Outcome(State.INTERRUPTED)
    except RecordingError:
        raise
    except OSError as error:  # for example, the disk is full or the folder was removed
        raise RecordingError(str(error)) from error
    except Exception as error:
        state, reason = explain(error)
        keep_traceback(error, task.folder, recorder)
        if not isinstance(error, Diverged | Pruned | TimedOut):  # their messages already name the step
            reason += f", {where.place}"
        return Outcome(state, reason, {}, where.seconds_train, where.seconds_evaluate)


@dataclass
class _Whereabouts:
    """Where a trial is, for the reason and the times of its outcome."""

    progress: Progress | None = None
    evaluating: bool = False
    seconds_evaluate: float = 0.0

    @property
    def seconds_train(self) -> float:
        return self.progress.seconds if self.progress else 0.0

    @property
    def place(self) -> str:
        """The current stage and step, as text."""
        if self.progress is None:
            return "before step 1"
        if self.evaluating:
            return f"in the evaluation after step {self.progress.step}"
        return f"at step {self.progress.step + 1}"


def _run(
    task: Task, recorder: Recorder, device: torch.device, where: _Whereabouts
) -> Generator[None, None, dict[str, float]]:
    arm, seeds = task.trial.arm, task.trial.seeds
    # Load the training split onto the device, and build the model with the weights of its seed.
    data = arm.data.make()
    training = on_device(data.load("train"), device)
    model = build(arm, seeds, device, data.shape, training)
    trainer = Trainer(model, training, arm.train, task.run, seeds.order, task.folder / "checkpoint.pt")
    evaluator = Evaluator(arm.evaluate, data, training, device, task.cache)
    files = Files(task, model, recorder, data)

    # Continue from the checkpoint if there is one, and record what was recorded before it.
    if trainer.resume():
        print(f"{task.trial.key}: resumed at step {trainer.progress.step}", flush=True)
        recorder.points(trainer.progress.curves)
        files.snapshots_until(trainer.progress.step)
    where.progress = trainer.progress
    recorder.progress(trainer.progress.step, {})

    # Train up to the last step.
    yield from trainer.course(_hooks(task, trainer, recorder, files, evaluator, where))

    # Evaluate the trained model with all metrics.
    where.evaluating = True
    _check_weights(model, trainer.progress.step)
    started = time.monotonic()
    evaluation = evaluator.evaluate(model, sampling_seed(seeds.samples))
    where.seconds_evaluate = time.monotonic() - started

    # Save the artifacts: samples, pictures, protocol, weights.
    files.final(evaluation)
    return evaluation.values


def _check_weights(model: Model, step: int) -> None:
    """Raise ``Diverged`` if a published weight is NaN or infinite: losses and samples need not show it."""
    bad = [name for name, weight in model.weights().items() if not weight.isfinite().all()]
    if bad:
        raise Diverged(f"weights are NaN or infinite at step {step}: {', '.join(bad)}")


def _hooks(
    task: Task, trainer: Trainer, recorder: Recorder, files: Files, evaluator: Evaluator, where: _Whereabouts
) -> Hooks:
    """The callbacks of the loop: record the curves, save snapshots, and evaluate for the pruner if there is one."""

    def point(progress: Progress, values: dict[str, float]) -> None:
        recorder.points([(name, progress.step, value) for name, value in values.items()])
        recorder.progress(progress.step, values)

    intermediate = task.intermediate
    if intermediate is None:
        return Hooks(point, files.snapshot, recorder.should_stop)
    shorter = evaluator.shortened(intermediate.samples)

    def evaluate(step: int) -> None:
        where.evaluating = True
        value = shorter.value(trainer.model, sampling_seed(task.trial.seeds.samples), intermediate.metric)
        where.evaluating = False
        point = (f"intermediate_{intermediate.metric}", step, value)
        trainer.progress.curves.append(point)  # the checkpoint holds the curves
        recorder.points([point])
        if recorder.should_prune(step, value):
            raise Pruned(f"{intermediate.metric} was {value:.4g} at step {step}")

    return Hooks(point, files.snapshot, recorder.should_stop, evaluate, intermediate.every)


def restored(arm: Arm, seed: int, device: torch.device, shape: Shape, training: Labelled, path: Path) -> Model:
    """The model of a finished trial, as far as sampling needs it: with the weights that the trial published.

    Raises:
        HarnessError: the file does not fit the model, or is damaged.
    """
    model = build(arm, Seeds.of(seed), device, shape, training)
    # The tensors of ``weights`` are the model's own.
    own = model.weights()
    try:
        published = load_file(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise HarnessError(f"{path}: damaged or no safetensors file ({error})") from error
    if {name: tensor.shape for name, tensor in own.items()} != {n: tensor.shape for n, tensor in published.items()}:
        raise HarnessError(f"{path}: not the weights of the model {arm.model.name} as the arm {arm.name} declares it")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(published[name])
    return model


def build(arm: Arm, seeds: Seeds, device: torch.device, shape: Shape, training: Labelled) -> Model:
    """The model of an arm, before its first step."""
    tricks = [choice.make() for choice in arm.tricks]
    compute = Compute(device, precision(arm, device))
    rng = torch.Generator(device).manual_seed(derived(seeds.latents, "latents"))
    torch.manual_seed(derived(seeds.latents, "global"))
    return arm.model.make(shape, training, arm.train.steps, tricks, compute, seeds.weights, rng)

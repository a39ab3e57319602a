"""One trial end to end: data → model → training → evaluation → what is to be recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.base.seeds import derived
from harness.base.states import State
from harness.trial.artifacts import Files
from harness.trial.device import computing, on_device, precision
from harness.trial.evaluation import Evaluator, sampling_seed
from harness.trial.loop import Diverged, Hooks, Progress, Stopped, TimedOut, Trainer
from harness.trial.outcomes import Pruned, explain
from harness.trial.task import Outcome, RecordingError
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models.base import Model

if TYPE_CHECKING:
    from harness.suite.plan import Arm
    from harness.trial.task import Recorder, Task


def run(task: Task, recorder: Recorder, device: str) -> Outcome:
    """Run a trial, or go on with it where its checkpoint left off. Every outcome of the trial is returned.

    Args:
        device: where the worker computes, as torch names it.

    Raises:
        RecordingError: what it does cannot be written down; its last checkpoint stands.
    """
    course = _Course()
    try:
        values = _run(task, recorder, torch.device(device), course)
        return Outcome(State.DONE, "", values, course.seconds_train, course.seconds_evaluate)
    except Stopped:
        return Outcome(State.INTERRUPTED)
    except RecordingError:
        raise
    except OSError as error:  # the disk is full, the folder is gone
        raise RecordingError(str(error)) from error
    except Exception as error:
        state, reason = explain(error)
        if not isinstance(error, Diverged | Pruned | TimedOut):  # these say it themselves
            reason += f", {course.place}"
        return Outcome(state, reason, {}, course.seconds_train, course.seconds_evaluate)


@dataclass
class _Course:
    """How far a trial has come."""

    progress: Progress | None = None
    evaluating: bool = False
    seconds_evaluate: float = 0.0

    @property
    def seconds_train(self) -> float:
        return self.progress.seconds if self.progress else 0.0

    @property
    def place(self) -> str:
        """Where it is, in words."""
        if self.progress is None:
            return "before step 1"
        if self.evaluating:
            return f"in the evaluation after step {self.progress.step}"
        return f"at step {self.progress.step + 1}"


def _run(task: Task, recorder: Recorder, device: torch.device, course: _Course) -> dict[str, float]:
    arm, seed = task.trial.arm, task.trial.seed
    with computing(arm, device):
        data = arm.data.make()
        training = on_device(data.load("train"), device)
        model = build(arm, seed, device, data.shape, training)
        trainer = Trainer(model, training, arm.train, task.run, seed, task.folder / "checkpoint.pt")
        evaluator = Evaluator(arm.evaluate, data, training, device, task.cache)
        files = Files(task, model, recorder, data)
        if trainer.resume():
            print(f"{task.trial.key}: resumed at step {trainer.progress.step}", flush=True)
            recorder.points(trainer.progress.curves)
            files.snapshots_until(trainer.progress.step)
        course.progress = trainer.progress
        recorder.progress(trainer.progress.step, {})
        trainer.run_to_end(_hooks(task, trainer, recorder, files, evaluator, course))
        course.evaluating = True
        _check_weights(model, trainer.progress.step)
        started = time.monotonic()
        evaluation = evaluator.evaluate(model, sampling_seed(seed))
        course.seconds_evaluate = time.monotonic() - started
        files.final(evaluation)
        return evaluation.values


def _check_weights(model: Model, step: int) -> None:
    """Weights that no sample shows, and no loss, are published all the same."""
    bad = [name for name, weight in model.weights().items() if not weight.isfinite().all()]
    if bad:
        raise Diverged(f"weights not finite by step {step}: {', '.join(bad)}")


def _hooks(
    task: Task, trainer: Trainer, recorder: Recorder, files: Files, evaluator: Evaluator, course: _Course
) -> Hooks:
    def point(progress: Progress, values: dict[str, float]) -> None:
        recorder.points([(name, progress.step, value) for name, value in values.items()])
        recorder.progress(progress.step, values)

    intermediate = task.intermediate
    if intermediate is None:
        return Hooks(point, files.snapshot, recorder.should_stop)
    shorter = evaluator.shortened(intermediate.samples)

    def evaluate(step: int) -> None:
        course.evaluating = True
        value = shorter.evaluate(trainer.model, sampling_seed(task.trial.seed)).values[intermediate.metric]
        course.evaluating = False
        point = (f"intermediate_{intermediate.metric}", step, value)
        trainer.progress.curves.append(point)  # so that a checkpoint holds it
        recorder.points([point])
        if recorder.should_prune(step, value):
            raise Pruned(f"{intermediate.metric} was {value:.4g} at step {step}")

    return Hooks(point, files.snapshot, recorder.should_stop, evaluate, intermediate.every)


def build(arm: Arm, seed: int, device: torch.device, shape: Shape, training: Labelled) -> Model:
    """The model of an arm, before its first step."""
    tricks = [choice.make() for choice in arm.tricks]
    compute = Compute(device, precision(arm, device))
    rng = torch.Generator(device).manual_seed(derived(seed, "latents"))
    torch.manual_seed(derived(seed, "global"))
    return arm.model.make(shape, training, arm.train.steps, tricks, compute, seed, rng)

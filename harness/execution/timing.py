"""Times a few steps and an evaluation of arms on this machine: what a trial of each will cost. Stores nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.trial.device import computing, on_device
from harness.trial.evaluation import Evaluator, sampling_seed
from harness.trial.loop import Trainer
from harness.trial.outcomes import explain
from harness.trial.run import build

if TYPE_CHECKING:
    from harness.suite import Run
    from harness.suite.plan import Trial
    from harness.zoo.models.base import Model

WARM_UP = 5
"""Steps before the clock starts: the first ones allocate memory, choose kernels, record graphs."""
SECONDS, LEAST = 2.0, 3
"""The steps of an arm are timed for so long, but at least so many."""


def seconds_per_trial(trials: Sequence[Trial], run: Run, device: str, tell: Callable[[str], None]) -> dict[str, float]:
    """Arm -> seconds that one of its trials takes on one worker: all its steps, and its evaluation.

    Arms of one model, data and evaluation share the time of an evaluation.

    Args:
        trials: one of each arm.
        run: the suite's section `run`.
        device: the device, as torch names it.
        tell: is told what is measured, and which arm cannot be.

    Returns: the seconds; an arm that fails is not in it.
    """
    found: dict[str, float] = {}
    evaluations: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="harness-measure-") as folder:
        for number, trial in enumerate(trials, start=1):
            tell(f"measuring {trial.arm.name} ({number} of {len(trials)})")
            try:
                with computing(trial.arm, torch.device(device)):
                    found[trial.arm.name] = _seconds(trial, run, torch.device(device), Path(folder), evaluations)
            except Exception as error:  # of a plug-in, or no memory is left
                tell(f"{trial.arm.name} cannot be measured: {explain(error)[1]}")
    return found


def _seconds(trial: Trial, run: Run, device: torch.device, folder: Path, evaluations: dict[str, float]) -> float:
    """The seconds of a trial. ``evaluations`` has those of the evaluations that were timed before."""
    arm, data = trial.arm, trial.arm.data.make()
    training = on_device(data.load("train"), device)
    model = build(arm, trial.seeds, device, data.shape, training)
    trainer = Trainer(model, training, arm.train, run, trial.seeds.order, folder / "checkpoint.pt")
    training_seconds = _per_step(trainer, device) * arm.train.steps
    alike = repr((arm.model, arm.data, arm.evaluate))
    if alike not in evaluations:
        evaluator = Evaluator(arm.evaluate, data, training, device, folder)
        if not evaluations:
            _evaluation(evaluator, model, trial)  # fills the cache with the features of the real images
        evaluations[alike] = _evaluation(evaluator, model, trial)
    return training_seconds + evaluations[alike]


def _per_step(trainer: Trainer, device: torch.device) -> float:
    """The mean seconds of a step."""
    for _ in range(WARM_UP):
        trainer.steps.take()
    taken, started = 0, _clock(device)
    while taken < LEAST or _clock(device) - started < SECONDS:
        for _ in range(LEAST):
            trainer.steps.take()
        taken += LEAST
    return (_clock(device) - started) / taken


def _evaluation(evaluator: Evaluator, model: Model, trial: Trial) -> float:
    """The seconds of an evaluation."""
    started = _clock(evaluator.device)
    evaluator.evaluate(model, sampling_seed(trial.seeds.samples))
    return _clock(evaluator.device) - started


def _clock(device: torch.device) -> float:
    """Seconds: of a GPU those by the clock, when it has done all that it was given.

    Of a CPU those that this process has computed for, on all its threads together, per thread: other programs on the
    machine do not count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.monotonic()
    return time.process_time() / torch.get_num_threads()

"""Maps an exception to the state of the trial that raised it, and to the reason that is recorded."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.base.errors import HarnessError
from harness.base.states import State
from harness.trial.evaluation import NotFinite
from harness.trial.loop import Diverged, TimedOut
from harness.trial.task import TRACEBACK, RecordingError
from harness.zoo import registry

if TYPE_CHECKING:
    from harness.trial.task import Recorder


class Pruned(Exception):
    """The pruner stopped the trial."""


def explain(error: Exception) -> tuple[State, str]:
    """The state of a trial that ended with this exception, and the reason to record."""
    states: list[tuple[type[Exception] | tuple[type[Exception], ...], State]] = [
        ((Diverged, NotFinite), State.DIVERGED),
        (Pruned, State.PRUNED),
        (TimedOut, State.TIMED_OUT),
        ((torch.OutOfMemoryError, MemoryError), State.OUT_OF_MEMORY),
        (HarnessError, State.FAILED),
    ]
    for kind, state in states:
        if isinstance(error, kind):
            return state, str(error) or type(error).__name__
    # torch on the CPU, and the libraries of CUDA, raise a plain RuntimeError when memory runs out.
    signs = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs):
        return State.OUT_OF_MEMORY, str(error)
    if isinstance(error, RuntimeError) and "torch.use_deterministic_algorithms" in str(error):
        operation = str(error).partition(",")[0]  # the rest of torch's message is advice for programmers
        return State.FAILED, f"{operation}: set train.deterministic to false, remove what uses it, or use the CPU"
    return State.FAILED, f"{type(error).__name__}: {error} ({registry.place(error)})"


def keep_traceback(error: Exception, folder: Path, recorder: Recorder) -> None:
    """Print the whole traceback of a trial that failed to the worker's log, and keep it as an artifact of its run.

    The other outcomes need none: their reasons say all.

    Raises:
        RecordingError: it cannot be written.
    """
    if explain(error)[0] is not State.FAILED:
        return
    text = "".join(traceback.format_exception(error))
    print(text, file=sys.stderr, flush=True)
    try:
        (folder / TRACEBACK).write_text(text, encoding="utf-8")
    except OSError as problem:
        raise RecordingError(str(problem)) from problem
    recorder.file(folder / TRACEBACK)

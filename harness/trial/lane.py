"""A trial that shares its process with others: they take turns, and none changes the numbers of another.

A GPU computes what several trials have asked for at the same time, if each asks on a stream of its own. One training of
networks this small uses a few hundredths of it (docs/gpu.md has the measurements).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

import torch

from harness.trial.device import computing

if TYPE_CHECKING:
    from collections.abc import Generator

    from harness.suite.plan import Arm

Result = TypeVar("Result")


class Lane(Generic[Result]):
    """Runs a course (``harness.trial.run``) piece by piece, with kernels, stream and random numbers of its own.

    Args:
        steps: the course. It yields where others may go on.
        arm: the arm of its trial.
        device: the device, as torch names it.
    """

    def __init__(self, steps: Generator[None, None, Result], arm: Arm, device: str) -> None:
        self._steps = steps
        self._arm = arm
        self._device = torch.device(device)
        self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._random: list[torch.Tensor] | None = None

    def go_on(self, seconds: float) -> Result | None:
        """Take at least one step, and more for about so many seconds; the result if the course has ended."""
        until = time.monotonic() + seconds
        with computing(self._arm, self._device), torch.cuda.stream(self._stream), self._own_random_numbers():
            while True:
                try:
                    next(self._steps)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if time.monotonic() >= until:
                    return None

    def close(self) -> None:
        """Give the trial up where it is. Nothing is saved."""
        self._steps.close()

    @contextlib.contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        """Torch's own generators are the process's: every lane finds them as it left them."""
        before = self._states()
        if self._random is not None:
            self._restore(self._random)
        try:
            yield
        finally:
            self._random = self._states()
            self._restore(before)

    def _states(self) -> list[torch.Tensor]:
        on_gpu = [torch.cuda.get_rng_state(self._device)] if self._stream else []
        return [torch.get_rng_state(), *on_gpu]

    def _restore(self, states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        for state in states[1:]:
            torch.cuda.set_rng_state(state, self._device)

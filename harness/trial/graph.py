"""A training step as one CUDA graph: the GPU runs all of its kernels without waiting for Python.

A step of the models here has hundreds of kernels of a few microseconds. Launched one by one, they keep the GPU idle for
nine tenths of the time (results/benchmarks has the figures). A graph is launched as a whole. Its kernels, their order
and their random numbers are those of the step, and so are the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from harness.zoo.models.base import Model
    from harness.zoo.registry import Plugin

WARM_UP = 3
"""Steps that are run one by one first: in them optimizers make their state, and libraries choose their kernels."""


def obstacle(model: Model, device: torch.device) -> str | None:
    """Why the steps of a model on a device cannot be a CUDA graph, or None if they can."""
    if device.type != "cuda":
        return "only a GPU has CUDA graphs"
    plugins: Iterable[Plugin] = (model, *model.tricks)
    for plugin in plugins:
        if not vars(type(plugin)).get("capturable", False):
            return f"{plugin.name} does not say that it is capturable"
    return None


class Graph:
    """Calls a function: the first times as it is, then as a CUDA graph.

    It stays as it is if it draws from torch's own generator. The graphs of several trials in a process would share that
    generator, and what it gave one would depend on the others.

    The function may change tensors in place; it must not wait for the GPU. Its other effects, on variables of Python,
    happen while it is captured and never again.

    Args:
        function: what to run.
        device: the GPU.
        generators: the random generators on the GPU that it uses, beside torch's own.
    """

    def __init__(self, function: Callable[[], None], device: torch.device, generators: list[torch.Generator]) -> None:
        self._function = function
        self._device = device
        self._generators = generators
        self._calls = 0
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._shares = False
        """Whether it has drawn from torch's own generator."""

    def __call__(self) -> None:
        """Run the function once."""
        self._calls += 1
        if self._calls <= WARM_UP or self._shares:
            self._as_it_is()
            return
        if self._graph is None:
            self._graph = self._captured()
        self._graph.replay()

    def _as_it_is(self) -> None:
        # On the stream of the capture: autograd remembers on which stream a gradient was accumulated first.
        before = None if self._shares else torch.cuda.get_rng_state(self._device)
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._function()
        current.wait_stream(self._stream)
        self._shares = before is None or not torch.equal(before, torch.cuda.get_rng_state(self._device))

    def _captured(self) -> torch.cuda.CUDAGraph:
        """The graph. Capturing runs the function in Python, and nothing on the GPU."""
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # thread_local: what other threads of the process do on the GPU does not end the capture.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._function()
        return graph

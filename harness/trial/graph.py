"""A training step without Python: on a GPU as one CUDA graph, on a CPU as a list of operations.

A step of the models here has hundreds of kernels of a few microseconds. Launched one by one, they keep a GPU idle for
nine tenths of the time (results/benchmarks has the figures). A CUDA graph is launched as a whole. On a CPU the modules,
autograd and the optimizers take a third of a step of the small networks for points; what they ask of torch is recorded
once, and asked again without them. Either way the operations, their order and their random numbers are those of the
step, and so are the results, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

if TYPE_CHECKING:
    from harness.zoo.models.base import Model
    from harness.zoo.registry import Plugin

WARM_UP = 3
"""Steps that are run one by one first: in them optimizers make their state, and libraries choose their kernels."""
LONG = 1000
"""Steps of a training on a CPU from which on recording pays: it takes as long as some hundred steps."""
HOISTED = ("alias", "detach", "expand", "permute", "t", "transpose", "unsqueeze", "view")
"""Operations that only look at a tensor in another way: of one that stays, the view stays, too."""


def obstacle(model: Model, device: torch.device) -> str | None:
    """Why the steps of a model on a device are run as they are, or None if they can be a graph."""
    if device.type not in ("cuda", "cpu"):
        return "only a GPU has CUDA graphs"
    if device.type == "cpu" and (model.shape.height, model.shape.width) != (1, 1):
        return "on a CPU a step of images is nearly all arithmetic"
    if device.type == "cpu" and model.steps < LONG:
        return "the training is too short to pay for the recording"
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


class Recorded:
    """Calls a function: the first times as it is, then the operations that it has asked of torch, in the same order.

    The same holds for the function as for ``Graph``.

    Args:
        function: what to run.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._calls = 0
        self._run: Callable[[], object] = function

    def __call__(self) -> None:
        """Run the function once."""
        self._calls += 1
        if self._calls == WARM_UP + 1:
            self._run = self._recorded()
        else:
            self._run()

    def _recorded(self) -> Callable[[], object]:
        """Run the function, and record it."""
        try:
            operations = _shortened(make_fx(lambda: self._function())())
        except SyntaxError:  # torch writes the operations as Python, and one of them is called ``random_.from``
            return self._function
        return torch.no_grad()(operations)  # what autograd has done is among the operations


def _shortened(recorded: GraphModule) -> GraphModule:
    """The same operations, without marks for profilers, and with the views of tensors that stay made once."""
    graph = recorded.graph
    for node in reversed(graph.nodes):
        if _called(node).startswith("_record_function"):
            graph.erase_node(node)
    kept = {node: getattr(recorded, str(node.target)) for node in graph.nodes if node.op == "get_attr"}
    for node in list(graph.nodes):
        if _called(node) in HOISTED and isinstance(kept.get(node.args[0]), torch.Tensor):
            view = node.target(kept[node.args[0]].detach(), *node.args[1:], **node.kwargs)
            recorded.register_buffer(node.name, view)
            with graph.inserting_before(node):
                instead = graph.get_attr(node.name)
            kept[instead] = view
            node.replace_all_uses_with(instead)
            graph.erase_node(node)
    recorded.recompile()
    return recorded


def _called(node: Node) -> str:
    """The name of the operation of torch that a node calls; empty if it calls none."""
    return str(getattr(node.target, "_opname", "")) if node.op == "call_function" else ""

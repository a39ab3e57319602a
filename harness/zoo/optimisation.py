"""Optimizer steps and averages of weights that several models share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


def adam(
    parameters: Iterable[nn.Parameter], rate: float | Tensor, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Adam:
    """Adam (Kingma and Ba 2015) in one kernel for all parameters, which can be part of a CUDA graph.

    Args:
        parameters: at least one, all on one device.
        rate: the learning rate; a tensor on the device of the parameters if it changes in training.
        betas: the decays of the means of the gradients and of their squares.
    """
    weights = list(parameters)
    return torch.optim.Adam(weights, lr=rate, betas=betas, fused=True, capturable=weights[0].is_cuda)


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One optimizer step on a scalar loss: zero_grad, backward, step."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def backward(optimiser: torch.optim.Optimizer, loss: Tensor) -> list[nn.Parameter]:
    """The first half of ``descend``: zero_grad, backward. Returns the parameters of the optimizer.

    For callers that change the gradients before ``optimiser.step()``.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def move_towards(averages: Sequence[Tensor], values: Sequence[Tensor], weight: Tensor) -> None:
    """average ← (1 − weight) · average + weight · value, in place, for every pair; the weight is a scalar.

    The weight is a tensor, so that a CUDA graph reads it anew at every step.
    """
    with torch.no_grad():
        kept = list(averages)
        torch._foreach_mul_(kept, 1 - weight)
        torch._foreach_add_(kept, list(torch._foreach_mul(list(values), weight)))


def move_average(average: nn.Module, network: nn.Module, weight: Tensor) -> None:
    """average ← (1 − weight) · average + weight · network, for all weights.

    The running statistics of batch normalisation are averaged like the weights, because they belong to them; counters
    are copied.

    Args:
        average: a copy of the network, without gradients.
        network: the network that is trained.
        weight: a scalar in [0, 1], on the device of the networks.
    """
    averages, values = (tensors(net) for net in (average, network))
    move_towards([*filter(torch.is_floating_point, averages)], [*filter(torch.is_floating_point, values)], weight)
    with torch.no_grad():
        for counter, value in zip(averages, values, strict=True):
            if not counter.is_floating_point():
                counter.copy_(value)


def tensors(network: nn.Module) -> list[Tensor]:
    """The parameters and buffers of a network."""
    return [*network.parameters(), *network.buffers()]

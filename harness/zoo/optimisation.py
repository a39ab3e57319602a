"""Optimizer steps and averages of weights that several models share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


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


def move_average(average: nn.Module, network: nn.Module, weight: float) -> None:
    """average ← (1 − weight) · average + weight · network, for all weights.

    The running statistics of batch normalisation are averaged like the weights, because they belong to them; counters
    are copied.

    Args:
        average: a copy of the network, without gradients.
        network: the network that is trained.
        weight: in [0, 1].
    """
    with torch.no_grad():
        averaged, current = ([tensor.data for tensor in net.parameters()] for net in (average, network))
        torch._foreach_lerp_(averaged, current, weight)
        for mean, buffer in zip(average.buffers(), network.buffers(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(buffer, weight)
            else:
                mean.copy_(buffer)

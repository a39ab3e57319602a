"""Checks what the hooks of a trick return, where they return it: types, shapes and gradients, never values.

So a check reads nothing back from a GPU, and it runs as often as Python does: never again once a step is a graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from harness.base.errors import HarnessError
from harness.zoo.objectives import Targets
from harness.zoo.tricks.game import Rates

Check = Callable[[Any, Any, tuple[Any, ...]], str | None]
"""(trick, what its hook has returned, what the hook was given) -> what is wrong, or None."""


def watch(trick: Any) -> None:
    """Check from now on what the own hooks of a ``Trick`` return.

    A hook that returns something else raises ``HarnessError``, which names the trick, the hook and its place.
    """
    for hook, check in CHECKS.items():
        if not getattr(type(trick), hook).__module__.startswith("harness."):
            setattr(trick, hook, functools.partial(_checked, trick, hook, check, getattr(trick, hook)))


def _checked(trick: Any, hook: str, check: Check, method: Callable[..., Any], *given: Any, **named: Any) -> Any:
    returned = method(*given, **named)
    if (wrong := check(trick, returned, (*given, *named.values()))) is not None:
        code = getattr(type(trick), hook).__code__
        raise HarnessError(f"{trick.name}.{hook} {wrong}; {Path(code.co_filename).name}:{code.co_firstlineno}")
    return returned


def _images(trick: Any, returned: Any, given: tuple[Any, ...]) -> str | None:
    images: torch.Tensor = given[0]
    expected = f"(expected a tensor of shape {tuple(images.shape)})"
    if not isinstance(returned, torch.Tensor):
        return f"returned {_shown(returned)} {expected}"
    repacks = not getattr(type(trick), "discriminator_channels").__module__.startswith("harness.")  # noqa: B009
    if returned.ndim != images.ndim or (returned.shape[1:] != images.shape[1:] and not repacks):
        return f"returned {_shown(returned)} {expected}"
    if not returned.is_floating_point():
        return f"returned a tensor of {returned.dtype} (expected {images.dtype})"
    if torch.is_grad_enabled() and images.requires_grad and not returned.requires_grad:
        return (
            "returned a tensor that has no gradient (expected one computed from the images, without detach() or "
            "no_grad(): the generator learns through it)"
        )
    return None


def _term(trick: Any, returned: Any, given: tuple[Any, ...]) -> str | None:
    if returned is None:
        return None
    if not isinstance(returned, torch.Tensor) or returned.ndim > 0:
        return f"must return a scalar, got {_shown(returned)} (expected None or a tensor of shape (); perhaps .mean())"
    if torch.is_grad_enabled() and not returned.requires_grad:
        return (
            "returned a scalar that has no gradient, so it changes nothing (expected a loss computed from scores or "
            "images without detach(), item() or no_grad(); or None, where there is nothing to add)"
        )
    return None


def _targets(trick: Any, returned: Any, given: tuple[Any, ...]) -> str | None:
    if not isinstance(returned, Targets):
        return f"returned {_shown(returned)} (expected Targets(real, fake))"
    for name, value in returned._asdict().items():
        one = value.ndim == 0 if isinstance(value, torch.Tensor) else isinstance(value, int | float)
        if not one:
            return (
                f"returned {_shown(value)} as the target of {name} images (expected one number for all images; noise "
                "on the target of each image is a term of the loss: return `-(noise * real.scores.logits).mean()` from "
                "`discriminator_loss`, for cross-entropy)"
            )
    return None


def _in_place(trick: Any, returned: Any, given: tuple[Any, ...]) -> str | None:
    if returned is None:
        return None
    return f"returned {_shown(returned)} (expected nothing: change each parameter's .grad in place)"


def _a(kind: type[Any], words: str) -> Check:
    """The check that something of this kind is returned."""

    def check(trick: Any, returned: Any, given: tuple[Any, ...]) -> str | None:
        good = isinstance(returned, kind) and not isinstance(returned, bool)
        return None if good else f"returned {_shown(returned)} (expected {words})"

    return check


def _none_or(check: Check) -> Check:
    return lambda trick, returned, given: None if returned is None else check(trick, returned, given)


CHECKS: Mapping[str, Check] = {
    "discriminator_channels": _a(int, "a number of channels"),
    "rates": _a(Rates, "Rates(generator, discriminator)"),
    "discriminator_input": _images,
    "targets": _targets,
    "discriminator_loss": _term,
    "discriminator_gradients": _in_place,
    "opponent": _none_or(_a(dict, "None, or a dict of parameters and buffers by name")),
    "generator_loss": _term,
    "generator_gradients": _in_place,
    "sampler": _none_or(_a(torch.nn.Module, "None, or the network to sample from")),
    "state_dict": _a(dict, "a dict"),
}


def _shown(value: Any) -> str:
    """A value in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    text = repr(value)
    return text if value is None or isinstance(value, int | float) else f"a {type(value).__name__}: {text[:60]}"

"""Checks the networks that an architecture builds: they are tried on two inputs, before the first step.

Trying draws no random numbers that training would draw, and changes no weight.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.networks.modules import Plain
from harness.zoo.networks.scores import Scores

if TYPE_CHECKING:
    from harness.zoo.networks.modules import Discriminator

IMAGES = 2


def watch(architecture: Any) -> None:
    """From now on, the networks that an ``Architecture`` builds are tried. What is wrong raises ``HarnessError``.

    A discriminator that gives logits alone is wrapped into ``Plain``, if the architecture says ``scores_only``.
    """
    build_generator, build_discriminator = architecture.generator, architecture.discriminator

    def generator(latent: int) -> nn.Module:
        network: nn.Module = build_generator(latent)
        _check_generator(architecture, network, latent)
        return network

    def discriminator(channels: int) -> Discriminator:
        return _checked_discriminator(architecture, build_discriminator(channels), channels)

    architecture.generator, architecture.discriminator = generator, discriminator


def _check_generator(architecture: Any, network: Any, latent: int) -> None:
    what, shape = f"{architecture.name}.generator({latent})", (IMAGES, *architecture.shape[:3])
    images = _tried(what, network, (IMAGES, latent), "if it begins with convolutions, put torch.nn.Unflatten(1, "
                    f"({latent}, 1, 1)) before it")  # fmt: skip
    if not isinstance(images, torch.Tensor) or images.shape != shape:
        raise HarnessError(
            f"{what} makes of latents of shape {(IMAGES, latent)} {_shown(images)}; expected images of shape {shape}, "
            "those of the data"
        )


def _checked_discriminator(architecture: Any, network: Any, channels: int) -> Discriminator:
    what, shape = f"{architecture.name}.discriminator({channels})", (IMAGES, channels, *architecture.shape[1:3])
    seen = _tried(what, network, shape, f"its input has {channels} channels")
    norms = torch.nn.modules.batchnorm._BatchNorm
    declared = "discriminator" in architecture.batch_norm(architecture.settings)
    if any(isinstance(module, norms) for module in network.modules()) and not declared:
        raise HarnessError(
            f"{what} has batch normalisation, and the architecture does not say so: let its method batch_norm(cls, "
            'settings) return a frozenset with "discriminator" (and "generator", if that has it, too)'
        )
    if architecture.scores_only:
        return _plain(what, network, seen)
    if not isinstance(seen, Scores):
        raise HarnessError(
            f"{what} gives {_shown(seen)}; expected Scores, as harness.plugins.Discriminator gives them; or let the "
            "architecture say scores_only = True: then a tensor of one logit per image will do, and tricks that need "
            "the discriminator's features are refused"
        )
    if seen.logits.shape != (IMAGES,) or seen.features.ndim != 2 or len(seen.features) != IMAGES:
        raise HarnessError(
            f"{what} gives logits of shape {tuple(seen.logits.shape)} and features of shape "
            f"{tuple(seen.features.shape)} for {IMAGES} images; expected {(IMAGES,)} and ({IMAGES}, d)"
        )
    return network  # type: ignore[no-any-return]


def _plain(what: str, network: nn.Module, seen: Any) -> Discriminator:
    if not isinstance(seen, torch.Tensor) or seen.numel() != IMAGES or len(seen) != IMAGES:
        raise HarnessError(
            f"{what} gives {_shown(seen)} for {IMAGES} images; expected one logit per image: {(IMAGES,)}"
        )
    if isinstance(list(network.modules())[-1], nn.Sigmoid):
        raise HarnessError(f"{what} ends in a Sigmoid; expected logits: leave it out, because the objective applies it")
    return Plain(network)  # type: ignore[return-value]  # all of a Discriminator but the features


def _tried(what: str, network: Any, shape: tuple[int, ...], advice: str) -> Any:
    """The output for standard normal inputs of this shape."""
    if not isinstance(network, nn.Module):
        raise HarnessError(f"{what} returned {_shown(network)}; expected a torch.nn.Module")
    weight = next(network.parameters(), torch.zeros(()))
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(weight.device)
    devices = [weight.device] if weight.is_cuda else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            return copy.deepcopy(network).eval()(inputs)
    except Exception as error:
        reason = f"{type(error).__name__}: {error} ({registry.place(error)})"
        raise HarnessError(f"{what} cannot take an input of shape {shape}: {reason}; {advice}") from error


def _shown(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"

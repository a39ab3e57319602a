"""Gradient penalties on the discriminator, as pure functions.

A critic is a function from images (n, c, h, w) to logits (n,). The penalties are scalars, differentiable with respect
to the critic's weights, and not yet multiplied by a factor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    Critic = Callable[[Tensor], Tensor]


def input_gradients(critic: Critic, images: Tensor) -> Tensor:
    """∇ₓ C(x) for every image, shape (n, c·h·w), itself differentiable."""
    images = images.detach().requires_grad_(True)
    # The gradient of the sum has the gradient of each logit, provided that no image affects another image's logit.
    # Batch normalisation, which couples all images, is refused together with penalties. The minibatch tricks couple
    # them, too; that coupling is part of the gradient.
    (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients.flatten(1).float()


def zero_centred(critic: Critic, images: Tensor) -> Tensor:
    """E‖∇C(x)‖²: R1 on real images, R2 on generated ones (Mescheder et al. 2018, equations 9 and 10, times 2/γ)."""
    return input_gradients(critic, images).square().sum(1).mean()


def one_centred(critic: Critic, images: Tensor) -> Tensor:
    """E(‖∇C(x)‖₂ − 1)² (Gulrajani et al. 2017, equation 3, without λ)."""
    norms = (input_gradients(critic, images).square().sum(1) + 1e-12).sqrt()  # √ has no derivative at 0
    return (norms - 1).square().mean()


def interpolated(real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """ε x + (1 − ε) G(z), with one ε ~ U(0, 1) per image (Gulrajani et al. 2017, algorithm 1)."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device, generator=rng)
    return share * real + (1 - share) * fake


def perturbed(real: Tensor, rng: torch.Generator) -> Tensor:
    """x + α · ½ std(x) U(0, 1), with one α ~ U(0, 1) per image and std over the whole batch.

    Kodali et al. 2017, algorithm 1, as in the authors' code, which interpolates between x and the perturbed image by α.
    """
    noise = torch.rand(real.shape, device=real.device, generator=rng)
    share = torch.rand(len(real), 1, 1, 1, device=real.device, generator=rng)
    return real + share * 0.5 * real.std() * noise

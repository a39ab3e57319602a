"""Spectral normalisation: every weight matrix of the discriminator is divided by its largest singular value.

Miyato et al. 2018, equation 8, with σ estimated by one power iteration per forward pass (algorithm 1):

    W̄ = W / σ(W)

A fully connected layer then has Lipschitz constant 1. A convolution's kernel is reshaped to a matrix (outputs × rest),
as in the paper, which is a weaker bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game


class SpectralNorm(Trick):
    """Normalises the linear and convolutional layers of the discriminator."""

    name = "spectral_norm"
    summary = "every layer of the discriminator is divided by its largest singular value"
    paper = "Miyato et al. 2018, equation 8"
    capturable = True
    requires = frozenset({"discriminator"})
    # Batch normalisation would rescale the output of a layer without a bound.
    conflicts = frozenset({"discriminator_batch_norm"})

    def wrap_networks(self, game: Game) -> None:
        nn = torch.nn
        for module in list(game.discriminator.modules()):
            if isinstance(module, nn.Linear | nn.Conv2d):
                if not module.weight.any():  # zeros, from fix-up initialisation, have no singular vector
                    nn.init.xavier_normal_(module.weight)
                nn.utils.parametrizations.spectral_norm(module)

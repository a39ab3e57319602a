"""Latent reconstruction: a network maps the generated image back to its latent, and the generator must allow it.

A collapsed generator makes one image from many latents, and no network can recover the latent. Srivastava et al. 2017
(VEEGAN), equation 3: a reconstructor R is trained to invert G, and the generator's loss has the same term:

    E_z ‖z − R(G(z))‖²

Here the discriminator gets only images; VEEGAN's gets pairs (z, x). The term is the cycle consistency of Zhu et al.
2017 for latent → image → latent. It is the mean over the dimensions of z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.optimisation import adam
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.tricks.game import Game, Scored


class ReconstructionSettings(registry.Settings):
    """Settings of the reconstructor."""

    weight: float = Field(1.0, gt=0, le=1e6, description="factor of the term")
    rate: float = Field(1e-3, gt=0, le=1, description="Adam's learning rate for the reconstructor")


class LatentReconstruction(Trick):
    """Trains a reconstructor beside the game and adds its error to the generator's loss."""

    name = "latent_reconstruction"
    summary = "a network must be able to recover the latents from generated images"
    paper = "Srivastava et al. 2017, equation 3"
    capturable = True
    Settings = ReconstructionSettings
    settings: ReconstructionSettings
    requires = frozenset({"generator", "latent"})

    network: nn.Module
    optimiser: torch.optim.Optimizer

    def begin(self, game: Game) -> None:
        from harness.zoo.networks.modules import draw_from

        # The discriminator's body with separate weights; its output is z instead of a logit.
        like = game.architecture.discriminator(game.shape.channels)
        network = torch.nn.Sequential(like.body, torch.nn.Linear(like.features, game.latent))
        self.network = network.to(game.compute.device)
        draw_from(game.rng, self.network)
        self.optimiser = adam(self.network.parameters(), self.settings.rate)

    # The generator's backward pass computes the reconstructor's gradients, too: both minimise the same term. They are
    # used before the next generator step, or at the end of the step.
    def _take_step(self) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def generator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor:
        assert fake.drawn is not None
        self._take_step()
        with game.compute.autocast():
            guessed: torch.Tensor = self.network(fake.drawn.images)
        error = (guessed.float() - fake.drawn.latents[:, : game.latent]).square().mean()
        return self.settings.weight * error

    def after_step(self, game: Game) -> None:
        self._take_step()

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

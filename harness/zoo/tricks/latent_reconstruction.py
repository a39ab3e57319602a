"""Latent reconstruction: a network maps the generated image back to its noise, and the generator must let it.

A generator that has collapsed draws one image from many latents, and no network can tell them apart again. Srivastava
et al. 2017 (VEEGAN), equation 3: the reconstructor R is trained to invert G, and the generator's loss holds the term
too:

    E_z ‖z − R(G(z))‖²

The discriminator stays one of images alone here, where VEEGAN's sees pairs (z, x). It is the cycle consistency of Zhu
et al. 2017 turned to the way noise → image → noise. The term is the mean over the dimensions of z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.tricks.game import Game, Seen


class ReconstructionSettings(registry.Settings):
    """Settings of the reconstructor."""

    weight: float = Field(1.0, gt=0, le=1e6, description="factor of the term")
    rate: float = Field(1e-3, gt=0, le=1, description="Adam's learning rate for the reconstructor")


class LatentReconstruction(Trick):
    """Trains a reconstructor beside the game and adds its error to the generator's loss."""

    name = "latent_reconstruction"
    summary = "a network must be able to map generated images back to their latents"
    paper = "Srivastava et al. 2017, equation 3"
    Settings = ReconstructionSettings
    settings: ReconstructionSettings
    requires = frozenset({"generator", "latent"})

    network: nn.Module
    optimiser: torch.optim.Optimizer

    def begin(self, game: Game) -> None:
        # The discriminator's body, with weights of its own, and z in the place of the logit.
        like = game.architecture.discriminator(game.shape.channels)
        network = torch.nn.Sequential(like.body, torch.nn.Linear(like.features, game.latent))
        self.network = network.to(game.compute.device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.settings.rate, fused=True)

    def generator_loss(self, game: Game, real: Seen, fake: Seen) -> torch.Tensor:
        assert fake.drawn is not None
        with game.compute.autocast():
            guessed: torch.Tensor = self.network(fake.drawn.images)
        error = (guessed.float() - fake.drawn.latents[:, : game.latent]).square().mean()
        return self.settings.weight * error

    # The generator's backward pass has left the reconstructor's gradients: both minimise the same term.
    def after_step(self, game: Game) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

"""Virtual batch normalisation: normalises an image by a fixed reference batch and itself.

Salimans et al. 2016, section 3.5. The reference batch is chosen once, at the start. Its means and mean squares are
computed with the current weights, once for all passes with the same weights, and combined with those of each image; m
is the size of the reference batch:

    μ = (m μ_ref + μ_x) / (m + 1),   E[h²] = (m E_ref[h²] + E_x[h²]) / (m + 1),   σ² = E[h²] − μ²

So no image depends on the other images of its batch. It costs a second pass through the generator, and is used only
there, as in the paper. Training and sampling compute the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.zoo.tricks.game import Game


class ReferenceSettings(registry.Settings):
    """Size of the reference batch."""

    reference: int = Field(64, ge=2, le=1024, description="latents in the reference batch (m)")


class VirtualBatchNorm(Trick):
    """Replaces the batch normalisation of the generator."""

    name = "virtual_batch_norm"
    summary = "the generator normalises by a reference batch fixed at the start instead of by the mini-batch"
    paper = "Salimans et al. 2016, section 3.5"
    capturable = True
    Settings = ReferenceSettings
    settings: ReferenceSettings
    requires = frozenset({"generator_batch_norm"})

    def change_networks(self, game: Game) -> None:
        from harness.zoo.tricks.layers import Normalised, WithReference

        nn = torch.nn
        for module in list(game.generator.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                    setattr(module, name, Normalised(child))
        state = game.rng.get_state()  # restored below: the game's latents are the same with and without the trick
        reference = game.latents(self.settings.reference, game.rng)
        game.rng.set_state(state)
        game.generator = WithReference(game.generator, reference)

    def generator_gradients(self, game: Game, parameters: Sequence[torch.nn.Parameter]) -> None:
        from harness.zoo.tricks.layers import WithReference

        assert isinstance(game.generator, WithReference)
        game.generator.forget()

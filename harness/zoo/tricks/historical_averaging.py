"""Historical averaging: keeps the parameters of both players near the average of their past values.

Salimans et al. 2016, section 3.3. Each player's loss has the term

    ‖ θ − (1/t) Σᵢ θ[i] ‖²

with the average over past values of its parameters, updated online. The paper names no factor. With a factor of 1 the
term, a sum over some hundred thousand parameters, keeps the players near their start (docs/zoo.md has the numbers): the
default is 0.01.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.zoo import registry
from harness.zoo.optimisation import move_towards
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from harness.zoo.tricks.game import Game, Scored


class HistorySettings(registry.Settings):
    """Settings of historical averaging."""

    weight: float = Field(0.01, gt=0, le=1e6, description="factor of the term")


class HistoricalAveraging(Trick):
    """Adds the squared distance from the average to both losses."""

    name = "historical_averaging"
    summary = "the parameters of both players are kept near the average of their past values"
    paper = "Salimans et al. 2016, section 3.3"
    capturable = True
    Settings = HistorySettings
    settings: HistorySettings
    requires = frozenset({"generator", "discriminator"})

    averages: dict[str, list[torch.Tensor]]
    steps: torch.Tensor

    def begin(self, game: Game) -> None:
        self.averages = {name: [p.detach().clone() for p in ps] for name, ps in self._parameters(game).items()}
        self.steps = self.averages["generator"][0].new_ones(())  # the initial values are the first of the average

    @staticmethod
    def _parameters(game: Game) -> dict[str, list[torch.Tensor]]:
        return {"generator": list(game.generator.parameters()), "discriminator": list(game.discriminator.parameters())}

    def _distance(self, game: Game, role: str) -> torch.Tensor:
        pairs = zip(self._parameters(game)[role], self.averages[role], strict=True)
        distances = [(parameter - average).square().sum() for parameter, average in pairs]
        return self.settings.weight * torch.stack(distances).sum()

    def discriminator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor:
        return self._distance(game, "discriminator")

    def generator_loss(self, game: Game, real: Scored, fake: Scored) -> torch.Tensor:
        return self._distance(game, "generator")

    def after_step(self, game: Game) -> None:
        self.steps += 1
        for role, parameters in self._parameters(game).items():
            move_towards(self.averages[role], parameters, 1 / self.steps)

    def state_dict(self) -> dict[str, Any]:
        return {"averages": self.averages, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for role, averages in state["averages"].items():
            for mine, theirs in zip(self.averages[role], averages, strict=True):
                mine.copy_(theirs)
        self.steps.copy_(state["steps"])

"""Samples from the generators of several times of the training, in equal parts.

Wang, Zhang and van de Weijer 2016 (self-ensembles): the generator keeps on changing, also when it is as
good as it gets, so the generators after different numbers of steps are different models. Here the training of T steps
is divided into M equal parts, and each member is the generator at the end of one part:

    p(x) = 1/M Σ_m p_g(x; θ_{m T / M}),   m = 1 … M

Training does not change. So the samples show what the generator has drawn in the course of the training: the classes
that they cover are the classes visited, beside those that the generator covers at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick

if TYPE_CHECKING:
    from torch import nn

    from harness.zoo.tricks.game import Game
    from harness.zoo.tricks.layers import Ensemble


class EnsembleSettings(registry.Settings):
    """Settings of the self-ensemble."""

    members: int = Field(10, ge=2, le=100, description="equal parts of the training; each ends with a member")


class SelfEnsemble(Trick):
    """Keeps copies of the generator, from all of which samples are generated."""

    name = "self_ensemble"
    summary = "samples come from the generators of ten times of the training: what it has drawn on its way"
    paper = "Wang et al. 2016, ensembles of generative adversarial networks"
    capturable = True
    Settings = EnsembleSettings
    settings: EnsembleSettings
    requires = frozenset({"generator"})
    claims = frozenset({"sampler"})
    hides = frozenset({"probability"})  # the discriminator was trained against the last generator alone

    ensemble: Ensemble

    def begin(self, game: Game) -> None:
        from harness.zoo.tricks.layers import Ensemble

        self.ensemble = Ensemble(game.generator, self.settings.members)

    def after_step(self, game: Game) -> None:
        # The member of the part that is under way is the generator so far: it stays when the part ends.
        part = (game.done * self.settings.members).long().clamp(max=self.settings.members - 1)
        self.ensemble.keep(part, game.generator)

    def sampler(self, game: Game) -> nn.Module:
        return self.ensemble

    def state_dict(self) -> dict[str, Any]:
        return {"ensemble": self.ensemble.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ensemble.load_state_dict(state["ensemble"])

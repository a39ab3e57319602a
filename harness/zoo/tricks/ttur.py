"""Two time-scale update rule: discriminator and generator have different learning rates.

Heusel et al. 2017, section 2. If the learning rates b(n) of the discriminator and a(n) of the generator fulfil

    a(n) / b(n) → 0

the game converges to a stationary local Nash equilibrium. In practice a discriminator rate a few times as large is
enough.
"""

from __future__ import annotations

from pydantic import Field

from harness.zoo import registry
from harness.zoo.tricks.base import Trick
from harness.zoo.tricks.game import Rates


class RateSettings(registry.Settings):
    """The two learning rates, which replace the model's."""

    generator_rate: float = Field(1e-4, gt=0, le=1, description="learning rate of the generator")
    discriminator_rate: float = Field(4e-4, gt=0, le=1, description="learning rate of the discriminator")


class TwoTimeScales(Trick):
    """Replaces the model's learning rates."""

    name = "ttur"
    summary = "two time scales: the discriminator learns four times as fast as the generator"
    paper = "Heusel et al. 2017, section 2"
    capturable = True
    Settings = RateSettings
    settings: RateSettings
    requires = frozenset({"generator", "discriminator"})

    def rates(self, rates: Rates) -> Rates:
        return Rates(self.settings.generator_rate, self.settings.discriminator_rate)

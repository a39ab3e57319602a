"""Two-sided label smoothing: moves the targets of real and of fake images towards each other.

It is a control: Salimans et al. 2016, section 3.4, warn of it. With targets α for real and β for fake images the
optimal discriminator is

    D(x) = (α p_data(x) + β p_model(x)) / (p_data(x) + p_model(x))

Where p_data is near 0 and p_model is large, D stays at β > 0, and nothing moves these samples towards the data.
"""

from __future__ import annotations

from pydantic import Field

from harness.zoo import registry
from harness.zoo.objectives import Targets
from harness.zoo.tricks.base import Trick


class TwoSidedSettings(registry.Settings):
    """The two targets."""

    real: float = Field(0.9, gt=0.5, le=1, description="the discriminator's target for real images (α)")
    fake: float = Field(0.1, ge=0, lt=0.5, description="the discriminator's target for generated images (β)")


class TwoSidedLabelSmoothing(Trick):
    """Targets α for real and β for generated images."""

    name = "two_sided_label_smoothing"
    summary = "targets .9 and .1: a control, which the paper warns of"
    paper = "Salimans et al. 2016, section 3.4"
    capturable = True
    Settings = TwoSidedSettings
    settings: TwoSidedSettings
    requires = frozenset({"targets"})
    hides = frozenset({"probability"})  # it lies between the two targets
    conflicts = frozenset({"one_sided_label_smoothing"})

    def targets(self, targets: Targets) -> Targets:
        return Targets(self.settings.real, self.settings.fake)

"""One-sided label smoothing: the discriminator's target for real images is slightly below 1; for fakes it stays 0.

Salimans et al. 2016, section 3.4. With targets α for real and β for fake images the optimal discriminator is

    D(x) = (α p_data(x) + β p_model(x)) / (p_data(x) + p_model(x))

With β > 0, where p_data is near 0, the p_model in the numerator would reward generated images for staying there.
Therefore β = 0.
"""

from __future__ import annotations

from pydantic import Field

from harness.zoo import registry
from harness.zoo.objectives import Targets
from harness.zoo.tricks.base import Trick


class SmoothingSettings(registry.Settings):
    """Settings of one-sided label smoothing."""

    target: float = Field(0.9, gt=0.5, lt=1, description="the discriminator's target for real images (α)")


class OneSidedLabelSmoothing(Trick):
    """Targets α for real and 0 for generated images."""

    name = "one_sided_label_smoothing"
    summary = "target .9 instead of 1 for real images only"
    paper = "Salimans et al. 2016, section 3.4"
    capturable = True
    Settings = SmoothingSettings
    settings: SmoothingSettings
    requires = frozenset({"targets"})
    hides = frozenset({"probability"})  # it is at most the target

    def targets(self, targets: Targets) -> Targets:
        return targets._replace(real=self.settings.target)

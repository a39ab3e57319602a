"""Quality of a translation between two domains: is the class preserved, and does the round trip restore the image?

Unpaired translation may map one class to another and still satisfy both discriminators. So the judge tells whether a
translated digit is still the same digit. With images x of the source's test split, their classes c, the translation G
into the suite's data and F back:

    class preserved = E_x[argmax judge(G(x)) = c],   cycle error = E_x ‖F(G(x)) − x‖₁ per pixel, pixels in [0, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from harness.metrics.base import Metric, Value
from harness.metrics.images import Images
from harness.zoo import registry
from harness.zoo.data.pixels import to_uint8

if TYPE_CHECKING:
    from harness.metrics.images import Reference
    from harness.zoo.models.base import Translation

SEED = 2017
"""The seed of the choice of images."""


class TranslationSettings(registry.Settings):
    """The number of translated images."""

    images: int = Field(2000, ge=1, le=100_000, description="images of the source's test split (all it has, at most)")


class TranslationQuality(Metric):
    """Class preservation according to the judge, and the error of the round trip.

    The classes of both domains must be the same, in the same order. The judge makes errors, too: its accuracy on real
    images (see its model card) limits what it can tell about translations.
    """

    name = "translation"
    summary = "share of translations in which the judge finds the source's class; error of the round trip"
    paper = "Zhu et al. 2017, equation 2 (cycle error)"
    Settings = TranslationSettings
    settings: TranslationSettings
    needs_judge = True
    requires = frozenset({"translation"})
    uses_features = False
    values = {
        "class_preserved": Value(
            "Class preserved",
            "higher",
            "Translated images that keep the class of their source, as the judge sees it. 100 % is perfect.",
            1,
            True,
            0,
            1,
            scale="share",
        ),
        "cycle_error": Value(
            "Cycle error",
            "lower",
            "Mean difference of a pixel, in [0, 1], between an image and itself after it was translated "
            "there and back. 0 is perfect.",
            4,
            least=0,
            scale="ratio",
        ),
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model = samples.model
        assert model is not None, "it is computed only for models that translate"
        rng = torch.Generator(model.compute.device).manual_seed(SEED)
        return self.score(model.translate(self.settings.images, rng), samples)

    @staticmethod
    def score(translation: Translation, samples: Images) -> dict[str, float]:
        """The values of one translation, with the judge of ``samples``."""
        translated = Images(to_uint8(translation.translated), samples.extractor, samples.judge)
        seen = translated.probabilities.argmax(1)
        return {
            "class_preserved": float((seen == translation.labels.cpu()).double().mean()),
            "cycle_error": float((translation.back - translation.source).abs().double().mean()) / 2,
        }

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {
            "images": self.settings.images,
            "judge": samples.judge.name,
            "judge_hash": samples.judge.digest[:16],
        }

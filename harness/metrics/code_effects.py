"""Code effects: what do InfoGAN's codes change in the image?

Chen et al. 2016 show in pictures (figure 2) that one continuous code turns the digits, another makes them thicker, and
the category chooses the digit. Here these are numbers, of images whose codes are set and whose z is drawn.

*A continuous code* is set to −1 and to 1, the ends of its range in training, with all other inputs equal. Its effect is
the mean change of a property of the image, in standard deviations of the property over the reference:

    | mean over images of f(c = 1) − f(c = −1) | / std over the reference of f

Two properties are measured. *Ink* is the mean intensity, in [0, 1]. *Slant* is the shear that would set the image
upright: with the intensities w as weights, x to the right and y downwards from their centre,

    − Σ w x y / Σ w y²,      0 for an image whose ink has no height; positive leans to the right

The value is that of the code with the largest effect.

*The category*: images of every category are given to the judge. Categories and classes are matched one to one, so that
as many images as possible have their category's class; the value is their share. If the generator ignores the category
it is near 1/classes, or a little above, because the matching is the best of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.metrics.code_accuracy import matched
from harness.metrics.images import Images
from harness.zoo.data.pixels import to_uint8

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.images import Reference

SEED = 2016
IMAGES = 2000
"""Images with a category each, and images at either end of a continuous code."""
BATCH = 500


class CodeEffects(Metric):
    """The largest effect of a continuous code on slant and on ink; how far the category decides the class."""

    name = "code_effects"
    summary = "what the codes do to the image: how far they turn it, thicken it, and choose its class"
    paper = "Chen et al. 2016 (InfoGAN), section 7.2 and figure 2"
    requires = frozenset({"code_inputs"})
    needs_judge = True
    uses_features = False
    values = {
        "code_slant": Value(
            "Code turns",
            "higher",
            "How far a continuous code turns the image from one end of its range to the other, in standard deviations "
            "of the slant of real images. 0: no code turns it.",
            least=0,
        ),
        "code_ink": Value(
            "Code thickens",
            "higher",
            "How much ink a continuous code adds from one end of its range to the other, in standard deviations of "
            "the ink of real images. 0: no code thickens it.",
            least=0,
        ),
        "code_class": Value(
            "Category decides the class",
            "higher",
            "Samples whose class is the one of their category. 100 %: the category alone decides the class; one part "
            "in as many as there are classes: it has no effect.",
            1,
            percent=True,
            least=0,
            most=1,
            scale="share",
        ),
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model = samples.model
        assert model is not None
        return self._continuous(model, reference) | {"code_class": self._category(model, samples, reference)}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        assert samples.judge is not None
        return {"judge": samples.judge.name, "judge_hash": samples.judge.digest[:16], "images": IMAGES}

    def _continuous(self, model: Any, reference: Reference) -> dict[str, float]:
        """The largest effects of the continuous codes; 0 if there are none."""
        found = {"code_slant": 0.0, "code_ink": 0.0}
        base = _categories(model, reference.pixels.device)
        for code in range(model.settings.categories, base.shape[1]):
            low, high = (_drawn(model, _with(base, code, end)) for end in (-1.0, 1.0))
            for name, of in (("code_slant", slant), ("code_ink", ink)):
                found[name] = max(found[name], effect(of(low), of(high), of(reference.pixels)))
        return found

    def _category(self, model: Any, samples: Images, reference: Reference) -> float:
        codes = _categories(model, reference.pixels.device)
        drawn = Images(_drawn(model, codes), samples.extractor, samples.judge)
        return agreement(
            codes[:, : model.settings.categories].argmax(1).cpu(),
            drawn.probabilities.argmax(1).cpu(),
            reference.data.shape.classes,
        )


def _categories(model: Any, device: torch.device) -> Tensor:
    """Codes (n, K + C): the categories in turn, one-hot; the continuous codes uniform on [−1, 1]."""
    k, rng = model.settings.categories, torch.Generator().manual_seed(SEED)
    turn = torch.arange(IMAGES) % k
    continuous = torch.rand(IMAGES, model.settings.continuous, generator=rng) * 2 - 1
    return torch.cat([torch.nn.functional.one_hot(turn, k), continuous], 1).to(device)


def _with(codes: Tensor, column: int, value: float) -> Tensor:
    changed = codes.clone()
    changed[:, column] = value
    return changed


def _drawn(model: Any, codes: Tensor) -> Tensor:
    """uint8 images (n, c, h, w) of these codes; z is the same at every call."""
    rng = torch.Generator(codes.device).manual_seed(SEED)
    return torch.cat([to_uint8(model.sample_codes(part, rng)) for part in torch.split(codes, BATCH)])


def effect(low: Tensor, high: Tensor, real: Tensor) -> float:
    """| mean(high − low) | / std(real) for a property of images (n,), (n,) and (m,); 0 if all real ones are equal."""
    spread = float(real.std(correction=0))
    return abs(float((high - low).mean())) / spread if spread > 0 else 0.0


def agreement(categories: Tensor, classes: Tensor, count: int) -> float:
    """The share of images (n,) with the class of their category, under the best one-to-one matching."""
    pairs = torch.bincount(categories * count + classes, minlength=(int(categories.max()) + 1) * count)
    table = pairs.view(-1, count).double()
    return float(sum(table[pair] for pair in matched(table))) / len(categories)


def ink(pixels: Tensor) -> Tensor:
    """The mean intensity in [0, 1] of uint8 images (n, c, h, w): (n,), float64."""
    return torch.cat([part.double().flatten(1).mean(1) for part in torch.split(pixels, BATCH)]) / 255


def slant(pixels: Tensor) -> Tensor:
    """−Σ w x y / Σ w y² of uint8 images (n, c, h, w), about the centre of the ink: (n,), float64."""
    return torch.cat([_slant(part.double().mean(1)) for part in torch.split(pixels, BATCH)])


def _slant(grey: Tensor) -> Tensor:
    height, width = grey.shape[1:]
    y = torch.arange(height, device=grey.device).double().view(1, -1, 1)
    x = torch.arange(width, device=grey.device).double().view(1, 1, -1)
    whole = grey.sum((1, 2), keepdim=True).clamp(min=1e-12)
    y, x = (at - (grey * at).sum((1, 2), keepdim=True) / whole for at in (y, x))
    across, down = (grey * x * y).sum((1, 2)), (grey * y * y).sum((1, 2))
    return torch.where(down > 0, -across / down.clamp(min=1e-12), torch.zeros_like(down))

"""Interpolation: does the point half way between two codes, or two latents, show a class?

An autoencoder learns nothing about the codes between those of the training images; a VAE's noise makes neighbouring
codes decode alike (Kingma and Welling 2014), so that ½ a + ½ b should show something, too. The judge is asked whether
it accepts the shape of the decoded images; the value is the share that it accepts.

For models that encode, the ends are the codes of reference images, in pairs of one class and in pairs of two classes:
half way between two 3s a 3 is expected, half way between a 3 and a 0 any digit. Beside these stands the share of the
reconstructions of single images, since what the model cannot draw at the ends it cannot draw between them.

For a GAN, which has no encoder, the ends are latents z as they are drawn in training. If the generator gets labels or
codes, too, they are those of the one end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.base import Metric, Value
from harness.zoo.data.pixels import from_uint8, to_uint8

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from harness.judge.judge import Judge
    from harness.metrics.images import Images, Reference
    from harness.zoo.data.base import DataSet

SEED = 2013
PAIRS = 2000
"""The largest number of pairs of each kind."""
BATCH = 500


class Interpolation(Metric):
    """Shares of accepted images half way between the codes of two reference images."""

    name = "interpolation"
    summary = "share of images half way between the codes of two real images that show a class"
    paper = "Kingma and Welling 2014, appendix A (between codes); the share is the judge's"
    requires = frozenset({"reconstruction"})
    needs_judge = True
    uses_features = False
    values = {
        "between_classes": Value(
            "Between two classes",
            "higher",
            "Images half way between the codes of two real images of different classes whose shape is of some class. "
            "100 %: all show one.",
            1,
            percent=True,
            least=0,
            most=1,
            scale="share",
        ),
        "between_same": Value(
            "Between two of a class",
            "higher",
            "Images half way between the codes of two real images of one class whose shape is of some class. "
            "100 %: all show one.",
            1,
            percent=True,
            least=0,
            most=1,
            scale="share",
        ),
        "at_the_ends": Value(
            "At the ends",
            "higher",
            "Real images whose shape is of some class after they were encoded and decoded. The shares between the ends "
            "are to be read beside this one. 100 %: all show one.",
            1,
            percent=True,
            least=0,
            most=1,
            scale="share",
        ),
    }

    @classmethod
    def refusal(cls, settings: Any, data: DataSet) -> str | None:
        if data.kept is not None and len(data.kept) == 1:
            return "it needs images of two classes"
        return super().refusal(settings, data)

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        assert samples.judge is not None
        codes = _in_parts(lambda part: model.encode(from_uint8(part)), reference.pixels)

        def accepted(one: Tensor, other: Tensor) -> float:
            middle = torch.lerp(codes[one], codes[other], 0.5)
            return accepted_share(_in_parts(lambda part: to_uint8(model.decode(part)), middle), samples.judge)

        ends, _ = pairs(reference.labels, same=False)
        return {
            "between_classes": accepted(*pairs(reference.labels, same=False)),
            "between_same": accepted(*pairs(reference.labels, same=True)),
            "at_the_ends": accepted(ends, ends),
        }

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return _judged_by(samples)


class LatentInterpolation(Metric):
    """The share of accepted images half way between two latents of a GAN."""

    name = "latent_interpolation"
    summary = "share of images half way between two latents z that show a class"
    paper = "Radford et al. 2016, section 6.1 (walking in the latent space); the share is the judge's"
    requires = frozenset({"generator", "latent"})
    needs_judge = True
    uses_features = False
    values = {
        "between_latents": Value(
            "Between two latents",
            "higher",
            "Images half way between two latents whose shape is of some class. 100 %: all show one.",
            1,
            percent=True,
            least=0,
            most=1,
            scale="share",
        )
    }

    def compute(self, samples: Images, reference: Reference) -> dict[str, float]:
        model: Any = samples.model
        assert samples.judge is not None
        device = reference.pixels.device
        rng = torch.Generator(device).manual_seed(SEED)
        one, other = model.latents(2 * PAIRS, rng).chunk(2)
        middle = one.clone()
        middle[:, : model.latent] = torch.lerp(one, other, 0.5)[:, : model.latent]
        drawn = _in_parts(lambda part: to_uint8(model.images_from(part)), middle)
        return {"between_latents": accepted_share(drawn, samples.judge)}

    def protocol(self, samples: Images, reference: Reference) -> dict[str, Any]:
        return _judged_by(samples)


def accepted_share(pixels: Tensor, judge: Judge | None) -> float:
    """The share of uint8 images (n, c, h, w) whose shape the judge accepts as one of a class."""
    assert judge is not None
    _, scores = judge.assess(pixels)
    return float((scores >= judge.threshold).double().mean())


def pairs(labels: Tensor, same: bool) -> tuple[Tensor, Tensor]:
    """Places of the two images of each pair, (m,) and (m,), m ≤ ``PAIRS``; an image is in two pairs at most.

    Args:
        labels: the classes (n,) of the images.
        same: pairs of one class; else of two classes.
    """
    rng = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(labels), generator=rng)
    known = labels.cpu()
    if same:
        order = order[known[order].argsort(stable=True)]
    one, other = order[:-1], order[1:]
    fit = ((known[one] == known[other]) == same).nonzero()[:, 0]
    chosen = fit[torch.randperm(len(fit), generator=rng)[:PAIRS]]
    return one[chosen].to(labels.device), other[chosen].to(labels.device)


def _in_parts(compute: Callable[[Tensor], Tensor], whole: Tensor) -> Tensor:
    return torch.cat([compute(part) for part in torch.split(whole, BATCH)])


def _judged_by(samples: Images) -> dict[str, Any]:
    assert samples.judge is not None
    return {"judge": samples.judge.name, "judge_hash": samples.judge.digest[:16], "pairs": PAIRS}

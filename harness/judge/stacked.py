"""A judge for images with several channels, made from a judge for one channel.

Stacked MNIST (Metz et al. 2017, "Unrolled Generative Adversarial Networks", section 3.3) shows a digit in each of
three channels: 1000 classes, of which class 100 r + 10 g + b shows r in the first channel, g in the second, b in the
third. The channels are assumed independent given the image, so joint probabilities are products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.base import digests
from harness.judge.judge import Judge


class StackedJudge:
    """Combines a one-channel judge's results for every channel.

    Attributes:
        single: the judge of one channel.
        name: the name of that judge.
        digest: SHA-256 of that judge's digest and the number of channels.
        shape: channels, height and width of the images.
        classes: the number of combinations of its classes.
        threshold: the threshold of the judge, which every channel must reach.
        style_threshold: likewise, of the style.
    """

    def __init__(self, single: Judge, channels: int = 3) -> None:
        self.single = single
        self.name = single.name
        self.digest = digests.of_text(f"{single.digest} {channels} channels")
        self.shape = (channels, *single.shape[1:])
        self.classes = single.classes**channels
        self.threshold = single.threshold
        self.style_threshold = single.style_threshold

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images -> the channels' features side by side, and the logarithms of the joint probabilities."""
        parts = [self.single.features(channel) for channel in torch.split(images, 1, 1)]
        joint = _every_sum([logits.log_softmax(1) for _, logits in parts])
        return torch.cat([features for features, _ in parts], 1), joint

    def assess(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images -> joint class probabilities, and the smallest score of all channels."""
        parts = [self.single.assess(channel) for channel in torch.split(images, 1, 1)]
        joint = _every_sum([probabilities.log() for probabilities, _ in parts]).exp()
        return joint, torch.stack([score for _, score in parts]).amin(0)

    def style(self, images: Tensor) -> Tensor:
        """uint8 images -> the smallest style score of all channels."""
        return torch.stack([self.single.style(channel) for channel in torch.split(images, 1, 1)]).amin(0)


def _every_sum(channels: Sequence[Tensor]) -> Tensor:
    """(n, k) per channel -> (n, k ** channels): all sums of one value per channel; the last channel varies fastest."""
    total = channels[0]
    for values in channels[1:]:
        total = (total[:, :, None] + values[:, None, :]).flatten(1)
    return total

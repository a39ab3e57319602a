"""The 1 797 handwritten digits of scikit-learn, in the format of MNIST: data for machines without a network.

The originals (Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI; its test part) count the ink
in the 8×8 blocks of a 32×32 scan, 0 to 16 per block. Two steps make images of 28×28 from them, like MNIST's:

1. Enlarge 2.5 times, so that the 8×8 blocks cover 20×20 pixels, with the Catmull-Rom cubic (Keys 1981, a = −½) in both
   directions; outside the scan there is no ink. All sampling points are multiples of 1/10, so the weights are multiples
   of 1/2000, and integer arithmetic gives the same exact result on every machine.
2. Cut a 28×28 window out of the wider canvas, at whole pixels, with the centre of mass of the ink in the middle.

The split: order all digits by class and, within a class, by their position in scikit-learn's table; every third one
(the third, sixth, …) is held out. So both parts have the same class shares and the same writers. Within a part the
digits are in scikit-learn's order.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from harness.base import digests
from harness.base.errors import HarnessError
from harness.zoo.data.base import DataSet, Labelled, Shape, Split
from harness.zoo.data.strokes import StrokeSettings, redrawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DIGEST = "f23f79de7fd7d4c9b8d9360ec287382333a820b04851c0c8d9bd2048fe19477a"
MARGIN = 12
"""Pixels of canvas around the enlarged 20×20: enough for every window with the ink in its middle."""


class Digits(DataSet):
    """The embedded data set: comes with scikit-learn, loads in a fraction of a second."""

    name = "digits"
    summary = "1 198 + 599 handwritten digits of scikit-learn, enlarged to 28×28 (embedded)"
    paper = "Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI"
    judge = "mnist"
    Settings = StrokeSettings
    settings: StrokeSettings

    @property
    def shape(self) -> Shape:
        return Shape(channels=1, height=28, width=28, classes=10)

    def whole_digest(self) -> str:
        return DIGEST

    def whole(self, split: Split) -> Labelled:
        images, labels = _table()
        chosen = _held_out(labels) == (split == "test")
        return Labelled(redrawn(torch.tensor(images[chosen]), self.settings.stroke), torch.tensor(labels[chosen]))


@functools.cache
def _table() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All images (1797, 1, 28, 28) and labels, verified. Callers must return only copies of it."""
    import numpy as np
    from sklearn.datasets import load_digits

    originals, labels = load_digits(return_X_y=True)
    images = _enlarge(originals.reshape(-1, 8, 8).astype(np.int64))
    labels = labels.astype(np.int64)
    digest = digests.of_bytes(images.tobytes(), labels.astype("<i8").tobytes())
    if digest != DIGEST:
        raise HarnessError(
            f"the digits of scikit-learn are not the expected ones: SHA-256 {digest} after resampling, "
            f"expected {DIGEST}; reinstall scikit-learn (any version from 1.4 on), or use another data set"
        )
    return images, labels


def _enlarge(blocks: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Counts of ink (n, 8, 8) in 0..16 -> images (n, 1, 28, 28) in 0..255."""
    import numpy as np

    weights = _weights()
    canvas = weights @ blocks @ weights.T * 255
    unit = 16 * 2000**2
    canvas = ((2 * canvas + unit) // (2 * unit)).clip(0, 255)  # rounds half up, exactly
    images = [_centred(image) for image in canvas]
    return np.stack(images)[:, None].astype(np.uint8)


def _weights() -> NDArray[np.int64]:
    """The cubic's weights (canvas, 8), in units of 1/2000."""
    import numpy as np

    pixels = np.arange(-MARGIN, 20 + MARGIN)[:, None]
    tenths = 4 * pixels - 3 - 10 * np.arange(8)  # distance of a pixel's centre from a block's, 1/10 block
    t = np.abs(tenths)
    near = 3 * t**3 - 50 * t**2 + 2000  # (3t³ − 5t² + 2) / 2 for t ≤ 1
    far = -(t**3) + 50 * t**2 - 800 * t + 4000  # (−t³ + 5t² − 8t + 4) / 2 for 1 ≤ t ≤ 2
    return np.where(t <= 10, near, np.where(t <= 20, far, 0))


def _centred(canvas: NDArray[np.int64]) -> NDArray[np.int64]:
    """The 28×28 window of one image's canvas whose middle is nearest to the centre of mass of the ink."""
    import numpy as np

    places, ink = np.arange(len(canvas)), int(canvas.sum())
    top, left = ((int((canvas.sum(axis) * places).sum()) - 13 * ink) // ink for axis in (1, 0))
    return canvas[top : top + 28, left : left + 28]


def _held_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which digits belong to the test split: every third, in the order of class and then of position."""
    import numpy as np

    held_out = np.zeros(len(labels), dtype=bool)
    held_out[np.argsort(labels, kind="stable")[2::3]] = True
    return held_out

"""Images with their features and class probabilities, extracted once and shared by all metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.base import digests
from harness.base.files import COMPUTED_ANEW, load_state, save_state

if TYPE_CHECKING:
    from torch import Tensor

    from harness.judge.judge import Judge
    from harness.zoo.data.base import DataSet, Labelled
    from harness.zoo.models.base import Model


class Extractor(Protocol):
    """A network that extracts features and logits from images, for Fréchet distance, KID and similar metrics."""

    name: str
    digest: str

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images (n, c, h, w) -> features (n, d) and logits (n, classes), both float32."""
        ...


class Images:
    """A set of images (n, c, h, w) on the device. Features are computed at their first use.

    Args:
        pixels: the images, uint8; or points, float32 in [-1, 1], shape (n, 2, 1, 1).
        extractor: the source of features and logits.
        judge: the judge of the data's classes, or None if there is none.
        cache: the folder of cached features, named by the digest of the images; None: no cache.
        model: the model that generated them, for metrics that need more than samples; None for real images.
    """

    def __init__(
        self,
        pixels: Tensor,
        extractor: Extractor,
        judge: Judge | None,
        cache: Path | None = None,
        model: Model | None = None,
    ) -> None:
        self.pixels = pixels
        self.extractor = extractor
        self.judge = judge
        self.model = model
        self._cache = cache

    def __len__(self) -> int:
        return len(self.pixels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of shape and content."""
        content = self.pixels.cpu().contiguous().numpy()
        return digests.of_bytes(repr(tuple(self.pixels.shape)).encode(), content.tobytes())

    @property
    def features(self) -> Tensor:
        """Features (n, d), float32, on the CPU, because torch-fidelity computes there."""
        return self._extracted["features"]

    @property
    def logits(self) -> Tensor:
        """Logits (n, classes of the extractor), float32, on the CPU."""
        return self._extracted["logits"]

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities (n, classes) by the judge's shape network, on the CPU."""
        return self._assessed["probabilities"]

    @property
    def confidence(self) -> Tensor:
        """The judge's confidence (n,), in [0, 1], that the image shows one of the classes; on the CPU."""
        return self._assessed["confidence"]

    @property
    def style(self) -> Tensor:
        """The judge's score (n,) that the pixels look like those of the data, whatever they show; on the CPU."""
        return self._assessed["style"]

    @cached_property
    def _extracted(self) -> dict[str, Tensor]:
        def compute() -> dict[str, Tensor]:
            features, logits = self.extractor.features(self.pixels)
            return {"features": features.cpu(), "logits": logits.cpu()}

        return cached_tensors(self._cache, ("features", self.extractor.digest, self), compute)

    @cached_property
    def _assessed(self) -> dict[str, Tensor]:
        judge = self.judge
        assert judge is not None, "the plan refuses a metric that needs a judge for data without one"

        def compute() -> dict[str, Tensor]:
            probabilities, confidence = judge.assess(self.pixels)
            style = judge.style(self.pixels)
            return {"probabilities": probabilities.cpu(), "confidence": confidence.cpu(), "style": style.cpu()}

        return cached_tensors(self._cache, ("assessed", judge.digest, self), compute)


class Reference(Images):
    """The real images that samples are compared with.

    Args:
        labels: the labels (n,) of these images.
        training: the images, as stored, and the labels that the model is trained on.
        data: the data set that both come from.
    """

    def __init__(
        self,
        pixels: Tensor,
        extractor: Extractor,
        judge: Judge | None,
        labels: Tensor,
        training: Labelled,
        data: DataSet,
        cache: Path | None = None,
    ) -> None:
        super().__init__(pixels, extractor, judge, cache)
        self.labels = labels
        self.training = training
        self.data = data


def cached_tensors(
    folder: Path | None, key: tuple[str, str, Images], compute: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors from the cache, named by (kind, digest of the extractor, digest of the images); else computed."""
    if folder is None:
        return compute()
    kind, extractor, images = key
    path = folder / f"{kind}-{extractor[:16]}-{images.digest[:24]}.pt"
    found = load_state(path, COMPUTED_ANEW)
    if found is None:
        found = compute()
        save_state(path, found)
    return found

"""Images and what the judges say of them, extracted once and shared by all metrics."""

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
    """What turns images into the features and logits that Fréchet distance, KID and their like are made of."""

    name: str
    digest: str

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images (n, c, h, w) -> features (n, d) and logits (n, classes), both float32."""
        ...


class Images:
    """A set of images (n, c, h, w), on the device, with judge features that are computed when first asked for.

    Args:
        pixels: the images, uint8; or points, float32 in [-1, 1], shape (n, 2, 1, 1).
        extractor: the source of features and logits.
        judge: the judge of the data's classes, or None where the data has none.
        cache: the folder in which features are kept by content (None: they are not kept).
        model: the model that made them, or None for real images: for metrics that ask it for more than samples.
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
        """Features (n, d), float32, on the CPU, where torch-fidelity computes."""
        return self._extracted["features"]

    @property
    def logits(self) -> Tensor:
        """Logits (n, classes of the extractor), float32, on the CPU."""
        return self._extracted["logits"]

    @property
    def probabilities(self) -> Tensor:
        """Class probabilities (n, classes) by the coverage judge, on the CPU."""
        return self._assessed["probabilities"]

    @property
    def confidence(self) -> Tensor:
        """How surely each image shows one of the classes at all, (n,), in [0, 1], on the CPU."""
        return self._assessed["confidence"]

    @cached_property
    def _extracted(self) -> dict[str, Tensor]:
        def compute() -> dict[str, Tensor]:
            features, logits = self.extractor.features(self.pixels)
            return {"features": features.cpu(), "logits": logits.cpu()}

        return cached_tensors(self._cache, ("features", self.extractor.digest, self), compute)

    @cached_property
    def _assessed(self) -> dict[str, Tensor]:
        judge = self.judge
        assert judge is not None, "a metric that needs a judge is refused for data without one"

        def compute() -> dict[str, Tensor]:
            probabilities, confidence = judge.assess(self.pixels)
            return {"probabilities": probabilities.cpu(), "confidence": confidence.cpu()}

        return cached_tensors(self._cache, ("assessed", judge.digest, self), compute)


class Reference(Images):
    """The real images that samples are held against.

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
    """Tensors kept in a folder under (kind, digest of the extractor, digest of the images), else computed."""
    if folder is None:
        return compute()
    kind, extractor, images = key
    path = folder / f"{kind}-{extractor[:16]}-{images.digest[:24]}.pt"
    found = load_state(path, COMPUTED_ANEW)
    if found is None:
        found = compute()
        save_state(path, found)
    return found

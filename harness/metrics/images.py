"""Images with their features, class probabilities and nearest neighbours, computed once and shared by all metrics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from harness.base import digests
from harness.base.files import COMPUTED_ANEW, load_tensors, made_once, save_tensors
from harness.metrics import neighbours

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
    """A set of images (n, c, h, w) on the device. What metrics ask for is computed at its first use, and kept.

    Args:
        pixels: the images, uint8; or points, float32 in [-1, 1], shape (n, 2, 1, 1).
        extractor: the source of features and logits.
        judge: the judge of the data's classes, or None if there is none.
        cache: the folder of what is kept on the disk, named by the digest of the images; None: it is in memory only.
        model: the model that generated them, for metrics that need more than samples; None for real images.
        balls: the k of the balls that metrics will ask for, if known: one pass over the pairs of images serves all.
    """

    def __init__(
        self,
        pixels: Tensor,
        extractor: Extractor,
        judge: Judge | None,
        cache: Path | None = None,
        model: Model | None = None,
        balls: Collection[int] = (),
    ) -> None:
        self.pixels = pixels
        self.extractor = extractor
        self.judge = judge
        self.model = model
        self._cache = cache
        self._balls = frozenset(balls)
        self._kept: dict[str, dict[str, Tensor]] = {}
        self._held: tuple[Images, dict[int, neighbours.Balls]] | None = None
        self._whole: tuple[Images, Tensor] | None = None

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

    def part(self, rows: Tensor) -> Images:
        """Some of these images. What networks say of them is taken from the whole; nothing of them is cached."""
        chosen = Images(self.pixels[rows.to(self.pixels.device)], self.extractor, self.judge, balls=self._balls)
        chosen._whole = self, rows.cpu()
        return chosen

    def radii(self, k: int) -> Tensor:
        """The distance (n,) of each image's features to the k-th nearest of the others (the farthest, if fewer)."""
        most = min(max(self._balls | {k}), len(self) - 1)
        if most < 1:
            return self.features.new_zeros(len(self)).double()

        def compute() -> dict[str, Tensor]:
            return {"radii": neighbours.radii(self._features_on_device, most)}

        return self.kept(f"radii-{most}", self.extractor.digest, compute)["radii"][:, min(k, most) - 1]

    def balls(self, reference: Images, k: int) -> neighbours.Balls:
        """What the balls hold whose radius is the distance to the k-th nearest of a set; on the CPU.

        ``one`` is this set, ``other`` the reference: see ``harness.metrics.neighbours.Balls``.
        """
        if self._held is None or self._held[0] is not reference:
            self._held = reference, {}
        found = self._held[1]
        if k not in found:
            every = sorted(self._balls | {k})
            device = self.pixels.device
            reaches = [(self.radii(one).to(device), reference.radii(one).to(device)) for one in every]
            held = neighbours.balls(self._features_on_device, reference._features_on_device, reaches)
            found |= {one: neighbours.Balls(*(part.cpu() for part in of)) for one, of in zip(every, held, strict=True)}
        return found[k]

    def kept(self, kind: str, source: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors that depend only on these images and on their source; computed once, and held on the CPU.

        With a cache they are written to it, once for all processes.

        Args:
            kind: what they are.
            source: the digest of the network that they come from.
            compute: computes them.
        """
        if kind not in self._kept:
            self._kept[kind] = self._from_cache(kind, source, compute)
        return self._kept[kind]

    def _from_cache(self, kind: str, source: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        def make() -> dict[str, Tensor]:
            return {name: tensor.cpu() for name, tensor in compute().items()}

        if self._cache is None:
            return make()
        path = self._cache / f"{kind}-{digests.of_text(source)[:16]}-{self.digest[:24]}.safetensors"
        return made_once(path, lambda path: load_tensors(path, COMPUTED_ANEW), make, save_tensors)

    @property
    def _features_on_device(self) -> Tensor:
        return self.features.to(self.pixels.device)

    @property
    def _extracted(self) -> dict[str, Tensor]:
        def compute() -> dict[str, Tensor]:
            if self._whole is not None:
                return self._chosen(self._whole[0]._extracted)
            return dict(zip(("features", "logits"), self.extractor.features(self.pixels), strict=True))

        return self.kept("features", self.extractor.digest, compute)

    @property
    def _assessed(self) -> dict[str, Tensor]:
        judge = self.judge
        assert judge is not None, "the plan refuses a metric that needs a judge for data without one"

        def compute() -> dict[str, Tensor]:
            if self._whole is not None:
                return self._chosen(self._whole[0]._assessed)
            probabilities, confidence = judge.assess(self.pixels)
            return {"probabilities": probabilities, "confidence": confidence, "style": judge.style(self.pixels)}

        return self.kept("assessed", judge.digest, compute)

    def _chosen(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        assert self._whole is not None
        return {name: tensor[self._whole[1]] for name, tensor in values.items()}


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
        balls: Collection[int] = (),
    ) -> None:
        super().__init__(pixels, extractor, judge, cache, balls=balls)
        self.labels = labels
        self.training = training
        self.data = data

    def part(self, rows: Tensor) -> Reference:
        """Some of these images, with their labels, as a reference: see ``Images.part``."""
        places = rows.to(self.pixels.device)
        pixels, labels = self.pixels[places], self.labels[places]
        chosen = Reference(pixels, self.extractor, self.judge, labels, self.training, self.data, balls=self._balls)
        chosen._whole = self, rows.cpu()
        return chosen

"""An evaluation: one generation pass, one feature pass, all metrics; each value has a protocol and a floor."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.base import digests, files
from harness.base.seeds import derived
from harness.metrics.images import Extractor, Images, Reference
from harness.suite.fingerprint import fingerprint
from harness.zoo.compatibility import offered
from harness.zoo.data.pixels import to_uint8

if TYPE_CHECKING:
    from torch import Tensor

    from harness.metrics.base import Metric
    from harness.suite import Evaluate
    from harness.zoo.data.base import DataSet, Labelled
    from harness.zoo.models.base import Model

GENERATION_BATCH = 500
"""Batch size of sampling. It is not a setting, because it changes which latents make which image."""


class NotFinite(Exception):
    """A sample of the model holds NaN or infinity."""


@dataclass(frozen=True)
class Evaluation:
    """The results of one evaluation of a model."""

    values: dict[str, float]
    floors: dict[str, float]
    """The same metrics for real images that no judge was trained on."""
    histograms: dict[str, dict[str, list[Any]]]
    protocol: dict[str, dict[str, Any]]


class Evaluator:
    """Evaluates models on one data set under one protocol.

    Args:
        config: the metrics and the number of samples.
        data: the data set.
        training: its training split.
        device: where features are extracted.
        cache: the folder of cached reference features and floors; file names are digests of the content. None: no
            cache.
    """

    def __init__(
        self, config: Evaluate, data: DataSet, training: Labelled, device: torch.device, cache: Path | None
    ) -> None:
        self.config = config
        self.data = data
        self.training = training
        self.device = device
        # The folder's name has the digest of the code: other code may compute other values from the same images.
        self.cache = cache / _code(config) if cache else None
        self.metrics = [choice.make() for choice in config.metrics]
        self._balls = {metric.balls for metric in self.metrics} - {0}

    @cached_property
    def judge(self) -> Any:
        """The judge of the data set's classes, or None."""
        from harness import judge

        return judge.load_for(self.data, self.device)

    @cached_property
    def extractor(self) -> Extractor:
        """The network that extracts features."""
        from harness import judge
        from harness.judge.inception import Inception
        from harness.judge.points import NoFeatures, Points

        extractor: Extractor
        if self.config.features == "points":
            extractor = Points()
        elif self.config.features == "none":
            extractor = NoFeatures()
        elif self.config.features == "inception":
            extractor = Inception(self.device)
        elif self.judge is not None and self.config.features == self.judge.name:
            extractor = self.judge
        else:
            assert self.config.features is not None, "the plan sets it"
            extractor = judge.load(self.config.features, self.device)
        return extractor

    @cached_property
    def reference(self) -> Reference:
        """The real images that samples are compared with: the whole split that the protocol names."""
        split = self.training if self.config.split == "train" else self.data.load(self.config.split)
        pixels = split.images.to(self.device)
        labels = split.labels.to(self.device)
        known = self.extractor, self.judge, labels, self.training, self.data, self.cache, self._balls
        return Reference(pixels, *known)

    @cached_property
    def floors(self) -> dict[str, float]:
        """Every metric for real images that no judge was trained on: the value that a perfect generator would have.

        They are images of the test split, as many as there are samples, or all. If the samples' reference is the test
        split too, one half of it stands for the samples and the other half is their reference: with fewer images than
        samples, distances such as FID come out a little higher.
        """
        real, reference = self._real()

        def compute() -> dict[str, float]:
            floors: dict[str, float] = {}
            for metric in self.metrics:
                floors |= metric.floors(real, reference)
            return floors

        if self.cache is None:
            return compute()
        name = {
            "metrics": [choice.canonical() for choice in self.config.metrics],
            "images": [real.digest, reference.digest],
            "training_labels": self.training.labels.bincount().tolist(),
            "features": self.extractor.digest,
            "judge": self.judge.digest if self.judge else None,
        }
        return files.made_once(self.cache / f"floors-{digests.of_value(name)[:24]}.sealed", _read, compute, _write)

    def _real(self) -> tuple[Images, Reference]:
        """The real images that stand for samples, and their reference."""
        test = self.data.load("test")
        order = torch.randperm(len(test.images), generator=torch.Generator().manual_seed(0))
        if self.config.split == "test":
            half = len(order) // 2
            return self.reference.part(order[:half][: self.config.samples]), self.reference.part(order[half:])
        pixels = test.images[order[: self.config.samples].to(test.images.device)].to(self.device)
        return Images(pixels, self.extractor, self.judge, self.cache, balls=self._balls), self.reference

    def evaluate(self, model: Model, seed: int) -> Evaluation:
        """Sample the model and compute all metrics. Torch's random states are the same afterwards as before."""
        with untouched_randomness(self.device):
            samples = self._samples(model, seed)
            values = self._compute(samples, self.metrics)
            histograms: dict[str, dict[str, list[Any]]] = {}
            for metric in self._answered(samples, self.metrics):
                histograms |= metric.histograms(samples, self.reference)
            return Evaluation(values, self.floors, histograms, self.protocol(samples))

    def value(self, model: Model, seed: int, column: str) -> float:
        """One number of ``evaluate``, without what it does not need."""
        with untouched_randomness(self.device):
            metrics = [metric for metric in self.metrics if column in metric.values]
            return self._compute(self._samples(model, seed), metrics)[column]

    def shortened(self, samples: int) -> Evaluator:
        """An evaluator with another number of samples. It shares judge, extractor and reference with this one.

        Torch's random states are the same afterwards as before.
        """
        shorter = copy.copy(self)
        with untouched_randomness(self.device):  # a network that is about to be loaded draws its weights first
            for name in ("judge", "extractor", "reference"):  # getattr computes them now, once for both
                setattr(shorter, name, getattr(self, name))
        shorter.config = self.config.model_copy(update={"samples": samples})
        shorter.__dict__.pop("floors", None)
        return shorter

    def judged_by(self, name: str) -> Evaluator:
        """An evaluator with another judge, for classes and for features that came from the judge."""
        from harness import judge

        own = self.judge is not None and self.config.features == self.judge.name
        other = Evaluator(self.config, self.data, self.training, self.device, None)
        other.config = self.config.model_copy(update={"features": name} if own else {})
        with untouched_randomness(self.device):
            other.__dict__["judge"] = judge.load_for(self.data, self.device, name)
            if own:
                other.__dict__["extractor"] = other.judge
        return other

    def draw(self, model: Model, seed: int) -> Tensor:
        """Samples in the format of the stored data (uint8; floats for points). The latents depend only on the seed.

        Raises:
            NotFinite: a sample holds NaN or infinity.
        """
        rng = torch.Generator(self.device).manual_seed(seed)
        parts, missing = [], self.config.samples
        while missing > 0:
            n = min(missing, GENERATION_BATCH)
            images = model.sample(n, rng)
            if not bool(images.isfinite().all()):
                raise NotFinite("the samples hold NaN or infinity")
            parts.append((images.float().clamp(-1, 1) if self.data.points else to_uint8(images)).contiguous())
            missing -= n
        return torch.cat(parts)

    def protocol(self, samples: Images) -> dict[str, dict[str, Any]]:
        """What the values of each metric depend on. Only values with equal protocols may be compared."""
        common = {
            "data": self.data.name,
            "data_hash": self.data.digest()[:16],
            "samples": len(samples),
            "reference": len(self.reference),
            "split": self.config.split,
            "features": self.extractor.name,
            "features_hash": self.extractor.digest[:16],
            "precision": "float32",
        }
        answered = self._answered(samples, self.metrics)
        return {metric.name: common | metric.protocol(samples, self.reference) for metric in answered}

    @staticmethod
    def _answered(samples: Images, metrics: list[Metric]) -> list[Metric]:
        """The metrics that apply to these samples: all except those that require what the model does not offer."""
        model = samples.model
        can = offered(model, model.settings, model.tricks) if model is not None else frozenset()
        return [metric for metric in metrics if metric.requires <= can]

    def _samples(self, model: Model, seed: int) -> Images:
        return Images(self.draw(model, seed), self.extractor, self.judge, model=model, balls=self._balls)

    def _compute(self, samples: Images, metrics: list[Metric]) -> dict[str, float]:
        values: dict[str, float] = {}
        for metric in self._answered(samples, metrics):
            values |= metric.compute(samples, self.reference)
        if bad := [name for name, value in values.items() if not math.isfinite(value)]:
            raise ValueError(f"{', '.join(bad)} is NaN or infinite")
        return values


def _read(path: Path) -> dict[str, float] | None:
    known = files.read_sealed(path, files.COMPUTED_ANEW)
    return None if known is None else json.loads(known)


def _write(path: Path, floors: dict[str, float]) -> None:
    files.write_sealed(path, json.dumps(floors).encode())


@contextlib.contextmanager
def untouched_randomness(device: torch.device) -> Iterator[None]:
    """Restore torch's global random states, on the CPU and on the device, at the end."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _code(config: Evaluate) -> str:
    """The digest of the code of the metrics and of this evaluator, with all that it uses."""
    metrics = {f"{choice.plugin.__module__}:{choice.plugin.__qualname__}" for choice in config.metrics}
    return fingerprint(metrics | {f"{__name__}:{Evaluator.__name__}"}).digest[:16]


def sampling_seed(seed: int) -> int:
    """The seed of the latents of an evaluation; it is the same for every arm."""
    return derived(seed, "samples")

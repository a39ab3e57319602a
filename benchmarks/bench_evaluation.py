"""The rows of the benchmark suite on evaluation: the harness against ``torch_fidelity.calculate_metrics``.

Both get the same images in memory (half of them moved, so that no value is at its limit), the test split as the
reference, and the same network. Both compute Inception score, Fréchet and kernel distance, precision and recall, on
one core; their values must be equal. Ours is an evaluation of a run that is under way: what depends on the reference
alone is in the cache, and is read from there. torch-fidelity is measured without its cache, with the features of the
reference in its cache, and with the quicker form of the network that the harness makes for itself.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import tempfile
import time
from pathlib import Path

import torch
from bench_kit import Row
from torch import Tensor
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor

from harness import judge
from harness.judge import catalogue
from harness.judge.judge import Judge, read
from harness.judge.networks import network
from harness.metrics.images import Images, Reference
from harness.zoo import registry

METRICS = ("inception_score", "fid", "kid", "precision_recall")
VALUES = {
    "inception_score": "inception_score_mean",
    "fid": "frechet_inception_distance",
    "kid": "kernel_inception_distance_mean",
    "precision": "precision",
    "recall": "recall",
}
"""Our names of the values -> theirs."""


class Extractor(FeatureExtractorBase):  # type: ignore[misc]
    """The network of the judge, as torch-fidelity takes it."""

    def __init__(self, name: str, features_list: list[str], feature_extractor_weights_path: None = None, **_: object):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return "features", "logits"

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "logits" if metric == "isc" else "features"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    def extracted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """By the network as it was trained."""
        plain, temperature = _plain()
        features, logits = plain(images.float() / 255)
        return features, logits / temperature

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = dict(zip(("features", "logits"), self.extracted(images), strict=True))
        return tuple(found[name] for name in self.features_list)


class _Pixels(Dataset):  # type: ignore[type-arg]
    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, place: int) -> Tensor:
        return self.pixels[place]


class _Folded(Extractor):
    """The same, as the harness runs it."""

    def extracted(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return _judge().features(images)


register_feature_extractor("harness-plain", Extractor)
register_feature_extractor("harness-folded", _Folded)


@functools.cache
def _judge() -> Judge:
    return judge.load("mnist", "cpu")


@functools.cache
def _plain() -> tuple[torch.nn.Module, float]:
    """The network of features as it was trained, and the temperature of its logits."""
    weights, numbers, architecture, size = read(catalogue.files("mnist")["features"], ("temperature",))
    plain = network("features", architecture, _judge().classes, size).eval()
    plain.load_state_dict(weights)
    return plain, numbers["temperature"]


class Scene:
    """What both are given, and what they said last."""

    def __init__(self, count: int) -> None:
        torch.set_num_threads(1)
        self.judge = _judge()
        self.data = registry.choose("data", "mnist").make()
        self.training, self.test = self.data.load("train"), self.data.load("test")
        self.samples = self.training.images[:count].clone()
        self.samples[::2] = self.samples[::2].roll(3, dims=3)
        self.folder = tempfile.TemporaryDirectory()
        self.values: dict[str, float] = {}

    def ours(self) -> float:
        """Processor seconds of one evaluation with the harness."""
        metrics = [registry.choose("metrics", name).make() for name in METRICS]
        balls = {metric.balls for metric in metrics} - {0}
        cache = Path(self.folder.name) / "ours"
        known = self.test.labels, self.training, self.data, cache, balls
        started = time.process_time()
        reference = Reference(self.test.images, self.judge, self.judge, *known)
        samples = Images(self.samples, self.judge, self.judge, balls=balls)
        values: dict[str, float] = {}
        for metric in metrics:
            values |= metric.compute(samples, reference)
        took = time.process_time() - started
        self._same(values)
        return took

    def theirs(self, extractor: str, cache: bool) -> float:
        """Processor seconds of one call of ``calculate_metrics``."""
        started = time.process_time()
        found = calculate_metrics(
            input1=_Pixels(self.samples),
            input2=_Pixels(self.test.images),
            feature_extractor=extractor,
            cuda=False,
            **dict.fromkeys(("isc", "fid", "kid", "prc"), True),
            isc_splits=max(1, min(10, len(self.samples) // 500)),
            kid_subset_size=min(1000, len(self.samples), len(self.test.images)),
            batch_size=100,
            cache=cache,
            cache_root=self.folder.name,
            input2_cache_name="reference" if cache else None,
            save_cpu_ram=True,  # otherwise it forks workers, which are slower and whose time is not counted here
            verbose=False,
        )
        took = time.process_time() - started
        self._same({ours: found[theirs] for ours, theirs in VALUES.items()})
        return took

    def _same(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            before = self.values.setdefault(name, value)
            if not math.isclose(value, before, rel_tol=1e-4, abs_tol=1e-4 if name == "kid" else 1e-3):
                raise AssertionError(f"{name} is {value}, but was {before} before: the two do not compute the same")


@functools.cache
def _scene(count: int) -> Scene:
    scene = Scene(count)
    scene.ours()  # the reference's part, once for all
    scene.theirs("harness-plain", True)
    scene.theirs("harness-folded", True)
    return scene


def rows(count: int) -> list[Row]:
    """The rows, for so many samples."""

    def row(name: str, what: str, wanted: float, extractor: str, cache: bool) -> Row:
        return Row(name, what, wanted, lambda: _scene(count).ours(), lambda: _scene(count).theirs(extractor, cache))

    return [
        row("evaluation", f"{count} samples: calculate_metrics, its cache off", 5, "harness-plain", False),
        row("evaluation-cached", "the same, the reference in its cache", 5, "harness-plain", True),
        row("evaluation-folded", "the same, with the harness's form of the network", 1, "harness-folded", True),
    ]


ROWS = rows(10_000)


def main() -> None:
    """Print the rows: median and range of the ratios of pairs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    said = parser.parse_args()
    for row in rows(said.samples):
        assert row.other is not None
        pairs = [(row.ours(), row.other()) for _ in range(said.pairs)]
        ratios = sorted(other / ours for ours, other in pairs)
        ours, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        middle = statistics.median(ratios)
        print(f"{row.name}: {middle:.2f} {row.unit} ({ratios[0]:.2f} to {ratios[-1]:.2f}): {other:.2f} s, {ours:.2f} s")


if __name__ == "__main__":
    main()

"""Fréchet distance and KID tell bad from worse, also where nothing looks like a digit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from harness_cli import Workspace

from harness import judge
from harness.metrics.images import Images, Reference
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import to_uint8

N = 500


@pytest.fixture(scope="module")
def graded() -> dict[str, torch.Tensor]:
    """Images from bad to worse, and others that show nothing."""
    real, rng = registry.choose("data", "digits").make().load("train").images[:N], torch.Generator().manual_seed(0)
    rough = real.clone()
    rough[:, :, 14:] = rough[:, :, 14:].roll(1, 0)  # the upper half of one digit on the lower half of another
    blobs = F.avg_pool2d(F.pad(real.float(), (7,) * 4), 15, 1).round().to(torch.uint8)
    rows = (torch.arange(28) % 4 < 2).to(torch.uint8)[:, None].expand(28, 28)
    noise = torch.rand(N, 1, 28, 28, generator=rng)
    return {
        "bad digits": rough,
        "blobs": blobs,
        "untrained": to_uint8(build("dcgan", seed=0).sample(N, rng)),
        "noise": (noise * 255).round().to(torch.uint8),
        "soft noise": (128 + 30 * (noise - 0.5)).round().to(torch.uint8),
        "black": torch.zeros(N, 1, 28, 28, dtype=torch.uint8),
        "grey": torch.full((N, 1, 28, 28), 128, dtype=torch.uint8),
        "white": torch.full((N, 1, 28, 28), 255, dtype=torch.uint8),
        "stripes": (255 * rows).expand(N, 1, 28, 28),
        "inverted": 255 - real,
    }


@pytest.fixture(scope="module")
def distances(graded: dict[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    arbiter, choice = judge.load("mnist", "cpu"), registry.choose("data", "digits")
    data = choice.make()
    test: Labelled = data.load("test")
    reference = Reference(test.images, arbiter, arbiter, test.labels, data.load("train"), data)
    kid = {"name": "kid", "subsets": 10, "subset_size": 100}
    metrics = [registry.choose("metrics", metric).make() for metric in ("fid", kid)]
    found: dict[str, dict[str, float]] = {"fid": {}, "kid": {}}
    for name, pixels in graded.items():
        images = Images(pixels, arbiter, arbiter)
        for metric in metrics:
            [found[metric.name][name]] = metric.compute(images, reference).values()
    return found


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_worse_images_are_farther(distances: dict[str, dict[str, float]], metric: str) -> None:
    scale = [distances[metric][name] for name in ("bad digits", "blobs", "untrained", "noise")]
    assert scale == sorted(scale), distances[metric]


@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_no_two_kinds_of_images_are_equally_far(distances: dict[str, dict[str, float]], metric: str) -> None:
    found = distances[metric]
    near = [(a, b) for a, b in itertools.combinations(found, 2) if found[a] == pytest.approx(found[b], rel=1e-6)]
    assert not near, found


def test_generators_after_a_few_steps_differ_in_every_distance(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    metrics = ["fid", {"name": "kid", "subsets": 5, "subset_size": 30}]
    suite = workspace.suite(
        train={"steps": 5, "batch_size": 16},
        seeds=2,
        base={},
        matrix={"model": ["gan", "vae", "autoencoder"]},
        evaluate={"samples": 64, "metrics": metrics},
        compare={"metric": "fid"},
    )
    printed = workspace.run("run", suite)
    rows = workspace.table()
    for column in ("fid", "kid"):
        assert len({row[column] for row in rows}) == 6, [row[column] for row in rows]
    assert "(constant)" not in printed

"""The classes that the snapshots of a trial show, at once and all together."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import judge
from harness.suite import Evaluate
from harness.trial import visits
from harness.trial.pictures import in_rows, save_tiles
from harness.trial.task import AT_ONCE, VISITED
from harness.trial.visits import Visits
from harness.zoo import registry
from harness.zoo.data.base import DataSet
from harness.zoo.data.pixels import as_floats

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> DataSet:
    made: DataSet = registry.choose("data", "digits").make()
    return made


def grid(digits: DataSet, folder: Path, labels: list[int]) -> Path:
    """A snapshot of 64 real digits with these labels in turn, of which the judge is sure."""
    split, arbiter = digits.load("train"), judge.load("mnist", "cpu")
    probabilities, confidence = arbiter.assess(split.images)
    sure = (probabilities.argmax(1) == split.labels) & (confidence > 0.9)
    images: list[Tensor] = []
    for number in range(64):
        own = split.images[sure & (split.labels == labels[number % len(labels)])]
        images.append(own[number % len(own)])
    path = folder / f"{len(list(folder.iterdir()))}.png"
    save_tiles(in_rows(as_floats(torch.stack(images)), 8), path)
    return path


def test_a_generator_that_runs_from_class_to_class_has_few_at_once_and_visits_many(
    digits: DataSet, tmp_path: Path
) -> None:
    reader = visits.of(evaluate("mode_coverage"), digits, 64, CPU)
    assert reader is not None
    threes, sevens, both = (grid(digits, tmp_path, labels) for labels in ([3], [7], [1, 2]))
    assert reader.read(threes, 10) == [(AT_ONCE, 10, 1.0), (VISITED, 10, 1.0)]
    assert reader.read(sevens, 20) == [(AT_ONCE, 20, 1.0), (VISITED, 20, pytest.approx(2))]
    # Shares ⅓, ⅓, ⅙, ⅙: the entropy is ⅔ log 3 + ⅓ log 6.
    assert reader.read(both, 30) == [
        (AT_ONCE, 30, pytest.approx(2)),
        (VISITED, 30, pytest.approx(math.exp(2 / 3 * math.log(3) + 1 / 3 * math.log(6)))),
    ]


def test_the_untrained_generator_visits_nothing(digits: DataSet, tmp_path: Path) -> None:
    reader = Visits(judge.load("mnist", "cpu"))
    assert reader.read(grid(digits, tmp_path, [3]), 0) == []
    assert reader.read(grid(digits, tmp_path, [7]), 5)[1] == (VISITED, 5, 1.0)


def test_ten_equally_frequent_classes_are_nearly_ten(digits: DataSet, tmp_path: Path) -> None:
    (_, _, at_once), _ = Visits(judge.load("mnist", "cpu")).read(grid(digits, tmp_path, list(range(10))), 1)
    # Four classes have seven images, six have six: exp(−4 · 7/64 · log(7/64) − 6 · 6/64 · log(6/64)).
    assert at_once == pytest.approx(9.971, abs=5e-4)


def test_nothing_is_read_without_a_metric_that_asks_for_the_judge_or_from_too_few_images(digits: DataSet) -> None:
    assert visits.of(evaluate("fid"), digits, 64, CPU) is None
    assert visits.of(evaluate("mode_coverage"), digits, 39, CPU) is None
    assert visits.of(evaluate("mode_coverage"), digits, 40, CPU) is not None
    ring = registry.choose("data", "ring").make()
    assert visits.of(evaluate("high_quality_modes"), ring, 2500, CPU) is None


class Looking:
    """A judge of small colour images that keeps what it is shown."""

    classes, shape = 2, (3, 4, 6)

    def assess(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = images
        return torch.eye(2)[torch.arange(len(images)) % 2], torch.ones(len(images))


def test_a_grid_of_colour_images_that_are_not_square_is_cut_where_it_was_joined(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (64, 3, 4, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    save_tiles(in_rows(as_floats(images), 8), tmp_path / "grid.png")
    looking: Any = Looking()
    assert Visits(looking).read(tmp_path / "grid.png", 1)[0] == (AT_ONCE, 1, pytest.approx(2))
    assert torch.equal(looking.seen, images)


def test_the_judge_leaves_torch_s_random_state_alone(digits: DataSet) -> None:
    visits._judge.cache_clear()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    visits.of(evaluate("mode_coverage"), digits, 64, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def evaluate(metric: str) -> Evaluate:
    return Evaluate.model_validate({"samples": 100, "metrics": [metric]})

"""The benchmarks of `nox -s bench`: a row is measured and published, and the peers are what they are said to be."""

from __future__ import annotations

import csv
import math
import sys
from pathlib import Path

import pytest
import torch
from test_benchmarks import FOLDER, script

sys.path.append(str(FOLDER))


def test_a_row_is_measured_and_published(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    bench = __import__("bench")
    page.write_text(f"before\n{bench.BEGIN}\nold\n{bench.END}\nafter\n")
    words = ("--rows", "step_gan_float32_loaded", "--pairs", "1", "--out", tmp_path, "--docs", page)
    path = Path(script("bench", *words).splitlines()[-1])
    [row] = csv.DictReader(path.open(encoding="utf-8"))
    assert row["row"] == "step_gan_float32_loaded"
    assert float(row["median"]) == pytest.approx(float(row["other"]) / float(row["ours"]), rel=0.01)
    shown = page.read_text().splitlines()
    assert (shown[0], shown[-1]) == ("before", "after")
    assert "old" not in shown
    assert any(line.startswith("| step, their fully connected GAN, float32, 1 thread, without") for line in shown)
    assert path.with_suffix(".md").is_file()


def test_other_rows_keep_what_was_measured(tmp_path: Path) -> None:
    bench, row = __import__("bench"), __import__("bench_kit").Row
    for name, taken in (("one", 2.0), ("other", 4.0), ("one", 3.0)):
        bench.publish(bench.measured(row(name, "it", 2.0, lambda: 1.0, lambda taken=taken: taken), 3), tmp_path, None)
    [path] = tmp_path.glob("*.csv")
    found = {one["row"]: (one["median"], one["met"]) for one in csv.DictReader(path.open(encoding="utf-8"))}
    assert found == {"one": ("3", "yes"), "other": ("4", "yes")}


def test_sides_take_turns_and_limits_have_directions() -> None:
    bench, row = __import__("bench"), __import__("bench_kit").Row
    order: list[str] = []

    def side(name: str, value: float) -> float:
        order.append(name)
        return value

    made = bench.measured(row("r", "it", 3.0, lambda: side("ours", 1.0), lambda: side("other", 2.0)), 2)
    assert order == ["ours", "other", "other", "ours"]
    assert (made["median"], made["met"]) == ("2", "no")
    for unit, met in (("× the plain step", "yes"), ("CPU-s", "yes"), ("trials a minute", "no")):
        assert bench.measured(row("r", "it", 3.0, lambda: 1.0, lambda: 2.0, unit), 1)["met"] == met


def test_the_names_of_rows_are_unique() -> None:
    names = [row.name for row in __import__("bench").rows()]
    assert len(names) == len(set(names)) > 20


@pytest.mark.parametrize("name", ["gan", "dcgan", "wgan_gp"])
def test_the_harness_trains_the_networks_of_a_peer(name: str) -> None:
    from harness.zoo.building import build

    peers, steps = __import__("peers"), __import__("bench_steps")
    steps.plugins()
    settings, tricks = steps.MODELS[name]
    ours, theirs = build(settings, steps.SHAPES[name], tricks), peers.Peer(name)
    for one, other in ((ours.generator, theirs.generator), (ours.discriminator, theirs.discriminator)):
        assert [tuple(p.shape) for p in one.parameters()] == [tuple(p.shape) for p in other.parameters()]


@pytest.mark.slow
def test_a_peer_trains_as_its_script_does() -> None:
    lines = script("peers", "dcgan", "--steps", "2", "--size", "28").splitlines()
    assert [line.split("]")[0] for line in lines[:2]] == ["[batch 1", "[batch 2"]
    assert lines[2].endswith("processor seconds a step")
    images, labels = __import__("peers").Digits(32)[3]
    assert (images.shape, images.dtype, labels) == ((1, 32, 32), torch.float32, 3)


@pytest.mark.slow
def test_the_rows_of_whole_runs() -> None:
    """A trial of a sweep, and tiny ones, by the command line."""
    steps = __import__("bench_steps")
    assert steps.run(steps.TINY | {"seeds": 2}) > 1
    # The difference of two short runs is mostly noise: only that there is a number can be tested.
    assert math.isfinite(__import__("bench_driver").seconds(trials=8))

"""The loop: order of the data, exact continuation, snapshots, limits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.suite.declaration import Run, Train
from harness.testing import equal
from harness.trial.loop import Batches, Diverged, Hooks, Progress, Stopped, TimedOut, Trainer
from harness.zoo.building import build
from harness.zoo.data.base import Labelled

DATA = Labelled(
    torch.randint(0, 256, (50, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8),
    torch.arange(50),
)
SMALL = {"name": "gan", "architecture": {"width": 32}}


def trainer(folder: Path, steps: int = 12, model: object = None, **run: float) -> Trainer:
    config = Run(curve_points=6, snapshots=3, **run)  # type: ignore[arg-type]
    return Trainer(model or build(SMALL), DATA, Train(steps=steps, batch_size=8), config, 0, folder / "checkpoint.pt")


def hooks(**changes: object) -> Hooks:
    plain = {
        "point": lambda progress, values: None,
        "snapshot": lambda step: None,
        "should_stop": lambda: False,
    }
    return Hooks(**(plain | changes))  # type: ignore[arg-type]


def _next(batches: Batches) -> Labelled:
    batches.advance()
    return batches.read()


def test_every_epoch_shows_every_image_once_in_a_new_order() -> None:
    batches = Batches(DATA, 10, seed=0)
    epochs = [torch.cat([_next(batches).labels for _ in range(5)]) for _ in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(50))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


def test_no_image_is_lost_where_a_batch_reaches_over_an_epoch() -> None:
    batches = Batches(DATA, 8, seed=0)
    seen = torch.cat([_next(batches).labels for _ in range(25)])
    assert seen.bincount().tolist() == [4] * 50


def test_images_are_floats_in_range_and_keep_their_labels() -> None:
    batch = _next(Batches(DATA, 10, seed=0))
    assert batch.images.dtype == torch.float32
    back = ((batch.images + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(back, DATA.images[batch.labels])


def test_equal_seeds_give_equal_orders() -> None:
    one, same, other = (_next(Batches(DATA, 50, seed)).labels for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(("model", "dtype"), [(SMALL, torch.float32), ("dcgan", torch.bfloat16)], ids=str)
def test_stopped_and_resumed_ends_bit_for_bit_like_uninterrupted(
    tmp_path: Path, model: object, dtype: torch.dtype
) -> None:
    def make() -> object:
        return build(model, tricks=["ema"], dtype=dtype)

    whole = trainer(tmp_path / "whole", model=make())
    whole.run_to_end(hooks())
    first = trainer(tmp_path / "parts", model=make())
    with pytest.raises(Stopped):
        first.run_to_end(hooks(should_stop=lambda: first.progress.step >= 6))
    assert first.progress.step == 6
    torch.manual_seed(999)  # what another trial in the same worker would leave behind
    second = trainer(tmp_path / "parts", model=make())
    assert second.resume()
    second.run_to_end(hooks())
    assert equal(whole.model.state_dict(), second.model.state_dict())
    assert whole.progress.curves == second.progress.curves


def test_a_checkpoint_of_another_precision_is_not_gone_on_with(tmp_path: Path) -> None:
    trainer(tmp_path, model=build(SMALL)).save()
    assert trainer(tmp_path, model=build(SMALL)).resume()
    assert not trainer(tmp_path, model=build(SMALL, dtype=torch.bfloat16)).resume()


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path: Path) -> None:
    assert not trainer(tmp_path).resume()


def test_snapshots_from_the_first_to_the_last_step(tmp_path: Path) -> None:
    steps: list[int] = []
    trainer(tmp_path).run_to_end(hooks(snapshot=steps.append))
    assert steps == [0, 6, 12]


def test_curves_are_means_over_the_steps_between_points(tmp_path: Path) -> None:
    class Counting:
        batches_per_step = 1
        step_number = 0

        def step(self, batch: Labelled) -> dict[str, torch.Tensor]:
            self.step_number += 1
            return {"number": torch.tensor(float(self.step_number))}

    points: list[tuple[int, float]] = []

    def point(progress: Progress, values: dict[str, float]) -> None:
        points.append((progress.step, values["number"]))

    trainer(tmp_path, model=Counting(), graphs=False).run_to_end(hooks(point=point))
    assert points == [(2, 1.5), (4, 3.5), (6, 5.5), (8, 7.5), (10, 9.5), (12, 11.5)]


def test_divergence_names_the_scalar_and_the_step(tmp_path: Path) -> None:
    model = build(SMALL)
    step = model.step
    count = iter(range(100))
    model.step = lambda batch: {  # type: ignore[method-assign]
        name: value / (0.0 if next(count) > 20 else 1.0) for name, value in step(batch).items()
    }
    with pytest.raises(Diverged, match="is NaN or infinite at step"):
        trainer(tmp_path, model=model).run_to_end(hooks())


def test_the_time_limit_ends_it(tmp_path: Path) -> None:
    with pytest.raises(TimedOut, match=r"limit of 0\.001 s"):
        trainer(tmp_path, time_limit=0.001).run_to_end(hooks())


def test_a_training_that_is_quickly_repeated_writes_no_checkpoint(tmp_path: Path) -> None:
    for seconds, written in ((1000.0, False), (1e-9, True)):
        one = trainer(tmp_path / str(seconds), checkpoint_seconds=seconds)
        one.run_to_end(hooks())
        assert one.checkpoint.exists() == written


def test_how_often_one_looks_changes_nothing(tmp_path: Path) -> None:
    quiet = trainer(tmp_path / "quiet")
    quiet.run_to_end(hooks())
    busy = trainer(tmp_path / "busy", checkpoint_seconds=1e-9)

    def look(step: int) -> None:
        busy.model.sample(16, torch.Generator().manual_seed(step))

    busy.run_to_end(hooks(snapshot=look, evaluate=look, evaluate_every=1))
    assert equal(quiet.model.state_dict(), busy.model.state_dict())

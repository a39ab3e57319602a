"""The same code on CUDA. `nox -s gpu` runs these; elsewhere they are skipped by name."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from harness_cli import Workspace, numbers

from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.testing import equal
from harness.trial.device import on_device, precision
from harness.trial.evaluation import Evaluator
from harness.trial.loop import Hooks, Stopped, Trainer
from harness.trial.run import build
from harness.zoo import registry
from harness.zoo.models.base import Model

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda:0")


def arm(folder: Path, model: str, tricks: list[str]) -> object:
    workspace = Workspace(folder)
    suite = workspace.suite(
        base={"model": model, "tricks": tricks},
        matrix={},
        compare={"metric": "fid"},
        train={"batch_size": 16},
    )
    return make_plan(read_suite(suite)).cells[0].arm


def trainer(folder: Path, model: str, tricks: list[str], steps: int = 12) -> Trainer:
    made = arm(folder, model, tricks)
    data = made.data.plugin(made.data.settings)
    training = on_device(data.load("train"), CUDA)
    game: Model = build(made, 0, CUDA, data.shape)
    train = made.train.model_copy(update={"steps": steps})
    run = read_suite(folder / "tiny.yaml").run
    return Trainer(game, training, train, run, 0, folder / "checkpoint.pt")


def hooks(stop_at: int | None = None, made: Trainer | None = None) -> Hooks:
    def should_stop() -> bool:
        return made is not None and made.progress.step == stop_at

    return Hooks(lambda progress, values: None, lambda step: None, should_stop)


@pytest.mark.parametrize("model", registry.names("models"))
@pytest.mark.parametrize("tricks", [[], *([name] for name in registry.names("tricks"))], ids=str)
def test_every_model_trains_with_every_trick(tmp_path: Path, model: str, tricks: list[str]) -> None:
    made = trainer(tmp_path, model, tricks)
    made.run_to_end(hooks())
    assert all(math.isfinite(value) for _, _, value in made.progress.curves)
    images = made.model.sample(8, torch.Generator(CUDA).manual_seed(0))
    assert images.device.type == "cuda"
    assert images.abs().max() <= 1


def test_a_checkpoint_holds_every_random_state(tmp_path: Path) -> None:
    """Stopped, saved, and taken up by another process's objects: the random states go on where they were."""
    made = trainer(tmp_path, "dcgan", ["ema"])
    with pytest.raises(Stopped):
        made.run_to_end(hooks(6, made))
    states = made.model.rng.get_state(), torch.cuda.get_rng_state(CUDA), torch.get_rng_state()
    torch.cuda.manual_seed(1)
    again = trainer(tmp_path, "dcgan", ["ema"])
    assert again.resume()
    assert again.progress.step == 6
    assert equal(states, (again.model.rng.get_state(), torch.cuda.get_rng_state(CUDA), torch.get_rng_state()))
    assert equal(made.model.state_dict(), again.model.state_dict())


def test_judges_say_the_same_on_both_devices() -> None:
    from harness import judge

    choice = registry.choose("data", "digits")
    images = choice.plugin(choice.settings).load("test").images
    here, there = judge.load("mnist", "cpu"), judge.load("mnist", CUDA)
    with torch.backends.cudnn.flags(allow_tf32=False):
        for one, other in zip(here.features(images), there.features(images), strict=True):
            assert torch.allclose(one, other.cpu(), atol=1e-3)
    assert (here.assess(images)[0].argmax(1) == there.assess(images)[0].argmax(1).cpu()).float().mean() > 0.999


def test_evaluation_leaves_the_device_s_random_state(tmp_path: Path) -> None:
    made = arm(tmp_path, "gan", [])
    data = made.data.plugin(made.data.settings)
    training = on_device(data.load("train"), CUDA)
    evaluator = Evaluator(made.evaluate, data, training, CUDA, None)
    before = torch.cuda.get_rng_state(CUDA)
    evaluator.evaluate(build(made, 0, CUDA, data.shape), 0)
    assert torch.equal(before, torch.cuda.get_rng_state(CUDA))


def test_auto_precision_is_bfloat16_where_the_device_has_it(tmp_path: Path) -> None:
    expected = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    assert precision(arm(tmp_path, "gan", []), CUDA) == expected


@pytest.mark.parametrize("model", registry.names("models"))
def test_deterministic_gives_the_same_numbers_twice_or_names_the_operation_that_cannot(
    tmp_path: Path, model: str
) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        workspace = Workspace(tmp_path / name)
        suite = workspace.suite(base={"model": model}, matrix={}, compare={"metric": "fid"}, seeds=1)
        process = workspace.start("run", suite, "--device", "cuda", "--set", "train.deterministic=true")
        process.communicate(timeout=300)
        tables.append(numbers(workspace.table()))
    [row] = tables[0].values()
    assert tables[0] == tables[1]
    assert row["state"] == "done" or "does not have a deterministic implementation" in row["reason"]


def test_a_suite_runs_on_cuda(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("run", workspace.suite(), "--device", "cuda", "--workers", "2")
    assert {row["state"] for row in workspace.table()} == {"done"}

"""The same code on CUDA. `nox -s gpu` runs these; elsewhere they are skipped by name.

What goes over every model, trick or metric is a check of ``benchmarks/gpu.py`` too, which runs the same functions one
by one: its names begin with ``test_every``.
"""

from __future__ import annotations

from pathlib import Path

import gpu_checks as checks
import pytest
import torch
from gpu_kit import Place, Skip, arm, refused
from harness_cli import Workspace, numbers

from harness import judge
from harness.base.seeds import Seeds
from harness.trial.device import precision
from harness.trial.evaluation import Evaluator
from harness.trial.run import build
from harness.zoo import registry

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda:0")
MODELS, TRICKS = registry.names("models"), registry.names("tricks")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(CUDA, tmp_path)


@pytest.fixture
def command_line() -> None:
    if missing := checks.missing_packages():
        pytest.skip(f"{' and '.join(missing)} not installed: `harness run` cannot be tried")


def test_auto_precision_is_bfloat16_where_the_device_has_it(place: Place) -> None:
    expected = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    assert precision(arm(place, "gan"), CUDA) == expected


def test_evaluation_leaves_the_device_s_random_state(place: Place) -> None:
    made = arm(place, "gan")
    evaluator = Evaluator(made.evaluate, place.digits, place.training, CUDA, None)
    model = build(made, Seeds.of(0), CUDA, place.digits.shape, place.training)  # it sets the random state
    before = torch.cuda.get_rng_state(CUDA)
    evaluator.evaluate(model, 0)
    assert torch.equal(before, torch.cuda.get_rng_state(CUDA))


def test_samples_and_data_lie_on_the_device(place: Place) -> None:
    assert place.training.images.device == CUDA
    model = build(arm(place, "dcgan"), Seeds.of(0), CUDA, place.digits.shape, place.training)
    assert model.sample(4, torch.Generator(CUDA)).device == CUDA


@pytest.mark.usefixtures("command_line")
def test_a_suite_runs_on_cuda(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("run", workspace.suite(), "--device", "cuda", "--workers", "2")
    assert {row["state"] for row in workspace.table()} == {"done"}


@pytest.mark.usefixtures("command_line")
def test_a_deterministic_suite_gives_the_same_numbers_twice(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        workspace = Workspace(tmp_path / name)
        suite = workspace.suite(base={"model": "dcgan"}, matrix={}, compare={"metric": "fid"}, seeds=1)
        workspace.run("run", suite, "--device", "cuda", "--set", "train.deterministic=true")
        tables.append(numbers(workspace.table()))
    assert tables[0] == tables[1]
    assert {row["state"] for row in tables[0].values()} == {"done"}


@pytest.mark.parametrize("name", judge.names())
def test_every_judge_says_the_same_on_both_devices(place: Place, name: str) -> None:
    checks.same_judge(place, name)


@pytest.mark.parametrize("name", registry.names("metrics"))
def test_every_metric_is_the_same_on_both_devices(place: Place, name: str) -> None:
    try:
        checks.same_values(place, name)
    except Skip as skip:
        pytest.skip(str(skip))


@pytest.mark.parametrize("model", MODELS)
def test_every_model_goes_on_where_it_was_stopped(place: Place, model: str) -> None:
    checks.goes_on(place, model)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_the_same_numbers_twice_or_names_the_operation_that_cannot(place: Place, model: str) -> None:
    checks.same_twice(place, model)


def test_every_trial_that_finds_too_little_memory_says_so_and_leaves_the_device_usable(place: Place) -> None:
    checks.too_little(place)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains(place: Place, model: str, dtype: str) -> None:
    checks.trains(place, model, (), dtype)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trick", TRICKS)
def test_every_model_trains_with_every_trick(place: Place, model: str, trick: str) -> None:
    if reasons := refused(model, (trick,), place):
        pytest.skip("; ".join(reasons))
    checks.trains(place, model, (trick,))

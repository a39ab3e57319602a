"""The weights that a trial publishes give the samples that were judged: for every model, and with tricks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.base.errors import HarnessError
from harness.base.seeds import Seeds
from harness.suite import read_suite
from harness.suite.plan import Arm, make_plan
from harness.trial.evaluation import sampling_seed
from harness.trial.run import build, restored
from harness.zoo import registry
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats

CPU = torch.device("cpu")
WITH_STATE = [{"model": "dcgan", "tricks": tricks} for tricks in (["ema"], ["virtual_batch_norm"])]
ARMS = [*({"model": name} for name in registry.names("models")), *WITH_STATE]


def arm_of(folder: Path, base: dict[str, object]) -> Arm:
    path = folder / "suite.yaml"
    path.write_text(
        json.dumps(
            {
                "suite": "s",
                "data": "digits",
                "base": base,
                "seeds": 1,
                "train": {"steps": 2},
                "evaluate": {"metrics": ["sharpness"]},
            }
        )
    )
    [trial] = make_plan(read_suite(path)).trials
    return trial.arm


def samples(model: object) -> torch.Tensor:
    drawn: torch.Tensor = model.sample(8, torch.Generator().manual_seed(sampling_seed(0)))  # type: ignore[attr-defined]
    return drawn


@pytest.mark.parametrize("base", ARMS, ids=lambda base: "-".join([base["model"], *base.get("tricks", [])]))
def test_published_weights_give_the_samples_again(tmp_path: Path, base: dict[str, object]) -> None:
    arm = arm_of(tmp_path, base)
    data = arm.data.make()
    training = data.load("train")
    model = build(arm, Seeds.of(0), CPU, data.shape, training)
    for step in range(2):
        chosen = slice(16 * step, 16 * step + 16)
        model.step(Labelled(as_floats(training.images[chosen]), training.labels[chosen]))
    drawn = samples(model)
    path = tmp_path / "generator.safetensors"
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in model.weights().items()}, path)
    assert torch.equal(samples(restored(arm, 0, CPU, data.shape, training, path)), drawn)
    assert not torch.equal(samples(build(arm, Seeds.of(0), CPU, data.shape, training)), drawn)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    arm = arm_of(tmp_path, {"model": "gan"})
    data = arm.data.make()
    path = tmp_path / "generator.safetensors"
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(HarnessError, match="not the weights of the model gan"):
        restored(arm, 0, CPU, data.shape, data.load("train"), path)
    path.write_bytes(b"no such file")
    with pytest.raises(HarnessError, match="damaged or no safetensors file"):
        restored(arm, 0, CPU, data.shape, data.load("train"), path)

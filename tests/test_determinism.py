"""The same numbers, whatever does not belong to them. More of it is in test_run.py, test_training.py, test_gpu.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from chaos import Chaos
from harness_cli import Workspace, numbers

from harness.suite import read_suite
from harness.suite.plan import Arm, make_plan
from harness.trial.device import computing
from harness.trial.outcomes import explain

MODELS = ["gan", "dcgan", "wgan_gp", "lsgan", "hinge", "r3gan", "cgan", "infogan", "vae", "vae_gan", "semi_supervised"]


def arm(folder: Path, deterministic: bool) -> Arm:
    train = {"steps": 2, "batch_size": 16, "deterministic": deterministic}
    return make_plan(read_suite(Workspace(folder).suite(train=train))).cells[0].arm


@pytest.mark.parametrize(
    ("device", "wanted", "strict"), [("cuda", True, True), ("cuda", False, False), ("cpu", True, False)]
)
def test_deterministic_kernels_where_they_are_asked_for(
    tmp_path: Path, device: str, wanted: bool, strict: bool
) -> None:
    with computing(arm(tmp_path, wanted), torch.device(device)):
        assert torch.are_deterministic_algorithms_enabled() == strict
        assert torch.backends.cudnn.benchmark != strict
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_that_cannot_be_deterministic_is_named(tmp_path: Path) -> None:
    with computing(arm(tmp_path, True), torch.device("cuda")), pytest.raises(RuntimeError) as caught:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))  # one of the few that cannot on a CPU either
    state, reason = explain(caught.value)
    assert state == "failed"
    assert reason.startswith("put_ ")
    assert "does not have a deterministic implementation: set train.deterministic to false" in reason


@pytest.mark.chaos
def test_any_models_in_any_order_with_any_number_of_workers(tmp_path: Path, chaos: Chaos) -> None:
    models, tables = chaos.rng.sample(MODELS, 3), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        workspace = Workspace(tmp_path / name)
        looking: dict[str, Any] = {
            "snapshots": chaos.rng.randrange(4),
            "curve_points": chaos.rng.randint(1, 8),
            "checkpoint_seconds": chaos.rng.choice([0.001, 30]),
        }
        suite = workspace.suite(
            base={},
            matrix={"model": chaos.rng.sample(models, 3)},
            train={"steps": 8, "batch_size": 16},
            run=looking,
            compare={"metric": "fid"},
        )
        workspace.run("run", suite, "--workers", str(chaos.rng.randint(1, 3)))
        tables.append(numbers(workspace.table()))
    assert tables[0] == tables[1]
    assert {row["state"] for row in tables[0].values()} == {"done"}
    for model in models:
        chaos.tried("the same suite twice", model)

"""Devices: how many there are is what torch says, also where it is not asked."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from harness.execution import devices
from harness.suite.declaration import Run


def test_gpus_are_those_that_torch_finds() -> None:
    assert devices.gpus() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def test_without_a_driver_torch_is_not_imported() -> None:
    code = (
        "import glob, sys; glob.glob = lambda pattern: []; sys.platform = 'linux'\n"
        "from harness.execution import devices; assert devices.gpus() == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("device", "run", "expected"),
    [
        ("cpu", {}, 1),
        ("cuda:1", {}, devices.LANES),
        ("cuda:1", {"time_limit": 60.0}, 1),  # a trial is silent while another one is evaluated
        ("cuda:1", {"time_limit": 60.0, "fuse": 3}, 3),
        ("cpu", {"fuse": 3}, 3),
    ],
)
def test_how_many_trials_a_worker_has_side_by_side(device: str, run: dict[str, Any], expected: int) -> None:
    assert devices.lanes(device, Run(**run)) == expected

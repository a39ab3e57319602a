"""Devices: how many there are is what torch says, also where it is not asked."""

from __future__ import annotations

import subprocess
import sys

import torch

from harness.execution import devices


def test_gpus_are_those_that_torch_finds() -> None:
    assert devices.gpus() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def test_without_a_driver_torch_is_not_imported() -> None:
    code = (
        "import glob, sys; glob.glob = lambda pattern: []; sys.platform = 'linux'\n"
        "from harness.execution import devices; assert devices.gpus() == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

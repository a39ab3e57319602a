"""Finds the devices of this machine, and assigns a device to each slot."""

from __future__ import annotations

import glob
import os
import re
import sys
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError

if TYPE_CHECKING:
    from harness.suite import Run
    from harness.suite.plan import Plan

PER_GPU = 2
"""Workers per GPU by default: while one is busy in Python, as in parts of an evaluation, the other keeps it at work."""
LANES = 4
"""Trials side by side in a worker on a GPU by default: docs/gpu.md has what was measured."""
DRIVERS = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")
"""Device files of GPU drivers on Linux: NVIDIA, NVIDIA Tegra, WSL, AMD."""


def resolve(device: str) -> str:
    """The device that ``--device`` names: ``auto`` is the first GPU, or the CPU if there is no GPU.

    Raises:
        HarnessError: this machine has no such device.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise HarnessError(f"--device {device}: expected auto, cpu, cuda or cuda:i")
    if device == "cpu":
        return device
    count = gpus()
    if device == "auto":
        return "cuda:0" if count else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= count:
        have = f"there are only {count} GPU(s)" if count else "torch finds no GPU here"
        raise HarnessError(f"--device {device}: {have}; use --device cpu, or see `harness doctor`")
    return f"cuda:{index}"


def gpus() -> int:
    """How many CUDA devices torch can use."""
    # Without a device file there is no GPU, and no need to import torch, which takes a second or two.
    if sys.platform == "linux" and not any(glob.glob(f"/dev/{name}") for name in DRIVERS):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def lanes(device: str, run: Run) -> int:
    """The number of trials that a worker on this device runs side by side.

    With a time limit it is one, unless the suite says otherwise: a trial is silent while another one is evaluated, and
    a trial that is silent for so long is taken for one that hangs.
    """
    if run.fuse != "auto":
        return run.fuse
    return LANES if device.startswith("cuda") and run.time_limit is None else 1


def slots(device: str, workers: int | None, plan: Plan) -> list[str]:
    """The device of every slot.

    On the CPU: as many slots as the cores allow, at ``train.threads`` cores each. ``auto`` and ``cuda`` use all GPUs.
    """
    first = resolve(device)
    if first == "cpu":
        threads = max((cell.arm.train.threads for cell in plan.cells if cell.excluded is None), default=1)
        return ["cpu"] * (workers or max(1, cores() // threads))
    several = [f"cuda:{i}" for i in range(gpus())] if device in ("auto", "cuda") else [first]
    return [several[i % len(several)] for i in range(workers or PER_GPU * len(several))]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

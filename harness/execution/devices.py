"""Finds the devices of this machine, and assigns a device to each slot."""

from __future__ import annotations

import glob
import math
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.base.errors import HarnessError

if TYPE_CHECKING:
    from harness.execution.engine import Site
    from harness.suite import Run

PER_GPU = 2
"""Workers per GPU by default: while one is busy in Python, as in parts of an evaluation, the other keeps it at work."""
LANES = 4
"""Trials side by side in a worker on a GPU by default: docs/gpu.md has what was measured."""
MANY = 1 << 20
"""More trials than any machine carries."""
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


@dataclass(frozen=True)
class Place:
    """Where a worker of this machine trains, and how many trials it has side by side."""

    device: str
    lanes: int = 1


def places(site: Site) -> list[Place]:
    """The places of the workers on this machine.

    On the CPU: as many as the cores and the memory allow, by what a trial needs. On GPUs: ``PER_GPU`` workers each, or
    as many as share a GPU by ``resources.gpus``; ``auto`` and ``cuda`` use all GPUs.

    Raises:
        HarnessError: this machine lacks what a trial needs.
    """
    needed = site.resources
    device = "cpu" if site.device == "auto" and needed.gpus == 0 else resolve(site.device)
    if device == "cpu":
        refuse_gpus(needed.gpus)
        return [Place(device, lanes(device, site.run))] * (site.workers or _by_cores(site))
    gpu = [f"cuda:{i}" for i in range(gpus())] if site.device in ("auto", "cuda") else [device]
    trials = min(math.floor(1 / needed.gpus), _by_memory(site)) if needed.gpus else None
    workers = PER_GPU if trials is None else max(1, min(PER_GPU, trials))
    beside = lanes(device, site.run) if trials is None else max(1, trials // workers)
    return [Place(gpu[i % len(gpu)], beside) for i in range(site.workers or workers * len(gpu))]


def refuse_gpus(needed: float | None) -> None:
    """Refuse trials that need a GPU and are to run on the CPU.

    Args:
        needed: ``resources.gpus`` of the suite.

    Raises:
        HarnessError: it is more than 0.
    """
    if needed:
        raise HarnessError(f"resources.gpus is {needed:g}, but the trials are to run on the CPU: set it to 0")


def refuse_one_gpu(device: str, cluster: str) -> None:
    """Refuse a ``--device`` that names one GPU, where a cluster chooses it.

    Args:
        device: what ``--device`` says.
        cluster: the cluster, for the message.

    Raises:
        HarnessError: it is not ``auto``, ``cpu`` or ``cuda``.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise HarnessError(f"--device {device}: {cluster} chooses the GPU of a job: use auto, cpu or cuda")


def _by_cores(site: Site) -> int:
    """How many trials the cores and the memory of this machine can carry."""
    each = site.resources.cpus or min(site.threads, cores())
    if each > cores():
        raise HarnessError(f"a trial needs {each} cores (resources.cpus); this machine has {cores()}")
    return min(cores() // each, _by_memory(site))


def _by_memory(site: Site) -> int:
    """How many trials the memory of this machine can carry; many, if the suite does not say what one needs."""
    each = site.resources.megabytes
    if each is None:
        return MANY
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000
    if each > here:
        raise HarnessError(f"a trial needs {each} MB of memory (resources.memory); this machine has {here} MB")
    return here // each


def lanes(device: str, run: Run) -> int:
    """The number of trials that a worker on this device runs side by side.

    With a time limit it is one, unless the suite says otherwise: a trial is silent while another one is evaluated, and
    a trial that is silent for so long is taken for one that hangs.
    """
    if run.fuse != "auto":
        return run.fuse
    return LANES if device.startswith("cuda") and run.time_limit is None else 1


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

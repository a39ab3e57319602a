"""The device that a trial computes on: its number format, its threads, its kernels, and its memory."""

from __future__ import annotations

import contextlib
import functools
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.zoo.data.base import Labelled

if TYPE_CHECKING:
    from harness.suite.plan import Arm


def precision(arm: Arm, device: torch.device) -> torch.dtype:
    """The number format of forward passes; ``auto`` is bfloat16 where the device has units for it.

    Points are the exception: a coordinate near 1 has steps of 2⁻⁸ in bfloat16, half the width of a mode of the grid.
    """
    if arm.train.precision != "auto":
        return torch.bfloat16 if arm.train.precision == "bfloat16" else torch.float32
    if arm.data.make().points:
        return torch.float32
    if device.type == "cuda":
        quick = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        quick = "avx512_bf16" in cpu_facts().get("flags", "").split()
    return torch.bfloat16 if quick else torch.float32


@functools.cache
def cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor (``model name``, ``flags``, …); empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def on_device(data: Labelled, device: torch.device) -> Labelled:
    """The data set as it lies on the device for the whole training."""
    return Labelled(data.images.to(device), data.labels.to(device))


@contextlib.contextmanager
def computing(arm: Arm, device: torch.device) -> Iterator[None]:
    """Torch set up for a trial: threads on the CPU; on a GPU the quickest kernels, but float32 that is float32.

    With ``train.deterministic`` they are kernels that add up in the same order every time; torch raises, naming the
    operation, where it has none. On a CPU with a given number of threads there are no others.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(arm.train.threads)
    deterministic = arm.train.deterministic and device.type == "cuda"
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # torch's default for convolutions would change the judges' features
    torch.backends.cudnn.benchmark = not deterministic  # it chooses the kernels by their speed at the moment
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def release() -> None:
    """Give back what a trial held on the device, so that the trials beside it can have it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()

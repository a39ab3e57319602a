"""Sets up the device of a trial: number format, threads, kernels, memory."""

from __future__ import annotations

import contextlib
import functools
import gc
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.trial.calibration import FASTER, bfloat16_share
from harness.zoo.data.base import Labelled

if TYPE_CHECKING:
    from harness.suite.plan import Arm


def precision(arm: Arm, device: torch.device) -> torch.dtype:
    """The number format of forward passes. ``auto`` is bfloat16 where it is faster, else float32.

    On a GPU that supports it, it is. On a CPU that supports it, a measurement says so.

    Points always use float32: near 1, bfloat16 has steps of 2⁻⁸, which is half the width of a mode of the grid.
    """
    if arm.train.precision != "auto":
        return torch.bfloat16 if arm.train.precision == "bfloat16" else torch.float32
    if arm.data.make().points:
        return torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return faster_on_cpu()


def faster_on_cpu() -> torch.dtype:
    """The faster number format of this CPU."""
    supported = "avx512_bf16" in cpu_facts().get("flags", "").split()
    return torch.bfloat16 if supported and bfloat16_share(processor()) <= FASTER else torch.float32


def processor() -> str:
    """The processor and the instruction set that torch uses on it: both change the order of summation."""
    name = cpu_facts().get("model name") or platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@functools.cache
def cpu_facts() -> dict[str, str]:
    """What Linux reports about the first processor (``model name``, ``flags``, …); empty on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def on_device(data: Labelled, device: torch.device) -> Labelled:
    """The data set on the device, where it stays for the whole training."""
    return Labelled(data.images.to(device), data.labels.to(device))


@contextlib.contextmanager
def computing(arm: Arm, device: torch.device) -> Iterator[None]:
    """Set up torch for a trial: threads on the CPU; on a GPU the fastest kernels, with full float32 (no TF32).

    ``train.deterministic`` selects kernels that sum in the same order every time; torch raises an error that names
    the operation if it has none. On a CPU with a fixed number of threads, all kernels are deterministic.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(arm.train.threads)
    # Numbers below 1e-38 count as 0: arithmetic with them takes many times as long on a CPU, and they are common where
    # exp(−distance) or the moments of weights that no longer change go to 0.
    torch.set_flush_denormal(device.type == "cpu")
    deterministic = arm.train.deterministic and device.type == "cuda"
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # True, torch's default, would change the judges' features
    torch.backends.cudnn.benchmark = not deterministic  # it chooses kernels by a timing, so not the same each time
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(False)


def release() -> None:
    """Free the device memory of a trial, so that other trials on the device can use it.

    Raises:
        RuntimeError: the device had an error, after which nothing works in this process.
    """
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        torch.cuda.empty_cache()

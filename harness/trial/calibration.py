"""Which number format is faster on this processor: measured once, and remembered.

The processor's flags do not say it. Processors with the instructions for bfloat16 (avx512_bf16) multiply matrices in it
twice as fast as in float32, or half as fast, which depends on their make.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from harness.base import files

FASTER = 0.8
"""bfloat16 is used if its products take at most this share of the time of those in float32: there are also casts."""
SIZE = 512
ROUNDS = 9


@functools.cache
def bfloat16_share(processor: str) -> float:
    """The time of a matrix product in bfloat16 as a share of that in float32, on one thread.

    The file ``calibration.json`` in the cache folder remembers it, so that all trials of a machine train in the same
    format. Remove the file to measure again.

    Args:
        processor: the processor and the instruction set that torch uses on it.
    """
    path = files.cache_folder() / "calibration.json"
    about = f"{processor}, torch {torch.__version__}"
    with contextlib.suppress(OSError):  # a cache that cannot be written: measure in every process
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            known = _known(path)
            if about not in known:
                known[about] = _measured()
                files.write_json(path, known)
            return known[about]
    return _measured()


def _known(path: Path) -> dict[str, float]:
    """What was measured before; nothing if the file is missing or damaged."""
    try:
        found = json.loads(path.read_text())
        return {str(about): float(share) for about, share in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _measured() -> float:
    """The quickest of several products each, in turn: a busy machine only adds time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = [(_seconds(_product(torch.bfloat16)), _seconds(_product(torch.float32))) for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    return min(half for half, _ in times) / min(whole for _, whole in times)


def _product(dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    factor = torch.ones(SIZE, SIZE, dtype=dtype)
    return lambda: factor @ factor


def _seconds(work: Callable[[], torch.Tensor]) -> float:
    work()
    began = time.thread_time()
    work()
    return time.thread_time() - began

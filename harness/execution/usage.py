"""What a trial uses of its machine while it trains: MLflow's interface shows it as *System metrics*.

A GPU has the names that MLflow's own monitor gives it. That monitor is a thread that asks MLflow after every sample;
here a worker measures at points of the curves, without MLflow, and the journal has the numbers.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

EVERY = 10.0
"""Seconds between two measurements, as MLflow's monitor has them. A trial that trains for less has none."""
MEMORY = Path("/proc/self/statm")
"""Where Linux says how many pages of memory the process has; other systems have no such file."""


class Usage:
    """The usage of the process, and of its GPU, which other trials and programs may share.

    Args:
        device: the worker's device, as torch names it.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._measured, self._cpu = time.monotonic(), time.process_time()

    def due(self) -> dict[str, float]:
        """Name -> number now, with the mean share of a core since the last time; empty if that is not long ago.

        Megabytes are 10⁶ bytes; 100 % of a processor is one core.
        """
        now = time.monotonic()
        if (passed := now - self._measured) < EVERY:
            return {}
        cpu = time.process_time()
        found = {"process_cpu_utilization_percentage": 100 * (cpu - self._cpu) / passed}
        self._measured, self._cpu = now, cpu
        with contextlib.suppress(OSError):
            pages = int(MEMORY.read_text().split()[1])
            found["process_memory_usage_megabytes"] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return found | _gpu(self.device)


def _gpu(device: str) -> dict[str, float]:
    """The memory of a GPU that is in use and, if pynvml is installed, the share of time in which it computes."""
    import torch

    where, found = torch.device(device), dict[str, float]()
    if where.type == "cuda":
        own = f"gpu_{where.index or 0}"
        with contextlib.suppress(Exception):  # of the driver or of pynvml: no reason to end a trial
            free, total = torch.cuda.mem_get_info(where)
            found[f"{own}_memory_usage_megabytes"] = (total - free) / 1e6
            found[f"{own}_utilization_percentage"] = float(torch.cuda.utilization(where))
    return found

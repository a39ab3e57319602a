"""What every file of benchmark rows uses: a row of the table, and the processor time of a command."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
AGAINST = "HARNESS_BENCH_AGAINST"
"""The variable that names a checkout of an earlier commit, for rows that are compared with it."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux: orphans of a command become children of this process, which can count them."""


@dataclass(frozen=True)
class Row:
    """A row: two measurements that are made in pairs, and the value that is wanted.

    Attributes:
        name: unique over all rows.
        what: what is measured, for the page.
        wanted: the wanted value, in ``unit``: at least this for "×" and "trials a minute", at most this for others.
        ours: one measurement; of a ratio in processor seconds, those of child processes included, else in ``unit``.
        other: the same for what it is compared with; None if that is not at hand.
        unit: of ``wanted``. A unit that begins with "×" is the ratio other / ours.
    """

    name: str
    what: str
    wanted: float
    ours: Callable[[], float]
    other: Callable[[], float] | None = None
    unit: str = "×"

    @property
    def ratio(self) -> bool:
        """Whether its value is other / ours."""
        return self.unit.startswith("×")

    def met(self, value: float) -> bool:
        """Whether a value is as wanted."""
        return value >= self.wanted if self.unit in ("×", "trials a minute") else value <= self.wanted


def against() -> Path | None:
    """The checkout of an earlier commit, if one was named."""
    named = os.environ.get(AGAINST)
    return Path(named) if named else None


def processor_seconds(command: Sequence[str | Path], code: Path = ROOT, **environment: str) -> float:
    """The processor seconds of a command and of all processes that it starts (on Linux also of those it leaves).

    Args:
        command: what is run; its output is not shown.
        code: the checkout whose package ``harness`` it imports.
        environment: changes of the environment.

    Raises:
        RuntimeError: it failed; the message has the end of its output.
    """
    return _seconds(command, code, environment)[0]


def elapsed(command: Sequence[str | Path], code: Path = ROOT, **environment: str) -> float:
    """The seconds of a command by the clock, with as many threads as it chooses. Arguments and errors are the same."""
    return _seconds(command, code, environment, ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))[1]


def _seconds(
    command: Sequence[str | Path], code: Path, environment: dict[str, str], without: Sequence[str] = ()
) -> tuple[float, float]:
    """Seconds of the processor and by the clock."""
    paths = filter(None, (str(code), environment.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")))
    variables = os.environ | environment | {"PYTHONPATH": os.pathsep.join(paths)}
    for name in without:
        variables.pop(name, None)
    words = [sys.executable, __file__, *map(str, command)]
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(words, env=variables, stdout=said, stderr=subprocess.STDOUT, check=False)
        said.seek(0)
        output = said.read()
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[2:])} ended with {done.returncode}:\n{output[-2000:]}")
    used, took = map(float, output.splitlines()[-1].split())
    return used, took


def harness(*words: str | Path) -> list[str | Path]:
    """The command of the harness."""
    return [sys.executable, "-c", "from harness.cli import main; main(prog_name='harness')", *words]


def _measure(command: Sequence[str]) -> int:
    """Run a command in this process, which has no other child; print the seconds of the processor and by the clock."""
    began = time.monotonic()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
    done = subprocess.run(command, check=False)
    took = time.monotonic() - began
    with contextlib.suppress(ChildProcessError):
        while sys.platform == "linux":
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(used.ru_utime + used.ru_stime, took, flush=True)
    return done.returncode


if __name__ == "__main__" and len(sys.argv) > 1:
    sys.exit(_measure(sys.argv[1:]))

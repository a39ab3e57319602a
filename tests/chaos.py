"""What the tests marked `chaos` are given: a seed to choose by, and a place to say what they tried.

They run for as long as `nox -s chaos` is told to; the default run leaves them out. A test takes the fixture `chaos`:

    @pytest.mark.chaos
    def test_files_with_flipped_bits(chaos: Chaos, tmp_path: Path) -> None:
        for _ in range(20):
            ...  # choose with chaos.rng
            chaos.tried("bit flips", "checkpoint")
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Chaos:
    """One test of one round.

    Attributes:
        test: the test's name.
        seed: the round's seed; the same seed makes the same choices.
        record: the file where it is counted what was tried, or None.
    """

    test: str
    seed: int
    record: Path | None

    @cached_property
    def rng(self) -> random.Random:
        """Choices of this test in this round."""
        return random.Random(f"{self.seed}/{self.test}")

    def tried(self, what: str, detail: str = "", n: int = 1) -> None:
        """Count ``n`` faults or inputs that were survived: of what kind, and which (a phase, a file, ...)."""
        if self.record is None:
            return
        line = json.dumps({"test": self.test, "seed": self.seed, "what": what, "detail": detail, "n": n}) + "\n"
        handle = os.open(self.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line.encode())  # one write: tests side by side append to the same file
        finally:
            os.close(handle)

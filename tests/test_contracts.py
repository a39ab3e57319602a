"""The contracts, over everything that is registered."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from harness import testing
from harness.execution.engine import Engine
from harness.execution.local import LocalEngine


class TestModels(testing.ModelContract):
    pass


class TestTricks(testing.TrickContract):
    pass


class TestMetrics(testing.MetricContract):
    pass


class TestData(testing.DataContract):
    pass


class TestClassifiers(testing.ClassifierContract):
    pass


class TestArchitectures(testing.ArchitectureContract):
    pass


class TestLocalEngine(testing.EngineContract):
    def make(self, folder: Path) -> Engine:
        return LocalEngine(["cpu"] * self.slots, folder)

    def crash(self, engine: Engine, key: str) -> None:
        assert isinstance(engine, LocalEngine)
        [worker] = engine._workers_of(key)
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGKILL)


class TestLocalEngineWithLanes(TestLocalEngine):
    """All trials in one process, as on a GPU."""

    def make(self, folder: Path) -> Engine:
        return LocalEngine(["cpu"], folder, lanes=self.slots)

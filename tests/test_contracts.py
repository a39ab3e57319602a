"""The contracts, over everything that is registered."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from harness import testing
from harness.execution.engine import Engine, Site
from harness.execution.engines.local import LocalEngine
from harness.suite import Resources, Run


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
    engine_name = "local"

    def crash(self, engine: Engine, key: str) -> None:
        assert isinstance(engine, LocalEngine)
        [worker] = engine._workers_of(key)
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGKILL)


class TestLocalEngineWithLanes(TestLocalEngine):
    """All trials in one process, as on a GPU."""

    def site(self, folder: Path) -> Site:
        return Site(folder, Run(fuse=self.slots), Resources(), device="cpu", workers=1)

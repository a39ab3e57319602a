"""The Ray engine on a real cluster, whose nodes share no disk with the driver (see ``nodes``)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import nodes
import pytest
from nodes import Cluster

from harness import testing
from harness.execution.engine import Engine
from harness.zoo import registry

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and two nodes, each with room for two trials."""
    with nodes.cluster(hidden=[tmp_path_factory.getbasetemp()]) as made:
        made.join(cpus=2)
        made.join(cpus=2)
        yield made


class TestRayEngine(testing.EngineContract):
    address = ""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _there(cls, cluster: Cluster) -> None:
        cls.address = cluster.address

    def make(self, folder: Path) -> Engine:
        engine: Engine = registry.choose("engines", {"name": "ray", "address": self.address}).make(self.site(folder))
        return engine

    def crash(self, engine: Engine, key: str) -> None:
        [worker] = engine._workers_of(key)  # type: ignore[attr-defined]
        os.kill(worker.up.process, signal.SIGKILL)

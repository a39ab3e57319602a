"""The SLURM engine on a real SLURM of two nodes, with real trials and what may happen to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, cluster

from harness.execution.engine import Engine
from harness.testing import EngineContract

pytestmark = pytest.mark.cluster
pytest.importorskip("submitit", reason="needs submitit: pip install 'gan-harness[slurm]'")


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[Cluster]:
    """A cluster for the tests of this file; the commands of SLURM find it by SLURM_CONF."""
    with cluster() as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", made.environment["SLURM_CONF"])
        patch.setenv("OMP_NUM_THREADS", "1")
        yield made


def number_of(slurm: Cluster, engine: Engine, key: str) -> str:
    """SLURM's own number of the job of a trial."""
    return slurm.job(engine._jobs[key].number)["JobId"]  # type: ignore[attr-defined]


class TestSlurmEngine(EngineContract):
    engine_name = "slurm"

    @pytest.fixture(autouse=True)
    def _cluster(self, slurm: Cluster) -> None:
        self.slurm = slurm

    def crash(self, engine: Engine, key: str) -> None:
        for pid in self.slurm.processes(number_of(self.slurm, engine, key)):
            if b"submitit.core._submit" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

"""Ray on an allocation of SLURM: the script of docs/cluster.md, on two nodes that share nothing but the disk."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import nodes
import pytest
from harness_cli import Workspace, numbers
from servers import wait_for
from slurm_cluster import NODES, Cluster, cluster

pytestmark = pytest.mark.cluster

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


class Machines(Cluster):
    """A SLURM whose nodes are more than daemons: each has an address, names, processes and sessions of Ray of its own.

    ``ray stop``, with which the script ends, ends all of Ray that it sees.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.token = uuid.uuid4().hex[:6]
        self.bridge = f"hr{self.token}"
        network = f"10.{random.randrange(128, 255)}.{random.randrange(1, 255)}"
        self.addresses = {node: f"{network}.{number}" for number, node in enumerate(("", *NODES), 1)}

    def start(self) -> None:
        (self.folder / "hosts").write_text("".join(f"{self.addresses[node]} {node}\n" for node in NODES))
        nodes.bridge(self.bridge, self.addresses[""])
        for node in NODES:
            nodes.space(f"{self.token}-{node}", f"v{self.token}{node}"[:15], self.bridge, self.addresses[node])
        super().start()

    def within(self, node: str) -> list[str]:
        if node not in NODES:
            return []
        own = f"mount --bind {self.folder}/hosts /etc/hosts && mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray"
        # `ip netns exec` would hide the control groups, which slurmd looks for.
        space = ["nsenter", f"--net=/run/netns/{self.token}-{node}"]
        processes = ["unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc"]
        return [*space, *processes, "sh", "-c", f'{own} && "$@"; exit $?', "sh"]

    def stop(self) -> None:
        super().stop()
        nodes.without(self.bridge, [f"{self.token}-{node}" for node in NODES])


@pytest.fixture
def machines() -> Iterator[Machines]:
    if (why := nodes.obstacle()) is not None:
        pytest.skip(why)
    with cluster(Machines) as made:
        yield made


def test_the_script_of_the_page_runs_a_suite_on_an_allocation(machines: Machines, tmp_path: Path) -> None:
    workspace, here = Workspace(tmp_path), Workspace(tmp_path / "here")
    here.folder.mkdir()
    suite = workspace.suite()
    [script] = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", PAGE.read_text("utf-8"), re.S)
    for shown, ours in {
        "--nodes=4": "--nodes=2",
        "SUITE": shlex.quote(str(suite)),
        '"$HOME/results"': shlex.quote(str(workspace.results)),
    }.items():
        assert shown in script
        script = script.replace(shown, ours)
    (tmp_path / "job.sh").write_text(script)
    environment = machines.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = ["sbatch", "--parsable", "-o", tmp_path / "output", tmp_path / "job.sh"]
    sent = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    number = sent.stdout.strip()
    wait_for(lambda: machines.job(number)["JobState"] not in ("PENDING", "RUNNING", "COMPLETING"), 1200)
    output = (tmp_path / "output").read_text()
    assert machines.job(number)["JobState"] == "COMPLETED", output
    assert "[4/4]" in output
    here.run("run", suite, "--device", "cpu")
    assert numbers(workspace.table()) == numbers(here.table())

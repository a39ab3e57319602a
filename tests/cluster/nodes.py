"""A Ray cluster of machines that share no disk: each node in a network and a mount namespace of its own.

The head and the driver stay in the namespace of the test, at an address of a bridge. A node sees neither the driver's
folders nor the code of the harness, nor the head's session: empty file systems lie over them. Its home, its cache, its
data and its folder for temporary files are its own. Where namespaces may not be made, the tests are skipped.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from servers import free_port, wait_for

import harness

MARK = "HARNESS_TEST_NODE"
"""The variable by which the processes of a node are found: they inherit it."""


class Node:
    """A node of the cluster, or its head."""

    def __init__(self, name: str, folder: Path, address: str) -> None:
        self.name, self.folder, self.address = name, folder, address
        self.process: subprocess.Popen[bytes] | None = None
        for part in ("home", "cache", "data", "tmp"):
            (folder / part).mkdir(parents=True)

    @property
    def steps(self) -> Path:
        """What the model of ``lives.COUNTED`` writes on this node."""
        return self.folder / "steps"

    def lines(self) -> list[str]:
        """The lines that this model has written."""
        return self.steps.read_text().splitlines() if self.steps.exists() else []

    how: tuple[Any, ...] = ()
    """How it was started."""

    def start(self, words: Sequence[str], within: Sequence[str], hidden: Sequence[Path], data: Path | None) -> None:
        self.how = words, within, hidden, data
        covered = "".join(f"mount -t tmpfs none {shlex.quote(str(path))} && " for path in hidden)
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *words]
        environment = os.environ | {
            MARK: self.name,
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "HARNESS_CACHE": str(self.folder / "cache"),
            "HARNESS_DATA": str(data or self.folder / "data"),
            "RAY_USAGE_STATS_ENABLED": "0",
            "JOURNAL": str(self.steps),  # as ``lives.COUNTED`` reads it
            "PACE": "0.1",
            "RAY_worker_niceness": "0",  # the driver beside them is no nicer, and machines of tests are busy
        }
        with (self.folder / "output").open("wb") as out:
            self.process = subprocess.Popen(
                [*within, "sh", "-c", f"{covered}exec {shlex.join(ray)}"],
                cwd=self.folder / "home",
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """All its processes, those of its workers too."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if f"{MARK}={self.name}".encode() in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def trainers(self) -> list[int]:
        """The processes in which trials are trained: Ray writes into its title what an actor does."""
        found = []
        for process in self.processes():
            with contextlib.suppress(OSError):
                if b"RayOutpost" in Path(f"/proc/{process}/cmdline").read_bytes():
                    found.append(process)
        return found

    def kill(self) -> None:
        """As when the machine loses its power."""
        while alive := self.processes():
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            if self.process is not None:
                self.process.wait()


class Cluster:
    """A head that carries no trial, and nodes that join and leave."""

    def __init__(self, folder: Path, hidden: Sequence[Path]) -> None:
        self.folder = folder
        self.token = uuid.uuid4().hex[:6]
        self.network = f"10.{random.randrange(128, 255)}.{random.randrange(1, 255)}"
        self.bridge = f"hr{self.token}"
        self.session = folder / "session"
        self.session.mkdir()
        self.hidden = [self.session, *hidden]
        self.nodes: list[Node] = []
        self.joined = 0
        self.head = Node(f"{self.token}-head", folder / "head", f"{self.network}.1")
        self.address = f"{self.head.address}:{free_port()}"

    def start(self) -> None:
        bridge(self.bridge, self.head.address)
        words = ["--head", "--node-ip-address", self.head.address, "--port", self.address.partition(":")[2]]
        words += ["--num-cpus", "0", "--temp-dir", str(self.session), "--include-dashboard", "false"]
        self.head.start([*words, *_small()], [], [], None)
        wait_for(lambda: self.has(self.head), 600)

    def join(self, cpus: int = 2, data: Path | None = None, **resources: float) -> Node:
        """A new node, with so many cores, and with this folder of data (else with an empty one)."""
        self.joined += 1
        number = self.joined + 9
        node = Node(f"{self.token}-{number}", self.folder / f"node-{number}", f"{self.network}.{number}")
        self.nodes.append(node)
        space(node.name, f"v{self.token}{number}", self.bridge, node.address)
        words = ["--address", self.address, "--node-ip-address", node.address, "--num-cpus", str(cpus)]
        words += [word for name, amount in resources.items() for word in (f"--{name.replace('_', '-')}", str(amount))]
        node.start([*words, *_small()], ["ip", "netns", "exec", node.name, "unshare", "-m"], self.hidden, data)
        wait_for(lambda: self.has(node), 600)
        return node

    def has(self, node: Node) -> bool:
        """Whether the head has this node. Ray gives up where a start takes 30 s, as on a busy machine: start again."""
        if node.process is None or node.process.poll() is not None:
            node.kill()
            node.start(*node.how)
        code = "import sys; from ray._raylet import GcsClient\n"
        code += "for node in GcsClient(address=sys.argv[1]).get_all_node_info().values():\n"
        code += "    print(node.node_manager_address if node.state == 0 else '')"
        words = [sys.executable, "-c", code, self.address]
        told = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
        return node.address in told.stdout.split()

    def leave(self, node: Node) -> None:
        """Kill a node; the head may not have noticed yet."""
        node.kill()
        _run("ip", "netns", "delete", node.name)
        self.nodes.remove(node)

    def stop(self) -> None:
        for node in (*self.nodes, self.head):
            node.kill()
        spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout.split()
        without(self.bridge, [name for name in spaces if name.startswith(f"{self.token}-")])


def _small() -> list[str]:
    return ["--object-store-memory", str(200_000_000)]


def bridge(name: str, address: str) -> None:
    """A bridge, with an address of this machine in its network."""
    _run("ip", "link", "add", name, "type", "bridge")
    _run("ip", "address", "add", f"{address}/24", "dev", name)
    _run("ip", "link", "set", name, "up")


def space(name: str, device: str, bridge: str, address: str) -> None:
    """A network namespace with this address, joined to a bridge by a device of this machine."""
    _run("ip", "netns", "add", name)
    _run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "link", "set", device, "master", bridge, "up")
    _run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
    for one in ("eth0", "lo"):
        _run("ip", "-n", name, "link", "set", one, "up")


def without(bridge: str, spaces: Iterable[str]) -> None:
    """Remove namespaces and their bridge."""
    for name in spaces:
        _run("ip", "netns", "delete", name)
    subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)


def obstacle() -> str | None:
    """Why there can be no such cluster here."""
    if util.find_spec("ray") is None:
        return "needs Ray: pip install 'gan-harness[ray]'"
    tried = "ip netns add {0} && ip netns exec {0} unshare -m true && ip netns delete {0}".format(
        f"t{uuid.uuid4().hex[:8]}"
    )
    if not shutil.which("ip") or subprocess.run(tried, shell=True, capture_output=True, check=False).returncode:
        return "needs network and mount namespaces (iproute2, as root)"
    return None


@contextlib.contextmanager
def cluster(hidden: Sequence[Path]) -> Iterator[Cluster]:
    """A cluster with a head and no node; its nodes do not see these folders."""
    if (why := obstacle()) is not None:
        pytest.skip(why)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        made = Cluster(Path(name), [*hidden, Path(harness.__file__).parent])
        try:
            made.start()
            yield made
        finally:
            made.stop()

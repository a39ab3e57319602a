"""The Ray engine on a real cluster, whose nodes share no disk with the driver (see ``nodes``)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nodes
import pytest
from harness_cli import SEARCH, Workspace, numbers, package, python_that
from lives import COUNTED
from nodes import Cluster, Node
from servers import free_port
from servers import wait_for as waited_for

from harness import testing
from harness.execution.engine import Engine
from harness.store.journal import NAME, read
from harness.store.runs import Store
from harness.suite import Resources, Run
from harness.zoo import registry

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A head and two nodes, each with room for two trials."""
    with nodes.cluster(hidden=[tmp_path_factory.getbasetemp()]) as made:
        made.join(cpus=2)
        made.join(cpus=2)
        yield made
        import ray

        ray.shutdown()  # the contract has joined it from this process


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


def wait_for(condition: Callable[[], Any], seconds: float = 900) -> None:
    """Wait for what must happen: longer than a busy machine may need."""
    waited_for(condition, seconds)


class User:
    """Somebody with a folder of their own, and a package with a model that writes down its steps (``lives``)."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        package(folder / "site", "counted_model", COUNTED, {"harness.models": "counted = counted_model:Counted"})
        path = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
        environment = {"PYTHONPATH": path, "HARNESS_CACHE": str(folder / "cache"), "JOURNAL": str(folder / "steps")}
        self.cluster = cluster
        self.workspace = Workspace(folder, environment)
        self.here = Workspace(folder / "here", environment)
        self.here.folder.mkdir()

    def start(self, suite: Path, *words: str) -> subprocess.Popen[str]:
        return self.workspace.start("run", suite, "--engine", "ray", "--address", self.cluster.address, *words)

    def run(self, suite: Path, *words: str, code: int = 0) -> str:
        return ended(self.start(suite, *words), code)

    def alike(self) -> None:
        """The numbers and curves are those of the local engine, to the bit."""
        suite = self.here.folder / "tiny.yaml"
        suite.write_text((self.workspace.folder / "tiny.yaml").read_text())
        ended(self.here.start("run", suite, "--workers", "1"))
        assert numbers(self.workspace.table()) == numbers(self.here.table())
        assert curves(self.workspace.results) == curves(self.here.results)


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """What a command has printed, at its end."""
    output, _ = process.communicate(timeout=1800)
    print(output)
    assert process.returncode == code, output
    assert "Traceback" not in output, output
    if "(raylet)" in output:  # Ray writes to the terminal why a node is lost, and cannot be told not to
        assert "has been marked dead" in output
    return output


def curves(results: Path) -> dict[str, list[tuple[str, int, float]]]:
    """Key -> the points of the curves."""
    store = Store(results)
    records = [store.record(run, "") for run in store.runs()]
    assert all(record.curves for record in records)
    return {record.key: sorted(record.curves) for record in records}


def counted(steps: int, seeds: int) -> dict[str, Any]:
    """The sections of a suite with the model of the user's package. On a node a step takes at least 0.1 s."""
    return {
        "base": {"model": {"name": "counted", "architecture": {"name": "fully_connected", "width": 32}}},
        "train": {"steps": steps, "batch_size": 16, "precision": "float32"},
        "seeds": seeds,
        # So many snapshots that some are drawn before a worker is lost: their curves must go on, too.
        "run": {"snapshots": 41, "curve_points": steps, "checkpoint_seconds": 0.2},
    }


def resumed(node: Node) -> list[int]:
    """The steps from which trials went on here."""
    return [int(line.split()[3]) for line in node.lines() if line.split()[2] == "resumed"]


@pytest.fixture
def user(tmp_path: Path, cluster: Cluster) -> User:
    return User(tmp_path, cluster)


def test_a_suite_has_the_numbers_curves_and_pictures_of_the_local_engine(user: User) -> None:
    suite = user.workspace.suite()
    assert "[4/4]" in user.run(suite)
    trained = {place for node in user.cluster.nodes for place in (node.folder / "cache" / "outposts").glob("cache/*")}
    assert trained, "the nodes have computed the reference features"
    user.alike()
    pictures = list((user.workspace.results / "artifacts").rglob("final.png"))
    assert len(pictures) == 4
    assert "<img" in (user.workspace.results / "tiny" / "report.html").read_text()
    assert not list((user.workspace.results / "work").glob("*/records.jsonl"))
    wait_for(lambda: not any(node.trainers() for node in user.cluster.nodes))


def test_a_node_is_killed(user: User) -> None:
    lost, stays = user.cluster.nodes[:2]
    suite = user.workspace.suite(**counted(steps=200, seeds=3))
    work = user.workspace.results / "work"
    run = user.start(suite)
    wait_for(lambda: len(lost.lines()) > 20 and len(list(work.glob("*/checkpoint.pt"))) == 4)
    user.cluster.leave(lost)
    output = ended(run)
    user.cluster.join(cpus=2)  # for the next test
    assert "trying again" in output
    assert "[6/6]" in output
    assert [step for step in resumed(stays) if step > 0], "from a checkpoint"
    user.alike()


def test_a_node_that_joins_gets_what_waits(user: User) -> None:
    suite = user.workspace.suite(**counted(steps=5, seeds=1), resources={"cpus": 3})  # no node has them
    run = user.start(suite, "--workers", "2")
    wait_for(lambda: list((user.workspace.results / "work").glob("*/records.jsonl")))
    joined = user.cluster.join(cpus=3)
    assert "[2/2]" in ended(run)
    assert joined.lines()
    user.cluster.leave(joined)


@pytest.mark.parametrize("stored", [False, True], ids=["by-message", "by-artifacts"])
def test_the_driver_is_killed(user: User, stored: bool) -> None:
    url = user.cluster.folder / f"stored-{time.time_ns()}"
    words = ("--artifacts", f"file://{url}") if stored else ()
    suite = user.workspace.suite(**counted(steps=200, seeds=2))
    places = url if stored else user.workspace.results / "work"
    nodes_now = user.cluster.nodes
    before = [len(resumed(node)) for node in nodes_now]
    run = user.start(suite, *words)
    wait_for(lambda: len(list(places.glob("*/checkpoint.pt"))) == 4)
    assert any(node.trainers() for node in nodes_now)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    wait_for(lambda: not any(node.trainers() for node in nodes_now))
    trained = [node.lines() for node in nodes_now]
    time.sleep(1)
    assert [node.lines() for node in nodes_now] == trained, "nobody trains on"
    assert "[4/4]" in user.run(suite, *words)
    assert sum(len(resumed(node)) for node in nodes_now) == sum(before) + 4, "each from its checkpoint"
    assert not stored or not list(url.glob("*")), "checkpoints of trials that have ended are removed"
    user.alike()


def test_ctrl_c_saves_what_runs(user: User) -> None:
    suite = user.workspace.suite(**counted(steps=200, seeds=3))
    run = user.start(suite)
    wait_for(lambda: all(len(node.trainers()) == 2 and node.lines() for node in user.cluster.nodes))
    wait_for(lambda: len(list((user.workspace.results / "work").glob("*/checkpoint.pt"))) == 4)
    os.killpg(run.pid, signal.SIGINT)
    assert "continue with" in ended(run, 130)
    wait_for(lambda: not any(node.trainers() for node in user.cluster.nodes))
    saved = list((user.workspace.results / "work").glob("*/checkpoint.pt"))
    assert len(saved) == 4
    for path in saved:
        assert [entry["kind"] for entry, _ in read(path.with_name(NAME))][-1] in ("interrupt", "delivered")
    assert "[6/6]" in user.run(suite)
    user.alike()


def test_a_search_prunes_by_values_from_the_nodes(user: User) -> None:
    pruner = {"name": "median", "every": 5, "samples": 50}
    search = SEARCH | {"search": SEARCH["search"] | {"n_trials": 14, "pruner": pruner}}
    output = user.run(user.workspace.suite(**search, seeds=1))
    store = Store(user.workspace.results)
    records = [store.record(run, "") for run in store.runs()]
    assert len(records) >= 14, output
    assert any(record.state == "pruned" for record in records), output
    assert all([step for name, step, _ in record.curves if name == "intermediate_sharpness"] for record in records)


@pytest.mark.mnist
def test_a_node_that_lacks_the_data_gets_them(user: User) -> None:
    assert not any((node.folder / "cache" / "mnist").exists() for node in user.cluster.nodes)
    model = {"model": {"name": "gan", "architecture": {"name": "fully_connected", "width": 8}}}
    suite = user.workspace.suite(data="mnist", base=model, train={"steps": 5, "batch_size": 16}, seeds=1)
    assert "[2/2]" in user.run(suite)
    brought = [path for node in user.cluster.nodes for path in (node.folder / "cache" / "mnist").glob("*ubyte*")]
    assert len(brought) in (4, 8), "once a node, in the node's own cache"


def images(folder: Path, shade: int) -> None:
    """A folder of images of two classes."""
    from PIL import Image

    for label in ("a", "b"):
        for split in ("train", "test"):
            (folder / split / label).mkdir(parents=True)
            for number in range(20):
                Image.new("L", (8, 8), shade + number).save(folder / split / label / f"{number}.png")


def test_other_data_on_a_node_are_refused(user: User, tmp_path: Path) -> None:
    theirs, ours = user.cluster.folder / "theirs", tmp_path / "data"
    images(theirs / "mine", 100)
    images(ours / "mine", 101)
    user.workspace.environment["HARNESS_DATA"] = str(ours)
    node = user.cluster.join(cpus=4, data=theirs)
    try:
        suite = user.workspace.suite(
            data={"name": "folder", "path": "mine", "size": 8, "channels": 1},
            evaluate={"samples": 20, "metrics": ["sharpness"]},
            resources={"cpus": 3},  # that node alone has them
        )
        output = user.run(suite, code=2)
        assert f"the machine {node.address}: the data set folder here is not the driver's" in " ".join(output.split())
    finally:
        user.cluster.leave(node)


def test_a_package_that_a_machine_lacks_is_named(user: User, tmp_path: Path) -> None:
    # A plug-in travels; what its package imports besides does not.
    (tmp_path / "site" / "lacking_elsewhere.py").write_text("")
    source = COUNTED.replace("import os", "import os\nimport lacking_elsewhere", 1)
    (tmp_path / "site" / "counted_model.py").write_text(source)
    output = user.run(user.workspace.suite(**counted(steps=5, seeds=1)), code=2)
    assert "No module named 'lacking_elsewhere'" in output
    assert "the machine" in output


def test_what_a_trial_needs_is_what_ray_reserves(cluster: Cluster, tmp_path: Path) -> None:
    import ray

    site = testing.Site(tmp_path, Run(), Resources(cpus=2, memory="300MB"), device="cpu")
    engine: Any = registry.choose("engines", {"name": "ray", "address": cluster.address}).make(site)
    try:
        wait_for(lambda: engine.free == 2, 120)  # two nodes of two cores; one that has left may still count
        wait_for(lambda: ray.available_resources().get("CPU") == 4, 60)
        before = ray.available_resources()
        task = testing._task(tmp_path, 0, endless=True)
        engine.submit(task)
        wait_for(lambda: [event for event in engine.wait(1) if isinstance(event, testing.Stepped)], 120)
        wait_for(lambda: ray.available_resources().get("CPU") == 2, 60)
        assert before["memory"] - ray.available_resources()["memory"] == 300_000_000
        assert engine.free == 1
    finally:
        engine.close()


def test_what_no_machine_has_is_refused(user: User) -> None:
    output = user.run(user.workspace.suite(resources={"cpus": 3}), code=2)
    assert "no machine of the cluster" in output
    assert "3 cores" in output


def test_the_variable_of_ray_names_no_cluster(user: User, cluster: Cluster) -> None:
    """Neither a cluster that is there is joined because of it, nor is one that was given forgotten for it."""
    suite = user.workspace.suite(seeds=1)
    there = Workspace(user.workspace.folder, user.workspace.environment | {"RAY_ADDRESS": cluster.address})
    assert "--address HOST:PORT" in " ".join(ended(there.start("run", suite, "--engine", "ray"), 2).split())
    nobody = Workspace(user.workspace.folder, user.workspace.environment | {"RAY_ADDRESS": f"127.0.0.1:{free_port()}"})
    ended(nobody.start("run", suite, "--engine", "ray", "--address", cluster.address), 0)


class TestNoCluster:
    """Messages that need no cluster. None waits for an answer that does not come (see ``test_travel``)."""

    def refused(self, folder: Path, *words: str, **environment: str) -> str:
        workspace = Workspace(folder, environment)
        output = ended(workspace.start("run", workspace.suite(), "--engine", "ray", *words), 2)
        return " ".join(output.split())

    def test_an_address_is_needed(self, tmp_path: Path) -> None:
        assert "--address HOST:PORT" in self.refused(tmp_path, RAY_ADDRESS="127.0.0.1:1")

    def test_no_cluster_is_looked_for(self, tmp_path: Path) -> None:
        assert "expected HOST:PORT" in self.refused(tmp_path, "--address", "auto")

    def test_nobody_listens(self, tmp_path: Path) -> None:
        address = f"127.0.0.1:{free_port()}"
        assert f"the cluster at {address} cannot be joined" in self.refused(tmp_path, "--address", address)

    def test_something_else_listens(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            assert f"the cluster at {address} cannot be joined" in self.refused(tmp_path, "--address", address)

    def test_without_the_library(self, tmp_path: Path) -> None:
        hide = python_that(tmp_path / "site", "import sys; sys.modules['ray'] = None\n")
        assert "pip install 'gan-harness[ray]'" in self.refused(tmp_path, "--address", "127.0.0.1:1", **hide)

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        words = ("--address", "127.0.0.1:1", "--artifacts", f"file://{tmp_path}/file")
        assert "cannot be written to" in self.refused(tmp_path, *words)

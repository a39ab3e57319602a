"""A real MLflow server that dies, hangs, dawdles and loses answers: training goes on, and every record arrives once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos
from harness_cli import Workspace, package
from mlflow import MlflowClient
from mlflow.entities import Run
from servers import Server, wait_for

from harness.store import journal

PYTHONPATH = os.environ.get("PYTHONPATH", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")]

MODELS = '''
"""A GAN that waits in the middle of its training for a file, where it is told to."""

import os
import time
from pathlib import Path

from harness.zoo.models.gan import GAN


class Gated(GAN):
    name = "gated"
    summary = "it waits for a file"
    own_steps = 0

    def step(self, batch):
        self.own_steps += 1
        while self.own_steps == 30 and "GATE" in os.environ and not Path(os.environ["GATE"]).exists():
            time.sleep(0.05)
        return super().step(batch)
'''

# Every test trains a seed of its own: what a server knows is not trained again.
SUITE: dict[str, Any] = {
    "train": {"steps": 60, "batch_size": 16, "precision": "float32"},
    "base": {"model": {"name": "gated", "architecture": {"name": "fully_connected", "width": 32}}},
    "matrix": {"tricks": [[]]},
    "evaluate": {"samples": 100, "metrics": ["fid", "sharpness"]},
    "run": {"snapshots": 3, "curve_points": 30},
    "compare": {"metric": "fid"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with the model above."""
    folder = tmp_path_factory.mktemp("site")
    package(folder, "gated_models", MODELS, {"harness.models": "gated = gated_models:Gated"})
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, site: Path) -> Workspace:
    """All trials of this file, in a local store."""
    workspace = Workspace(tmp_path_factory.mktemp("undisturbed"), {"PYTHONPATH": f"{site}:{PYTHONPATH}"})
    workspace.run("run", workspace.suite("long", **SUITE, seeds=list(range(4))), "--workers", "1")
    return workspace


def remote(folder: Path, site: Path, uri: str) -> Workspace:
    """A workspace with a store on a server, where training waits in its middle until its gate is opened."""
    own = {"PYTHONPATH": f"{site}:{PYTHONPATH}", "GATE": str(folder / "gate")}
    return Workspace(folder, own | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": "4"})


def open_gate(workspace: Workspace) -> None:
    (workspace.folder / "gate").touch()


def runs(client: MlflowClient, suite: str, seed: int) -> list[Run]:
    experiment = client.get_experiment_by_name(suite)
    found: list[Run] = client.search_runs([experiment.experiment_id], f"tags.role = 'trial' and tags.seed = '{seed}'")
    return found


VARYING = {"token", "seal", "results_folder", "mlflow.parentRunId", "mlflow.user", "mlflow.runName", "suite"}
VARYING |= {"mlflow.log-model.history"}  # it has the id of the run


def content(client: MlflowClient, run: Run, folder: Path) -> dict[str, Any]:
    """All that a run holds and that must not depend on how it came there."""
    names = [name for name in run.data.metrics if not name.startswith(("seconds_", "system/"))]
    folder.mkdir()
    files = Path(client.download_artifacts(run.info.run_id, "", str(folder)))
    return {
        "status": run.info.status,
        "tags": {name: value for name, value in run.data.tags.items() if name not in VARYING},
        "params": run.data.params,
        "data": [(each.dataset.name, each.dataset.digest) for each in run.inputs.dataset_inputs],
        "metrics": {n: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, n)] for n in names},
        "files": {str(p.relative_to(files)): p.read_bytes() for p in sorted(files.rglob("*")) if p.is_file()},
    }


def assert_arrived_once(server: Server, seed: int, undisturbed: Workspace, folder: Path) -> None:
    [ours] = runs(server.client, "long", seed)
    local = MlflowClient(f"sqlite:///{undisturbed.results / 'mlflow.db'}")
    [theirs] = runs(local, "long", seed)
    assert content(server.client, ours, folder / "ours") == content(local, theirs, folder / "theirs")
    assert "seconds_train" in ours.data.metrics


def recorded(workspace: Workspace) -> list[journal.Journal]:
    return [journal.Journal(path.parent) for path in journal.files(workspace.results / "work")]


def trained(workspace: Workspace) -> bool:
    return any(one.outcome is not None for one in recorded(workspace))


def begun(server: Server, workspace: Workspace, seed: int) -> bool:
    """Whether the server has the first points of the trial's curves."""
    if not recorded(workspace) or server.client.get_experiment_by_name("long") is None:
        return False
    return any(name.startswith("train/") for run in runs(server.client, "long", seed) for name in run.data.metrics)


def test_a_server_that_is_killed_and_comes_back_after_the_run(
    tmp_path: Path, server: Server, site: Path, undisturbed: Workspace
) -> None:
    workspace = remote(tmp_path, site, server.uri)
    suite = workspace.suite("long", **SUITE, seeds=[0])
    driver = workspace.start("run", suite)
    wait_for(lambda: begun(server, workspace, 0))
    server.signal(signal.SIGKILL)
    open_gate(workspace)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 2, output
    assert "Traceback" not in output
    assert "done in" in output
    assert "the records of 1 trial are kept in" in output
    assert "does not answer" in workspace.run("run", suite, code=2)  # nor is anything lost by trying
    assert trained(workspace)
    server.start()
    assert "1 trials, 1 done before" in workspace.run("run", suite)
    assert_arrived_once(server, 0, undisturbed, tmp_path)
    assert not list((workspace.results / "work").glob("*/"))


def test_a_server_that_hangs_mid_run(tmp_path: Path, server: Server, site: Path, undisturbed: Workspace) -> None:
    workspace = remote(tmp_path, site, server.uri)
    workspace.environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    driver = workspace.start("run", workspace.suite("long", **SUITE, seeds=[1]))
    wait_for(lambda: begun(server, workspace, 1))
    server.signal(signal.SIGSTOP)
    try:
        open_gate(workspace)
        wait_for(lambda: trained(workspace))  # which waits for nobody
        time.sleep(6)  # until a call was given up
    finally:
        server.signal(signal.SIGCONT)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    assert "does not answer" in output
    assert "answers again" in output
    assert_arrived_once(server, 1, undisturbed, tmp_path)


def test_two_machines_on_one_server(tmp_path: Path, server: Server, site: Path, undisturbed: Workspace) -> None:
    one, other = (remote(tmp_path / name, site, server.uri) for name in ("one", "other"))
    for workspace in (one, other):
        workspace.folder.mkdir()
    driver = one.start("run", one.suite("long", **SUITE, seeds=[2]))
    wait_for(lambda: begun(server, one, 2))
    open_gate(other)
    other.run("run", other.suite("long", **SUITE, seeds=[2]))
    theirs, ours = sorted(runs(server.client, "long", 2), key=lambda run: run.info.start_time)
    assert (theirs.info.status, ours.info.status) == ("RUNNING", "FINISHED")
    open_gate(one)
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 0, output
    contents = [server.client.get_run(run.info.run_id) for run in (theirs, ours)]
    local = [content(server.client, run, tmp_path / run.info.run_id) for run in contents]
    assert local[0] == local[1]
    assert "1 trials, 1 done before" in other.run("run", other.folder / "long.yaml")
    assert len(runs(server.client, "long", 2)) == 2


class Dawdling(ThreadingHTTPServer):
    """Hands requests on to a server after a while, and loses some of the answers."""

    def __init__(self, target: str, seconds: float, lost: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.seconds = seconds
        self.lost = lost
        self.calls = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Dawdling

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def do_GET(self) -> None:
        time.sleep(self.server.seconds)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        request = urllib.request.Request(self.server.target + self.path, body or None, kept, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, headers, said = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, said = error.code, error.headers, error.read()
        self.server.calls += 1
        self.close_connection = True
        if self.server.lost and self.server.calls % self.server.lost == 0:
            return  # heeded, but nobody will know
        self.send_response(status)
        self.send_header("Content-Type", headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def dawdling(server: Server, seconds: float, lost: int = 0) -> Iterator[Dawdling]:
    proxy = Dawdling(server.uri, seconds, lost)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()


def undisturbed_too(folder: Path, undisturbed: Workspace, seed: int) -> Workspace:
    """A run of this seed that nothing disturbs, in the folder, and room there for the ``remote`` one."""
    local = Workspace(folder, undisturbed.environment)
    local.run("run", local.suite("long", **SUITE, seeds=[seed]))
    (folder / "remote").mkdir()
    return local


def run_until_it_ends(workspace: Workspace, suite: Path) -> None:
    """As often as it takes: what is not answered while it reads ends it."""
    for _ in range(40):
        process = workspace.start("run", suite)
        output, _ = process.communicate(timeout=1800)
        assert "Traceback" not in output, output
        if process.returncode == 0:
            return
        assert process.returncode == 2, output
        assert "does not answer" in output
    raise AssertionError(output)


def test_a_server_that_loses_answers(tmp_path: Path, server: Server, site: Path, undisturbed: Workspace) -> None:
    with dawdling(server, 0.1, lost=4) as proxy:
        workspace = remote(tmp_path, site, proxy.uri)
        open_gate(workspace)
        run_until_it_ends(workspace, workspace.suite("long", **SUITE, seeds=[3]))
    assert_arrived_once(server, 3, undisturbed, tmp_path)


def test_the_password_of_a_server_that_answers_is_nowhere(tmp_path: Path, server: Server, site: Path) -> None:
    secret = "canary-7d21"
    address = server.uri.replace("http://", f"http://user:{secret}@")
    workspace = remote(tmp_path, site, address)
    open_gate(workspace)
    suite = workspace.suite("secret", **SUITE, seeds=[0])
    told = [workspace.run(*words) for words in (["run", suite], ["run", suite], ["plan", suite], ["doctor"])]
    assert "1 trials, 1 done before" in told[1]
    assert secret not in "".join(told)
    written = [path for folder in (workspace.results, server.folder) for path in folder.rglob("*") if path.is_file()]
    assert {"report.html", "server.db", "server.log"} <= {path.name for path in written}
    assert [str(path) for path in written if secret.encode() in path.read_bytes()] == []


@pytest.mark.chaos
def test_a_server_with_five_seconds_a_call(
    tmp_path: Path, site: Path, server: Server, undisturbed: Workspace, chaos: Chaos
) -> None:
    seed = 4 + chaos.seed
    local = undisturbed_too(tmp_path, undisturbed, seed)
    with dawdling(server, 5) as proxy:
        workspace = remote(tmp_path / "remote", site, proxy.uri)
        workspace.environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "30"
        open_gate(workspace)
        workspace.run("run", workspace.suite("long", **SUITE, seeds=[seed]))
    assert_arrived_once(server, seed, local, tmp_path)
    chaos.tried("calls to MLflow of 5 s", n=proxy.calls)


@pytest.mark.chaos
def test_a_server_that_comes_and_goes(
    tmp_path: Path, site: Path, server: Server, undisturbed: Workspace, chaos: Chaos
) -> None:
    seed = 10_004 + chaos.seed
    local = undisturbed_too(tmp_path, undisturbed, seed)
    with dawdling(server, 0, lost=chaos.rng.randint(3, 9)) as proxy:
        workspace = remote(tmp_path / "remote", site, proxy.uri)
        open_gate(workspace)
        suite = workspace.suite("long", **SUITE, seeds=[seed])
        tried = list[str]()
        for _ in range(4):
            driver = workspace.start("run", suite)
            time.sleep(chaos.rng.uniform(0, 20))
            what = chaos.rng.choice(["server killed", "server stopped", "driver killed", "driver and server killed"])
            if "server" in what:
                server.signal(signal.SIGSTOP if "stopped" in what else signal.SIGKILL)
                time.sleep(chaos.rng.uniform(0, 10))
            if "driver" in what:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(driver.pid, signal.SIGKILL)
            if "stopped" in what:
                server.signal(signal.SIGCONT)
            elif "server" in what:
                server.start()
            output, _ = driver.communicate(timeout=600)
            assert "Traceback" not in output, output
            tried.append(what)
        run_until_it_ends(workspace, suite)
    assert_arrived_once(server, seed, local, tmp_path)
    for what in tried:
        chaos.tried(what)

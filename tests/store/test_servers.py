"""What works on the file works on an MLflow server and on a database: run, report, check, ui, resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness_cli import Workspace, numbers
from servers import Server, free_port, postgresql, wait_for

from harness.base import digests
from harness.store.artifacts import Fetched

ONE_EACH: dict[str, Any] = {"seeds": 1}
KINDS = ["file", "server", "postgresql"]


def words(text: str) -> str:
    """A text without the line breaks that the width of a terminal makes."""
    return " ".join(text.split())


# --- without a server ------------------------------------------------------------------------------------


def test_the_plan_is_shown_while_the_server_is_away(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    workspace = Workspace(tmp_path, {"MLFLOW_TRACKING_URI": address})
    suite = workspace.suite()
    shown = words(workspace.run("plan", suite))
    assert "4 trials: 4 not known" in shown
    assert f"the MLflow store {address} does not answer" in shown
    assert "Traceback" not in shown
    asked = workspace.run("plan", suite, "--json")
    plan, _ = json.JSONDecoder().raw_decode(asked[asked.index("{") :])
    assert {trial["state"] for trial in plan["trials"]} == {"not known"}
    assert len(plan["cells"]) == 2
    assert "does not answer" in workspace.run("run", suite, code=2)


def test_the_ui_of_a_server_is_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"MLFLOW_TRACKING_URI": "http://ada:secret@127.0.0.1:5999"})
    said = workspace.run("ui")
    assert said == "the store is an MLflow server: open http://127.0.0.1:5999 in a browser\n"


@pytest.mark.parametrize(
    ("address", "package"),
    [("mysql://127.0.0.1/x", "mysqlclient"), ("mssql+pyodbc://127.0.0.1/x", "pyodbc")],
)
def test_a_missing_driver_is_named(tmp_path: Path, address: str, package: str) -> None:
    workspace = Workspace(tmp_path, {"MLFLOW_TRACKING_URI": address})
    for command in ("plan", "run"):
        said = words(workspace.run(command, workspace.suite(), code=2))
        assert f"the driver of the database {address} is not installed" in said
        assert f"`pip install {package}`" in said
    assert not (tmp_path / "mlruns").exists()


class Client:
    """Stands in for MLflow's client: it has two files, and counts what it is asked for."""

    def __init__(self) -> None:
        self.files = {"protocol.json": b"{}", "samples/final.png": b"a picture"}
        self.asked: list[str] = []

    def download_artifacts(self, run: str, name: str, folder: str) -> str:
        self.asked.append(name)
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.files[name])
        return str(path)

    def list_artifacts(self, run: str, name: str) -> list[SimpleNamespace]:
        self.asked.append(f"{name}/")
        return [SimpleNamespace(path=path, is_dir=False) for path in self.files if path.startswith(f"{name}/")]


def test_files_are_fetched_once_and_kept_by_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    client, errors = Client(), list[Exception]()
    known = {"protocol.json": digests.of_bytes(b"{}")}

    def fetched(run: str = "a") -> Fetched:
        return Fetched(client, "http://there", run, known, errors.append)  # type: ignore[arg-type]

    for _ in range(2):
        path = fetched().file("protocol.json")
        assert path is not None
        assert path.read_bytes() == b"{}"
        [picture] = fetched().folder("samples")
        assert picture.read_bytes() == b"a picture"
    assert client.asked == ["protocol.json", "samples/", "samples/final.png"]

    for damaged in (path, picture):  # fetched again
        damaged.write_bytes(b"damaged")
    assert fetched().file("protocol.json") == path
    assert path.read_bytes() == b"{}"
    assert [file.read_bytes() for file in fetched().folder("samples")] == [b"a picture"]
    assert client.asked[3:] == ["protocol.json", "samples/final.png"]

    fetched("b").file("protocol.json")  # of another run
    assert client.asked[5:] == ["protocol.json"]
    assert fetched().file("config.json") is None
    assert [type(error) for error in errors] == [KeyError]


# --- with servers ----------------------------------------------------------------------------------------


@dataclass
class Where:
    """A kind of store, and its address; None for the file in the results folder."""

    kind: str
    address: str | None
    server: Server | None = None

    def workspace(self, folder: Path) -> Workspace:
        """A folder whose results go to this store, with an empty cache."""
        folder.mkdir()
        environment = {"HARNESS_CACHE": str(folder / "cache")}
        return Workspace(folder, environment | ({"MLFLOW_TRACKING_URI": self.address} if self.address else {}))


@pytest.fixture(scope="module", params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Where]:
    folder = tmp_path_factory.mktemp("where")
    if request.param == "file":
        yield Where("file", None)
    elif request.param == "postgresql":
        with postgresql() as database:
            yield Where("postgresql", database.address())
    else:
        server = Server(folder)
        server.start()
        yield Where("server", server.uri, server)
        server.signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def done(where: Where, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A small suite that was run there, and what was printed."""
    workspace = where.workspace(tmp_path_factory.mktemp("done") / "w")
    return workspace, workspace.run("run", workspace.suite(**ONE_EACH))


@pytest.mark.slow
def test_run_and_report(where: Where, done: tuple[Workspace, str], tiny_store: Workspace) -> None:
    workspace, printed = done
    for text in (printed, workspace.run("report", "tiny.yaml")):
        assert "View run" not in text
        assert "View experiment" not in text
        assert "Downloading" not in text
        assert "was not checked" not in words(text)
        assert "are not where" not in words(text)
    expected = numbers(tiny_store.table())
    assert numbers(workspace.table()) == {place: row for place, row in expected.items() if place[1] == "0"}
    page = (workspace.results / "tiny" / "report.html").read_text("utf-8")
    pictures = {path.name for path in (workspace.results / "tiny" / "figures").glob("*.png")}
    local = {path.name for path in (tiny_store.results / "tiny" / "figures").glob("*.png")}
    of_seed_0 = {name for name in local if "-samples-" in name and not name.endswith("-samples-seed-1.png")}
    assert {name for name in pictures if "-samples-" in name} == of_seed_0
    assert page.count("<img") >= 4
    assert {path.name for path in workspace.folder.iterdir()} <= {"tiny.yaml", "results", "cache"}
    files = sorted((workspace.results / "artifacts" / "tiny").glob("*/artifacts/protocol.json"))
    assert len(files) == (0 if where.kind == "server" else 2)
    assert {trial["state"] for trial in workspace.plan(workspace.folder / "tiny.yaml")["trials"]} == {"done"}


@pytest.mark.slow
def test_another_folder_reads_the_same_store(where: Where, done: tuple[Workspace, str], tmp_path: Path) -> None:
    if where.kind == "file":
        pytest.skip("a file is in its own folder")
    other = where.workspace(tmp_path / "other")
    assert "2 done before" in other.run("run", other.suite(**ONE_EACH))
    assert numbers(other.table()) == numbers(done[0].table())
    assert {path.name for path in other.folder.iterdir()} <= {"tiny.yaml", "results", "cache"}
    more = other.run("run", "tiny.yaml", "--set", "seeds=2")
    assert "are not where" not in words(more)
    assert len(list((other.results / "artifacts" / "tiny").glob("*/artifacts/protocol.json"))) == (
        0 if where.kind == "server" else 2
    )


@pytest.mark.slow
def test_check(done: tuple[Workspace, str]) -> None:
    workspace, _ = done
    baseline = workspace.folder / "results" / "baseline.json"
    workspace.run("check", "tiny.yaml", "--baseline", baseline, "--update")
    assert json.loads(baseline.read_text())["arms"]["gan"]["protocol"]["fid"]["samples"] == 100
    workspace.run("check", "tiny.yaml", "--baseline", baseline)


@pytest.mark.slow
def test_resume(where: Where, tmp_path: Path) -> None:
    workspace = where.workspace(tmp_path / "w")
    training = {"steps": 300, "batch_size": 16, "precision": "float32"}
    often = {"curve_points": 100, "checkpoint_seconds": 0.001}
    suite = workspace.suite("long", train=training, seeds=[7], matrix={"tricks": [[]]}, run=often)
    driver = workspace.start("run", suite, "--workers", "1")
    try:
        wait_for(lambda: list(workspace.results.glob("work/*/checkpoint.pt")), 600)  # the first tables take a while
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
    assert "1 trials, 0 done before" in workspace.run("run", suite)
    assert [row["state"] for row in workspace.table("long")] == ["done"]


@pytest.mark.slow
def test_ui(where: Where, done: tuple[Workspace, str]) -> None:
    import urllib.request

    workspace, port = done[0], free_port()
    if where.kind == "server":
        assert f"open {where.address} in a browser" in workspace.run("ui")
        return
    process = workspace.start("ui", "--port", str(port))

    def answers() -> bool:
        assert process.poll() is None, process.communicate()[0]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_for(answers)
        search = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=tiny"
        )
        with urllib.request.urlopen(search, timeout=30) as answer:
            assert json.load(answer)["experiment"]["name"] == "tiny"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert (process.returncode, "Traceback" in output) == (0, False), output
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_damaged_file_on_a_server_is_one_row(where: Where, tmp_path: Path) -> None:
    if where.server is None:
        pytest.skip("tests/test_altered.py has this for files")
    workspace = where.workspace(tmp_path / "w")
    suite = workspace.suite("other", **ONE_EACH, question="Another?", train={"steps": 21, "batch_size": 16})
    workspace.run("run", suite)
    row = workspace.table("other")[0]
    [path] = (where.server.folder / "artifacts").rglob(f"{row['mlflow_run_id']}/artifacts/protocol.json")
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    assert "altered" not in workspace.run("report", suite)  # its digest says that the kept one is right
    shutil.rmtree(workspace.folder / "cache" / "artifacts")
    told = f"{row['arm']}, seed 0: altered: file 'protocol.json' was edited or damaged"
    assert told in words(workspace.run("report", suite))
    assert told in words(workspace.run("plan", suite))
    assert "1 done before" in workspace.run("run", suite)
    assert [line["state"] for line in workspace.table("other")] == ["done", "done"]

"""Disks that are full or read-only, stores that another program keeps locked: said, kept, and gone on with."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos
from harness_cli import Workspace, numbers, python_that

pytestmark = pytest.mark.slow

# Long enough to be met in the middle; saved at every point of the curves.
LONG: dict[str, Any] = {
    "train": {"steps": 400, "batch_size": 16, "precision": "float32"},
    "seeds": 1,
    "matrix": {"tricks": [[]]},
    "evaluate": {"samples": 64, "metrics": ["fid", "sharpness"]},
    "run": {"snapshots": 2, "curve_points": 100, "checkpoint_seconds": 0.001},
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, str]]:
    """The numbers where nothing happens."""
    workspace = Workspace(tmp_path_factory.mktemp("plain"))
    workspace.run("run", workspace.suite(**LONG))
    return numbers(workspace.table())


class Disk:
    """A small file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filler = folder / "filler"

    def remount(self, *options: str) -> None:
        subprocess.run(["mount", "-o", ",".join(("remount", *options)), self.folder], check=True)

    def fill(self, leave: int = 0) -> None:
        """Take all that is free, but for so many bytes."""
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        with self.filler.open("wb") as file, contextlib.suppress(OSError):
            if leave:
                file.write(bytes(max(0, free - leave)))
            while not leave:
                os.write(file.fileno(), bytes(4096))

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """64 MB of memory, mounted; who may not mount has none."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def on(disk: Disk) -> Workspace:
    (disk.folder / "w").mkdir()
    return Workspace(disk.folder / "w")


def checkpoints(workspace: Workspace) -> list[Path]:
    return list(workspace.results.glob("work/*/checkpoint.pt"))


def fails(process: subprocess.Popen[str], *said: str) -> str:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    assert "Traceback" not in output, output
    for text in said:
        assert text in output, output
    return output


def goes_on(workspace: Workspace, suite: Path, plain: dict[Any, Any]) -> None:
    workspace.run("run", suite)
    assert numbers(workspace.table()) == plain
    left = [path for path in (workspace.results / "work").iterdir() if not path.name.endswith(".log")]
    assert left == []
    assert not list(workspace.results.rglob(".*.tmp"))


def test_a_full_disk_and_a_read_only_one(disk: Disk, plain: dict[Any, Any]) -> None:
    workspace = on(disk)
    suite = workspace.suite(**LONG)
    running = workspace.start("run", suite, "--workers", "1")
    wait_for(lambda: checkpoints(workspace), running)
    disk.fill()
    fails(running, "no space is left", "the same command continues")
    assert checkpoints(workspace)
    disk.free()
    goes_on(workspace, suite, plain)
    logs = "".join(log.read_text() for log in (workspace.results / "work").glob("*.log"))
    assert "resumed at step" in logs, "it was trained anew"

    disk.remount("ro")
    output = workspace.run("run", suite, code=2)
    assert "cannot be written to" in output
    disk.remount("rw")
    assert "1 trials, 1 done before" in workspace.run("run", suite)


@pytest.mark.chaos
def test_disks_that_fill_up_at_any_moment(disk: Disk, plain: dict[Any, Any], chaos: Chaos) -> None:
    workspace = on(disk)
    suite = workspace.suite(**LONG)
    running = workspace.start("run", suite, "--workers", "1")
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(chaos.rng.uniform(0, 25))
    disk.fill(chaos.rng.choice([0, 0, 100_000, 1_000_000, 3_000_000]))
    output, _ = running.communicate(timeout=300)
    assert running.returncode in (0, 2), output
    assert "Traceback" not in output, output
    assert running.returncode == 0 or "no space is left" in output, output
    disk.free()
    goes_on(workspace, suite, plain)
    chaos.tried("full disks", "refused" if running.returncode else "had written all before")


def limited(kilobytes: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000, resource.RLIM_INFINITY))


def test_a_limit_of_the_size_of_files(tmp_path: Path, plain: dict[Any, Any]) -> None:
    """What stands in for a quota where nobody may mount."""
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**LONG)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limited(200)()
    try:
        running = workspace.start("run", suite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    fails(running, "a file has reached the limit of file sizes")
    assert not (workspace.results / "mlflow.db").exists()
    goes_on(workspace, suite, plain)


HOLD = """
import sqlite3, sys, time
held = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[2:]]
for connection in held:
    connection.execute("PRAGMA busy_timeout = 60000")
    connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[1]))
for connection in held:
    connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked(workspace: Workspace, seconds: float, *names: str) -> Iterator[None]:
    """Another program keeps these stores locked for so long."""
    paths = [str(workspace.results / name) for name in names]
    command = [sys.executable, "-c", HOLD, str(seconds), *paths]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def through_a_lock(workspace: Workspace, plain: dict[Any, Any], seconds: float) -> None:
    suite = workspace.suite(**LONG)
    running = workspace.start("run", suite, "--workers", "1")
    wait_for(lambda: checkpoints(workspace), running)
    with locked(workspace, seconds, "mlflow.db", "optuna.db"):
        output, _ = running.communicate(timeout=seconds + 300)
    assert running.returncode == 0, output
    assert "another program has locked it" in output
    assert numbers(workspace.table()) == plain


def test_stores_that_are_locked_in_the_middle_of_a_run(tmp_path: Path, plain: dict[Any, Any]) -> None:
    through_a_lock(Workspace(tmp_path), plain, 20)


@pytest.mark.chaos
def test_stores_that_are_locked_for_longer_than_a_minute(tmp_path: Path, plain: dict[Any, Any], chaos: Chaos) -> None:
    workspace = Workspace(tmp_path)
    through_a_lock(workspace, plain, 65)
    with locked(workspace, 65, "mlflow.db", "optuna.db"):
        assert "1 trials, 1 done before" in workspace.run("run", workspace.suite(**LONG))
    chaos.tried("stores locked for 65 s", n=2)


# The command line with less patience than five minutes, in the driver and in its workers.
IMPATIENT = "from harness.store import sqlite; sqlite.PATIENCE = 4\n"


@pytest.mark.parametrize("name", ["mlflow.db", "optuna.db"])
def test_a_store_that_stays_locked_is_named(tmp_path: Path, plain: dict[Any, Any], name: str) -> None:
    workspace = Workspace(tmp_path, python_that(tmp_path / "site", IMPATIENT))
    suite = workspace.suite(**LONG)
    running = workspace.start("run", suite, "--workers", "1")
    wait_for(lambda: checkpoints(workspace), running)
    with locked(workspace, 200, name):  # in the middle
        fails(running, f"{name}: another program keeps the store locked; end it")
    with locked(workspace, 200, name):  # from the start
        fails(workspace.start("run", suite), f"{name}: another program keeps the store locked; end it")
    goes_on(workspace, suite, plain)

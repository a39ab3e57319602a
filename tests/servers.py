"""A real MLflow server and a real PostgreSQL, on this machine alone, for the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Any, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


class Server:
    """An MLflow server of its own process group, on a folder that outlives it, with its runs there or in a database."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.folder = folder
        self.database = database or f"sqlite:///{folder / 'server.db'}"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", self.database, "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        wait_for(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()


class PostgreSQL:
    """A PostgreSQL on a folder that outlives its process. It asks for no password, and takes any."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries = binaries
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.who: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            self.who = {"user": "postgres", "group": "postgres", "extra_groups": ()}
            shutil.chown(folder, "postgres", "postgres")
        words = [binaries / "initdb", "-D", folder / "data", "-U", "harness", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder, **self.who)
        assert made.returncode == 0, made.stderr

    def address(self, database: str = "postgres", user: str = "harness") -> str:
        """The address of a database."""
        return f"postgresql+psycopg2://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        words = [self.binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder, "-F"]
        with (self.folder / "log").open("ab") as log:
            words += ["-c", "listen_addresses=127.0.0.1"]
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.folder, **self.who)
        asked = [self.binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        wait_for(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0)

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: with SIGINT it cuts off whoever is connected."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait()

    def do(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement as the owner of all; the rows of its answer."""
        import psycopg2

        with contextlib.closing(psycopg2.connect(self.address(database).replace("+psycopg2", ""))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL with an empty database; skips the test where there is none, or no driver."""
    found = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if found is None:
        pytest.skip("needs PostgreSQL: no initdb on this machine")
    if util.find_spec("psycopg2") is None:
        pytest.skip("needs the driver of PostgreSQL: pip install psycopg2-binary")
    # In a folder of its own: those of pytest are for their owner alone, and their paths too long for a socket.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        server = PostgreSQL(Path(found).resolve().parent, Path(name))
        server.start()
        try:
            yield server
        finally:
            server.stop()

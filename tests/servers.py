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
    """An MLflow server of its own process group, on a folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
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
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}", "--workers", "1"]
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


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database; skips the test where there is no PostgreSQL or no driver."""
    found = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
    if found is None:
        pytest.skip("needs PostgreSQL: no initdb on this machine")
    if util.find_spec("psycopg2") is None:
        pytest.skip("needs the driver of PostgreSQL: pip install psycopg2-binary")
    who: dict[str, Any] = {}
    # In a folder of its own: those of pytest are for their owner alone, and their paths too long for a socket.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            who = {"user": "postgres", "group": "postgres", "extra_groups": ()}
            shutil.chown(folder, "postgres", "postgres")
        binaries, data, port = Path(found).resolve().parent, folder / "data", free_port()
        words = [binaries / "initdb", "-D", data, "-U", "harness", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder, **who)
        assert made.returncode == 0, made.stderr
        words = [binaries / "postgres", "-D", data, "-p", str(port), "-k", folder, "-F"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [*words, "-c", "listen_addresses=127.0.0.1"], stdout=log, stderr=log, cwd=folder, **who
            )
        asked = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        try:
            wait_for(lambda: subprocess.run(asked, capture_output=True, check=False).returncode == 0)
            yield f"postgresql+psycopg2://harness@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()

"""MLflow's own user interface on a store."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

from harness.base import interrupts
from harness.base.errors import HarnessError
from harness.base.terminal import echo
from harness.store import sqlite
from harness.store.runs import Store


def serve(store: Store, port: int) -> None:
    """Run MLflow's server for a store until Ctrl-C. It listens only on 127.0.0.1.

    Raises:
        HarnessError: the port is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HarnessError(f"port {port} on 127.0.0.1 cannot be used ({error}): choose another --port") from error
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1"]
    # Without the job runner the server needs .5 GB of memory instead of 1.5 GB.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    backend = sqlite.elsewhere(store.file) if store.file else store.address
    environment |= {"MLFLOW_BACKEND_STORE_URI": backend}  # not in the command line, which every user can see
    address = f"http://127.0.0.1:{port}/#/experiments"
    echo(f"MLflow on {store.shown}: {address} (choose Model training at the left; Ctrl-C ends it)")
    # In its own process group: MLflow forwards Ctrl-C to a child that already got it from the terminal, and that child
    # prints a traceback at the second one.
    orders = iter([signal.SIGTERM])
    with subprocess.Popen(command, env=environment, process_group=0) as server:

        def end(*_: object) -> None:  # SIGKILL the second time
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, next(orders, signal.SIGKILL))

        with interrupts.handled(end, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            server.wait()

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
from harness.store import sqlite, views
from harness.store.runs import Store

SHOWN = 20
"""The largest number of suites whose addresses are printed, the newest first."""


def serve(store: Store, port: int) -> None:
    """Run MLflow's server for a store until Ctrl-C. It listens only on 127.0.0.1.

    A store that is a server has its own user interface: its address is printed.

    Raises:
        HarnessError: the port is in use, or the server failed.
    """
    if not store.database:
        print(f"the store is an MLflow server: open {store.shown} in a browser", flush=True)
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HarnessError(f"port {port} on 127.0.0.1 cannot be used ({error}): choose another --port") from error
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]  # without a line for each request
    # Without the job runner the server needs .5 GB of memory instead of 1.5 GB.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    file = sqlite.readable(store.file) if store.file else None
    with store.answering():
        store.settle()
    if file != store.file:
        print(f"{store.file} cannot be written to: this shows a copy, and keeps no changes", flush=True)
    # Not in the command line, which every user can see. MLflow's own default for both is the tracking address.
    backend = sqlite.elsewhere(file) if file else store.address
    environment |= dict.fromkeys(("MLFLOW_BACKEND_STORE_URI", "MLFLOW_REGISTRY_STORE_URI"), backend)
    environment.pop("MLFLOW_TRACKING_URI", None)
    echo(f"MLflow on {store.shown}: {views.here(port)}{views.HOME} (Ctrl-C ends it)")
    for name, address in list(store.tables(views.here(port)).items())[:SHOWN]:
        echo(f"  {name}  {address}")
    if port != views.PORT:
        echo(f"  links in reports lead to port {views.PORT}: they open while `harness ui` runs without --port")
    # In its own process group: MLflow forwards Ctrl-C to a child that already got it from the terminal, and that child
    # prints a traceback at the second one.
    orders, ordered = iter([signal.SIGTERM]), False
    with subprocess.Popen(command, env=environment, process_group=0) as server:

        def end(*_: object) -> None:  # SIGKILL the second time
            nonlocal ordered
            ordered = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, next(orders, signal.SIGKILL))

        with interrupts.handled(end, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            code = server.wait()
    if ordered is False and code in range(1, 256):
        raise HarnessError(f"MLflow's server ended by itself, with exit code {code}: its last lines say why")

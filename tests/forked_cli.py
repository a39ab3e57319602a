"""Runs many commands of the harness, each in a forked process of its own that has everything imported already.

The real command line, without the seconds that an interpreter and its imports take each time. As a program it reads
commands from standard input, a line of JSON each, and answers with a line that says what came of it. With the argument
`all` it first imports what training, reporting and comparing need; otherwise only what reading a suite needs.

With `all`, the workers of a command are forked as well: from a copy of its process before it began (see
``_forked_workers``). All else of them is as ever: what they are given is pickled, and they die when the driver does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import glob
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any

LONGEST = 300
"""Seconds after which a command is ended."""


@dataclass
class Command:
    """What is run: the words after ``harness``, where, with which changes of the environment (None: not set).

    Plug-ins are looked for in the folders ``sites`` too; one with a package ``harness`` has the harness that runs.
    """

    words: list[str]
    cwd: str
    environment: dict[str, str | None] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)


@dataclass
class Came:
    """What came of it; ``code`` is negative for a signal. ``kilobytes`` is the most memory that it had."""

    code: int
    output: str
    seconds: float
    kilobytes: int


class Server:
    """A process that imports once, and forks for every command."""

    def __init__(self, *arguments: str) -> None:
        words = [sys.executable, __file__, *arguments]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, command: Command) -> Came:
        """Run a command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # The server may have begun in another test, whose environment is not this one's.
        environment = {name: value for name, value in (os.environ | command.environment).items() if value is not None}
        self._process.stdin.write(json.dumps(asdict(replace(command, environment=environment))) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the server ended with exit code {self._process.wait()}"
        return Came(**json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@functools.cache
def warm() -> Server:
    """The server of this test process that has imported everything."""
    server = Server("all")
    atexit.register(server.close)
    return server


def commands(wanted: dict[str, Command]) -> dict[str, Came]:
    """Run all of them, one after the other, by a server that has imported little: their memory can be measured."""
    server = Server()
    try:
        return {name: server.run(command) for name, command in wanted.items()}
    finally:
        server.close()


def _import(everything: bool) -> None:
    """Import what reading a suite needs, or what every command needs, and find the plug-ins."""
    from harness.cli import commands  # noqa: F401
    from harness.suite import (
        plan,  # noqa: F401
        read_suite,
    )

    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "s.yaml"
        suite.write_text("suite: s\ndata: digits\nbase: {model: dcgan}\nevaluate: {metrics: [fid]}\n")
        read_suite(suite)
    if everything:
        import sklearn.datasets  # noqa: F401
        import torch
        import torch_fidelity.metric_fid  # noqa: F401

        # What torch imports of its compiler for the first optimiser, which takes seconds.
        torch.use_deterministic_algorithms(False)
        torch.optim.Adam([torch.zeros(1, requires_grad=True)])

        from harness import report
        from harness.analysis import comparison, regression  # noqa: F401
        from harness.cli import doctor, overview, progress  # noqa: F401
        from harness.execution import driver, worker  # noqa: F401
        from harness.store.runs import Store
        from harness.trial import run  # noqa: F401

        sys.path.append(str(Path(__file__).parent / "report"))
        from made_up import maker

        with tempfile.TemporaryDirectory() as folder:  # the first store and the first page take seconds more
            Store(Path(folder)).create()
            report.write(maker(Path(folder))(), Path(folder) / "page")
    assert threading.active_count() == 1, "only a process without threads can be forked"
    gc.collect()
    gc.freeze()  # what is there stays: no child looks through it, and copies it by that


def _one(command: Command, said: Path) -> Came:
    process = os.fork()
    if process == 0:
        _child(command, said)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(process, signal.SIGKILL))
    signal.alarm(LONGEST)
    _, status, used = os.wait4(process, 0)
    signal.alarm(0)
    output = said.read_text(encoding="utf-8", errors="replace")
    return Came(os.waitstatus_to_exitcode(status), output, used.ru_utime + used.ru_stime, used.ru_maxrss)


def _forked_workers() -> None:
    """Have all workers of this process forked from a copy of it as it is now, not from a process that imports first."""
    from unittest import mock

    if sys.platform != "linux" or glob.glob("/dev/nvidia*"):
        return  # what was forked of a process that has asked for a GPU has none

    def forked(_program: str, words: list[str], passed: list[int]) -> int:
        process = os.fork()
        if process == 0:
            try:
                for name in os.listdir("/dev/fd"):
                    if int(name) > 2 and int(name) not in passed:
                        with contextlib.suppress(OSError):
                            os.close(int(name))
                exec(words[-1])  # after -c
            finally:
                os._exit(0)
        return process

    # The server's socket lies in this folder: in a test's own the path would be too long for one.
    multiprocessing.current_process()._config["tempdir"] = tempfile.mkdtemp(prefix="pymp-", dir="/tmp")  # type: ignore
    resource_tracker.ensure_running()
    with mock.patch.object(util, "spawnv_passfds", forked):
        forkserver.ensure_running()


def _workers_gone() -> None:
    """Wait until what forks the workers has ended; not for workers that a driver has left running."""
    server = forkserver._forkserver
    if server._forkserver_pid is None:
        return
    os.close(server._forkserver_alive_fd)
    until = time.monotonic() + 2
    while time.monotonic() < until and os.waitpid(server._forkserver_pid, os.WNOHANG) == (0, 0):
        time.sleep(0.01)
    shutil.rmtree(util.get_temp_dir(), ignore_errors=True)  # where they were asked for


def _sites(folders: list[str]) -> None:
    """Look for plug-ins, or for the harness, in these folders too."""
    sys.path[:0] = folders
    importlib.invalidate_caches()
    if any(Path(folder, "harness").is_dir() for folder in folders):
        for name in [name for name in sys.modules if name.partition(".")[0] == "harness"]:
            del sys.modules[name]
    else:
        from harness.zoo import registry

        registry.forget()


def _child(command: Command, said: Path) -> None:
    code: Any = 70
    program = sys.argv
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(command.cwd)
        os.environ.clear()
        os.environ.update(command.environment)
        sys.argv = ["harness", *command.words]
        tempfile.tempdir = None  # of this environment
        if command.sites:
            _sites(command.sites)
        if "all" in program and command.words[0] in ("run", "check"):
            _forked_workers()
        from harness.cli.commands import main

        main(prog_name="harness")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _workers_gone()
        os._exit(code if isinstance(code, int) else 1)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            came = _one(Command(**json.loads(line)), Path(folder) / "said")
            print(json.dumps(asdict(came)), file=answers, flush=True)


if __name__ == "__main__":
    _import(everything="all" in sys.argv[1:])
    _serve()
    os._exit(0)  # libraries that were imported have a lot to say when an interpreter ends

"""Runs many commands of the harness, each in a forked process of its own that has everything imported already.

The real command line, without the seconds that an interpreter and its imports take each time. As a program it reads
commands from standard input, a line of JSON each, and answers with a line that says what came of it. With the argument
`all` it first imports what training, reporting and comparing need; otherwise only what reading a suite needs.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

LONGEST = 300
"""Seconds after which a command is ended."""


@dataclass
class Command:
    """What is run: the words after ``harness``, where, with which changes of the environment (None: not set)."""

    words: list[str]
    cwd: str
    environment: dict[str, str | None] = field(default_factory=dict)


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
    from harness.suite import (
        plan,  # noqa: F401
        read_suite,
    )

    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "s.yaml"
        suite.write_text("suite: s\ndata: digits\nbase: {model: dcgan}\nevaluate: {metrics: [fid]}\n")
        read_suite(suite)
    if everything:
        import torch_fidelity  # noqa: F401

        from harness import report
        from harness.analysis import comparison, regression  # noqa: F401
        from harness.cli import doctor, overview, progress  # noqa: F401
        from harness.execution import driver, local  # noqa: F401
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


def _child(command: Command, said: Path) -> None:
    from harness.cli.commands import main

    code: Any = 70
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
        main(prog_name="harness")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
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

"""Runs many commands of the harness, each in a forked process of its own that has everything imported already.

The real command line, without the seconds that an interpreter and its imports take each time. As a program it reads
its commands as JSON from standard input, and writes what came of them to standard output.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LONGEST = 60
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


def commands(wanted: dict[str, Command]) -> dict[str, Came]:
    """Run all of them, one after the other."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({name: asdict(command) for name, command in wanted.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {name: Came(**came) for name, came in json.loads(done.stdout).items()}


def _warm() -> None:
    """Import what reading a suite needs, and find the plug-ins."""
    from harness.suite import (
        plan,  # noqa: F401
        read_suite,
    )

    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "s.yaml"
        suite.write_text("suite: s\ndata: digits\nbase: {model: dcgan}\nevaluate: {metrics: [fid]}\n")
        read_suite(suite)


def _one(command: Command, said: Path) -> Came:
    process = os.fork()
    if process == 0:
        _child(command, said)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(process, signal.SIGKILL))
    signal.alarm(LONGEST)
    _, status, used = os.wait4(process, 0)
    signal.alarm(0)
    output = said.read_text(encoding="utf-8", errors="replace")
    return Came(os.waitstatus_to_exitcode(status), output, used.ru_utime + used.ru_stime, used.ru_maxrss)


def _child(command: Command, said: Path) -> None:
    from harness.cli.commands import main

    code: Any = 70
    try:
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(command.cwd)
        for name, value in command.environment.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
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


if __name__ == "__main__":
    wanted = {name: Command(**command) for name, command in json.loads(sys.stdin.read()).items()}
    _warm()
    with tempfile.TemporaryDirectory() as folder:
        found = {name: asdict(_one(command, Path(folder) / "said")) for name, command in wanted.items()}
    print(json.dumps(found))

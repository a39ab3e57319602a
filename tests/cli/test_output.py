"""The real command, when nobody reads what it says, or its surroundings are gone."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from harness_cli import HARNESS, Workspace
from lives import waited

HARNESS_WORDS = shlex.join(HARNESS)


def shell(folder: Path, script: str) -> tuple[int, str, str]:
    """Run a line of bash, in which ``harness`` is the command; returns its exit code, output and messages."""
    environment = os.environ | {"HARNESS_RESULTS": str(folder / "results")}
    script = script.replace("harness ", f"{HARNESS_WORDS} ")
    done = subprocess.run(
        ["bash", "-c", script], check=False, cwd=folder, env=environment, text=True, capture_output=True, timeout=300
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("harness list tricks | head -1; exit ${PIPESTATUS[0]}", 0, ""),
        (
            "harness list tricks > /dev/full",
            2,
            "error: standard output cannot be written to: No space left on device\n",
        ),
        ("mkdir x; cd x; rmdir ../x; harness list tricks", 2, "error: the current folder is gone, it was removed or"),
        ("harness list $'a\\e]0;x\\a'", 2, "Usage: "),
        (
            "harness plan $'no\\e[2J\\u202e\\nsuite.yaml:1:1: forged'",
            2,
            "no\\x1b[2J\\u202e\\nsuite.yaml:1:1: forged: no",
        ),
    ],
)
def test_output_that_cannot_be_written_and_words_that_are_orders(
    tmp_path: Path, script: str, code: int, said: str
) -> None:
    ended, out, err = shell(tmp_path, script)
    assert ended == code, err
    assert err.startswith(said) if said else err == ""
    assert all(c.isprintable() or c == "\n" for c in out + err)


def trained_on(workspace: Workspace) -> None:
    """The run has gone on to its end, and its log has what it would have printed."""
    assert [row["state"] for row in workspace.table()] == ["done"] * 4
    log = (workspace.results / "output.log").read_text()
    assert "nobody reads the output any more" in log.splitlines()[0]
    assert "gan + ema, seed 1: done in " in log
    assert "Report   " in log
    assert all(c.isprintable() or c == "\n" for c in log)


@pytest.mark.slow
def test_a_run_whose_reader_has_seen_enough_goes_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.suite()
    code, out, err = shell(tmp_path, "harness run tiny.yaml --workers 1 | head -1; exit ${PIPESTATUS[0]}")
    assert (code, out) == (0, "4 trials, 0 done before\n")
    assert err.startswith("nobody reads the output any more (Broken pipe): the run goes on, and writes it to")
    trained_on(workspace)


@pytest.mark.slow
def test_a_run_whose_terminal_is_closed_while_hangups_are_ignored_goes_on(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*HARNESS, "run", str(workspace.suite()), "--workers", "1"],
        cwd=tmp_path,
        env=os.environ | {"HARNESS_RESULTS": str(workspace.results)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None,  # as nohup does
    )
    os.close(theirs)
    assert waited(lambda: b"trials" in os.read(ours, 10_000))
    os.close(ours)
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait(timeout=300) == 0
    trained_on(workspace)

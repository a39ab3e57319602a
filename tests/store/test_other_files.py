"""Files of others in a results folder stay, and a report beside a run keeps its temporary files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from harness_cli import Workspace, python_that

MINE = [".draft.tmp", ".mail.tmp/inbox", "work/thesis/.chapter1.tmp", "cache/ff/.y.tmp", "tiny/notes/.x.tmp",
        "tiny/figures/mine.png", "tiny/figures/mine.svg"]  # fmt: skip


def test_a_run_removes_nothing_of_the_user_s(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    for name in MINE:
        (workspace.results / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.results / name).write_text("mine")
    other = workspace.results / "tiny" / "figures" / "forest.png"
    other.write_text("put in its place by hand")
    workspace.run("run", workspace.suite(matrix={"tricks": [[]]}))
    assert [(workspace.results / name).read_text() for name in MINE] == ["mine"] * len(MINE)
    # The figures of the arm that the suite has no more are gone; what was put in the place of one is not.
    assert not list((workspace.results / "tiny" / "figures").glob("gan-ema-*"))
    assert other.read_text() == "put in its place by hand"


STOPPED = """
import os
os.fsync = lambda handle, own=os.fsync: (own(handle), os.kill(os.getpid(), 19), None)[-1]
"""


@pytest.mark.slow
def test_a_report_that_writes_beside_a_run_is_not_disturbed(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    stopped = Workspace(workspace.folder, python_that(tmp_path / "python", STOPPED))
    report = stopped.start("report", "tiny.yaml")
    try:
        _, status = os.waitpid(report.pid, os.WUNTRACED)  # it has stopped while it writes its first file
        assert os.WIFSTOPPED(status)
        half = set((workspace.results / "tiny").rglob(".harness-*.tmp"))
        assert len(half) == 1
        assert "4 done before" in workspace.run("run", "tiny.yaml")
        assert half == set((workspace.results / "tiny").rglob(".harness-*.tmp"))
        while os.WIFSTOPPED(status):  # after every file that it writes
            os.kill(report.pid, signal.SIGCONT)
            _, status = os.waitpid(report.pid, os.WUNTRACED)
        assert os.waitstatus_to_exitcode(status) == 0
    finally:
        if report.poll() is None:
            report.kill()
    assert report.stdout is not None
    assert "Traceback" not in report.stdout.read()
    assert not list((workspace.results).rglob(".harness-*.tmp"))

"""Temporary files: those of killed processes of the harness go, everything else stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.base import files

KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from harness.base import files
with files.temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    os.fsync = lambda handle: os._exit(9)
    files.write_bytes(Path(sys.argv[1]) / "whole.json", b"content")
"""


def left_by_a_killed_process(folder: Path) -> list[Path]:
    """A file and a folder that a process was about to write when it ended."""
    folder.mkdir(parents=True, exist_ok=True)
    before = set(folder.iterdir())
    subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(folder)], check=False)
    left = sorted(set(folder.iterdir()) - before)
    assert sorted(path.is_dir() for path in left) == [False, True]
    return left


OF_THE_USER = [
    ".draft.tmp", ".mail.tmp/inbox", "work/thesis/.chapter1.tmp", "cache/ff/.y.tmp", "tiny/notes/.x.tmp",
    ".harness.tmp", ".harness-notes.tmp", "work/.harness-1-2-3-x.tmp", ".trials.csv.k2j3h4g5.tmp", "a.tmp",
]  # fmt: skip


def test_only_what_a_killed_process_of_the_harness_left_is_removed(tmp_path: Path) -> None:
    for name in OF_THE_USER:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    left = [*left_by_a_killed_process(tmp_path), *left_by_a_killed_process(tmp_path / "work" / "0123456789abcdef")]
    files.tidy(tmp_path)
    assert [path.exists() for path in left] == [False, False, True, True]
    files.tidy(tmp_path, deep=True)
    assert not any(path.exists() for path in left)
    assert all((tmp_path / name).read_text() == "mine" for name in OF_THE_USER)


def test_a_process_that_runs_keeps_its_temporary_files(tmp_path: Path) -> None:
    with files.temporary_folder(tmp_path) as folder:
        (folder / "half").touch()
        files.tidy(tmp_path)
        assert (folder / "half").exists()
    assert not folder.exists()


def test_a_later_process_of_the_same_number_is_another(tmp_path: Path) -> None:
    name = files._prefix()
    began = files._began(os.getpid())
    assert began
    earlier = tmp_path / f"{name.replace(f'-{began}-', f'-{began - 1}-')}x.tmp"
    earlier.touch()
    files.tidy(tmp_path)
    assert not earlier.exists()


@pytest.mark.parametrize(("hours", "stays"), [(23, True), (25, False)])
def test_a_file_of_another_machine_goes_after_a_day(tmp_path: Path, hours: float, stays: bool) -> None:
    path = tmp_path / f"{files._prefix().replace(files._machine(), '0' * 8)}x.tmp"
    path.touch()
    os.utime(path, (time.time() - 3600 * hours,) * 2)
    files.tidy(tmp_path)
    assert path.exists() == stays


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    link = tmp_path / f"{files._prefix().replace(f'-{os.getpid()}-', f'-{ended.pid}-')}x.tmp"
    link.symlink_to(tmp_path / "mine")
    files.tidy(tmp_path)
    assert not link.is_symlink()
    assert (tmp_path / "mine" / "file").exists()

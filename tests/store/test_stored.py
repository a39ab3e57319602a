"""What was read of a store is remembered: it comes back as it was, and only for the same bytes."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from harness_cli import Workspace
from sqlalchemy import URL

from harness.store import runs, sqlite
from harness.store.runs import Store
from harness.store.stored import Contents, Data, Info, Memory, Run


def test_contents_and_curves_come_back_as_they_were(tmp_path: Path) -> None:
    one = Run(Info("a", "FINISHED", 5, "file:///x"), Data({"seed": "1"}, {"fid": 0.1 + 0.2, "n": math.inf}, {"p": "1"}))
    one.stamps["protocol.json"] = [3, 4]
    other = Run(Info("b", "RUNNING", 6, ""), Data({"seed": "1", "p": "fid"}, {}, {}))
    memory = Memory(tmp_path / "cache", tmp_path / "mlflow.db", "state")
    assert memory.contents() is None
    contents = Contents([one, other], {"suite": "host:/file"}, {"suite": "/#/experiments/1/runs"})
    memory.keep(contents)
    assert memory.contents() == contents
    known = memory.contents()
    assert known is not None
    assert [run.changes for run in known.runs] == [one.changes, other.changes]
    curves = {"a": [("d", 1, 0.1), ("g", 0, -0.0), ("g", 2, math.inf)], "b": []}
    memory.keep_curves("suite", curves)
    assert memory.curves("suite", ["a", "b"]) == curves
    assert memory.curves("suite", ["a", "c"]) is None
    assert memory.curves("other", ["a"]) is None
    later = Memory(tmp_path / "cache", tmp_path / "mlflow.db", "another state")
    assert later.contents() is None
    assert later.curves("suite", ["a"]) is None


def test_every_write_to_the_store_is_another_state(tiny_store: Workspace, tmp_path: Path) -> None:
    results = tiny_store.copy(tmp_path / "copy").results
    file, seen = results / "mlflow.db", set()
    for statement in (
        "UPDATE tags SET value = '7' WHERE key = 'seed'",
        "UPDATE metrics SET value = 1 WHERE key = 'fid'",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ):
        seen.add(sqlite.content(file))
        with sqlite3.connect(file) as connection:
            connection.execute(statement)
        connection.close()
    seen.add(sqlite.content(file))
    assert len(seen) == 3  # the last one changes nothing
    (results / "store").write_text("another format", encoding="utf-8")
    assert sqlite.content(file) not in seen
    assert sqlite.content(results / "none.db") is None


def test_a_damaged_memory_is_not_believed(
    tiny_store: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = tiny_store.copy(tmp_path / "copy").results
    before = Store(results).runs()
    for path in (results / "cache").glob("mlflow.db.*"):
        path.write_bytes(path.read_bytes().replace(b"FINISHED", b"finished"))
    runs._last.clear()
    assert Store(results).runs() == before
    assert "it is read again" in caplog.text


@pytest.mark.parametrize("name", ["plain", "a b", "ä?#%", "x+y", "a&b=c;d", "/deep/er"])
def test_addresses_are_those_of_sqlalchemy(name: str) -> None:
    path = Path("/folder") / name / "mlflow.db"
    assert sqlite.address(path) == URL.create("sqlite", database=str(path)).render_as_string()


def test_looking_at_a_database_leaves_the_locks_that_this_process_holds(tmp_path: Path) -> None:
    """Closing a file takes away the locks of SQLite on it, in all connections of the process."""
    path = tmp_path / "mlflow.db"
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("CREATE TABLE t (x)")
    held.execute("BEGIN IMMEDIATE")
    assert sqlite.content(path) is not None
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 0, isolation_level=None).execute('BEGIN IMMEDIATE')"
    other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "database is locked" in other.stderr
    held.close()

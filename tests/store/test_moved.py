"""A results folder that is moved, copied or mounted elsewhere, and an old one with other places in its database."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_cli import Workspace, numbers

from harness.store import artifacts
from harness.store.runs import Store

RUN = "0123456789abcdef0123456789abcdef"


def files(folder: Path) -> set[str]:
    """What is in a folder, but for SQLite's own files."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(folder)) for path in found}


def uris(workspace: Workspace) -> list[str]:
    with contextlib.closing(sqlite3.connect(workspace.results / "mlflow.db")) as file:
        rows = file.execute("SELECT artifact_uri FROM runs UNION SELECT artifact_location FROM experiments").fetchall()
    return [uri for (uri,) in rows if uri.startswith("file:")]


def whole(workspace: Workspace, seeds: int) -> None:
    """All is in this folder, and found there."""
    assert all(uri.startswith(workspace.results.as_uri()) for uri in uris(workspace))
    output = workspace.run("report", "tiny.yaml", "--set", f"seeds={seeds}")
    assert "are not where" not in output
    assert "was not checked" not in output
    page = (workspace.results / "tiny" / "report.html").read_text("utf-8")
    assert "<img" in page
    records = [Store(workspace.results).record(run, "") for run in Store(workspace.results).runs()]
    assert len(records) == 2 * seeds
    for record in records:
        assert record.artifacts is not None
        assert record.artifacts.is_relative_to(workspace.results)
        assert (record.artifacts / "generator" / "generator.safetensors").is_file()


def test_a_moved_folder_goes_on_where_it_is(tiny_store: Workspace, tmp_path: Path) -> None:
    old = tiny_store.copy(tmp_path / "old")
    Store(old.results).create()  # which knows itself as `old` now, as after any run
    assert all(uri.startswith(old.results.as_uri()) for uri in uris(old))
    old.folder.rename(tmp_path / "new")
    old.folder.touch()  # where nobody can make it again
    new = Workspace(tmp_path / "new")
    assert "4 done before" in new.run("run", "tiny.yaml", "--set", "seeds=3")
    whole(new, 3)
    assert old.folder.is_file()


@pytest.mark.slow
def test_a_copy_does_not_depend_on_the_original(tiny_store: Workspace, tmp_path: Path) -> None:
    original = tiny_store.copy(tmp_path / "original")
    Store(original.results).create()
    before = files(original.folder)
    copy = original.copy(tmp_path / "copy")
    assert "are not where" not in copy.run("report", "tiny.yaml")
    assert "4 done before" in copy.run("run", "tiny.yaml", "--set", "seeds=3")
    whole(copy, 3)
    assert files(original.folder) == before
    whole(original, 2)
    shutil.rmtree(copy.results / "artifacts")
    assert "the files of 6 of 6 trials are not where" in copy.run("report", "tiny.yaml", "--set", "seeds=3")


@pytest.mark.parametrize("name", ["plain", "mit Blank ü 数 %41 #?"])
def test_where_an_address_leads(tmp_path: Path, name: str) -> None:
    results, other = tmp_path / name / "results", tmp_path / name / "other"
    recorded = other / "artifacts" / "tiny" / RUN / "artifacts"
    here = results / "artifacts" / "tiny" / RUN / "artifacts"
    uri = recorded.as_uri()
    assert artifacts.place(uri, RUN, results, own=True) == here  # nothing is anywhere
    recorded.mkdir(parents=True)
    # Another folder that shares this database has its files with itself, the original of a copy is nothing to us.
    assert artifacts.place(uri, RUN, results, own=True) == recorded
    (other / "mlflow.db").touch()
    assert artifacts.place(uri, RUN, results, own=True) == here
    assert artifacts.place(uri, RUN, results, own=False) == recorded
    here.mkdir(parents=True)
    assert artifacts.place(uri, RUN, results, own=True) == here
    assert artifacts.place(uri, RUN, results, own=False) == here


def test_a_disk_that_others_have_mounted_elsewhere(tmp_path: Path) -> None:
    """Two results folders share a database; the disk of both is at /mnt/disk there, and here below tmp_path."""
    end = Path("ada/results/artifacts/tiny", RUN, "artifacts")
    mine, theirs, uri = tmp_path / "bob" / "results", tmp_path / end, (Path("/mnt/disk") / end).as_uri()
    mine.mkdir(parents=True)
    assert artifacts.place(uri, RUN, mine, own=False) == Path("/mnt/disk") / end  # it is not here
    theirs.mkdir(parents=True)
    assert artifacts.place(uri, RUN, mine, own=False) == theirs
    assert artifacts.place(uri.replace(RUN, "f" * 32), RUN, mine, own=False) == Path("/mnt/disk") / str(end).replace(
        RUN, "f" * 32
    )


@pytest.mark.parametrize("end", [f"artifacts/tiny/{'f' * 32}/artifacts", f"{RUN}/artifacts", "elsewhere"])
def test_an_address_of_another_shape_is_taken_as_it_is(tmp_path: Path, end: str) -> None:
    assert artifacts.place((tmp_path / "a" / end).as_uri(), RUN, tmp_path, own=True) == tmp_path / "a" / end


def test_what_only_a_client_can_read_is_on_no_disk(tmp_path: Path) -> None:
    assert artifacts.place(f"s3://bucket/artifacts/tiny/{RUN}/artifacts", RUN, tmp_path, own=True) is None


@pytest.fixture
def read_only(tiny_store: Workspace, tmp_path: Path) -> Iterator[Path]:
    """A copy of the store, mounted so that nobody can write to it."""
    folder = tmp_path / "mounted"
    shutil.copytree(tiny_store.results, folder)
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def test_a_report_of_a_read_only_mount(tiny_store: Workspace, tmp_path: Path, read_only: Path) -> None:
    here = Workspace(tmp_path / "here")
    here.folder.mkdir()
    before = files(read_only)
    words = (here.suite(), "--results", read_only)
    assert {
        trial["state"] for trial in here.plan(here.folder / "tiny.yaml", "--results", str(read_only))["trials"]
    } == {"done"}
    output = here.run("report", *words)
    assert f"{read_only} cannot be written to: the page and the tables go to {here.folder}/tiny-report" in output
    assert numbers(here.table("tiny-report", results=here.folder)) == numbers(tiny_store.table())
    page = (here.folder / "tiny-report" / "report.html").read_text("utf-8")
    assert "<img" in page
    assert f"--results {read_only}" in page
    here.run("report", *words, "--out", here.folder / "elsewhere")
    assert numbers(here.table("elsewhere", results=here.folder)) == numbers(tiny_store.table())
    here.run("compare", "--suite", *words, "gan", "gan + ema")
    assert "cannot be written to" in here.run("run", *words, code=2)
    assert files(read_only) == before

"""Paths that the user gives: the home folder, the cache folder, suites of one name."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from harness_cli import Workspace

import harness
from harness.base import files
from harness.base.errors import HarnessError
from harness.store.runs import Store
from harness.suite import read_suite


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_a_home_folder_is_meant_where_no_shell_says_so(home: Path) -> None:
    assert files.expanded("~/x") == home / "x"
    assert files.expanded("~") == home
    assert files.expanded("./~/x") == Path("~/x")
    assert files.expanded("a/~") == Path("a/~")
    with pytest.raises(HarnessError, match=r"^~nobody-of-this-name/x: .*\./~nobody-of-this-name/x"):
        files.expanded("~nobody-of-this-name/x")


def test_it_is_meant_everywhere(tmp_path: Path, home: Path, tiny_store: Workspace) -> None:
    (home / "data").mkdir()
    (home / "results").symlink_to(tiny_store.results)
    suite = home / "tiny.yaml"
    suite.write_text((tiny_store.folder / "tiny.yaml").read_text())
    here = Workspace(tmp_path / "here", {"HOME": str(home), "HARNESS_CACHE": "~/cache", "COLUMNS": "250"})
    here.folder.mkdir()
    words = ["plan", "~/tiny.yaml", "--json", "--results"]
    assert '"state": "done"' in here.run(*words, "~/results")
    here.environment["HARNESS_RESULTS"] = "~/results"
    here.run("report", "~/tiny.yaml", "--out", "~/page")
    assert (home / "page" / "report.html").is_file()
    here.environment["HARNESS_DATA"] = "~/data"
    assert f"HARNESS_DATA {home}/data" in " ".join(here.run("doctor").replace("│", "").split())
    here.environment["HARNESS_DATA"] = "~/no data"
    assert f"note HARNESS_DATA {home}/no data is not a folder" in " ".join(here.run("doctor").replace("│", "").split())
    here.environment["HARNESS_DATA"] = "~nobody-of-this-name/data"
    assert "~nobody-of-this-name/data: the home folder" in here.run("plan", suite, code=2)
    assert list(here.folder.iterdir()) == []
    assert len(harness.load("~/tiny.yaml", "~/results").trials) == 4


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the cache of a user without a home folder has."""
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("HARNESS_CACHE", "")  # put back at the end, whatever is set
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"harness-{os.getuid()}"


def test_a_cache_without_a_home_is_the_user_s_own(homeless: Path) -> None:
    assert files.cache_folder() == homeless
    assert stat.S_IMODE(homeless.stat().st_mode) == 0o700
    assert files.cache_folder() == homeless


@pytest.mark.parametrize("trap", ["writable by all", "writable by the group", "a link", "a file", "of somebody else"])
def test_a_cache_that_somebody_else_may_have_made_is_not_used(
    homeless: Path, tmp_path: Path, trap: str, caplog: pytest.LogCaptureFixture
) -> None:
    if trap == "a link":
        (tmp_path / "theirs").mkdir()
        homeless.symlink_to(tmp_path / "theirs")
    elif trap == "a file":
        homeless.touch()
    else:
        homeless.mkdir()
        homeless.chmod({"writable by all": 0o777, "writable by the group": 0o770}.get(trap, 0o755))
    if trap == "of somebody else":
        if os.getuid() != 0:
            pytest.skip("needs the right to give a folder away")
        os.chown(homeless, 12345, 12345)
    found = files.cache_folder()
    assert found != homeless
    assert found.parent == tmp_path
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert "keeps its cache in" in caplog.text
    assert files.cache_folder() == found  # said once
    assert len(caplog.messages) == 1


def test_two_suites_of_one_name_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name in ("a", "b"):
        workspace.suite("case").rename(tmp_path / f"{name}.yaml")
    said = workspace.run("run", "a.yaml", "b.yaml", code=2)
    assert said.startswith("error: a.yaml and b.yaml are both called 'case'")
    assert not workspace.results.exists()
    assert "a.yaml and b.yaml" in workspace.run("run", "a.yaml", "./a.yaml", "b.yaml", code=2)


def test_another_file_of_the_name_is_said(tmp_path: Path, tiny_store: Workspace) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    suite = workspace.folder / "tiny.yaml"
    workspace.run("run", suite)
    assert Store(workspace.results).other_file(read_suite(suite)) is None
    other = workspace.folder / "other.yaml"
    other.write_text(suite.read_text().replace('"seeds": 2', '"seeds": 1'))
    told = f"another file, {suite}, is called 'tiny'"
    assert told in workspace.run("report", other)
    assert told in workspace.run("run", other)
    assert "another file" not in workspace.run("run", other)
    suite.unlink()  # a suite that is renamed is the same suite
    other.rename(suite)
    assert "another file" not in workspace.run("report", suite)

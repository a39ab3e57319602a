"""Clocks that go back, other locales, odd paths, other disks, no home: the same numbers, and nothing elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos import Chaos
from harness_cli import Workspace, numbers, python_that

from harness.base import files

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "seeds": 1,
    "matrix": {"tricks": [[]]},
    "evaluate": {"samples": 64, "metrics": ["fid", "sharpness"]},
}
ODD = "mit Blank, ü 数 100% #1?"

# Read by every Python process that has its folder on its path. The clock goes back an hour at every twentieth look.
BACKWARDS = """
import time
_time, _count = time.time, 0
def backwards():
    global _count
    _count += 1
    return _time() - 3600 * (_count // 20)
time.time = backwards
time.time_ns = lambda: int(backwards() * 1e9)
"""
# Programs that ask for the user's locale, and may write numbers with commas from then on.
LOCAL = """
import locale
locale.setlocale(locale.LC_ALL, "")
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, str]]:
    """The numbers where nothing is odd."""
    workspace = Workspace(tmp_path_factory.mktemp("plain"))
    workspace.run("run", workspace.suite(**SMALL))
    return numbers(workspace.table())


def locale_of(name: str, folder: Path) -> dict[str, str]:
    """The environment of a locale, made now if the system can."""
    if shutil.which("localedef") is None:
        pytest.skip("needs localedef")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.UTF-8"
    done = subprocess.run(["localedef", "-i", name, "-f", "UTF-8", target], capture_output=True, check=False)
    if not (target / "LC_NUMERIC").is_file():
        pytest.skip(f"needs the sources of the locale {name}: {done.stderr.decode(errors='replace')}")
    return {"LOCPATH": str(folder), "LC_ALL": f"{name}.UTF-8"}


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm on a file system of its own")
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        yield Path(folder)


def works(workspace: Workspace, plain: dict[Any, Any], results: Path | None = None) -> None:
    """Run, look, and compare; what was written are numbers as everywhere, in the results folder alone."""
    where = ["--results", results] if results else []
    results = results or workspace.results
    suite = workspace.suite(**SMALL)
    before = {path for path in workspace.folder.rglob("*") if results not in (path, *path.parents)}
    workspace.run("run", suite, *where)
    assert numbers(workspace.table(results=results)) == plain
    assert {trial["state"] for trial in workspace.plan(suite, *map(str, where))["trials"]} == {"done"}
    after = {path for path in workspace.folder.rglob("*") if results not in (path, *path.parents)}
    assert after == before
    for path in results.rglob("*.json"):
        json.loads(path.read_text("utf-8"))
    assert all("," not in row["fid"] + row["sharpness"] for row in workspace.table(results=results))


HOMELESS = {"HOME": "/dev/null/home", "HARNESS_CACHE": "", "XDG_CACHE_HOME": ""}


def test_all_of_it_at_once(tmp_path: Path, plain: dict[Any, Any], other_disk: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    odd = python_that(tmp_path / "python", BACKWARDS) | HOMELESS | {"LC_ALL": "C"}
    works(Workspace(folder, odd), plain, other_disk / ODD / "results")
    assert [path.name for path in tmp_path.iterdir() if path.name != "python"] == [ODD]
    assert [path.name for path in other_disk.iterdir()] == [ODD]


@pytest.mark.chaos
@pytest.mark.parametrize("oddity", ["clock", "faketime", "path", "disk", "home", "latin", "ascii"])
def test_each_alone(oddity: str, tmp_path: Path, plain: dict[Any, Any], other_disk: Path, chaos: Chaos) -> None:
    folder = tmp_path / (ODD if oddity == "path" else "plain")
    folder.mkdir()
    environment: dict[str, str] = {}
    if oddity == "clock":
        environment = python_that(tmp_path / "python", BACKWARDS)
    elif oddity == "faketime":
        environment = faked()
    elif oddity == "home":
        environment = HOMELESS
    elif oddity == "latin":
        environment = {"PYTHONIOENCODING": "latin-1"}
    elif oddity == "ascii":
        environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    works(Workspace(folder, environment), plain, other_disk / "results" if oddity == "disk" else None)
    chaos.tried("surroundings", oddity)


def faked() -> dict[str, str]:
    """The environment of processes whose clock, but for the monotonic one, is put back by a day when they begin."""
    found = list(Path("/usr/lib").rglob("faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("needs libfaketime")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": "-1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.chaos
@pytest.mark.parametrize("name", ["de_DE", "tr_TR"])
def test_locales(name: str, tmp_path: Path, plain: dict[Any, Any], chaos: Chaos) -> None:
    environment = python_that(tmp_path / "python", LOCAL) | locale_of(name, tmp_path / "locales")
    folder = tmp_path / "folder"
    folder.mkdir()
    works(Workspace(folder, environment), plain)
    chaos.tried("surroundings", name)


def test_a_user_whom_the_system_does_not_know_has_a_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HARNESS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert files.cache_folder().parent == Path(tempfile.gettempdir())

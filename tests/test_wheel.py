"""The wheel, unpacked far from the checkout: it has its suites and judges, trains, and its results can be loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installer makes of the wheel: its files in a folder of the import path."""
    built, site = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    return site


def python(site: Path, folder: Path, *words: str) -> str:
    """What Python prints in a folder, with the wheel first on its import path."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HARNESS_RES")}
    environment |= {"PYTHONPATH": str(site), "HARNESS_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    where = python(site, tmp_path, "-c", "import harness; print(harness.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    listed = python(site, tmp_path, "-m", "harness", "list", "suites")
    assert {line.split()[0] for line in listed.splitlines()} == {path.stem for path in (ROOT / "suites").glob("*.yaml")}
    assert "broken" not in listed
    page = python(site, tmp_path, "-m", "harness", "docs", "plugins")
    assert page == (ROOT / "docs" / "plugins.md").read_text()
    quick = ("--workers", "1", "--device", "cpu")
    python(site, tmp_path, "-m", "harness", "run", "quickstart", "--smoke", *quick)
    assert (tmp_path / "results" / "smoke" / "quickstart" / "report.html").is_file()
    sets = ("train.steps=5", "seeds=1", "evaluate.samples=64")
    options = [word for value in sets for word in ("--set", value)]
    python(site, tmp_path, "-m", "harness", "run", "quickstart", *options, *quick)
    script = (
        "import harness, json; found = harness.load('quickstart', sets=json.loads(input_)); "
        "print(json.dumps(list(found.trials['state'])))"
    ).replace("input_", repr(json.dumps(sets)))
    states = json.loads(python(site, tmp_path, "-c", script))
    assert states
    assert set(states) == {"done"}


def test_the_wheel_says_what_it_is(site: Path) -> None:
    [information] = site.glob("*.dist-info")
    fields = Parser().parsestr((information / "METADATA").read_text(encoding="utf-8"))
    assert fields["Name"] == "gan-harness"
    assert fields["License-Expression"] == "MIT"
    assert "harness = harness.cli:main" in (information / "entry_points.txt").read_text(encoding="utf-8")
    packed = {path.relative_to(site).parts[0] for path in site.rglob("*") if path.is_file()}
    assert packed == {"harness", information.name}  # no tests, no results

"""What belongs to a product besides its code: how to cite it, what changed, the hooks before a commit."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

import harness

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def yaml(name: str) -> Any:
    return YAML(typ="safe").load(ROOT / name)


def test_the_citation_is_of_this_version() -> None:
    citation = yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what its schema requires
    assert citation["cff-version"] == "1.2.0"
    assert str(citation["version"]) == harness.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["title"].startswith(PROJECT["name"])


def test_the_hooks_run_what_the_session_lint_runs() -> None:
    [repository] = yaml(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    hooks = [shlex.split(hook["entry"])[0] for hook in repository["hooks"]]
    session = (ROOT / "noxfile.py").read_text(encoding="utf-8").partition("def lint(")[2].partition("def ")[0]
    assert set(hooks) == set(re.findall(r'session\.run\("([\w-]+)"', session))


def test_the_changes_begin_with_what_is_not_released() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] == "Not released yet"
    assert all(re.match(r"\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)$", heading) for heading in headings[1:])

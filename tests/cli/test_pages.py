"""`harness docs`: the pages of the documentation on the terminal."""

from __future__ import annotations

from pathlib import Path

from harness_cli import Workspace

from harness.cli import pages

ROOT = Path(__file__).parents[2]


def test_the_pages_are_listed_and_shown(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    lines = dict(line.split(maxsplit=1) for line in workspace.run("docs").splitlines())
    assert lines["regression"] == "Regression checks"
    written = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert written - set(lines) == {"cli", "python"}  # the site makes these two from the code
    page = (ROOT / "docs" / "tuning.md").read_text()
    assert workspace.run("docs", "tuning") == page
    assert workspace.run("docs", "docs/tuning.md") == page
    refused = workspace.run("docs", "tunnig", code=2)
    assert "there is no page 'tunnig', did you mean 'tuning'?: `harness docs` lists them" in refused


def test_messages_name_pages_that_there_are() -> None:
    named = {
        word.partition("`")[0]
        for path in (ROOT / "harness").rglob("*.py")
        for word in path.read_text().split("`harness docs ")[1:]
    }
    assert named >= {"plugins", "tuning", "cluster", "stores"}
    assert named <= set(pages.pages())

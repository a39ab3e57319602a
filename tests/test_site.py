"""The documentation site: built with every link checked, complete, and without anything from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.cli.commands import main
from harness.zoo import registry

pytest.importorskip("material", reason="needs the extra docs: nox -s docs")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `nox -s docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loaded(HTMLParser):
    """What a page makes a browser load: scripts, styles, images, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("script", "img", "iframe", "source", "video") and given.get("src"):
            self.found.append(str(given["src"]))
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.found.append(str(given["href"]))


def test_nothing_comes_from_elsewhere_and_all_of_it_is_there(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        for source in parser.found:
            assert not re.match(r"(https?:)?//", source), f"{page.name} loads {source}"
            if not source.startswith("data:"):
                file = (page.parent if not source.startswith("/") else site) / source.lstrip("/").split("?")[0]
                assert file.is_file(), f"{page.name}: {source}"


def test_the_gallery_has_every_plug_in(site: Path) -> None:
    for kind in registry.KINDS:
        text = (site / "gallery" / f"{kind}.html").read_text(encoding="utf-8")
        for entry in registry.entries(kind):  # other tests bring their own
            if entry.plugin is not None and entry.plugin.__module__.startswith("harness."):
                assert f'<h2 id="{entry.name}">' in text, f"{kind}: {entry.name}"
    tricks = (site / "gallery" / "tricks.html").read_text(encoding="utf-8")
    assert "θ̄ ← decay · θ̄ + (1 − decay) · θ" in tricks  # the equation of ema
    assert "weight of the old average in each step" in tricks  # its setting


def test_the_reference_has_every_command_key_and_method(site: Path) -> None:
    commands = (site / "cli.html").read_text(encoding="utf-8")
    assert [name for name in main.commands if f"harness {name}" not in commands] == []
    assert "--until-settled" in commands
    keys = (site / "reference" / "keys.html").read_text(encoding="utf-8")
    assert "training steps (of the generator)" in keys
    assert "search.confirm" in keys
    python = (site / "python.html").read_text(encoding="utf-8")
    assert 'id="harness.notebook.Suite.run"' in python
    assert "how many trials run at a time" in python


def test_the_search_has_every_page(site: Path) -> None:
    found = (site / "search" / "search_index.json").read_text(encoding="utf-8")
    assert [page.name for page in site.glob("*.html") if page.name != "404.html" and f'"{page.name}' not in found] == []

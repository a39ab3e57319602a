"""A real headless Chromium for the tests marked ``browser`` (`nox -s browser`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from programs import chromium


@dataclass
class Browser:
    """A Chromium, and the folder where screenshots are kept."""

    chromium: Any
    screenshots: Path
    errors: list[str] = field(default_factory=list)
    """The errors that scripts of the opened pages ended with."""

    def open(
        self, address: str, width: int = 1300, height: int = 900, scheme: Literal["light", "dark"] = "light"
    ) -> Any:
        """Open an address in a window of this size (CSS pixels), as a visitor without cookies.

        Returns: Playwright's page, whose locators wait until what they look for is there.
        """
        context = self.chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address)
        return page

    def keep(self, page: Any, name: str, whole: bool = False) -> Path:
        """Keep a screenshot, ``NAME.png``: of the window, or of the whole page."""
        path = self.screenshots / f"{name}.png"
        page.screenshot(path=path, full_page=whole)
        return path


@pytest.fixture(scope="session")
def _chromium() -> Iterator[Any]:
    """One process for all tests: each page is a visitor of its own."""
    from playwright.sync_api import sync_playwright

    # Root, as in a container, may not use Chromium's sandbox. All pages are of this machine.
    words = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync", "--disable-background-networking"]
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=chromium(), args=words)
        yield program
        program.close()


@pytest.fixture
def browser(_chromium: Any, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Browser]:
    """A headless Chromium: ``browser.open(address, width, height, scheme)``, ``browser.keep(page, name)``."""
    folder = request.config.option.screenshots or tmp_path / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    yield Browser(_chromium, folder)
    for context in _chromium.contexts:
        context.close()

"""What README and docs/ tell users to type on the suites that come with the harness can be typed."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from harness.suite import read_suite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = re.compile(r"harness (?:run|plan|check) (suites/[\w/]+\.yaml)([^`\n|#]*)")


def shown() -> list[tuple[str, str]]:
    """The suites in commands, and the words that follow, wherever pages show them; each once."""
    texts = (re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")) for page in PAGES)
    return sorted({(match[1], match[2].strip()) for text in texts for match in SHOWN.finditer(text)})


@pytest.mark.parametrize(("suite", "options"), shown())
def test_the_suite_of_a_command_can_be_read_with_its_settings(suite: str, options: str) -> None:
    words = shlex.split(options.partition("&&")[0])
    sets = [value for option, value in itertools.pairwise(words) if option == "--set"]
    assert read_suite(ROOT / suite, sets).combinations


def test_commands_are_found() -> None:
    found = shown()
    assert len(found) > 20
    assert any("convolutions" in options for _, options in found)  # goes over two lines

"""Suites by name: those of the folder ``suites`` here, and those that come with the harness."""

from __future__ import annotations

import re
from pathlib import Path

from harness.base.files import brought

HERE = Path("suites")
COST = r"^# cost: (.+?)\s*$"
"""The line of a suite file that says what the suite costs."""


def folders() -> list[Path]:
    """Where suites are looked for by name, the first one first: the folder ``suites`` here, then those shipped."""
    return [folder for folder in (HERE, brought("shipped", "suites")) if folder.is_dir()]


def names() -> dict[str, Path]:
    """Name -> the suite file that it means, by name."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def is_name(path: Path) -> bool:
    """Whether this is the name of a suite rather than a file: a word without an ending, and no file here."""
    return path.parent == Path() and not path.suffix and str(path) not in ("", ".", "..", "-") and not path.exists()


def located(path: Path) -> Path:
    """The suite file that a name means; any other path as it is."""
    return names().get(path.name, path) if is_name(path) else path


def word(path: Path) -> str:
    """What means this suite file on a command line: its name, if it comes with the harness and no other has it here."""
    return path.stem if path.is_absolute() and names().get(path.stem) == path else str(path)


def cost(text: str) -> str:
    """What a suite costs, as its text states it, such as "0.3 core-hours"; empty if it does not."""
    found = re.search(COST, text, re.M)
    return found[1] if found else ""

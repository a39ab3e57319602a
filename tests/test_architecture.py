"""The list of places in docs/architecture.md is the rule that the linter checks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTED = re.compile(r"^\| ((?:`[\w./]+`(?:, )?)+) \|", re.MULTILINE)


def places(above: str) -> list[set[str]]:
    """The rows of the page's table of places below a folder, from the top: names as import-linter writes them."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Adding something")[0]
    rows = [re.findall(r"`([\w./]+)`", row) for row in LISTED.findall(page)]
    inside = [[name for name in row if name.startswith("zoo/") and name != "zoo/"] for row in rows]
    if above == "zoo":
        return [{name.removeprefix("zoo/").strip("/").removesuffix(".py") for name in row} for row in inside if row]
    return [
        {name.strip("/").removesuffix(".py") for name in row} for row, zoo in zip(rows, inside, strict=True) if not zoo
    ]


def layers(container: str) -> list[set[str]]:
    """The layers of the rule for a package, from the top."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    [rule] = [rule for rule in rules if rule.get("containers") == [container]]
    assert rule["exhaustive"]
    return [set(re.split(r" [|:] ", layer)) for layer in rule["layers"]]


def test_the_list_of_places_is_the_linter_s_rule() -> None:
    assert [{"__main__"}, *places("")] == layers("harness")


def test_the_list_of_the_zoo_is_the_linter_s_rule() -> None:
    assert places("zoo") == layers("harness.zoo")


def test_every_folder_of_the_package_says_what_lives_there() -> None:
    for folder in {path.parent for path in (ROOT / "harness").rglob("*.py")}:
        text = (folder / "__init__.py").read_text(encoding="utf-8")
        assert text.startswith('"""'), folder

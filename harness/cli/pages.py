"""`harness docs`: the pages of the documentation, which come with the harness, on the terminal."""

from __future__ import annotations

from harness.base.errors import HarnessError
from harness.base.files import brought
from harness.base.terminal import console, echo
from harness.base.validation import nearest, shown

GENERATED = "\n::: "
"""What stands in a page that the site fills from the code; on a terminal `--help` and `harness explain` say that."""


def pages() -> dict[str, str]:
    """Name -> text of each page."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(brought("docs", "docs").glob("*.md"))}
    return {name: text for name, text in texts.items() if GENERATED not in text}


def titles() -> list[str]:
    """A line for each page: its name and its heading."""
    found = pages()
    width = max(map(len, found), default=0)
    return [f"{name:{width}}  {text.splitlines()[0].lstrip('# ')}" for name, text in found.items()]


def show(name: str) -> None:
    """Print a page: set for reading on a terminal, as Markdown elsewhere.

    Raises:
        HarnessError: there is no such page.
    """
    from rich.markdown import Markdown

    found, stem = pages(), name.removeprefix("docs/").removesuffix(".md")
    if stem not in found:
        raise HarnessError(f"there is no page {shown(name)}{nearest(stem, list(found))}: `harness docs` lists them")
    if console().is_terminal:
        console().print(Markdown(found[stem]))
    else:
        for line in found[stem].splitlines():
            echo(line)

"""The index of published folders: `README.md` for a repository, `index.html` for a web server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.base.files import write_bytes
from harness.report import page, plots, publishing
from harness.report.publishing import Made
from harness.report.tables import escaped

INDEX, README = "index.html", "README.md"
PICTURES = 2
"""Pictures that the index shows of one suite."""
OTHERS = "Their trials were not kept, so they cannot be computed again."


@dataclass(frozen=True)
class Entry:
    """A published folder on the index.

    Attributes:
        folder: its path from the site.
        made: what made it.
    """

    folder: str
    made: Made

    @cached_property
    def pictures(self) -> list[tuple[str, str]]:
        """Arm and file, of the pictures on the index."""
        shown = list(self.made.pictures.items())[:PICTURES]
        return [(arm, f"{self.folder}/{place}/final.png") for arm, place in shown]

    @property
    def page(self) -> str:
        """Its page."""
        return f"{self.folder}/{publishing.PAGE}"


def write(site: Path) -> Path:
    """Write the index of all published folders of a site.

    Returns: the path of the page.

    Raises:
        HarnessError: a folder is damaged.
    """
    entries, older = [], []
    for folder in publishing.folders(site):
        name = folder.relative_to(site).as_posix()
        made = publishing.read(folder)
        if made is None:
            older.append(name)
        else:
            entries.append(Entry(name, made))
    write_bytes(site / README, _markdown(entries, older).encode())
    write_bytes(site / INDEX, _html(entries, older).encode())
    return site / INDEX


def _markdown(entries: list[Entry], older: list[str]) -> str:
    parts = ["# Results", "Written by `harness publish`. Each suite has a folder with all that made it."]
    rows = [
        [
            f"[{entry.made.suite}]({entry.folder}/{publishing.README})",
            escaped(entry.made.question),
            " ".join(filter(None, (escaped(entry.made.answer), escaped(entry.made.expectations)))),
            " ".join(f'<img src="{path}" alt="samples" width="110">' for _, path in entry.pictures),
            entry.made.date,
            entry.made.cost + _unfinished(entry.made),
        ]
        for entry in entries
    ]
    head = ["suite", "question", "answer", "samples", "date", "cost"]
    lines = [head, ["---"] * len(head), *rows]
    parts += ["\n".join(f"| {' | '.join(line)} |" for line in lines)] if rows else []
    if older:
        parts += ["## Tables of older code", OTHERS]
        parts.append("\n".join(f"- [{name}]({name}/)" for name in older))
    return "\n\n".join(parts) + "\n"


def _unfinished(made: Made) -> str:
    return f"; {made.missing} trials still to do" if made.missing else ""


def _html(entries: list[Entry], older: list[str]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    given: dict[str, Any] = {"light": plots.LIGHT, "dark": page.dark(), "unfinished": _unfinished}
    return environment.get_template("site.html.j2").render(entries=entries, older=older, others=OTHERS, **given)

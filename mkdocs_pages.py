"""The pages of the documentation site that are in no file of docs/ (mkdocs.yml names this hook).

The front page is README.md; the gallery comes from the registry, as `harness explain` has it; the keys of a suite come
from their schema. Links to files of the repository that are no pages lead to copies of them.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from mkdocs.structure.files import File, Files
from pydantic import BaseModel

from harness.cli import explain
from harness.suite import suite_schema
from harness.suite.declaration import Declaration
from harness.zoo import registry

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).parent
FRONT = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages whose source lies beside docs/, where people look for them in a repository."""
TITLES = {
    "models": "Models",
    "tricks": "Tricks",
    "networks": "Architectures",
    "classifiers": "Classifiers",
    "metrics": "Metrics",
    "data": "Data sets",
    "engines": "Engines",
}
OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)\)")
"""A link of a page of docs/ to a file elsewhere in the repository."""
PICTURE = re.compile(r'<img src="([^":]+)"')
"""A picture of such a file, beside it."""
COPIED = {".md", ".csv", ".png", ".json"}
COPIES = "repository"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here, and the files of the repository that pages link to."""
    made = {uri: _front((ROOT / name).read_text(encoding="utf-8")) for uri, name in FRONT.items()}
    made |= {f"gallery/{kind}.md": "\n".join(_gallery(kind)) for kind in TITLES}
    made |= {
        "reference/keys.md": "\n".join(_keys()),
        "reference/suite.schema.json": json.dumps(suite_schema(), indent=2),
    }
    for uri, content in made.items():
        files.append(File.generated(config, uri, content=content))
    for page in sorted((ROOT / "docs").glob("*.md")):
        for name in OUTSIDE.findall(page.read_text(encoding="utf-8")):
            if Path(name).suffix in COPIED:
                for path in _with_pictures(ROOT / name):
                    uri = f"{COPIES}/{path.relative_to(ROOT).as_posix()}"
                    if files.get_file_from_path(uri) is None:
                        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def _with_pictures(path: Path) -> Iterator[Path]:
    """A file and, if it is a page, the pictures on it."""
    yield path
    if path.suffix == ".md":
        yield from (path.parent / source for source in PICTURE.findall(path.read_text(encoding="utf-8")))


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links to files of the repository lead to their copies; a folder's link becomes its name."""

    def copied(link: re.Match[str]) -> str:
        return (
            f"]({COPIES}/{link[1]})" if Path(link[1]).suffix in COPIED else f"](index.md '{link[1]} in the repository')"
        )

    return OUTSIDE.sub(copied, markdown)


def _front(text: str) -> str:
    """A page from beside docs/: its links lead to where the pages are on the site."""
    return re.sub(r"\]\(docs/", "](", text)


# --- the gallery -----------------------------------------------------------------------------------------


def _gallery(kind: str) -> Iterator[str]:
    """A page with all plug-ins of a kind."""
    yield f"# {TITLES[kind]}\n"
    yield "What a suite can name, from the code itself; `harness explain` prints the same of a name. Yours can stand "
    yield "beside them: [plugins.md](../plugins.md).\n"
    for entry in registry.entries(kind):
        if entry.broken:
            continue
        yield f"## {entry.name}\n\n{_text(entry.summary.strip())}\n"
        yield from (f"- {_text(fact.strip())}" for fact in explain.facts(entry))
        plugin = entry.plugin
        assert plugin is not None  # it is not broken
        if entry.name != plugin.name:
            yield f"\nText and settings are those of [{plugin.name}](#{plugin.name}).\n"
            continue
        yield f"\n{_document(explain.text(entry))}\n"
        yield from _settings(plugin.Settings)


def _settings(model: type[BaseModel]) -> Iterator[str]:
    """A table of settings."""
    rows = list(explain.settings(model, {}))
    if not rows:
        yield "It has no settings.\n"
        return
    yield "| setting | default | what it may be | meaning |\n|---|---|---|---|"
    for row in rows:
        section = not row.range and "=" in row.default  # its keys have a table of their own
        default = "" if section else row.default.removeprefix("default ")
        yield f"| `{row.name}` | {_cell(default)} | {_cell(row.range)} | {_cell(row.meaning)} |"
    yield ""


def _document(text: str) -> str:
    """A docstring as Markdown: equations, which are indented, are code."""
    return re.sub(r"``([^`]+)``", r"`\1`", re.sub(r"^(?=\S)(.*)$", lambda line: _text(line[1]), text, flags=re.M))


def _text(text: str) -> str:
    """A text without signs that Markdown or HTML would read, but for code."""
    parts = re.split(r"(`+[^`]*`+)", text)
    plain = (re.sub(r"([*_\[\]|#])", r"\\\1", part.replace("<", "&lt;").replace(">", "&gt;")) for part in parts[::2])
    return "".join(text for pair in itertools.zip_longest(plain, parts[1::2], fillvalue="") for text in pair)


def _cell(text: str) -> str:
    return _text(" ".join(text.split()))


# --- the keys of a suite ---------------------------------------------------------------------------------


def _keys() -> Iterator[str]:
    """A page with all keys of a suite, section by section."""
    yield "# Every key of a suite\n"
    yield "From the schema that checks suites, which editors can read, too: [suite.schema.json](suite.schema.json). "
    yield "[suite-format.md](../suite-format.md) explains the sections with examples.\n"
    yield "## The suite\n"
    yield from _settings(Declaration)
    for name, section in _sections(Declaration).items():
        yield f"## {name}\n"
        yield from _settings(section)


def _sections(model: type[BaseModel], above: str = "") -> dict[str, type[BaseModel]]:
    """Path -> the model of each section below a model."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        for below in _models(field.annotation):
            if below not in found.values():
                found[path if path not in found else f"{path} ({below.__name__})"] = below
                found |= {key: one for key, one in _sections(below, f"{path}.").items() if one not in found.values()}
    return found


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The sections that a type of a field holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation is not registry.Choice:
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)

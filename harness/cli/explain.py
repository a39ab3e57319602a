"""`harness explain`: what a name of a suite stands for, its equation and paper, and its settings. Needs no torch."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.base.errors import HarnessError
from harness.base.messages import visible
from harness.base.validation import nearest, shown
from harness.zoo import registry

if TYPE_CHECKING:
    from pydantic import BaseModel

    from harness.zoo.registry import Entry

BOUNDS = (("minimum", "≥ {}"), ("exclusiveMinimum", "> {}"), ("maximum", "≤ {}"), ("exclusiveMaximum", "< {}"))


def explain(name: str) -> list[str]:
    """The lines about a name; a name of several kinds has a part for each.

    Raises:
        HarnessError: no plug-in has this name, or the one that has it is broken.
    """
    known = {kind: registry.names(kind) for kind in registry.KINDS}
    kinds = [kind for kind in registry.KINDS if any(entry.name == name for entry in registry.entries(kind))]
    if not kinds:
        every = sorted({name for names in known.values() for name in names})
        raise HarnessError(
            f"there is no plug-in {shown(name)}{nearest(name, every)}: `harness list models` lists names (also of "
            f"{', '.join(kind for kind in registry.KINDS if kind != 'models')}); {registry.OWN}"
        )
    lines: list[str] = []
    for kind in kinds:
        lines += [*([""] if lines else []), *_told(registry.find(kind, name))]
    return [visible(line) for line in lines]


class Setting(NamedTuple):
    """A setting of a plug-in or a key of a suite, as text: its default, what it may be, and what it means."""

    name: str
    default: str
    range: str
    meaning: str


def facts(entry: Entry) -> Iterator[str]:
    """What there is to say of an entry besides its summary, text and settings, a line each."""
    plugin = entry.plugin
    assert plugin is not None  # find() refuses broken entries
    if entry.paper:
        yield entry.paper
    if entry.rates_from:
        yield f"learning rates: {entry.rates_from}"
    if entry.name != plugin.name:
        yield f"a preset of {plugin.name}, with"
        yield from (f"  {path} = {value}" for path, value in _flat(entry.settings))
        yield from (f"  the trick {trick if isinstance(trick, str) else trick['name']}" for trick in entry.tricks)
    for word in ("requires", "conflicts"):
        if names := sorted(getattr(plugin, word, ())):
            yield f"{word.replace('conflicts', 'conflicts with')}: {', '.join(names)}"
    for label, value in getattr(plugin, "values", {}).items():
        good = f"best near {value.target:g}" if value.target is not None else f"{value.better} is better"
        yield f"column {label} ({good}): {value.summary}"


def text(entry: Entry) -> str:
    """The text at the top of an entry's file: its equation, and where it comes from."""
    assert entry.plugin is not None
    return inspect.getdoc(sys.modules[entry.plugin.__module__]) or ""


def settings(model: type[BaseModel], changed: Mapping[str, Any]) -> Iterator[Setting]:
    """The settings of a model of pydantic; ``changed`` has the defaults that a preset changes."""
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        described = schema.get("properties", {}).get(field.alias or name, {})
        default = changed.get(name, field.get_default(call_default_factory=True) if not field.is_required() else None)
        wanted = "must be given" if field.is_required() else f"default {_text(default)}"
        yield Setting(field.alias or name, wanted, _range(described), field.description or "")


def _told(entry: Entry) -> Iterator[str]:
    """The lines about an entry."""
    yield f"{entry.name} ({entry.kind}): {entry.summary}"
    yield from facts(entry)
    yield ""
    yield from text(entry).splitlines()
    yield ""
    assert entry.plugin is not None
    own = list(settings(entry.plugin.Settings, entry.settings))
    for setting in own:
        yield f"{setting.name}: {', '.join(filter(None, [setting.default, setting.range]))}"
        yield from [f"    {setting.meaning}"] if setting.meaning else []
    if not own:
        yield "it has no settings"


def _range(described: Mapping[str, Any]) -> str:
    """What a value may be, from the JSON schema of the setting."""
    if "anyOf" in described:
        each = [_range(part) for part in described["anyOf"]]
        return " or ".join(dict.fromkeys(filter(None, each)))
    if "enum" in described or "const" in described:
        return "one of " + ", ".join(map(str, described.get("enum", [described.get("const")])))
    bounds = [text.format(f"{described[key]:g}") for key, text in BOUNDS if key in described]
    kind = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null"}
    return " ".join(filter(None, [kind.get(described.get("type", ""), ""), " and ".join(bounds)]))


def _text(value: Any) -> str:
    """A value as a suite has it."""
    if isinstance(value, registry.Choice):
        return value.name
    if isinstance(value, Mapping) and "name" in value:
        return str(value["name"])
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_text, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The settings of a preset, by their paths."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(value)

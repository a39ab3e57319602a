"""Rewrites pydantic's errors for people who write suites: where, what was expected, the nearest known name."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def flatten(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[tuple[int | str, ...], str, str]]:
    """Every problem in a validation error as (path, message, kind of error), including those inside choices."""
    items = error.errors(include_url=False)
    above = {item["loc"][:n] for item in items for n in range(len(item["loc"]))}
    for item in items:
        path = item["loc"]
        if item["type"] == "too_short" and path in above:
            continue  # entries with an error were not counted; these errors are reported themselves
        if item["type"] == "choice":
            for inner, message, kind in item["ctx"]["problems"]:
                yield (*path, *inner), message, kind
        elif item["type"] == "extra_forbidden":
            known = sorted(_fields_at(model, path[:-1]))
            hint = nearest(str(path[-1]), known) or f" (known: {', '.join(known) or 'none'})"
            yield path, f"unknown key {shown(path[-1])}{hint}", "extra_forbidden"
        else:
            yield path, _words(item, str(path[-1]) if path else ""), item["type"]


_WORDS = {
    "missing": "the key {key!r} is missing",
    "int_type": "expected a whole number, got {got}",
    "int_from_float": "expected a whole number, got {got}",
    "float_type": "expected a number, got {got}",
    "bool_type": "expected true or false, got {got}",
    "string_type": "expected text, got {got}",
    "tuple_type": "expected a list, got {got}",
    "list_type": "expected a list, got {got}",
    "dict_type": "expected a mapping, got {got}",
    "model_type": "expected a mapping, got {got}",
    "model_attributes_type": "expected a mapping, got {got}",
    "finite_number": "expected a finite number, got {got}",
    "greater_than": "must be greater than {gt}, got {got}",
    "greater_than_equal": "must be at least {ge}, got {got}",
    "less_than": "must be less than {lt}, got {got}",
    "less_than_equal": "must be at most {le}, got {got}",
    "too_short": "must have at least {min_length} entry, has {actual_length}",
    "too_long": "must have at most {max_length} entries, has {actual_length}",
    "string_too_short": "must not be empty",
    "literal_error": "expected {expected}, got {got}",
    "union_tag_invalid": "expected {expected_tags} as its {discriminator}, got {tag!r}",
    "union_tag_not_found": "the key {discriminator} is missing",
    "string_pattern_mismatch": "{got} does not match the pattern {pattern}",
}


def _words(item: ErrorDetails, key: str) -> str:
    """One error of pydantic, rewritten."""
    words = _WORDS.get(item["type"])
    if words is None:
        message = item["msg"].removeprefix("Value error, ")
        return message[:1].lower() + message[1:]
    context = {name: f"{v:g}" if isinstance(v, float) else v for name, v in item.get("ctx", {}).items()}
    if context.get("actual_length", "") is None:  # pydantic does not count beyond the limit
        context["actual_length"] = "more"
    return words.format(**context, key=key, got=shown(item["input"]))


def shown(value: Any) -> str:
    """A value as text for a message: shortened, and in the notation of suites."""
    return json.dumps(value) if value is None or isinstance(value, bool) else reprlib.repr(value)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed at ``path`` inside ``model``, according to its annotations."""
    models = [model]
    for step in path:
        fields = [
            field
            for inner in models
            for name, field in inner.model_fields.items()
            if str(step) == (field.alias or name)
        ]
        # A step that is not a field is a position in a list, a key of a mapping, or the tag of a union.
        models = [found for field in fields for found in _models_in(field.annotation)] if fields else models
    return [field.alias or name for inner in models for name, field in inner.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


LISTED = 30
"""Names that a message lists, a line each."""


def lines_of(names: Sequence[str], where: str = "") -> list[str]:
    """The first names for a message, a line each, and how many more there are (``where`` says where to see them)."""
    more = [f"  and {len(names) - LISTED} more{where}"] if len(names) > LISTED else []
    return [*(f"  {name}" for name in names[:LISTED]), *more]


def nearest(word: str, known: list[str]) -> str:
    """The hint ``, did you mean 'x'?`` if a known word is similar, else an empty string."""
    close = difflib.get_close_matches(str(word), known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""

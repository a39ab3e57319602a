"""YAML documents as plain values with the line and column of each key and value, for error messages.

Reads YAML 1.2 with its core schema: mappings, lists, text, numbers, true/false, null; anchors and aliases. Nothing
else is built: tags and merge keys are refused. Size, depth and number of values (repetitions by aliases included) are
bounded, so that no document takes long.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from harness.base.messages import visible
from harness.base.validation import shown

KeyPath = tuple[int | str, ...]
"""The path from the top of a document to a value: keys of mappings and positions in lists."""

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 10_000
MAX_TEXT = MAX_BYTES
"""The largest number of characters in all texts; a text counts again for each alias."""
MAX_SHOWN = 80
"""The largest number of characters of a key in a message."""

MERGE = (
    "merge keys (<<) are not read: YAML 1.2 has none. Write the keys out, or use an alias in place of the whole value"
)

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
"""A character as JSON escapes it, in two halves."""
_ODD = "\xa0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff"
_ODD_IN_SCALAR = re.compile(rf"^[{_ODD}]|[{_ODD}]$|(?<=:)[{_ODD}]")
_ODD_IN_LINE = re.compile(rf"(?:^|(?<=[-:,?{{[])) *([{_ODD}])|^[ -]*[\w.]+[ {_ODD}]*([\uff1a\ufe55\ufe13\ua789])")
"""Blanks and colons that look like those of YAML, where YAML would have one: after a colon, as indentation."""


@dataclass(frozen=True, order=True)
class Place:
    """A position in the file (line and column count from 1), or the override that set a value."""

    override: str = ""
    line: int = 1
    column: int = 1

    def located(self, file: str) -> str:
        """The place as the beginning of an error message."""
        return self.override or f"{file}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """An error at one place. ``path`` is empty if the text is no valid YAML."""

    place: Place
    path: str
    message: str

    def located(self, file: str) -> str:
        """One line: ``file:line:column: path: message``."""
        return visible(": ".join(part for part in (self.place.located(file), self.path, self.message) if part))


class NotYaml(Exception):
    """The text cannot be read beyond ``place``."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message


@dataclass
class Document:
    """Plain values, with the place of each key and value."""

    value: Any = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath, of_key: bool = False) -> Place:
        """The place of the value (or of its key); if the file does not have it, of the nearest value around it."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place())

    def put(self, steps: Sequence[str], new: Document) -> None:
        """Replace the value at ``steps`` by another document."""
        self.value, path = put(self.value, steps, new.value)
        for places in (self.keys, self.values):
            for old in [old for old in places if old[: len(path)] == path]:
                del places[old]
        self.keys[path] = new.place(())
        self.values.update({path + below: place for below, place in new.values.items()})
        self.keys.update({path + below: place for below, place in new.keys.items()})


class NoSuchPath(Exception):
    """A path leads through a value that is no mapping or list, or to a list element that does not exist."""


def put(value: Any, steps: Sequence[int | str], new: Any) -> tuple[Any, KeyPath]:
    """A copy of ``value`` with ``new`` at ``steps``, and the path of ``new``.

    Missing mappings are created. A bare name stands for a mapping with that name. The name of a list element can
    replace its position: ``tricks.ema.decay`` leads into ``[{name: ema}]`` and into ``[ema]``.

    Raises:
        NoSuchPath: the path leads nowhere.
    """
    if not steps:
        return new, ()
    step, rest = steps[0], steps[1:]
    if value is None or isinstance(value, str):
        value = {} if value is None else {"name": value}
    if isinstance(value, list):
        index = _element(value, step)
        inner, below = put(value[index], rest, new)
        return [*value[:index], inner, *value[index + 1 :]], (index, *below)
    if not isinstance(value, Mapping):
        raise NoSuchPath(f"{step!r} cannot be set inside {shown(value)}: that is no mapping")
    inner, below = put(value.get(step), rest, new)
    return {**value, step: inner}, (step, *below)


def _element(elements: list[Any], step: int | str) -> int:
    for index, element in enumerate(elements):
        name = element.get("name") if isinstance(element, Mapping) else element
        if step == name or str(step) == str(index):
            return index
    raise NoSuchPath(f"{step!r} is not in the list {shown(elements)}")


def dotted(path: KeyPath) -> str:
    """A path as text: ``matrix.tricks[1]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{shortened(step)}" for step in path).removeprefix(".")


def shortened(text: str, longest: int = MAX_SHOWN) -> str:
    """A user's text for a message: shortened, and with control characters escaped."""
    cut = text if len(text) <= longest else f"{text[: longest - 3]}..."
    return visible(cut)


def read(content: bytes, override: str = "") -> Document:
    """Read a document. ``Document.problems`` has the errors after which reading goes on (duplicate keys, tags).

    Args:
        content: the document, in UTF-8.
        override: the override that it comes from; empty for a file.

    Raises:
        NotYaml: the rest of the document cannot be read.
    """
    reader = _Reader(_decoded(content, override), override)
    return reader.document


def _decoded(content: bytes, override: str) -> str:
    if len(content) > MAX_BYTES:
        raise NotYaml(Place(override), f"larger than {MAX_BYTES // 1024} KiB: too large for a suite")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        raise NotYaml(_after(before, override), "not UTF-8 text: save the file as UTF-8") from error
    wrong = _FORBIDDEN.search(text)
    if wrong:
        at = _after(text[: wrong.start()], override)
        raise NotYaml(at, f"the character U+{ord(wrong.group()):04X} is not allowed in YAML")
    return text


def _after(text: str, override: str) -> Place:
    return Place(override, text.count("\n") + 1, len(text) - text.rfind("\n"))


class _Anchored(NamedTuple):
    """What an anchor names: its value, with the number of values and of characters in it."""

    value: Any
    values: int
    characters: int


class _Reader:
    """Builds a document from the events of the parser. ``MAX_DEPTH`` bounds the recursion."""

    def __init__(self, text: str, override: str) -> None:
        self.override = override
        self.lines = text.splitlines()
        self.document = Document()
        self.anchors: dict[str, _Anchored | None] = {}  # None while it is being read
        self.count = self.characters = 0
        self.last = Place(override)
        self.events = YAML(typ="safe", pure=True).parse(text)
        self._read()

    def _read(self) -> None:
        event = self._next()
        while not isinstance(event, DocumentStartEvent):
            if isinstance(event, StreamEndEvent):
                raise NotYaml(Place(self.override), "empty: a suite needs at least the key 'suite'")
            event = self._next()
        self.document.value = self._node(self._next(), (), 0)
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, StreamEndEvent):
            raise NotYaml(self._place(event), "a second document begins here, but a suite is one document")

    def _next(self) -> Event:
        try:
            event: Event = next(self.events)
        except MarkedYAMLError as error:
            raise NotYaml(*self._explained(error)) from error
        except Exception as error:  # on invalid input the parser also raises other errors, such as ValueError
            raise NotYaml(self.last, f"not YAML: {error}") from error
        self.last = self._place(event)
        return event

    def _explained(self, error: MarkedYAMLError) -> tuple[Place, str]:
        """The place and the reason of the parser's error, or of what has caused it in an earlier line."""
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return self.last, f"not YAML: {_reason(error)}"
        keyless = self._keyless(error, mark.line)
        first = min(mark.line if keyless is None else keyless, (error.context_mark or mark).line)
        for line in range(min(mark.line, len(self.lines) - 1), first - 1, -1):
            if odd := _ODD_IN_LINE.search(self.lines[line]):
                which = odd.lastindex or 0
                wanted = ("blank", "a blank") if which == 1 else ("colon", "a colon and a blank")
                at = Place(self.override, line + 1, odd.start(which) + 1)
                return at, f"{_named(odd.group(which))} is no {wanted[0]} to YAML: type {wanted[1]}"
        if keyless is not None:
            written = self.lines[keyless]
            at = Place(self.override, keyless + 1, _indentation(written) + 1)
            why = f"{shown(written.strip())} is no key with a value: write a colon, and a blank after it"
            return at, f"not YAML: {why}"
        return Place(self.override, mark.line + 1, mark.column + 1), f"not YAML: {_reason(error)}"

    def _keyless(self, error: MarkedYAMLError, line: int) -> int | None:
        """The number of the line without a key that has caused an error in a later line (from 0); None if none has."""
        if error.context_mark is not None and "could not find expected ':'" in str(error.problem):
            return int(error.context_mark.line)
        if "mapping values are not allowed" not in str(error.problem):
            return None
        # Two lines of the same depth are one text to YAML if the first is no key: `steps:3` above `threads: 1`.
        above = line - 1
        while above >= 0 and not self.lines[above].split("#")[0].strip():
            above -= 1
        alike = above >= 0 and _indentation(self.lines[above]) == _indentation(self.lines[line])
        return above if alike and not re.search(r":(\s|$)", self.lines[above]) else None

    def _place(self, event: Event) -> Place:
        if isinstance(event, ScalarEvent) and event.start_mark.index == event.end_mark.index:
            return self.last  # an empty value: its event has the position of the next token
        return Place(self.override, event.start_mark.line + 1, event.start_mark.column + 1)

    def _problem(self, place: Place, path: KeyPath, message: str) -> None:
        self.document.problems.append(Problem(place, dotted(path), message))

    def _grow(self, by: int, place: Place) -> None:
        self.count += by
        if self.count > MAX_VALUES:
            raise NotYaml(place, f"more than {MAX_VALUES} values (a value counts again for each alias)")

    def _lengthen(self, by: int, place: Place) -> None:
        self.characters += by
        if self.characters > MAX_TEXT:
            raise NotYaml(place, f"more than {MAX_TEXT} characters of text (a text counts again for each alias)")

    def _node(self, event: Event, path: KeyPath, depth: int) -> Any:
        place = self._place(event)
        self.document.values[path] = place
        if isinstance(event, AliasEvent):
            return self._alias(event, place)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent)  # the other starts of a node
        self._grow(1, place)
        if depth > MAX_DEPTH:
            raise NotYaml(place, f"nested more than {MAX_DEPTH} levels deep")
        if event.ctag is not None and str(event.ctag) != "!":
            tag = str(event.ctag).replace("tag:yaml.org,2002:", "!!")
            self._problem(place, path, f"the tag {tag!r} is not supported: write the plain value")
        before = self.count, self.characters
        if event.anchor:
            self.anchors[event.anchor] = None
        value = self._content(event, path, depth)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(value, self.count - before[0] + 1, self.characters - before[1])
        return value

    def _alias(self, event: AliasEvent, place: Place) -> Any:
        if event.anchor not in self.anchors:
            raise NotYaml(place, f"the alias *{event.anchor} has no anchor before it")
        anchored = self.anchors[event.anchor]
        if anchored is None:
            raise NotYaml(place, f"the alias *{event.anchor} is inside its own anchor")
        self._grow(anchored.values, place)
        self._lengthen(anchored.characters, place)
        return anchored.value

    def _content(self, event: Event, path: KeyPath, depth: int) -> Any:
        if isinstance(event, MappingStartEvent):
            return self._mapping(path, depth)
        if isinstance(event, SequenceStartEvent):
            inner = self._until(SequenceEndEvent)
            return [self._node(item, (*path, index), depth + 1) for index, item in enumerate(inner)]
        assert isinstance(event, ScalarEvent)
        return self._scalar(event, path)

    def _until(self, end: type[Event]) -> Iterator[Event]:
        while not isinstance(event := self._next(), end):
            yield event

    def _mapping(self, path: KeyPath, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for event in self._until(MappingEndEvent):
            place = self._place(event)
            if not isinstance(event, ScalarEvent):
                raise NotYaml(place, "a key must be a plain name")
            self._grow(1, place)
            key = self._text(event, (*path, "?"))
            if key == "<<" and event.implicit[0]:
                self._problem(place, path, MERGE)
                self._node(self._next(), (*path, key), depth + 1)
                continue
            if key in mapping:
                first = self.document.keys[*path, key]
                self._problem(place, (*path, key), f"duplicate key {key!r} (first in line {first.line})")
            self.document.keys.setdefault((*path, key), place)
            mapping[key] = self._node(self._next(), (*path, key), depth + 1)
        return mapping

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> Any:
        text = self._text(event, path)
        if not event.implicit[0]:  # quoted, or a block of text
            return text
        try:
            return plain_value(text)
        except OverflowError as error:
            self._problem(self._place(event), path, str(error))
            return 0

    def _text(self, event: ScalarEvent, path: KeyPath) -> str:
        """The text of a scalar. Escapes in quotes must not produce characters that are forbidden in the file."""
        text = _PAIR.sub(lambda pair: pair.group().encode("utf-16", "surrogatepass").decode("utf-16"), str(event.value))
        self._lengthen(len(text), self._place(event))
        odd = _ODD_IN_SCALAR.search(text) if event.implicit[0] else None
        if odd:
            place = self._place(event)
            if text in self.lines[place.line - 1]:  # it is not folded from several lines
                place = Place(place.override, place.line, place.column + odd.start())
            self._problem(place, path, f"{_named(odd.group())} is no blank to YAML: type a blank")
        wrong = _FORBIDDEN.search(text)
        if wrong:
            self._problem(self._place(event), path, f"the character U+{ord(wrong.group()):04X} is not allowed")
        return "?" if wrong else text


def plain_value(text: str) -> Any:
    """The value of an unquoted scalar by YAML 1.2's core schema: null, a boolean, a number, or text.

    Raises:
        OverflowError: an integer of more than 18 digits.
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        if len(text) > 18:
            raise OverflowError(f"the number {shown(text)} is too large")
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text.removeprefix("0o"), base) if base == 8 else int(text, base)
    if _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return float(re.sub(r"\.(?=[iInN])", "", text))
    return text


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _named(character: str) -> str:
    """A character by its number and name."""
    return f"the character U+{ord(character):04X} ({unicodedata.name(character, 'without a name').lower()})"


def _reason(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "cannot be parsed").splitlines()[0]
    if "'\\t'" in problem:
        return "a tab cannot be used here, indent with blanks"
    return f"{error.context}: {problem}" if error.context and error.context != problem else problem

"""Finds plug-ins by name: data sets, architectures, models, tricks, classifiers, metrics and engines.

A plug-in is a class that derives from the base class of its kind and has a ``name``. Built-in plug-ins are in the
folder of their kind, one file each; to add one, add a file. Another package provides plug-ins through entry points in
the group ``harness.<kind>`` that name the class. A plug-in that cannot be imported, or whose class has a defect
(``Plugin.defect``), is listed as broken, with the reason; the others still work.

Finding a plug-in does not import torch: see ``harness.zoo.importing``. A file outside any package is added by
``add_files``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import sys
import traceback
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, SerializeAsAny, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from harness.base.errors import HarnessError
from harness.base.validation import flatten, nearest, shown
from harness.zoo import importing

FOLDERS = {
    "data": "harness.zoo.data",
    "models": "harness.zoo.models",
    "networks": "harness.zoo.networks",
    "tricks": "harness.zoo.tricks",
    "classifiers": "harness.zoo.classifiers",
    "metrics": "harness.metrics",
    "engines": "harness.execution.engines",
}
"""Kind of plug-in -> the package with the built-in ones."""
KINDS = tuple(FOLDERS)
_BASES = {**{f"{folder}.base": kind for kind, folder in FOLDERS.items()}, "harness.execution.engine": "engines"}
"""Module of a base class -> the kind of the plug-ins that derive from it."""
_added: dict[str, types.ModuleType] = {}
"""The plug-in files of this process, as modules, by their names."""
OWN = "one of your own comes with --plugin FILE.py, or `plugins: [FILE.py]` in the suite (`harness docs plugins`)"


class Settings(BaseModel):
    """The settings of a plug-in: a pydantic model that rejects unknown keys and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_lookalikes(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse ``true`` and ``"5"`` for a number, and 1 for ``true``: pydantic would convert them silently."""
        wanted = _simple_kind(cls, str(info.field_name))
        if wanted is bool and isinstance(value, int | float | str) and not isinstance(value, bool):
            raise PydanticCustomError("bool_type", "")
        if wanted in (int, float) and isinstance(value, bool | str):
            raise PydanticCustomError(f"{wanted.__name__}_type", "")
        return value


@functools.cache
def _simple_kind(settings: type[BaseModel], field: str) -> type[bool] | type[int] | type[float] | None:
    """The type of a field that holds one number or truth value (or null), else None."""
    wanted = settings.model_fields[field].annotation
    return next((kind for kind in (bool, int, float) if wanted in (kind, kind | None)), None)


@dataclass(frozen=True)
class Origin:
    """Where the learning rates of a model or preset come from.

    Attributes:
        kind: the paper's, tuned here, or neither.
        source: for tuned ones, what they were tuned on.
    """

    kind: Literal["paper", "tuned", "untuned default"]
    source: str = ""

    def __str__(self) -> str:
        """For example ``tuned: on MNIST``."""
        return f"{self.kind}: {self.source}" if self.source else self.kind


PAPER, UNTUNED = Origin("paper"), Origin("untuned default")


@dataclass(frozen=True)
class Preset:
    """Published settings of a plug-in, under their own name."""

    summary: str
    paper: str
    settings: Mapping[str, Any]
    tricks: tuple[Any, ...] = ()
    """For a model: the tricks that belong to the preset, as in a suite."""
    rates_from: Origin = UNTUNED
    """For a model: where its learning rates come from."""


class Plugin:
    """The base class of all plug-ins.

    Attributes:
        name: the name that suites use.
        summary: one line that says what it is.
        paper: its source ("authors year, section or equation"), or "" if there is no paper.
        Settings: its settings; the defaults are the recommended values.
        presets: more names for the same class with other settings.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str] = ""
    Settings: ClassVar[type[Settings]] = Settings
    presets: ClassVar[Mapping[str, Preset]] = {}

    @classmethod
    def defect(cls, names: Collection[str]) -> str | None:
        """What is wrong with the code of the class, or None. A plug-in with a defect is listed as broken.

        Args:
            names: the names of all plug-ins of its kind.

        Returns:
            A sentence that names the class and says what to do.
        """
        return None

    def guard(self) -> None:
        """Called once, when it was made for a choice: from then on what its methods return is checked.

        No part of its code's fingerprint: it may only raise errors, or bring results into the form that is expected.
        """


@dataclass(frozen=True)
class Entry:
    """A name of a kind of plug-in: its class and settings, or why it cannot be used."""

    kind: str
    name: str
    summary: str = ""
    paper: str = ""
    plugin: type[Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    tricks: tuple[Any, ...] = ()
    rates_from: Origin | None = None
    """Where its learning rates come from; None for a plug-in that is no model."""
    broken: str | None = None
    """Why it cannot be used: the rest of a sentence that begins with the name."""
    module: str = ""
    """The module that defines the class; empty if it cannot be imported."""


def entries(kind: str) -> list[Entry]:
    """All entries of a kind, including broken ones, sorted by name."""
    return sorted(_scan(kind).values(), key=lambda entry: entry.name)


def names(kind: str) -> list[str]:
    """The usable names of a kind, sorted."""
    return [entry.name for entry in entries(kind) if entry.broken is None]


def find(kind: str, name: str) -> Entry:
    """The usable entry with this name.

    Raises:
        HarnessError: the name is unknown (with the nearest known name) or its plug-in is broken (with the reason).
    """
    entry = _scan(kind).get(name)
    if entry is None:
        known = names(kind)
        own = f"; {OWN}" if kind != "engines" else ""
        near = nearest(name, known)
        raise HarnessError(f"unknown name {shown(name)} in {kind}{near} (known: {', '.join(known)}){own}")
    if entry.broken is not None:
        raise HarnessError(f"{name!r} in {kind} {entry.broken}")
    return entry


P_co = TypeVar("P_co", bound=Plugin, covariant=True)


class Choice(BaseModel, Generic[P_co]):
    """A plug-in chosen by name, with all settings filled in. ``Choice[Trick]`` is the choice of a trick."""

    model_config = ConfigDict(frozen=True)

    kind: str
    name: str
    settings: SerializeAsAny[Settings]

    if not TYPE_CHECKING:

        def __class_getitem__(cls, _: Any) -> type[Choice]:
            """The class itself: all choices have the same class, so that they can be pickled."""
            return cls

    @property
    def plugin(self) -> type[P_co]:
        """The chosen class."""
        plugin = find(self.kind, self.name).plugin
        assert plugin is not None  # find() refuses broken entries
        return plugin

    def make(self, *args: Any) -> P_co:
        """Create the plug-in with its settings.

        Args:
            args: further arguments that plug-ins of this kind need, for example a data shape.
        """
        make: Callable[..., P_co] = self.plugin
        made = make(self.settings, *args)
        if foreign(self.plugin):
            made.guard()
        return made

    def canonical(self) -> dict[str, Any]:
        """The choice in plain values: the same for a preset as for its settings written out."""
        return {"name": self.plugin.name, **_canonical(self.settings)}


class ChoiceError(ValueError):
    """A choice that cannot be made. ``problems`` holds (path inside the choice, message, kind of error)."""

    def __init__(self, problems: list[tuple[tuple[int | str, ...], str, str]]) -> None:
        super().__init__("; ".join(message for _, message, _ in problems))
        self.problems = problems


def foreign(plugin: type[Plugin]) -> bool:
    """Whether a plug-in is not the harness's own."""
    return plugin.__module__.partition(".")[0] != "harness"


def place(error: BaseException) -> str:
    """Where an error arose, as ``file.py:12 in function``: the innermost frame of a plug-in that is not the harness's.

    Without such a frame, the innermost of all.
    """
    plugins = [entry.plugin for kind in KINDS for entry in entries(kind) if entry.plugin is not None]
    outside = {plugin.__module__.partition(".")[0] for plugin in plugins if foreign(plugin)}
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [each for each in frames if str(each[0].f_globals.get("__name__")).partition(".")[0] in outside]
    frame, line = (own or frames)[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}"


def choose(kind: str, value: Any) -> Choice[Any]:
    """Read a choice from a suite: ``name``, or ``{name: …, setting: value, …}``.

    Settings that are mappings are merged with those of the preset key by key, so that
    ``{name: dcgan, architecture: {width: 16}}`` keeps the preset's architecture.

    Raises:
        ChoiceError: unknown name, unknown setting, or a value out of range; it lists all problems.
    """
    if isinstance(value, Choice):
        return value
    given = {"name": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ChoiceError([((), "expected a name, or a mapping with the key 'name'", "choice_type")])
    try:
        entry = find(kind, given["name"])
    except HarnessError as error:
        where = () if isinstance(value, str) else ("name",)
        raise ChoiceError([(where, str(error), "unknown_name")]) from error
    assert entry.plugin is not None
    own = {key: setting for key, setting in given.items() if key != "name"}
    # Defaults that are choices: {name: gan, architecture: {width: 16}} need not repeat the architecture's name.
    fields = entry.plugin.Settings.model_fields.items()
    named = {key: field.default for key, field in fields if isinstance(field.default, str | Mapping)}
    try:
        settings = entry.plugin.Settings.model_validate(_overlay({**named, **entry.settings}, own))
    except ValidationError as error:
        raise ChoiceError(list(flatten(error, entry.plugin.Settings))) from error
    return Choice(kind=kind, name=given["name"], settings=settings)


def chooser(kind: str) -> Callable[[Any], Choice[Any]]:
    """``choose`` as a pydantic validator: ``Annotated[Choice[Architecture], BeforeValidator(…)]``.

    The problems are in the error's context; ``flatten`` reads them and gives them their full paths.
    """

    def validate(value: Any) -> Choice[Any]:
        try:
            return choose(kind, value)
        except ChoiceError as error:
            raise PydanticCustomError("choice", "{text}", {"text": str(error), "problems": error.problems}) from error

    return validate


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``above`` into ``below`` key by key; a mapping with another ``name`` replaces the whole mapping."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, str) and isinstance(value, Mapping):
            under = {"name": under}
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            same = value.get("name", under.get("name")) == under.get("name")
            merged[key] = _overlay(under, value) if same else dict(value)
        else:
            merged[key] = value
    return merged


def _canonical(settings: BaseModel) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        name: value.canonical()
        if isinstance(value, Choice)
        else _canonical(value)
        if isinstance(value, BaseModel)
        else value
        for name, value in values.items()
    }


@functools.cache
def _scan(kind: str) -> dict[str, Entry]:
    with importing.torch_postponed():
        return _scan_now(kind)


def _scan_now(kind: str) -> dict[str, Entry]:
    package = importlib.import_module(FOLDERS[kind])
    found: dict[str, Entry] = {}
    for info in pkgutil.iter_modules(package.__path__):
        if info.name in package.SHARED:
            continue
        try:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
        except (Exception, SystemExit) as error:  # one broken file must not make all plug-ins unusable
            found[info.name] = _unimportable(kind, info.name, error)
            continue
        for plugin in _own_classes(module):
            _add(found, kind, plugin)
    for point in _points().select(group=f"harness.{kind}"):
        try:
            plugin = point.load()
            if not (isinstance(plugin, type) and issubclass(plugin, Plugin)):
                raise TypeError(f"{point.value} is not a subclass of the base class in {FOLDERS[kind]}.base")
            _add(found, kind, plugin)
        except (Exception, SystemExit) as error:  # the same for a broken package
            found.setdefault(point.name, _unimportable(kind, point.name, error))
    for module in _added.values():
        for plugin in _plugins_in(module, kind):
            _add(found, kind, plugin)
    return {name: _examined(entry, found.keys()) for name, entry in found.items()}


@functools.cache
def _points() -> Any:
    """The entry points of all packages: a file of each, read once for all kinds."""
    return metadata.entry_points()


def forget() -> None:
    """Look for plug-ins anew: packages were added to this process's path."""
    _scan.cache_clear()
    _points.cache_clear()


def _unimportable(kind: str, name: str, error: BaseException) -> Entry:
    return Entry(kind, name, broken=f"cannot be imported: {type(error).__name__}: {error}")


def _examined(entry: Entry, names: Collection[str]) -> Entry:
    """The entry, marked as broken if its class has a defect."""
    defect = entry.plugin.defect(names) if entry.plugin is not None else None
    return (
        entry if defect is None else Entry(entry.kind, entry.name, broken=f"is refused: {defect}", module=entry.module)
    )


def add_files(paths: Iterable[Path]) -> None:
    """Find the plug-ins of these files too, from now on in this process. A file that is added already changes nothing.

    Raises:
        HarnessError: a file is missing, cannot be imported, has no plug-in, or one of its names is taken.
    """
    for path in paths:
        module = importing.from_file(path)
        if module.__name__ in _added:
            continue
        kinds = {kind for kind in KINDS if _plugins_in(module, kind)}
        if not kinds:
            raise HarnessError(
                f"{path}: there is no plug-in in it: expected a class that derives from Trick, Model, Architecture, "
                "Metric, DataSet or another base class of harness.plugins, and that has a `name`"
            )
        _added[module.__name__] = module
        _scan.cache_clear()
        try:
            for kind in sorted(kinds):
                _scan(kind)
        except TypeError as error:
            del _added[module.__name__]
            _scan.cache_clear()
            raise HarnessError(f"{path}: {error}: give yours another name") from error


def add_again(paths: Iterable[str]) -> None:
    """``add_files`` in a worker, for the files of its driver, which has checked them."""
    for module in map(importing.again, paths):
        if module.__name__ not in _added:
            _added[module.__name__] = module
            _scan.cache_clear()


def _plugins_in(module: types.ModuleType, kind: str) -> list[type[Any]]:
    """The plug-ins of this kind that a plug-in file defines."""
    return [
        plugin
        for plugin in _own_classes(module)
        if any(_BASES.get(base.__module__) == kind for base in plugin.__mro__ if issubclass(base, Plugin))
        and "name" in vars(plugin)
    ]


def _own_classes(module: types.ModuleType) -> list[type[Any]]:
    """The classes that a module defines."""
    return [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]


def _add(found: dict[str, Entry], kind: str, plugin: type[Any]) -> None:
    if not issubclass(plugin, Plugin) or "name" not in vars(plugin):
        return
    rates_from: Origin | None = getattr(plugin, "rates_from", None)
    module = plugin.__module__
    new = [Entry(kind, plugin.name, plugin.summary, plugin.paper, plugin, rates_from=rates_from, module=module)]
    for name, one in plugin.presets.items():
        of_preset = one.rates_from if rates_from else None
        new.append(Entry(kind, name, one.summary, one.paper, plugin, one.settings, one.tricks, of_preset))
    for entry in new:
        if entry.name in found and found[entry.name].broken is None:
            other = found[entry.name].plugin
            assert other is not None  # it is not broken
            place = getattr(sys.modules.get(other.__module__), "__file__", other.__module__)
            raise TypeError(f"the name {entry.name!r} in {kind} is taken by {other.__name__} ({place})")
        found[entry.name] = entry

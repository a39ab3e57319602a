"""The cells of a suite's matrix: the exact product of the axes over the base, and the parts of each cell.

Works on the plain values of the document, not on the sections. So the cells are checked even if a section has an
error, and each problem is traced to the line of the value.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from harness.base import digests, validation
from harness.base.errors import HarnessError
from harness.base.messages import note
from harness.base.validation import nearest, shown
from harness.suite.axes import ROOTS, is_path, probably_meant
from harness.suite.declaration import MAX_CHOICES, MAX_EXCLUSIONS, MAX_SEEDS, Range, Search, Train
from harness.suite.document import KeyPath, NoSuchPath, put
from harness.zoo import registry
from harness.zoo.compatibility import offered, refusals, with_own
from harness.zoo.registry import Choice, ChoiceError, choose

if TYPE_CHECKING:
    from harness.zoo.data.base import DataSet
    from harness.zoo.models.base import Model
    from harness.zoo.tricks.base import Trick

ORIGINS: Mapping[KeyPath, KeyPath] = {
    ("model",): ("base", "model"),
    ("tricks",): ("base", "tricks"),
    ("data",): ("data",),
    ("train",): ("train",),
}
"""Part of an arm -> its place in a suite file."""

MAX_AXES = 32
MAX_CELLS = 10_000
MAX_TRIALS = 100_000
"""The largest number of trials of a suite: at ten seconds each they take one core more than eleven days. A plan of so
many is made in seconds and takes 200 MB; tables, pages and verdicts are not made for more."""
MANY = 2000
"""Of more trials than this the user is told before they are planned, because it takes seconds."""
MAX_FAULTS = 1000
"""After this many cells with an error, the others are not checked."""
MAX_STUDIES = 100
MAX_CHECKS = 5000
"""The number of values of a search's space that are checked on reading; the others are checked when sampled."""


class Parts(NamedTuple):
    """The resolved parts of a cell."""

    model: Choice[Model]
    tricks: tuple[Choice[Trick], ...]
    """All tricks: the listed ones, and those of the model's preset."""
    listed: tuple[Choice[Trick], ...]
    """The tricks that the suite lists."""
    data: Choice[DataSet]
    train: Train

    @property
    def offers(self) -> frozenset[str]:
        """The capabilities that metrics can require of it."""
        return offered(self.model.plugin, self.model.settings, (trick.plugin for trick in self.tricks))


@dataclass(frozen=True)
class Combination:
    """One cell of the matrix, as the suite declares it.

    Attributes:
        axes: axis → value, as written.
        excluded: why it is excluded, or None.
        raw: model, tricks, data and train as written, with the values of the axes inserted.
        parts: the resolved parts; None if the cell is excluded and its parts are wrong.
    """

    axes: Mapping[str, Any]
    excluded: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    parts: Parts | None = None


class PartOfSpace(NamedTuple):
    """Ranges of a search, with the cells that have them, and their place in the document."""

    path: KeyPath
    where: Mapping[str, Any]
    ranges: Mapping[str, Range | None]


class Places:
    """Finds the positions of cells by their values on axes, fast for thousands of cells. Skips excluded cells."""

    def __init__(self, combinations: Sequence[Combination]) -> None:
        self.combinations = combinations

    def of(self, where: Mapping[str, Any]) -> set[int]:
        """The positions of the cells with these values on these axes; of all cells if ``where`` is empty."""
        found = [self._having.get((axis, normal(value, axis)), set()) for axis, value in where.items()]
        return set.intersection(*sorted(found, key=len)) if found else set(self._trained)

    @cached_property
    def _trained(self) -> dict[int, Combination]:
        return {place: cell for place, cell in enumerate(self.combinations) if cell.excluded is None}

    @cached_property
    def _having(self) -> dict[tuple[str, str], set[int]]:
        """(axis, value in normal form) → the positions of the cells that have it."""
        having: dict[tuple[str, str], set[int]] = {}
        for place, cell in self._trained.items():
            for axis, value in cell.axes.items():
                having.setdefault((axis, normal(value, axis)), set()).add(place)
        return having


class Cells:
    """The exact product of the axes over the base; reports the problems in it."""

    def __init__(self, top: Mapping[str, Any], report: Callable[..., None]) -> None:
        """``top`` is the suite as written; ``report(path, message, kind)`` receives each problem."""
        self.top = top
        self.report = report
        self.wrong: dict[str, str | None] = {}
        """Axis that is no path into an arm -> the path that was perhaps meant."""
        self.axes = self._axes()
        # Short paths first: a longer path changes the value that its prefix set.
        self.order = sorted(self.axes, key=lambda axis: axis.count("."))
        self.kept: dict[str, Any] = {}
        self.normal = {axis: [normal(value, axis) for value in values] for axis, values in self.axes.items()}
        self.repeated = False
        self.faults = 0
        for axis, values in self.normal.items():
            self._refuse_repeated(axis, values)

    def _axes(self) -> dict[str, list[Any]]:
        """The valid axes. Values that are no list are skipped here: the check of the sections reports them."""
        matrix = self.top.get("matrix")
        axes = {a: v for a, v in matrix.items() if isinstance(v, list) and v} if isinstance(matrix, Mapping) else {}
        if len(axes) > MAX_AXES:
            self.report(("matrix",), f"has {len(axes)} axes, more than {MAX_AXES}")
            return {}
        for axis in list(axes):
            if not is_path(axis):
                self.wrong[axis] = probably_meant(axis, self.top)
                self.report(("matrix", axis), f"{_NO_PATH}{_hint(self.wrong[axis])}", "extra_forbidden")
                del axes[axis]
        return axes

    def _refuse_repeated(self, axis: str, values: list[str]) -> None:
        seen: set[str] = set()
        for index, value in enumerate(values):
            if value in seen:
                self.report(("matrix", axis, index), "this axis has the same value already")
                self.repeated = True
            seen.add(value)

    def combinations(self) -> list[Combination]:
        """All cells. Reports their problems; empty if there are too many cells or too many wrong ones."""
        size = math.prod(len(values) for values in self.axes.values())
        if size > MAX_CELLS:
            self.report(("matrix",), f"the product has {size} cells, more than {MAX_CELLS}")
            return []
        positions = list(itertools.product(*(range(len(values)) for values in self.axes.values())))
        indices = [dict(zip(self.axes, position, strict=True)) for position in positions]
        reasons = self._exclusions(indices)
        if all(reason is not None for reason in reasons):
            self.report(("exclude",), "all cells are excluded: nothing is left to train")
            return []
        if self._too_many(reasons.count(None)):
            return []
        combinations = []
        for index, reason in zip(indices, reasons, strict=True):
            combinations.append(self._cell(index, reason))
            if self.faults > MAX_FAULTS:
                return []
        if not self.repeated:
            self._refuse_duplicates(indices, combinations)
        return combinations

    def _too_many(self, cells: int) -> bool:
        """Whether the suite has too many trials; reports it. Counts without making one. Says if there are many."""
        seeds, search = self.top.get("seeds", 3), self.top.get("search")
        seeds = seeds.get("most", 20) if isinstance(seeds, Mapping) else seeds
        seeds = len(seeds) if isinstance(seeds, list) else seeds
        tried = search.get("n_trials", 1) if isinstance(search, Mapping) else 1
        factors = [factor for factor in (seeds, tried) if isinstance(factor, int | float) and 1 <= factor < math.inf]
        trials = math.prod([cells, *map(int, factors)])
        if trials > MAX_TRIALS and len(factors) == 2 and seeds <= MAX_SEEDS:
            searched = f" × {int(tried)} configurations" if search is not None else ""
            part = "search" if search is not None else "seeds" if seeds > 1 else "matrix"
            self.report(
                (part,),
                f"{cells} {'cells' if cells != 1 else 'cell'}{searched} × {int(seeds)} seeds are {trials} trials, more "
                f"than {MAX_TRIALS}: split the suite, or ask for fewer",
            )
            return True
        if trials > MANY and search is None:
            note(f"planning {trials} trials: {cells} cells × {int(seeds)} seeds")
        return False

    def _exclusions(self, indices: list[dict[str, int]]) -> list[str | None]:
        """For each cell the reason why it is excluded, or None."""
        reasons: list[str | None] = [None] * len(indices)
        entries = self.top.get("exclude")
        for number, entry in enumerate(entries[:MAX_EXCLUSIONS] if isinstance(entries, list) else []):
            where = entry.get("where") if isinstance(entry, Mapping) else None
            if not isinstance(where, Mapping) or not where:
                continue
            path = ("exclude", number, "where")
            meant = self.meant(where, path)
            hits = [] if meant is None else [i for i, index in enumerate(indices) if _within(index, meant)]
            if meant is not None and not hits:
                self.report(path, "excludes nothing: no cell has all these values")
            for hit in hits:
                reasons[hit] = reasons[hit] or str(entry.get("reason", ""))
        return reasons

    def meant(self, where: Mapping[str, Any], path: KeyPath) -> dict[str, set[int]] | None:
        """Axis → the positions on it of the value in ``where``; None, after a report, if there is no such value.

        Of an axis that is wrong in the matrix there is one report, at the matrix.
        """
        meant: dict[str, set[int]] = {}
        for axis, value in where.items():
            if axis in self.wrong or axis in self.wrong.values():
                return None  # reported at the matrix
            if axis not in self.axes:
                known = f"{nearest(axis, list(self.axes))} (axes: {', '.join(self.axes) or 'none'})"
                self.report((*path, axis), f"the matrix has no axis {axis!r}{known}", "extra_forbidden")
                return None
            wanted = normal(value, axis)
            meant[axis] = {index for index, known in enumerate(self.normal[axis]) if known == wanted}
            if not meant[axis]:
                values = ", ".join([shown(known) for known in self.axes[axis][:3]] + ["…"] * (len(self.axes[axis]) > 3))
                which = f"{shown(value)} is no value of the axis {axis!r}"
                self.report((*path, axis), f"{which} ({values}): add the value to the axis, or remove it here")
                return None
        return meant

    def _base(self) -> dict[str, Any]:
        """The parts as written, without the values of the axes."""
        base = self.top.get("base")
        raw: dict[str, Any] = {"tricks": [], "train": {}}
        raw |= {root: self.top[root] for root in ("data", "train") if root in self.top}
        if isinstance(base, Mapping):
            raw |= {root: base[root] for root in ("model", "tricks") if root in base}
        return raw

    def _cell(self, indices: Mapping[str, int], excluded: str | None) -> Combination:
        axes = {axis: self.axes[axis][index] for axis, index in indices.items()}
        raw: Any = self._base()
        origins = dict(ORIGINS)
        problems: list[tuple[KeyPath, str, str]] = []
        for axis in self.order:
            origin = ("matrix", axis, indices[axis])
            try:
                raw, path = put(raw, axis.split("."), axes[axis])
            except NoSuchPath as error:
                problems.append((origin, str(error), ""))
                continue
            origins = {old: o for old, o in origins.items() if old[: len(path)] != path} | {path: origin}
        parts, wrong = resolved(raw, self.kept)
        meant = set(self.wrong.values())  # a part whose axis is wrong is not missing
        for path, message, kind in wrong:
            if not (kind == "needed" and path[0] in meant):
                problems.append((_origin(path, kind, origins), message, kind))
        if problems:
            parts = None
        problems += [(self._blame(indices, root), message, "") for root, message in disagreements(parts)]
        if excluded is None:
            self.faults += bool(problems)
            for path, message, kind in problems:
                self.report(path, message, kind)
        return Combination(axes, excluded, raw, parts)

    def _blame(self, indices: Mapping[str, int], root: str) -> KeyPath:
        """The place to name when the parts of a cell do not fit: the last axis that changed this part."""
        for axis in reversed(self.order):
            if axis.partition(".")[0] == root:
                return ("matrix", axis, indices[axis])
        return ORIGINS[(root,)]

    def _refuse_duplicates(self, indices: list[dict[str, int]], combinations: list[Combination]) -> None:
        seen: dict[str, dict[str, int]] = {}
        for index, combination in zip(indices, combinations, strict=True):
            if combination.parts is None or combination.excluded is not None:
                continue
            first = seen.setdefault(identity(combination.parts), index)
            differing = [axis for axis in self.axes if first[axis] != index[axis]]
            if differing:
                path = ("matrix", differing[-1], index[differing[-1]])
                self.report(path, "another cell of the matrix gives the same arm, written in another way")

    def single(self, where: Mapping[str, Any], path: KeyPath, places: Places) -> int | None:
        """The position of the single cell that ``where`` selects; None, after a report, if it does not select one."""
        if self.meant(where, path) is None:
            return None
        left = places.of(where)
        if not left and places.combinations:
            self.report(path, "no cell has all these values, or all that have are excluded")
        elif len(left) > 1:
            open_axes = ", ".join(axis for axis in self.axes if axis not in where)
            self.report(path, f"selects {len(left)} cells: give a value of {open_axes} too")
        return left.pop() if len(left) == 1 else None

    def check_spaces(self, spaces: Sequence[PartOfSpace], places: Places) -> None:
        """Check that each parameter of a space exists in its cells, and that its bounds are allowed there.

        The first part of ``spaces`` is that of all cells; a later part replaces ranges of those before it.
        """
        trained = places.of({})
        if any(part.ranges for part in spaces) and len(trained) > MAX_STUDIES:
            self.report(("search",), f"one study per cell makes {len(trained)} studies, more than {MAX_STUDIES}")
            return
        replaced: set[tuple[int, str]] = set()
        for part in reversed(spaces):
            where = (*part.path[:-1], "where")
            known = self.meant(part.where, where) is not None
            meant = places.of(part.where) if known else set()
            if known and places.combinations and not meant:
                self.report(where, "no cell has all these values, or all that have are excluded")
            for name, values in part.ranges.items():
                self._check_parameter((*part.path, name), name)
                cells = [place for place in sorted(meant) if (place, name) not in replaced]
                replaced |= {(place, name) for place in meant}
                if values is not None and is_path(name) and name not in (*self.axes, *ROOTS):
                    ends = sum(len(each.ends()) for each in part.ranges.values() if each)
                    checked = [places.combinations[place] for place in cells[: max(1, MAX_CHECKS // ends)]]
                    for message in {m for cell in checked for m in self._refused(cell, name, values.ends())}:
                        self.report((*part.path, name), message, "extra_forbidden")

    def _check_parameter(self, path: KeyPath, name: str) -> None:
        """Check the name of a parameter of a space."""
        if not is_path(name) or name in ROOTS:
            near = None if name in ROOTS else probably_meant(name, self.top)
            self.report(path, f"expected a path into one of {', '.join(ROOTS)}{_hint(near)}", "extra_forbidden")
        elif name in self.axes:
            self.report(path, "is an axis of the matrix already", "extra_forbidden")

    def _refused(self, cell: Combination, name: str, values: Sequence[Any]) -> Iterator[str]:
        if cell.parts is None:
            return
        for value in values:
            try:
                raw = with_value(cell.raw, name, value)
            except NoSuchPath as error:
                yield str(error)
                return
            parts, problems = resolved(raw, self.kept)
            reasons = [m for _, m, _ in problems] or [m for _, m in disagreements(parts)]
            if reasons:
                yield f"the value {shown(value)} is refused: {reasons[0]}"
                return


def resolved(
    raw: Mapping[str, Any], kept: dict[str, Any] | None = None
) -> tuple[Parts | None, list[tuple[KeyPath, str, str]]]:
    """The parts from their plain values, or None; and the problems as (path, message, kind).

    ``kept`` caches results between calls.
    """
    kept = {} if kept is None else kept
    found: dict[str, Any] = {}
    problems: list[tuple[KeyPath, str, str]] = []
    for root in ROOTS:
        # By its digest: a text of 200 kB in each of 1000 cells would be 200 MB of keys.
        key = root + digests.of_text(json.dumps(raw.get(root), sort_keys=True))
        if key not in kept:
            try:
                kept[key] = resolve_root(root, raw.get(root))
            except ChoiceError as error:
                kept[key] = error
        if isinstance(kept[key], ChoiceError):
            problems += [((root, *path), message, kind) for path, message, kind in kept[key].problems]
        else:
            found[root] = kept[key]
    if problems:
        return None, problems
    listed = found.pop("tricks")
    return Parts(tricks=with_own(found["model"], listed), listed=listed, **found), problems


def resolve_root(root: str, raw: Any) -> Any:
    """One part of an arm from its plain value.

    Raises:
        ChoiceError: the value is wrong; has all problems.
    """
    if root == "train":
        try:
            return Train.model_validate(raw)
        except ValidationError as error:
            raise ChoiceError(list(validation.flatten(error, Train))) from error
    if root == "tricks":
        return _resolve_tricks(raw)
    if raw is None:
        message = {
            "model": "name a model here, or make it an axis",
            "data": "name a data set, or make it an axis",
        }
        raise ChoiceError([((), message[root], "needed")])
    choice = choose({"model": "models", "data": "data"}[root], raw)
    if root == "data":
        try:
            choice.make().shape  # noqa: B018  # some data sets read their shape from files, which may fail
        except HarnessError as error:
            raise ChoiceError([((), error.sentence, "")]) from error
    return choice


def _resolve_tricks(raw: Any) -> tuple[Choice[Trick], ...]:
    if not isinstance(raw, list):
        raise ChoiceError([((), f"expected a list of tricks, got {shown(raw)}", "list_type")])
    if len(raw) > MAX_CHOICES:
        raise ChoiceError([((), f"must have at most {MAX_CHOICES} entries, has {len(raw)}", "too_long")])
    problems: list[tuple[KeyPath, str, str]] = []
    tricks: list[Choice[Trick]] = []
    for index, one in enumerate(raw):
        try:
            tricks.append(choose("tricks", one))
        except ChoiceError as error:
            problems += [((index, *path), message, kind) for path, message, kind in error.problems]
    if problems:
        raise ChoiceError(problems)
    return tuple(sorted(tricks, key=lambda trick: trick.plugin.name))


def disagreements(parts: Parts | None) -> Iterator[tuple[str, str]]:
    """Why these parts do not fit together: (part, reason) for each problem."""
    if parts is None:
        return
    data = parts.data.make()
    if reason := data.refusal():
        yield "data", f"the data {parts.data.name!r} cannot be used with these settings: {reason}"
    refusal = parts.model.plugin.refusal(parts.model.settings, data.shape)
    if refusal:
        yield "model", f"the model {parts.model.name!r} cannot be trained on {parts.data.name!r}: {refusal}"
    for reason in refusals(parts.model, parts.tricks, data.shape):
        yield "tricks", reason


def identity(parts: Parts) -> str:
    """A text that is equal for equal parts, however they are written."""
    plain = [
        parts.model.canonical(),
        [t.canonical() for t in parts.tricks],
        parts.data.canonical(),
        dict(parts.train),
    ]
    return json.dumps(plain, sort_keys=True, default=str)


def with_value(raw: Mapping[str, Any], path: str, value: Any) -> Mapping[str, Any]:
    """A copy of a cell's plain values with this value at the path.

    A path into a trick that is not listed, but belongs to the model's preset, lists it first.

    Raises:
        NoSuchPath: the path leads nowhere.
    """
    steps = path.split(".")
    if steps[0] == "tricks" and len(steps) > 2 and isinstance(raw.get("tricks"), list):
        model = raw.get("model")
        preset = model.get("name") if isinstance(model, Mapping) else model
        own = [trick for trick in registry.find("models", str(preset)).tricks if _named(trick) == steps[1]]
        listed = [_named(trick) for trick in raw["tricks"]]
        raw = {**raw, "tricks": [*raw["tricks"], *(own if steps[1] not in listed else [])]}
    changed: Mapping[str, Any] = put(raw, steps, value)[0]
    return changed


def _named(trick: Any) -> Any:
    return trick.get("name") if isinstance(trick, Mapping) else trick


def space_of(search: Search, cell: Combination) -> dict[str, Range]:
    """The space of the search in a cell: that of all cells, changed by the entries of ``spaces`` that mean it."""
    space: dict[str, Range | None] = dict(search.space)
    for part in search.spaces:
        if matches(cell, part.where):
            space |= part.space
    return {name: values for name, values in space.items() if values is not None}


def matches(cell: Combination, where: Mapping[str, Any]) -> bool:
    """Whether the cell has these values on these axes."""
    return all(normal(cell.axes[axis], axis) == normal(value, axis) for axis, value in where.items())


def normal(value: Any, axis: str) -> str:
    """A value of an axis in normal form: equal for equal values, however they are written."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            inner = {key: plain(below) for key, below in value.items()}
            return inner["name"] if set(inner) == {"name"} else inner
        return [plain(below) for below in value] if isinstance(value, list) else value

    normal_form = plain(value)
    if axis == "tricks" and isinstance(normal_form, list):
        normal_form = sorted(normal_form, key=lambda trick: json.dumps(trick, sort_keys=True))
    return json.dumps(normal_form, sort_keys=True)


_NO_PATH = f"an axis is a path into one of {', '.join(ROOTS)}"


def _hint(path: str | None) -> str:
    return f", did you mean {path!r}?" if path else ""


def _within(indices: Mapping[str, int], meant: Mapping[str, set[int]]) -> bool:
    return all(indices[axis] in allowed for axis, allowed in meant.items())


def _origin(path: KeyPath, kind: str, origins: Mapping[KeyPath, KeyPath]) -> KeyPath:
    """The path in the document of the value at this path of an arm."""
    if kind not in ("choice_type", "needed", "unknown_name"):
        # If a whole mapping is wrong, name the axis that changes it, not the base.
        inside = [origin for below, origin in origins.items() if len(below) > len(path) and below[: len(path)] == path]
        if inside:
            return inside[-1]
    known = next(path[:n] for n in range(len(path), 0, -1) if path[:n] in origins)
    return origins[known] + path[len(known) :]

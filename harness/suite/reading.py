"""Reads and checks a suite file.

The steps: YAML with places (``document.py``) → overrides → sections (``declaration.py``) → cells of the matrix
(``cells.py``) → agreement of the sections. Every step adds to one list of problems, so that all are reported at once.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness import judge
from harness.base import validation
from harness.base.errors import HarnessError
from harness.base.files import expanded, no_file
from harness.base.validation import nearest, shown
from harness.metrics.base import Metric, Value
from harness.suite import shipped
from harness.suite.axes import ROOTS
from harness.suite.cells import Cells, Combination, PartOfSpace, Places, matches, normal, space_of
from harness.suite.declaration import (
    MAX_EXCLUSIONS,
    MAX_EXPECTATIONS,
    MAX_NAMES,
    MAX_PLUGINS,
    Compare,
    Confirm,
    Declaration,
    Evaluate,
    Expectation,
    Range,
    Search,
)
from harness.suite.document import (
    MAX_DEPTH,
    Document,
    KeyPath,
    NoSuchPath,
    NotYaml,
    Place,
    Problem,
    dotted,
    read,
    shortened,
)
from harness.suite.naming import cell_names
from harness.zoo import registry
from harness.zoo.registry import Choice

if TYPE_CHECKING:
    from harness.zoo.data.base import DataSet

MAX_LISTED = 100
MAX_COMPARISONS = 100
"""The largest number of pairs of arms that one order compares."""


class SuiteError(HarnessError):
    """A suite has errors. ``problems`` has one line per error: ``file:line:column: path: message``."""

    placed = True

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(*problems)
        self.problems = list(problems)


class Target(NamedTuple):
    """The value that a search optimises: a column of values, and a direction."""

    metric: str
    direction: Literal["minimize", "maximize"]


class Suite(Declaration):
    """A suite that was read and checked.

    Attributes:
        path: the file.
        text: its text.
        sets: the overrides.
        combinations: the cells of the matrix, with the excluded ones.
    """

    path: Path = Path()
    text: str = ""
    sets: tuple[str, ...] = ()
    combinations: tuple[Combination, ...] = ()

    @property
    def columns(self) -> dict[str, Value]:
        """The columns of values that its metrics give, with their meanings."""
        return columns(self.evaluate.metrics)

    @property
    def metric(self) -> str:
        """The column of values that arms are compared on."""
        return self.compare.metric or next(iter(self.columns))

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """The seeds on which the winner of each search is trained again; empty without ``search.confirm``."""
        confirm = self.search.confirm if self.search else None
        return confirming(confirm, self.seeds) if confirm else ()

    @property
    def target(self) -> Target:
        """The value that its search optimises."""
        objective = self.search.objective if self.search else None
        metric = (objective and objective.metric) or self.metric
        better: dict[str, Literal["minimize", "maximize"]] = {"lower": "minimize", "higher": "maximize"}
        return Target(metric, (objective and objective.direction) or better[self.columns[metric].better])


def confirming(confirm: Confirm, seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds on which the winners of a suite with these seeds are confirmed."""
    if isinstance(confirm.seeds, tuple):
        return confirm.seeds
    return tuple(range(max(seeds) + 1, max(seeds) + 1 + confirm.seeds))


def columns(metrics: Iterable[Choice[Metric]]) -> dict[str, Value]:
    """The columns of values that these metrics give, with their meanings."""
    return {column: value for metric in metrics for column, value in metric.plugin.values.items()}


def read_suite(path: Path, sets: Sequence[str] = ()) -> Suite:
    """Read a suite file, or the suite of a name (``shipped``), with overrides (``PATH=VALUE``).

    Raises:
        SuiteError: the suite has errors; all of them, in the order of their lines.
    """
    path = shipped.located(path)
    return _checked(_content(path), path, sets)


def suite_of(keys: Mapping[str, Any]) -> Suite:
    """The suite with these keys, which are those of a suite file. Files in it are relative to the current folder.

    Its text is JSON, which is YAML. Its path is that of the file in the current folder that would have its name.

    Raises:
        SuiteError: the suite has errors; all of them.
    """
    try:
        content = json.dumps(keys, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError) as error:  # an array of NumPy, a circle
        raise SuiteError([f"{IN_PYTHON}: expected plain values, as in a suite file: {error}"]) from error
    suite = _checked(content, Path("suite.yaml"), (), IN_PYTHON)
    return suite.model_copy(update={"path": Path(f"{suite.name}.yaml")})


IN_PYTHON = "harness.Suite"
"""The place of a problem of a suite that is in no file."""


def _checked(content: bytes, path: Path, sets: Sequence[str], source: str = "") -> Suite:
    """The suite of this text. Files in it are relative to the folder of ``path``; ``source``: see ``document.read``."""
    try:
        document = read(content, override=source)
        problems = document.problems + [found for text in sets for found in _override(document, text)]
        problems += _plugins(document, path.parent)
        suite = None if problems else _Checker(document).suite()
    except NotYaml as error:
        raise SuiteError([Problem(error.place, "", error.message).located(str(path))]) from error
    except _Wrong as error:
        problems = error.problems
    if problems or suite is None:
        raise SuiteError(_listed(problems, str(path)))
    return suite.model_copy(update={"path": path, "text": content.decode("utf-8-sig"), "sets": tuple(sets)})


def _plugins(document: Document, folder: Path) -> Iterator[Problem]:
    """Add the plug-ins of a suite's own files; yield what is wrong with these. Names are known after that."""
    listed = document.value.get("plugins") if isinstance(document.value, Mapping) else None
    for number, file in enumerate(listed[:MAX_PLUGINS] if isinstance(listed, list) else []):
        if isinstance(file, str):
            try:
                registry.add_files([folder / expanded(file)])
            except (HarnessError, ValueError) as error:  # ValueError: a null byte in the name
                yield Problem(document.place(("plugins", number)), f"plugins[{number}]", str(error))


def _listed(problems: list[Problem], file: str) -> list[str]:
    ordered = [problem.located(file) for problem in sorted(set(problems))]
    more = len(ordered) - MAX_LISTED
    return ordered[:MAX_LISTED] + ([f"{file}: and {more} more like these"] if more > 0 else [])


def suite_schema() -> dict[str, Any]:
    """The JSON schema of suite files, for editors. Known names are enumerated."""
    schema = Declaration.model_json_schema(by_alias=True)
    seeds = schema["properties"]["seeds"]
    rounds = next(one for one in seeds.pop("oneOf") if "$ref" in one)
    listed = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    seeds["anyOf"] = [{"type": "integer", "minimum": 1}, listed, rounds]
    seeds["default"] = 3
    schema["properties"]["matrix"]["propertyNames"] = {"pattern": rf"^({'|'.join(ROOTS)})(\.|$)"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "harness suite"}


def _content(path: Path) -> bytes:
    try:
        if str(path) == "-":
            raise SuiteError([f"{path}: a suite is not read from standard input: write it into a file"])
        if shipped.is_name(path) and not path.is_symlink():
            raise SuiteError([_unknown(path)])
        if path.is_symlink() and not path.exists():
            raise SuiteError([f"{path}: a link to a file that is not there"])
        if not path.exists():
            raise SuiteError([f"{path}: no such file{_near_file(path)}"])
        if what := no_file(path):
            raise SuiteError([f"{path}: {what}: write the suite into a file"])
        with path.open("rb") as file:
            return file.read(1_000_000)  # more than the limit of a document, which read() checks
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise SuiteError([f"{path}: cannot be read: {error}"]) from error


def _unknown(path: Path) -> str:
    """The message about a word that is neither a file nor the name of a suite."""
    words = {**dict.fromkeys(shipped.names()), **{str(file): None for file in Path().glob("*.yaml")}}
    hint = nearest(str(path), list(words))
    return f"{path}: neither a file here nor the name of a suite{hint} (`harness list suites` lists them)"


def _near_file(path: Path) -> str:
    here = sorted(str(file) for file in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    return nearest(str(path), here)


# --- overrides -------------------------------------------------------------------------------------------

# The keys of the mappings at these paths are themselves paths into the arm, with dots.
_DOTTED_KEYS = re.compile(
    r"matrix|compare\.(baseline|against|pairs\.\d+\.(arm|baseline))|search\.space|"
    r"search\.spaces\.\d+\.(where|space)|exclude\.\d+\.where|names\.[^.]+|expect\.\d+\.(where|order\.\d+)"
)


def _override(document: Document, text: str) -> Iterator[Problem]:
    """Apply ``PATH=VALUE`` to the document; yield the problems."""
    source = f"--set {shortened(text, 200)}"
    place = Place(override=source)
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path or "" in path.split("."):
        yield Problem(place, "", "expected PATH=VALUE, for example train.steps=100")
        return
    if path.count(".") >= MAX_DEPTH:
        yield Problem(place, "", f"the path has more than {MAX_DEPTH} steps")
        return
    if not value.strip():
        yield Problem(place, path, "expected a value after the equals sign (null for none)")
        return
    try:
        new = read(value.encode("utf-8", "surrogatepass"), override=source)
        yield from new.problems
        document.put(_steps(document.value, path), new)
    except NotYaml as error:
        yield Problem(place, path, error.message)
    except NoSuchPath as error:
        yield Problem(place, path, str(error))


def _steps(value: Any, path: str, above: str = "") -> list[str]:
    """The keys of a dotted path."""
    if _DOTTED_KEYS.fullmatch(above):
        head, _, last = path.rpartition(".")
        # search.space.model.latent.low leads into the range of model.latent, if there is one. Any other path is one
        # key: matrix.model.latent is an axis of its own, even if there is an axis model.
        into_range = isinstance(value, Mapping) and isinstance(value.get(head), Mapping)
        return [head, last] if into_range else [path]
    key, _, rest = path.partition(".")
    if not rest:
        return [key]
    below = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, list) and key.isdecimal() and len(key) < 10 and int(key) < len(value):
        below = value[int(key)]
    return [key, *_steps(below, rest, f"{above}.{key}".removeprefix("."))]


# --- checks ----------------------------------------------------------------------------------------------


_Section = TypeVar("_Section", bound=BaseModel)
_RANGE: TypeAdapter[Range] = TypeAdapter(Range)


class _Wrong(Exception):
    def __init__(self, problems: list[Problem]) -> None:
        super().__init__()
        self.problems = problems


class _Checker:
    """Checks the sections of a document, its cells, and the agreement of the sections."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def suite(self) -> Suite:
        """The checked suite.

        Raises:
            _Wrong: the document has errors.
        """
        if not isinstance(self.document.value, Mapping):
            self.add((), f"expected keys such as 'suite' and 'matrix', got {shown(self.document.value)}")
            raise _Wrong(self.problems)
        declaration = self._declaration()
        cells = Cells(self.document.value, self.add)
        combinations = cells.combinations()
        places = Places(combinations)
        # Section by section, so that an error in one section does not hide errors in another.
        if evaluate := self._section("evaluate", Evaluate):
            self._features(evaluate.features, combinations)
            self._measurable(evaluate.metrics, combinations)
            self._columns(columns(evaluate.metrics))
        compare = self._section("compare", Compare) if "compare" in self.document.value else Compare()
        if compare and compare.baseline is not None:
            cells.single(compare.baseline, ("compare", "baseline"), places)
        if compare:
            self._pairs(compare, cells, places)
        self._names(cells, places)
        cells.check_spaces(self._spaces(), places)
        self._searched(declaration, places)
        trained = [combination for combination in combinations if combination.excluded is None]
        metrics = evaluate.metrics if evaluate else ()
        self._expectations(cells, places, metrics)
        if compare and not self.problems:
            self._comparable(compare, trained, metrics)
        if self.problems or declaration is None:
            raise _Wrong(self.problems)
        return Suite.model_construct(**dict(declaration), combinations=tuple(combinations))

    def _declaration(self) -> Declaration | None:
        try:
            return Declaration.model_validate(self.document.value)
        except ValidationError as error:
            for path, message, kind in validation.flatten(error, Declaration):
                self.add(path, message, kind)
            return None

    def add(self, path: KeyPath, message: str, kind: str = "") -> None:
        """Report a problem with the value at this path."""
        path = self._in_document(path, keep_last=kind in ("missing", "needed"))
        place = self.document.place(path, of_key=kind == "extra_forbidden")
        self.problems.append(Problem(place, dotted(path), message))

    def _in_document(self, path: KeyPath, keep_last: bool) -> KeyPath:
        """The path without the steps that pydantic adds, such as a union's tag. The last may be a missing key."""
        value, found = self.document.value, list[int | str]()
        for position, step in enumerate(path):
            # A text is in no range, but Python would compare it with every number of it.
            listed = isinstance(value, list) and isinstance(step, int) and step < len(value)
            if listed or (isinstance(value, dict) and step in value):
                value = value[step]
            elif not (keep_last and position == len(path) - 1):
                continue
            found.append(step)
        return tuple(found)

    def _section(self, name: str, model: type[_Section]) -> _Section | None:
        """One section; None if it is absent or wrong (``_declaration`` has reported the errors)."""
        try:
            return model.model_validate(self.document.value.get(name))
        except ValidationError:
            return None

    def _spaces(self) -> list[PartOfSpace]:
        """The valid ranges of the search: those of all cells, then those of some."""
        search = self.document.value.get("search")
        search = search if isinstance(search, Mapping) else {}
        found = [PartOfSpace(("search", "space"), {}, self._ranges(search.get("space")))]
        entries = search.get("spaces")
        for number, entry in enumerate(entries[:MAX_EXCLUSIONS] if isinstance(entries, list) else []):
            where = entry.get("where") if isinstance(entry, Mapping) else None
            if isinstance(where, Mapping) and where:
                path: KeyPath = ("search", "spaces", number, "space")
                found.append(PartOfSpace(path, where, self._ranges(entry.get("space"))))
        return found

    @staticmethod
    def _ranges(space: Any) -> dict[str, Range | None]:
        """The valid ranges of one space; None for a parameter that is not searched."""
        ranges: dict[str, Range | None] = {}
        for name, value in space.items() if isinstance(space, Mapping) else ():
            with contextlib.suppress(ValidationError):
                ranges[name] = None if value is None else _RANGE.validate_python(value)
        return ranges

    def _searched(self, declaration: Declaration | None, places: Places) -> None:
        """Check that every cell has a parameter to search, and that winners are confirmed on new seeds."""
        if declaration is None or declaration.search is None:
            return
        if declaration.rounds is not None:
            self.add(("seeds",), "a search has no rounds: give a number of seeds, and search.confirm for new ones")
        if declaration.run.quality:
            self.add(("run", "quality"), "is not for a suite with a search: search.pruner evaluates during training")
        cells = [places.combinations[place] for place in sorted(places.of({}))]
        if bare := [cell for cell in cells if not space_of(declaration.search, cell)]:
            axes = ", ".join(f"{axis}: {shown(value)}" for axis, value in bare[0].axes.items())
            self.add(("search", "spaces"), f"leaves nothing to search in the cell {{{axes}}}")
        if declaration.search.confirm is None:
            return
        new = confirming(declaration.search.confirm, declaration.seeds)
        path = ("search", "confirm", "seeds")
        if used := sorted(set(new) & set(declaration.seeds)):
            self.add(path, f"the seed {used[0]} is one of the suite's seeds, which choose the configuration")
        elif new[-1] >= 2**32:
            self.add(path, f"the seeds above {max(declaration.seeds)} end at {2**32 - 1}: list them instead")

    def _columns(self, known: Mapping[str, Value]) -> None:
        """Check the columns of values that other sections name."""
        for path in (("compare", "metric"), ("search", "objective", "metric")):
            name: Any = self.document.value
            for step in path:
                name = name.get(step) if isinstance(name, Mapping) else None
            if isinstance(name, str) and name not in known:
                self._unknown_column(path, name, known)

    def _unknown_column(self, path: KeyPath, name: str, known: Mapping[str, Value]) -> None:
        hint = nearest(name, list(known))
        self.add(path, f"no metric of this suite gives {name!r}{hint} (known: {', '.join(known)})")

    def _comparable(self, compare: Compare, trained: list[Combination], metrics: Sequence[Choice[Metric]]) -> None:
        """Check that the baseline gives the compare metric, and that every arm gives the metric of the search."""
        search = self._section("search", Search)
        sought = search.objective.metric if search else None
        baseline = [cell for cell in trained if matches(cell, compare.baseline or {})][:1]
        asked: list[tuple[KeyPath, str | None, list[Combination]]] = [
            (("compare", "metric"), compare.metric, trained if search and sought is None else baseline)
        ]
        if sought is not None:
            asked.append((("search", "objective", "metric"), sought, trained))
        for path, column, cells in asked:
            if reason := _unanswered(column or next(iter(columns(metrics))), metrics, cells):
                self.add(path if column else ("evaluate", "metrics", 0), reason)

    def _pairs(self, compare: Compare, cells: Cells, places: Places) -> None:
        """Check that each pair is of two cells that are trained, and that ``against`` finds some to compare."""
        for number, pair in enumerate(compare.pairs or ()):
            path: KeyPath = ("compare", "pairs", number)
            sides = [cells.single(getattr(pair, side), (*path, side), places) for side in ("arm", "baseline")]
            if None not in sides and sides[0] == sides[1]:
                self.add(path, "arm and baseline are the same cell")
        if compare.against is not None and compare.pairs is not None:
            self.add(("compare", "pairs"), "against and pairs exclude each other")
        path = ("compare", "against")
        if compare.against is not None and cells.meant(compare.against, path) is not None:
            found = places.of(compare.against)
            if places.combinations and (not found or len(found) == len(places.of({}))):
                self.add(path, "no cell has all these values" if not found else "all cells have these values")
        if compare.interaction is not None:
            self._interaction(compare.interaction, compare.against, cells, places)
        rule = compare.collapse
        if rule and rule.metric is not None:
            evaluate = self._section("evaluate", Evaluate)
            known = columns(evaluate.metrics) if evaluate else {}
            if known and rule.metric not in known:
                self._unknown_column(("compare", "collapse", "metric"), rule.metric, known)

    def _interaction(self, axis: str, against: Mapping[str, Any] | None, cells: Cells, places: Places) -> None:
        """Check that the axis of an interaction has values between which an effect can be compared."""
        path = ("compare", "interaction")
        if against is None:
            self.add(path, "needs against, whose comparisons it is about")
        elif axis in against:
            self.add(path, f"the comparisons of against are between values of {axis!r}: name another axis")
        elif axis in cells.wrong or axis in cells.wrong.values():
            return  # reported at the matrix
        elif axis not in cells.axes:
            known = f"{nearest(axis, list(cells.axes))} (axes: {', '.join(cells.axes) or 'none'})"
            self.add(path, f"the matrix has no axis {axis!r}{known}")
        elif len(cells.axes[axis]) < 2:
            self.add(path, f"the axis {axis!r} has one value: add another to compare effects between them")
        elif places.combinations and not _at_two_values(axis, against, places):
            self.add(path, f"no comparison of against is made at two values of {axis!r}: cells are excluded")

    def _expectations(self, cells: Cells, places: Places, metrics: Sequence[Choice[Metric]]) -> None:
        """Check that each expectation is about cells that are trained, and about a value that these give."""
        entries = self.document.value.get("expect")
        entries = entries[:MAX_EXPECTATIONS] if isinstance(entries, list) else []
        search = self.document.value.get("search")
        if entries and search is not None and not (isinstance(search, Mapping) and search.get("confirm")):
            self.add(("expect",), "expect needs search.confirm in a search: it is judged on new seeds only")
            return
        known = columns(metrics)
        for number, entry in enumerate(entries):
            with contextlib.suppress(ValidationError):
                expectation = Expectation.model_validate(entry)
                if known and expectation.metric not in known:
                    self._unknown_column(("expect", number, "metric"), expectation.metric, known)
                meant = self._expected_cells(("expect", number), expectation, cells, places)
                trained = (places.combinations[place] for place in sorted(meant))
                if reason := _unanswered(expectation.metric, metrics, trained):
                    self.add(("expect", number, "metric"), reason)

    def _expected_cells(self, path: KeyPath, expectation: Expectation, cells: Cells, places: Places) -> set[int]:
        """The positions of the cells that an expectation is about; reports problems."""
        meant, compared, above = set[int](), 0, 0
        for step, where in enumerate(expectation.groups):
            below = (*path, "where") if expectation.order is None else (*path, "order", step)
            if cells.meant(where, below) is None:
                continue
            found = places.of(where)
            compared += above * len(found)
            if places.combinations and not found:
                self.add(below, "no cell has all these values, or all that have are excluded")
            elif found & meant:
                self.add(below, "selects a cell that an earlier place of the order has already")
                break
            elif compared > MAX_COMPARISONS:
                self.add((*path, "order"), f"needs {compared} comparisons, more than {MAX_COMPARISONS}: give more axes")
                break
            meant |= found
            above = len(found)
        return meant

    def _names(self, cells: Cells, places: Places) -> None:
        """Check that each given name selects one cell, that no cell has two names, and that no other cell has it."""
        given = self.document.value.get("names")
        entries = list(given.items())[:MAX_NAMES] if isinstance(given, Mapping) else []
        named: dict[int, str] = {}
        for name, where in entries:
            place = cells.single(where, ("names", name), places) if isinstance(where, Mapping) else None
            if place is not None and named.setdefault(place, name) != name:
                self.add(("names", name), f"this cell has the name {named[place]!r} already")
        own = cell_names(places.combinations, {}) if named else []
        for name in named.values():
            if any(name == other for at, other in enumerate(own) if at not in named):
                self.add(("names", name), f"another arm has the name {name!r}")

    def _features(self, features: str, combinations: list[Combination]) -> None:
        path = ("evaluate", "features")
        known = ["auto", "inception", *judge_names()]
        if features not in known:
            self.add(path, f"unknown features {features!r}{nearest(features, known)} (known: {', '.join(known)})")
        elif features not in ("auto", "inception"):
            arms = [cell.parts for cell in combinations if not cell.excluded and cell.parts]
            for data in dict.fromkeys(parts.data for parts in arms):
                if self._readable(data) and (reason := _unjudged(data, features)):
                    self.add(path, f"the judge {features!r} is not for these data: use auto or inception ({reason})")

    def _readable(self, choice: Choice[DataSet]) -> bool:
        """Whether the files of the data can be read; reports it if not, at the data."""
        try:
            choice.make().digest()
        except HarnessError as error:
            place: KeyPath = ("data",) if "data" in self.document.value else ("matrix",)
            self.add(place, error.sentence)
            return False
        return True

    def _measurable(self, metrics: Iterable[Choice[Metric]], combinations: list[Combination]) -> None:
        """Check that each metric can be computed on the data, and for at least one model."""
        path = ("evaluate", "metrics")
        arms = [cell.parts for cell in combinations if not cell.excluded and cell.parts]
        offers = frozenset().union(*(parts.offers for parts in arms))
        for metric in metrics:
            for data in dict.fromkeys(parts.data for parts in arms):
                if reason := metric.plugin.refusal(metric.settings, data.make()):
                    self.add(path, f"{metric.name}: cannot be computed on {data.name!r}: {reason}")
                elif metric.plugin.needs_judge and self._readable(data) and (reason := _unjudged(data)):
                    self.add(path, f"{metric.name}: {reason}")
            if arms and (missing := metric.plugin.requires - offers):
                needs = ", ".join(sorted(missing)).replace("_", " ")
                self.add(path, f"{metric.name}: no model of this suite offers {needs}")


def _unanswered(column: str, metrics: Iterable[Choice[Metric]], cells: Iterable[Combination]) -> str | None:
    """Why one of these cells cannot give this value; None if all can."""
    metric = next((metric for metric in metrics if column in metric.plugin.values), None)
    for parts in (cell.parts for cell in cells):
        if metric and parts:
            missing = metric.plugin.requires - parts.offers
            if missing:
                needs = ", ".join(sorted(missing)).replace("_", " ")
                hiding = [trick.name for trick in parts.tricks if trick.plugin.hides & missing]
                beside = f" beside the trick {hiding[0]!r}" if hiding else ""
                return f"the model {parts.model.name!r} does not offer {needs}{beside}, which {metric.name!r} requires"
    return None


def _at_two_values(axis: str, against: Mapping[str, Any], places: Places) -> bool:
    """Whether some comparison of ``against`` is made at two values of the axis."""

    def place(cell: Combination, without: Container[str]) -> tuple[str, ...]:
        return tuple(normal(value, name) for name, value in cell.axes.items() if name not in without)

    trained = [cell for cell in places.combinations if cell.excluded is None]
    bases = {place(cell, against) for cell in trained if matches(cell, against)}
    arms = [cell for cell in trained if not matches(cell, against) and place(cell, against) in bases]
    return len(arms) > len({place(cell, {axis}) for cell in arms})


def _unjudged(choice: Choice[DataSet], features: str | None = None) -> str | None:
    """Why this data has no judge, or why the judge ``features`` does not fit it; None if all is well."""
    try:
        return judge.missing(choice) or (judge.misfit(features, choice.make()) if features else None)
    except HarnessError as error:  # the judge's weights cannot be read
        return error.sentence


def judge_names() -> list[str]:
    """The names of all judges."""
    return judge.names()

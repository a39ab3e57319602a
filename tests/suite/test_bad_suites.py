"""Suites that are wrong, hundreds of them, by the real command line: a place, a sentence, exit code 2, and no more."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bad_suites import CASES, WHOLE, content
from chaos import Chaos
from forked_cli import Came, Command, commands
from harness_cli import Workspace
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from test_suite import MALFORMED

from harness.base.errors import HarnessError
from harness.suite import Suite, SuiteError, read_suite, suite_schema
from harness.suite.plan import make_plan
from harness.zoo import registry

SECONDS, KILOBYTES = 2, 500_000
EXAMPLES = 1000
"""Made-up suites in a round of the chaos session."""
FILES: dict[str, bytes] = {name: content(case) for name, case in CASES.items()} | {
    f"malformed: {name}": content(text) for name, (text, _, _) in MALFORMED.items()
}
TOLD = re.compile(r"planning \d+ trials: \d+ cells × \d+ seeds")
"""What is said first if a suite has many trials."""
LINE = re.compile(r"(suite\.yaml:\d+:\d+: .{8,}|suite\.yaml: and \d+ more like these)")


def test_there_are_enough_of_them() -> None:
    assert len(set(FILES.values())) >= 150


def wrong(came: Came) -> str:
    """What is wrong with how a bad suite was refused; nothing if all is right."""
    lines = came.output.splitlines()
    if lines and TOLD.fullmatch(lines[0]):
        del lines[0]
    faults = {
        f"exit code {came.code}": came.code != 2,
        "a traceback": "Traceback" in came.output,
        "no message": not lines,
        "a line without a place": not all(LINE.fullmatch(line) for line in lines),
        "more than a hundred lines": len(lines) > 101,
        "an endless line": max(map(len, lines), default=0) > 6000,
        "characters that a terminal obeys": not all(c.isprintable() or c == "\n" for c in came.output),
        f"{came.kilobytes} KiB": came.kilobytes > KILOBYTES,
    }
    return "; ".join(fault for fault, there in faults.items() if there)


def test_every_one_is_refused_with_a_place_and_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    wanted = {}
    for number, (name, bad) in enumerate(FILES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "suite.yaml").write_bytes(bad)
        wanted[name] = Command(["run", "suite.yaml"], str(folder), {"HARNESS_RESULTS": None})
    found = commands(wanted)
    assert found.keys() == FILES.keys()
    faults = {name: f"{fault}: {found[name].output[:300]}" for name in found if (fault := wrong(found[name]))}
    assert faults == {}
    # Seconds of the processor, for the machine may be busy; what is slow may be so once.
    slow = {name for name, came in found.items() if came.seconds > SECONDS}
    again = commands({name: wanted[name] for name in slow}) if slow else {}
    assert {name: came.seconds for name, came in again.items() if came.seconds > SECONDS} == {}
    assert {path.name for path in tmp_path.glob("*/*")} == {"suite.yaml"}
    worst = max(found, key=lambda name: found[name].seconds)
    print(f"{len(found)} files, {sum(came.seconds for came in found.values()):.1f} s; the slowest: {worst!r},")
    print(f"{found[worst].seconds:.2f} s; the most memory: {max(c.kilobytes for c in found.values()) / 1024:.0f} MiB")
    shutil.rmtree(tmp_path)  # some are large


@pytest.mark.parametrize("name", ["name '../../x'", "alias bomb", "50 MB of zeroes", "tag that constructs", "pickle"])
def test_the_whole_command_says_the_same(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "suite.yaml").write_bytes(FILES[name])
    for command in (["run"], ["plan"], ["check", "--baseline", "b.json"]) if name == "alias bomb" else (["run"],):
        output = workspace.run(command[0], "suite.yaml", *command[1:], code=2)
        assert all(LINE.fullmatch(line) for line in output.splitlines()), output
    assert [path.name for path in tmp_path.iterdir()] == ["suite.yaml"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "a folder, no file"),
        (
            lambda path: os.mkfifo(path),
            "a pipe, no file: write the suite into a file",
        ),  # reading it could wait for ever
        (lambda path: path.symlink_to("/dev/zero"), "a device, no file"),
        (lambda path: path.symlink_to(path), "a link to a file that is not there"),
        (lambda path: path.symlink_to("/nowhere"), "a link to a file that is not there"),
    ],
)
def test_what_is_no_file_is_not_read(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "suite.yaml")
    with pytest.raises(SuiteError, match=words):
        read_suite(tmp_path / "suite.yaml")


def test_standard_input_is_named() -> None:
    with pytest.raises(SuiteError, match=r"^-: a suite is not read from standard input: write it into a file$"):
        read_suite(Path("-"))


# --- made from the schema ----------------------------------------------------------------------------------------

SCHEMA = suite_schema()
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["../../x", "\x00", "\x1b[2J", "\ud800", "ema", "dcgan", "tricks.ema.decay", "9" * 5000, "", "*"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
    st.integers(1, 50).map(lambda depth: json.loads("[" * depth + "]" * depth)),
)
AXES = st.sampled_from(
    [
        "model",
        "tricks",
        "data",
        "train.steps",
        "model.latent",
        "model.architecture.width",
        "tricks.ema.decay",
        "x",
        "a.b",
    ]
)


def made_from(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a JSON schema allows."""
    if "$ref" in schema:
        return made_from(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return st.one_of([made_from(one) for one in schema[several]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    return _made_of_type(schema)


def _made_of_type(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    match schema.get("type"):
        case "object":
            return _made_object(schema)
        case "array":
            least = schema.get("minItems", 0)
            return st.lists(made_from(schema.get("items", {})), min_size=least, max_size=least + 2)
        case "string":
            return st.from_regex(schema["pattern"]) if "pattern" in schema else st.text(max_size=10)
        case "integer":
            least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
            return st.integers(least, schema.get("maximum", least + 9))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False, width=32)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return JUNK


def _made_object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        inner = schema.get("additionalProperties")
        return st.dictionaries(AXES, made_from(inner) if isinstance(inner, dict) else JUNK, max_size=3)
    own = {key: made_from(value) for key, value in schema["properties"].items()}
    needed = set(schema.get("required", ()))
    return st.fixed_dictionaries(
        {key: value for key, value in own.items() if key in needed},
        optional={key: value for key, value in own.items() if key not in needed},
    )


def inside(value: Any) -> list[tuple[Any, Any]]:
    """Every (list or mapping, key or position) in a nest of values."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *inside(value[key])]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A suite that the schema allows, with up to three changes that it may not."""
    suite: dict[str, Any] = copy.deepcopy(draw(made_from(SCHEMA)))
    for _ in range(draw(st.integers(0, 3))):
        places = inside(suite)
        if not places:
            break
        within, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["junk", "drop", "rename", "nest"]))
        if change == "junk":
            within[key] = draw(JUNK)
        elif change == "drop":
            del within[key]
        elif change == "rename" and isinstance(within, dict):
            within[draw(st.text(max_size=6)) + str(key)] = within.pop(key)
        else:
            within[key] = {"name": within[key]}
    return suite


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """The text of such a suite, perhaps with something cut out of it or put into it."""
    text = json.dumps(draw(mutated()), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        token = draw(
            st.sampled_from(
                ["", "\t", "&a ", "*a", "!!python/none ", "- ", "? ", ": ", "\n", "{", "[", "'", "|\n", "#"]
            )
        )
        text = text[:at] + token + text[at + draw(st.integers(0, 3)) :]
    return text.encode("utf-8", "surrogatepass")


@st.composite
def plausible(draw: st.DrawFn) -> bytes:
    """A suite of things that there are; whether they go together is another matter."""

    def names(kind: str) -> st.SearchStrategy[str]:
        return st.sampled_from(registry.names(kind))

    axes = {
        "model": st.lists(names("models"), min_size=1, max_size=2),
        "tricks": st.lists(st.lists(names("tricks"), max_size=2), min_size=1, max_size=3),
        "train.steps": st.lists(st.integers(1, 9), min_size=1, max_size=3),
    }
    suite = {
        "suite": "s",
        "data": "digits",
        "base": {"model": draw(names("models"))},
        "matrix": draw(st.fixed_dictionaries({}, optional=axes)),
        "seeds": draw(st.integers(1, 3)),
        "evaluate": {"samples": 64, "metrics": ["fid"]},
    }
    return json.dumps({key: value for key, value in suite.items() if value}).encode()


def reading_raises_nothing_but_a_suite_error(folder: Path, bad: bytes, *sets: str) -> bool:
    """Whether it could be read, and then planned."""
    path = folder / "suite.yaml"
    path.write_bytes(bad)
    try:
        suite, problems = read_suite(path, sets), []
        assert isinstance(suite, Suite)
        with contextlib.suppress(HarnessError):  # its data are not on this machine
            make_plan(suite)
    except SuiteError as error:
        problems = error.problems or ["no problem at all"]
    for problem in problems:
        assert "\n" not in problem
        assert problem.startswith(("--set ", f"{path}:")), problem
    return not problems


few = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
PATHS = st.one_of(
    AXES.map(lambda axis: f"matrix.{axis}"),
    st.sampled_from(
        [
            "train.steps",
            "seeds",
            "seeds.0",
            "base.tricks.0.name",
            "evaluate.metrics.0",
            "compare.baseline.model",
            "",
            ".",
            "=",
            "search.space.model.latent.low",
            "expect.0.order.1.model",
            "exclude." + "9" * 5000,
            "a." * 5000,
            "suite\n",
            "\udcff",
        ]
    ),
)


VALUES = st.one_of(st.text(max_size=20), JUNK.map(lambda junk: json.dumps(junk)))


@few
@given(bad=texts())
def test_no_made_up_suite_raises_anything_but_a_suite_error(tmp_path_factory: Any, bad: bytes) -> None:
    reading_raises_nothing_but_a_suite_error(tmp_path_factory.getbasetemp(), bad)


@few
@given(path=PATHS, value=VALUES)
def test_no_made_up_override_raises_anything_but_a_suite_error(tmp_path_factory: Any, path: str, value: str) -> None:
    reading_raises_nothing_but_a_suite_error(tmp_path_factory.getbasetemp(), WHOLE.encode(), f"{path}={value}")


def test_what_can_be_read_can_be_planned(tmp_path: Path) -> None:
    read = []

    @few
    @given(good=plausible())
    def holds(good: bytes) -> None:
        read.append(reading_raises_nothing_but_a_suite_error(tmp_path, good))

    holds()
    assert 10 <= sum(read) < len(read)


@pytest.mark.chaos
def test_many_made_up_suites_overrides_and_bytes(tmp_path: Path, chaos: Chaos) -> None:
    @seed(chaos.seed)
    @settings(few, max_examples=EXAMPLES, derandomize=False)
    @given(good=plausible(), bad=texts(), noise=st.binary(max_size=500), path=PATHS, value=VALUES)
    def holds(good: bytes, bad: bytes, noise: bytes, path: str, value: str) -> None:
        reading_raises_nothing_but_a_suite_error(tmp_path, good)
        reading_raises_nothing_but_a_suite_error(tmp_path, bad)
        reading_raises_nothing_but_a_suite_error(tmp_path, noise)
        reading_raises_nothing_but_a_suite_error(tmp_path, WHOLE.encode(), f"{path}={value}")

    holds()
    chaos.tried("made-up suites, overrides and files of random bytes", n=3 * EXAMPLES)

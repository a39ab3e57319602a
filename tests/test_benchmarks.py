"""Every script of benchmarks/ runs, in a small form, by its own command line."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"

PROVED_ELSEWHERE = {
    "bench": "test_bench.py",
    "peers": "test_bench.py",
    "gpu": "test_gpu_script.py",
    "surfaces": "analysis/test_tuning.py",
}
"""The beginning of a script's name -> the test file that runs it."""


def script(name: str, *words: str | Path) -> str:
    """What a script prints."""
    command = [sys.executable, FOLDER / f"{name}.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def module(name: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_no_script_is_without_a_test() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    for path in FOLDER.glob("*.py"):
        elsewhere = PROVED_ELSEWHERE.get(path.stem.partition("_")[0])
        assert (ROOT / "tests" / elsewhere).is_file() if elsewhere else f'script("{path.stem}"' in here, path.name


@pytest.mark.slow
@pytest.mark.mnist
def test_an_evaluation_beside_that_of_torch_fidelity() -> None:
    lines = script("bench_evaluation", "--samples", "1000", "--pairs", "1").splitlines()
    found = [re.fullmatch(r"([\w-]+): [\d.]+ × \([\d.]+ to [\d.]+\): [\d.]+ s, [\d.]+ s", line) for line in lines]
    assert [match and match[1] for match in found] == ["evaluation", "evaluation-cached", "evaluation-folded"]
    assert script("bench_kit") == ""  # what all rows are made of


@pytest.mark.slow
def test_where_the_time_goes(tmp_path: Path) -> None:
    words = ("step_dcgan_float32", "driver", "--steps", "6", "--out", tmp_path / "profiles.md")
    assert script("profiles", *words).strip() == (tmp_path / "profiles.md").read_text().strip()
    rows = dict(re.findall(r"^\| (\w+) \| (.*) \|$", (tmp_path / "profiles.md").read_text(), re.MULTILINE))
    assert re.match(r"convolutions [4-9]\d, ", rows["step_dcgan_float32"]), "most of its step are convolutions"
    assert {"harness", "sqlalchemy"} <= set(re.findall(r"[a-z]+", rows["driver"]))
    shares = [float(share) for share in re.findall(r"\d+", rows["step_dcgan_float32"])]
    assert 90 <= sum(shares) <= 105, "rounded, and what takes less than 1 % left out"


def test_the_bands_of_tuning_curves() -> None:
    head, pairs, _, row = script("tuning", "--repetitions", "20", "--configurations", "10").splitlines()
    assert "up to 2 configurations" in head
    assert pairs == "20 pairs each"
    assert re.fullmatch(r" +10 +(9[05]|100)\.0 % +0\.0 % +0\.0 %", row)


@pytest.mark.slow
@pytest.mark.mnist
def test_the_scale_of_the_judge(tmp_path: Path) -> None:
    lines = script("judge_scale", "--out", tmp_path, "--seeds", "1", "--samples", "100", "--last", "20").splitlines()
    found = json.loads((tmp_path / "scale.json").read_text())
    assert len(lines) == len(found) == 11 + 2 * 2
    assert found["noise"]["fid"] > found["blobs"]["fid"] > found["digits"]["fid"]
    assert found["digits"]["accepted"] > 0.9
    assert found["dcgan, seed 0 step 20"]["accepted"] < 0.1
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in ("scale", "accepted"))


LOOKS = pytest.param("looks", marks=pytest.mark.slow)
"""The levels of eighteen looks take a while."""


@pytest.mark.parametrize("name", ["alarms", "resampled", "equality", "power", "shares", "further", "published", LOOKS])
def test_the_simulations_of_verdicts(name: str) -> None:
    tables = [block for block in script("verdicts", name, "--runs", "8").split("**") if "|" in block]
    assert tables
    for table in tables:
        head, rule, *body = [line for line in table.splitlines() if line.startswith("|")]
        assert body
        assert {line.count("|") for line in (rule, *body)} == {head.count("|")}


def test_the_simulations_of_contrasts() -> None:
    tables, rows = 0, [line for line in script("contrasts", "--runs", "8").splitlines() if line.startswith("|")]
    for head, rule in itertools.pairwise(rows):
        if set(rule) <= set("|- "):
            tables += 1
            assert head.count("|") == rule.count("|")
    assert tables >= 3
    assert len(rows) > 3 * tables


def test_the_simulation_of_noise() -> None:
    head, rule, *body = script("noise", "--runs", "8").strip().splitlines()
    assert head.count("|") == rule.count("|") == body[0].count("|")
    assert [line.split(" | ")[:2] for line in body] == [[f"| {n}", str(n * n)] for n in (3, 4, 5, 7, 10)]


def test_every_sabotage_finds_its_text_and_its_tests() -> None:
    sabotage = module("sabotage")
    for one in sabotage.SABOTAGES:
        assert (ROOT / one.file).read_text(encoding="utf-8").count(one.old) == 1, one.name
        assert one.new != one.old
        assert all((ROOT / path).exists() for path in one.tests)


@pytest.mark.slow
def test_a_sabotage_is_seen_by_tests_alone(tmp_path: Path) -> None:
    page = tmp_path / "sabotage.md"
    words = ("--tests-only", "--only", "data without shuffling", "--markdown", page)
    assert "'red: " in script("sabotage", *words).replace('"', "'")
    assert "| data without shuffling | – | red: FAILED tests/trial/test_loop.py" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_session_of_chaos(tmp_path: Path) -> None:
    words = ("--minutes", "1", "--processes", "1", "--folder", tmp_path, "-k", "made_up_suites")
    assert re.search(r"^[1-9]\d* tests passed, 0 failed", script("chaos", *words), re.M)
    assert "made-up suites" in (tmp_path / "summary.md").read_text(encoding="utf-8")


def test_changes_of_the_penalties_are_noticed() -> None:
    assert "zoo/penalties: 3 mutants, 0 survived" in script("mutants", "--only", "zoo/penalties", "--every", "12")


def test_rows_have_one_form() -> None:
    assert script("bench_kit") == ""


@pytest.mark.slow
def test_the_growth_of_what_is_around_training(tmp_path: Path) -> None:
    lines = script("bench_around", "--trials", "10", "20", "--out", tmp_path).splitlines()
    found = [re.fullmatch(r"(\w+) +(\d+) trials +([\d.]+) CPU-s +(\d+) MB", line) for line in lines[:6]]
    commands = ["plan", "run", "report"]
    assert [(match[1], match[2]) for match in found if match] == [(c, n) for n in ("10", "20") for c in commands]
    assert [line.split()[0] for line in lines[6:]] == commands
    rows = (tmp_path / "around.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 7
    assert (tmp_path / "around.svg").is_file()


@pytest.mark.slow
def test_the_growth_of_a_large_run(tmp_path: Path) -> None:
    lines = script("bench_scale", "--trials", "40", "--configurations", "20", "--slots", "4", "--out", tmp_path)
    rows = (tmp_path / "scale.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "what,done,milliseconds,megabytes,files"
    ended = {kind: [int(row.split(",")[1]) for row in rows if row.startswith(f"{kind},")] for kind in KINDS}
    assert ended == {"driver": list(range(2, 41, 2)), **{kind: list(range(1, 21)) for kind in KINDS[1:]}}
    assert len(re.findall(r"^(?:driver|search|optuna)", lines, re.M)) == 80
    assert (tmp_path / "scale.png").stat().st_size > 5000


KINDS = ("driver", "search", "optuna in memory", "optuna on SQLite")
"""What a row of the table of growth is about."""


def test_what_an_engine_costs(tmp_path: Path) -> None:
    words = ("--engines", "local", "--slots", "1", "--trials", "2", "--out", tmp_path)
    path = Path(script("engines", *words).splitlines()[-1])
    [row] = csv.DictReader(path.open(encoding="utf-8"))
    assert (row["engine"], row["slots"], row["trials"]) == ("local", "1", "2")
    seconds = 60 * 2 / float(row["a minute"])
    spent = {name: float(row[name]) for name in ("own", "first", "later")}
    assert seconds == pytest.approx(2 * spent["own"] + spent["first"] + spent["later"], rel=0.02)
    assert float(row["share"]) == pytest.approx(100 * 2 * spent["own"] / seconds, rel=0.02)

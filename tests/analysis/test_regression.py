"""The regression check: its tests by simulation, its file, and `harness check` from end to end."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from harness_cli import Workspace

from harness.analysis import regression, statistics
from harness.analysis.regression import ArmBaseline, Baseline, ColumnCheck, Distribution, compared
from harness.analysis.scales import Measure
from harness.base.errors import HarnessError
from harness.report import regression as tables

MEASURES = {"fid": Measure("lower", "ratio"), "score": Measure("higher")}


def of(columns: dict[str, list[float]], trials: int = 5, failures: dict[str, str] | None = None) -> Baseline:
    """A baseline of one arm."""
    distributions = {name: Distribution.of(dict(enumerate(values))) for name, values in columns.items() if values}
    arm = ArmBaseline(declared={}, trials=trials, failures=failures or {}, protocol={}, columns=distributions)
    return Baseline(format=1, suite="toy", environment={}, arms={"arm": arm})


def states(now: Baseline, before: Baseline) -> dict[str, str]:
    return {cell.column: cell.state for cell in compared(now, before, MEASURES)}


def test_welch_by_hand() -> None:
    # means 3 and 1, variances 1 and 1, n = 3: error √(2/3), 4 degrees of freedom, t = 2.449
    p = statistics.welch_worse([2, 3, 4], [0, 1, 2], "lower")
    t = 2 / math.sqrt(2 / 3)
    x = t / math.sqrt(4 + t * t)  # t's distribution with four degrees of freedom has a closed form
    assert p == pytest.approx(0.5 - 0.75 * (x - x**3 / 3))
    assert statistics.welch_worse([2, 3, 4], [0, 1, 2], "higher") == pytest.approx(1 - p)


def test_values_without_spread_are_permuted() -> None:
    assert statistics.welch_worse([9] * 5, [10] * 5, "higher") == pytest.approx(1 / 252)
    assert statistics.welch_worse([10] * 5, [10] * 5, "higher") == 1
    assert statistics.welch_worse([0.1] * 3, [0.3] * 3, "lower") == 1
    assert math.isnan(statistics.welch_worse([1], [1, 2], "lower"))


def test_false_alarms_and_detection_by_simulation() -> None:
    rng = np.random.default_rng(0)
    level, repeats = 0.01, 4000
    same = rng.normal(size=(repeats, 2, 5))
    alarms = np.mean([statistics.welch_worse(now, before, "lower") <= level for now, before in same])
    assert alarms <= level + 3 * math.sqrt(level * (1 - level) / repeats)
    found = np.mean([statistics.welch_worse(now + 3, before, "lower") <= level for now, before in same])
    assert found > 0.9
    # A loss as large as the one that is said to be detectable is found about as often as is said.
    size = (statistics.welch_detectable([-1, 0, 1, 0, 0], [-1, 0, 1, 0, 0], level)) * math.sqrt(2)
    power = np.mean([statistics.welch_worse(now + size, before, "lower") <= level for now, before in same])
    assert 0.7 < power < 0.9


def test_a_whole_check_of_many_columns_keeps_its_rate() -> None:
    rng = np.random.default_rng(1)
    columns = {f"c{number}": Measure("lower") for number in range(30)}
    red = 0
    for _ in range(150):
        now, before = (of({name: list(rng.normal(10, 1, 5)) for name in columns}) for _ in range(2))
        red += any(cell.state == "worse" for cell in compared(now, before, columns))
    assert red <= 6  # 1.5 expected; more than six has a chance of 0.1 %


def test_the_outcomes() -> None:
    before = of({"fid": [10, 11, 10, 9, 10], "score": [5, 5.1, 4.9, 5, 5]})
    assert set(states(before, before).values()) == {"equal or better"}
    worse = of({"fid": [30, 31, 30, 29, 30], "score": [6, 6.1, 5.9, 6, 6]})
    assert states(worse, before) == {"fid": "worse", "score": "equal or better", "failures": "equal or better"}
    noisy = of({"fid": [1, 30, 5, 40, 2], "score": []})
    assert states(noisy, before) == {
        "fid": "too noisy to tell",
        "score": "missing",
        "failures": "equal or better",
    }


def test_each_column_is_tested_on_its_own_scale() -> None:
    # FIDs vary by a factor: their logarithms find this loss, their means are too noisy for it.
    before, worse = of({"fid": [35, 28, 41, 37, 30]}), of({"fid": [80, 52, 118, 61, 96]})
    assert states(worse, before)["fid"] == "worse"
    plain = {cell.column: cell.state for cell in compared(worse, before, {"fid": Measure("lower")})}
    assert plain["fid"] == "too noisy to tell"
    # A value with a target is good near it: further above it is worse, though the value is higher.
    target = {"share": Measure("lower", "target", target=0.5)}
    near, far = of({"share": [0.5, 0.52, 0.49, 0.51, 0.48]}), of({"share": [0.8, 0.82, 0.79, 0.2, 0.21]})
    assert [cell.state for cell in compared(far, near, target) if cell.column == "share"] == ["worse"]
    assert [cell.state for cell in compared(near, far, target) if cell.column == "share"] == ["equal or better"]


def test_the_smallest_loss_is_in_the_unit_of_the_values() -> None:
    assert Measure("lower", "ratio").loss(math.log(1.5), math.log(10)) == pytest.approx(5)
    assert Measure("higher", "ratio").loss(math.log(2), -math.log(10)) == pytest.approx(5)  # 10 falls to 5
    assert Measure("higher").loss(3, -10) == pytest.approx(3)
    share = Measure("higher", "share")
    assert share.loss(float(share.cost(0.6) - share.cost(0.9)), float(share.cost(0.9))) == pytest.approx(0.3)
    # Nothing is found: the spread is not known, or no share is so much worse.
    for kind in ("ratio", "share", "plain", "target"):
        assert Measure("lower", kind, target=0.0).loss(math.inf, 0.5) == math.inf
        assert Measure("higher", kind, target=0.0).loss(math.inf, -0.5) == math.inf
    assert share.loss(3.0, float(share.cost(0.9))) == math.inf


def test_a_share_of_one_seed_is_too_noisy_to_tell() -> None:
    refused = {"refused": Measure("lower", "share")}
    [cell, _] = compared(of({"refused": [0.81]}), of({"refused": [0.8]}), refused)
    assert cell.state == "too noisy to tell"


def test_the_loss_that_is_looked_for_is_a_share_of_the_mean_on_the_scale() -> None:
    # The geometric mean is 10.6, the arithmetic one 28.8. The loss that this spread hides, 9.3, is more than half of
    # the one, and less than half of the other.
    before = [5.0] * 75 + [100.0] * 25
    [cell, _] = compared(
        of({"fid": [5.1, *before[1:]]}, 100), of({"fid": before}, 100), {"fid": Measure("lower", "ratio")}
    )
    assert cell.detectable == pytest.approx(9.3, abs=0.2)
    assert cell.state == "too noisy to tell"
    # A target: the distance of the baseline is about 0, and a loss of half of the value would be found.
    near = {"sharpness": [0.99, 1.0, 1.01, 1.0, 1.02]}
    [cell, _] = compared(
        of({"sharpness": [1.0] * 4 + [1.01]}), of(near), {"sharpness": Measure("lower", "target", target=1.0)}
    )
    assert cell.state == "equal or better"


def test_failures_are_named_and_a_majority_is_red() -> None:
    before = of({"fid": [10, 11, 10, 9, 10]})
    one = of({"fid": [10, 11, 10, 9]}, failures={"4": "diverged: NaN"})
    [cell] = [cell for cell in compared(one, before, MEASURES) if cell.column == "failures"]
    assert (cell.state, cell.note) == ("equal or better", "seed 4 diverged: NaN")
    most = of({"fid": [10, 11]}, failures={str(seed): "diverged: NaN" for seed in (2, 3, 4)})
    assert states(most, before)["failures"] == "worse"
    # Where most failed before, as many now are no news.
    assert states(most, most)["failures"] == "equal or better"


def test_a_junit_file_holds_any_text() -> None:
    cell = ColumnCheck("a\x00<b>", "fid", "worse", 1.0, 2.0, 0.001, 0.5, "\x1b&")
    root = ElementTree.fromstring(tables.junit(regression.Check("s", 0.01, (cell,))))
    assert root.find("testcase/failure") is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v | {"format": 2}, "format 2"),
        (lambda v: v | {"more": 1}, "damaged"),
        (lambda v: v | {"suite": "another"}, "digest"),
        (lambda v: {k: x for k, x in v.items() if k != "arms"}, "arms"),
        (lambda v: [v], "damaged"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "b.json"
    regression.write(of({"fid": [10, 11, 10]}), path)
    assert regression.read(path) == of({"fid": [10, 11, 10]})
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(HarnessError, match=message) as caught:
        regression.read(path)
    assert "--update" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nan_and_rubbish_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    regression.write(of({"fid": [10, 11, 10]}), path)
    text = path.read_text()
    for wrong in (text.replace("11.0", "NaN"), text[:40], "", "\x00"):
        path.write_text(wrong)
        with pytest.raises(HarnessError, match="damaged"):
            regression.read(path)


def tampered(path: Path, change: Any) -> None:
    """Change a baseline and give it a digest that fits."""
    value = json.loads(path.read_text())
    del value["digest"]
    change(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_text(json.dumps(value | {"digest": hashlib.sha256(text.encode()).hexdigest()}))


def test_a_check_that_is_refused_leaves_nothing_green_behind(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    older = [tmp_path / "j.xml", tmp_path / "m.md"]
    for path in older:
        path.write_text("green")
    words = ("--baseline", tmp_path / "none.json", "--junit", older[0], "--markdown", older[1])
    assert "does not exist" in workspace.run("check", workspace.suite(), *words, code=2)
    assert not any(path.exists() for path in older)


@pytest.mark.slow
def test_from_the_first_baseline_to_red(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"COLUMNS": "250"})
    suite = workspace.suite(seeds=4, matrix={"tricks": [[]]}, evaluate={"samples": 64, "metrics": ["sharpness"]})
    path, junit, page = tmp_path / "base" / "b.json", tmp_path / "out" / "j.xml", tmp_path / "out" / "m.md"
    words: tuple[str | Path, ...] = ("check", suite, "--baseline", path)

    assert "does not exist" in workspace.run(*words, code=2)
    assert not workspace.results.exists()  # nothing was trained for that
    workspace.run(*words, "--update")
    stored = json.loads(path.read_text())
    assert stored["arms"]["gan"]["columns"]["sharpness"]["n"] == 4
    assert stored["arms"]["gan"]["protocol"]["sharpness"]["samples"] == 64

    output = workspace.run(*words, "--junit", junit, "--markdown", page)
    assert "tiny is green" in output
    assert "the same to the bit" in page.read_text()
    root = ElementTree.parse(junit).getroot()
    assert [case.get("name") for case in root.iter("testcase")] == ["sharpness", "failures"]
    assert root.get("failures") == "0"

    def far_better(value: dict[str, Any]) -> None:
        values = {str(seed): 1 + seed / 100 for seed in range(4)}  # sharpness is good near 1, that of real images
        x = np.array(list(values.values()))
        found = {"n": 4, "mean": x.mean(), "sd": x.std(ddof=1), "values": values}
        value["arms"]["gan"]["columns"]["sharpness"] = found

    tampered(path, far_better)
    assert "tiny is red" in workspace.run(*words, "--junit", junit, "--markdown", page, code=1)
    root = ElementTree.parse(junit).getroot()
    assert root.get("failures") == "1"
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == ["sharpness"]
    assert [line for line in page.read_text().splitlines() if "|" in line and "worse" in line]

    output = workspace.run(*words, "--update")  # shows the difference
    assert "1.015 ±" in output
    assert json.loads(path.read_text()) == stored

    def other_samples(value: dict[str, Any]) -> None:
        value["arms"]["gan"]["protocol"]["sharpness"]["samples"] = 65

    tampered(path, other_samples)
    output = workspace.run(*words, code=2)
    assert "samples: 65 against 64" in output

    tampered(path, lambda value: value["arms"].update(more=value["arms"]["gan"]))
    assert "no longer has more" in workspace.run(*words, code=2)
    path.write_text("{")
    assert "damaged" in workspace.run(*words, code=2)


def test_a_vacuous_baseline_is_refused_unless_told_so(tmp_path: Path) -> None:
    workspace, path = Workspace(tmp_path), tmp_path / "b.json"
    # After so few steps no sample shows a digit, on any seed.
    suite = workspace.suite(matrix={"tricks": [[]]}, evaluate={"samples": 64, "metrics": ["mode_coverage"]}, compare={})
    words: tuple[str | Path, ...] = ("check", suite, "--baseline", path, "--update")
    refused = workspace.run(*words, code=2)
    assert "the baseline of gan would be vacuous: " in refused
    assert " is 0 on all seeds, the lowest value that it can have" in refused
    assert not path.exists()
    workspace.run(*words, "--even-if-constant")
    assert path.is_file()
    assert "is for --update" in workspace.run(*words[:-1], "--even-if-constant", code=2)

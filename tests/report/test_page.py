"""The page, the tables and the console summary say the same, escape what users write, and need no network."""

from __future__ import annotations

import base64
import csv
import dataclasses
import functools
import inspect
import io
import json
import math
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up import ARMS, SUITE, maker
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

from harness import report
from harness.analysis.expectations import Finding, _tested
from harness.analysis.results import Results
from harness.report import plots, tables, words

Make = Callable[..., Results]


def test_texts_that_are_formulas_are_neutralised_in_csv_and_numbers_are_not() -> None:
    formulas = [
        "=cmd|'/C calc'!A0",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1+1",
        " =1",
        "＝1",
        "gan",
        "-1.5",
        "-",
    ]
    table = pd.DataFrame(
        {
            "=arm": formulas,
            "loss": [-1.0, *[float("nan")] * 9],
            "n": [-1, *range(9)],
            "mixed": [-0.1 + 0.2, None, -3, "=1", True, "", "-inf", "1e-5", "-x", "+5"],
        }
    )
    rows = list(csv.reader(io.StringIO(tables.csv(table))))
    assert rows[0] == ["'=arm", "loss", "n", "mixed"]
    safe = [f"'{text}" for text in formulas[:7]] + ["gan", "-1.5", "'-"]
    assert [row[0] for row in rows[1:]] == safe
    assert rows[1][1:3] == ["-1.0", "-1"]
    assert rows[2][1:3] == ["", "0"]
    assert [row[3] for row in rows[1:]] == ["0.1", "", "-3", "'=1", "True", "", "-inf", "1e-5", "'-x", "+5"]
    assert str(table["=arm"][0]).startswith("=")  # the table itself is as it was


class Page(HTMLParser):
    """What a browser would find on the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(autouse=True)
def _alike(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All drawings look like the first, where a test reads the words of a page: to draw takes most of its time."""
    if "make_results" in request.fixturenames and "figure_of_the_page" not in request.node.name:
        for name in ("svg", "png"):
            monkeypatch.setattr(f"harness.report.plots.{name}", functools.partial(_first, getattr(plots, name)))


@functools.cache
def _drawn(draw: Callable[[Figure], str | bytes]) -> str | bytes:
    return draw(Figure())


def _first(draw: Callable[[Figure], str | bytes], figure: Figure) -> str | bytes:
    assert isinstance(figure, Figure)
    return _drawn(draw)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Path, Page]:
    """A page for tests that only look at it."""
    folder = tmp_path_factory.mktemp("written")
    results = maker(folder)()
    path = report.write(results, folder / "out")
    return results, path, Page(path.read_text(encoding="utf-8"))


def console_text(results: Results, path: Path) -> str:
    buffer = io.StringIO()
    report.console(results, path, Console(file=buffer, width=200))
    return buffer.getvalue()


def test_everything_is_written_and_nothing_else(written: tuple[Results, Path, Page]) -> None:
    names = {path.name for path in written[1].parent.iterdir()}
    tables = {"trials.csv", "curves.csv", "leaderboard.csv", "leaderboard.md", "verdicts.csv", "verdicts.md"}
    assert names == {"report.html", "figures"} | tables | {"visits.csv"}


def test_tables_hold_full_precision(written: tuple[Results, Path, Page]) -> None:
    results, path, _ = written
    table = pd.read_csv(path.parent / "trials.csv", keep_default_na=False, na_values={"fid": ""})
    assert table["fid"].dropna().tolist() == results.trials()["fid"].dropna().tolist()
    board = pd.read_csv(path.parent / "leaderboard.csv")
    assert board["fid_mean"].tolist() == results.leaderboard()["fid_mean"].tolist()


def test_page_and_console_show_the_table_s_numbers(written: tuple[Results, Path, Page]) -> None:
    results, path, page = written
    said = console_text(results, path)
    for _, row in results.leaderboard().iterrows():
        assert f"{row['fid_mean']:.2f}" in page.text
        assert f"{row['fid_mean']:.2f}" in said
        assert row["arm"] in page.text
        assert row["arm"] in said


def test_the_page_shows_what_the_suite_is_and_how_to_run_it_again(written: tuple[Results, Path, Page]) -> None:
    results, _, page = written
    for line in results.plan.suite.text.splitlines():
        assert " ".join(line.split()) in page.text
    assert results.plan.suite.question in page.text
    assert "harness run" in page.text
    assert "train.steps=2000" in page.text
    assert "it takes too long" in page.text  # the cell that was left out, and why


def test_failures_have_their_reasons(written: tuple[Results, Path, Page]) -> None:
    results, path, page = written
    failed = [record for record in results.records if not record.done]
    assert failed, "the fixture has diverged trials"
    assert failed[0].reason in page.text
    assert failed[0].reason in console_text(results, path)


def test_the_page_needs_nothing_but_itself(written: tuple[Results, Path, Page]) -> None:
    page = written[2]
    for tag, attributes in page.tags:
        # A link is followed only if a reader presses it.
        for name in ("src", "srcset", "poster") if tag == "a" else ("src", "href", "srcset", "poster"):
            target = attributes.get(name) or ""
            assert target == "" or target.startswith(("data:", "#")), (tag, target)
        assert tag not in ("link", "iframe", "object")
    assert "@import" not in written[1].read_text(encoding="utf-8")


def test_every_picture_has_an_alternative_text(written: tuple[Results, Path, Page]) -> None:
    pictures = [attributes for tag, attributes in written[2].tags if tag == "img"]
    assert pictures
    assert all(attributes.get("alt") for attributes in pictures)
    drawings = [attributes for tag, attributes in written[2].tags if tag == "svg"]
    assert drawings
    assert all(a.get("aria-label") or a.get("aria-labelledby") or a.get("aria-hidden") for a in drawings)


def test_what_users_write_is_text_and_not_markup(make_results: Make, tmp_path: Path) -> None:
    from made_up import SUITE

    evil = '"<script>alert(1)</script> & <b>"'
    text = SUITE.replace("Which training tricks help a DCGAN on digits, and by how much?", f"'{evil}'")
    page = report.write(make_results(text=text), tmp_path / "out").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_one_seed_and_no_value_at_all_still_give_a_page(make_results: Make, tmp_path: Path) -> None:
    one = report.write(make_results(seeds=1), tmp_path / "one")
    assert "inconclusive" in Page(one.read_text(encoding="utf-8")).text
    none = make_results(arms={"dcgan": (14.0, 1.0), "dcgan + ema": (12.0, 1.0)})
    path = report.write(none, tmp_path / "none")
    assert "diverged" in Page(path.read_text(encoding="utf-8")).text
    with (path.parent / "trials.csv").open() as file:
        assert {row["state"] for row in csv.DictReader(file)} == {"diverged"}


def test_a_run_that_is_not_whole_says_so(make_results: Make, tmp_path: Path) -> None:
    page = Page(report.write(make_results(missing=7), tmp_path / "out").read_text(encoding="utf-8"))
    assert re.search(r"\b7\b[^.]*trial", page.text)


# --- what stands where -----------------------------------------------------------------------------------


def ids(page: Page) -> list[str]:
    return [attributes["id"] or "" for _, attributes in page.tags if attributes.get("id")]


def links(page: Page) -> list[str]:
    return [attributes.get("href") or "" for tag, attributes in page.tags if tag == "a"]


def test_the_verdict_comes_first_then_the_picture_then_the_figures(written: tuple[Results, Path, Page]) -> None:
    text = written[2].text
    headline = words.headline(written[0])
    assert text.index(headline) < text.index("Samples of a trial of each arm") < text.index("Mean over the finished")


def test_the_verdict_names_the_baselines_where_there_are_several(make_results: Make) -> None:
    pairs = """pairs:
    - {arm: {tricks: [feature_matching]}, baseline: {tricks: []}}
    - {arm: {tricks: [feature_matching]}, baseline: {tricks: [ema]}}
"""
    text = SUITE.replace("compare: {baseline: {tricks: []}, metric: fid}", f"compare:\n  metric: fid\n  {pairs}")
    headline = words.headline(make_results(text=text))
    assert re.fullmatch(
        r"On FID: dcgan \+ feature_matching \(FID × 0\.\d+ against dcgan\) and "
        r"dcgan \+ feature_matching \(FID × 0\.\d+ against dcgan \+ ema\) are better\.",
        headline.partition(" Trials failed")[0],
    ), headline
    assert "(FID ×" in (one := words.headline(make_results()))
    assert one.startswith("Against dcgan on FID: ")
    assert "against" not in one


def test_contents_and_anchors_lead_somewhere(written: tuple[Results, Path, Page]) -> None:
    page = written[2]
    names = ids(page)
    assert len(set(names)) == len(names)
    targets = [link.removeprefix("#") for link in links(page) if link.startswith("#")]
    assert {"verdict", "training", "leaderboard", "effects", "arms", "protocol", "suite", "files"} <= set(targets)
    assert set(targets) <= set(names)
    for arm in ("dcgan", "dcgan-feature-matching", "dcgan-one-sided-label-smoothing", "dcgan-ema"):
        assert f"arm-{arm}" in targets


def test_downloads_lie_beside_the_page(written: tuple[Results, Path, Page]) -> None:
    _, path, page = written
    offered = [a["href"] or "" for tag, a in page.tags if tag == "a" and "download" in a]
    assert set(offered) == {file.name for file in path.parent.glob("*.csv")}


def test_every_shown_trial_links_to_its_run(written: tuple[Results, Path, Page]) -> None:
    results, _, page = written
    found = {
        link.removeprefix("http://127.0.0.1:5000/#/runs/")
        for link in links(page)
        if link.startswith("http://127.0.0.1:5000/")
    }
    assert found == {f"{record.run_id}?workflowType=machine_learning" for record in results.records}
    assert "open while harness ui shows this store, without another --port ." in page.text


def test_runs_of_a_server_are_linked_there_without_a_password(make_results: Make, tmp_path: Path) -> None:
    runs_of = "https://mlflow.example/base/#/experiments/1/runs"
    at = {"store": "https://me:***@mlflow.example/base/", "table": f"{runs_of}?workflowType=machine_learning"}
    results = dataclasses.replace(make_results(), **at)
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8"))
    runs = [link for link in links(page) if "/runs/" in link]
    assert runs
    ids = {f"{runs_of}/{record.run_id}?workflowType=machine_learning" for record in results.records}
    assert set(runs) == ids
    assert "harness ui" not in page.text


def test_a_report_can_be_cited_with_what_makes_it_comparable(make_results: Make, tmp_path: Path) -> None:
    from harness.report.citation import bibtex

    results = make_results(text=maker_text("Does 10 % of {noise} & more help a_b?"))
    text = bibtex(results)
    assert text.count("@") == 2
    assert r"title = {Does 10 \% of \{noise\} \& more help a\_b?}" in text
    assert re.search(r"suite made\\_up; 20 trials; protocol [0-9a-f]{12}; written \d{4}-\d\d-\d\d", text)
    changed = dataclasses.replace(results.records[0], parts={"harness.x:y": "1234"})
    with_code = bibtex(dataclasses.replace(results, records=(changed, *results.records[1:])))
    assert re.search(r"; code [0-9a-f]{12}; ", with_code)
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8"))
    assert " ".join(text.split()) in page.text


def maker_text(question: str) -> str:
    from made_up import SUITE

    return SUITE.replace("Which training tricks help a DCGAN on digits, and by how much?", f"'{question}'")


# --- the leaderboard -------------------------------------------------------------------------------------


def boards(page: Page) -> list[list[str]]:
    """The columns that each table of the leaderboard can be sorted by: which end is the best."""
    found: list[list[str]] = []
    for tag, attributes in page.tags:
        if tag == "table" and "board" in (attributes.get("class") or "").split():
            found.append([])
        if tag == "th" and attributes.get("data-best"):
            found[-1].append(attributes["data-best"] or "")
    return found


def test_no_table_of_the_leaderboard_is_wider_than_a_window(make_results: Make) -> None:
    from made_up import SUITE

    from harness.report.board import board

    many = SUITE.replace("fid, inception_score, mode_coverage", "inception_score, mode_coverage, fid, kid")
    results = make_results(text=many)
    stacks = board(results).stacks
    assert sorted(column.name for stack in stacks for column in stack) == sorted(results.values)
    assert stacks[0][0].name == "fid"  # what arms are compared on
    assert len(stacks[0]) <= 6  # beside the verdicts
    assert all(len(stack) <= 8 for stack in stacks[1:])
    coverage = [n for n, stack in enumerate(stacks) for column in stack if column.name in ("refused", "class_recall")]
    assert len(set(coverage)) == 1  # one metric, one table


def test_the_first_press_on_a_heading_puts_the_best_first(written: tuple[Results, Path, Page]) -> None:
    [first, second] = boards(written[2])
    arm, n, failed, verdict, fid, inception = first
    assert (arm, n, failed, verdict) == ("ascending", "descending", "ascending", "ascending")
    assert (fid, inception) == ("ascending", "descending")
    assert second == ["ascending", *["descending"] * 3, *["ascending"] * 3, *["descending"] * 2]  # arm, classes, …


def test_a_column_with_a_target_is_sorted_by_the_distance_to_it(make_results: Make) -> None:
    from made_up import SUITE

    from harness.report.board import board

    results = make_results(text=SUITE.replace("mode_coverage]", "mode_coverage, sharpness]"))
    values = {"dcgan": 1.2, "dcgan + ema": 0.9}
    records = [
        dataclasses.replace(record, values=record.values | {"sharpness": values[record.arm]})
        for record in results.records
        if record.arm in values and record.done
    ]
    found = board(dataclasses.replace(results, records=tuple(records)))
    [column] = [column for stack in found.stacks for column in stack if column.name == "sharpness"]
    assert column.best == "ascending"
    keys = {row.arm: float(row.cells["sharpness"].exact) for row in found.rows}
    assert keys == pytest.approx({"dcgan": 0.2, "dcgan + ema": 0.1})


def test_a_cell_has_a_point_for_each_seed_where_its_value_is(written: tuple[Results, Path, Page]) -> None:
    from harness.report.board import board

    results = written[0]
    every = [v for arm in results.arms for v in results.by_seed(arm, "fid").values() if np.isfinite(v)]
    low, high = math.log(min(every)), math.log(max(every))  # FIDs are compared as factors
    for row in board(results).rows:
        own = {seed: v for seed, v in results.by_seed(row.arm, "fid").items() if np.isfinite(v)}
        cell = row.cells["fid"]
        places = [float(x) for x in re.findall(r"M([\d.]+) 4h0", cell.points)]
        assert places == pytest.approx(
            sorted(4 + 92 * (math.log(v) - low) / (high - low) for v in own.values()), abs=0.06
        )
        assert cell.seeds.count("seed ") == len(own)
        for seed, value in own.items():
            assert f"seed {seed}: {value:.2f}" in cell.seeds
    assert written[2].text.count("seed 0: ") >= 4


def test_a_thousand_seeds_are_sixty_points(make_results: Make) -> None:
    from harness.report.board import POINTS, board

    results = make_results(seeds=2, arms={"dcgan": (14.0, 0.0)})
    [one, _] = results.records
    many = [dataclasses.replace(one, seed=seed, values=one.values | {"fid": 10.0 + seed}) for seed in range(1000)]
    [row] = board(dataclasses.replace(results, records=tuple(many))).rows
    cell = row.cells["fid"]
    assert cell.points.count("M") == POINTS == 60
    assert cell.seeds.startswith("60 of 1000 seeds: seed 0: 10.00, ")
    assert cell.seeds.endswith("seed 999: 1009.00")


def test_an_arm_at_the_ceiling_of_a_metric_says_so(written: tuple[Results, Path, Page]) -> None:
    text = written[2].text
    assert "10.0 (max)" in text
    assert "all 5 seeds" in text
    assert "All 5 seeds are at the ceiling of Classes covered (10.0)." in text


def test_every_column_is_explained_in_the_words_of_its_metric(written: tuple[Results, Path, Page]) -> None:
    results, _, page = written
    for value in results.values.values():
        assert f"{value.label} {words.arrow(value)} {value.summary}" in page.text


# --- paper and measurement -------------------------------------------------------------------------------


def expecting(make: Make, entries: str, **others: object) -> Results:
    from made_up import SUITE

    return make(text=f"{SUITE}expect: [{entries}]\n", **others)


def test_paper_and_measurement_stand_side_by_side(make_results: Make, tmp_path: Path) -> None:
    from made_up import EXPECT, SUITE

    results = make_results(text=SUITE + EXPECT)
    path = report.write(results, tmp_path / "out")
    page, said = Page(path.read_text(encoding="utf-8")).text, console_text(results, path)
    by_arm = results.leaderboard().set_index("arm")["fid_mean"]
    for text in (page, said):
        assert "4 figures of the literature: " in text
        assert "10 ± 2.5" in text
        assert "at most 5" in text
        assert "at least 1 %, at most 20 %" in text  # of a metric that is shown in per cent
        assert "contradicted" in text
        assert f"{by_arm['dcgan']:.2f} (95 % interval" in text
        assert "1. dcgan + feature_matching; 2. dcgan + ema; 3. dcgan" in text
        assert "dcgan + ema before dcgan: consistent" in text
        assert "made up, figure 4" in text
    assert "measured by another network" in page
    table = pd.read_csv(path.parent / "expectations.csv")
    assert table["outcome"].tolist() == ["consistent", "contradicted", "consistent", "consistent", "consistent"]
    assert table["mean"][1] == by_arm["dcgan"]
    assert table["other"].dropna().tolist() == ["dcgan + ema", "dcgan"]
    assert "expectations.csv" in said


@pytest.mark.parametrize(
    ("bounds", "outcome"),
    [
        ("value: MEAN, tolerance: 0", "cannot tell"),
        ("value: 12, tolerance: 1", "contradicted"),
        ("at_most: 13", "contradicted"),
        ("at_least: 13", "consistent"),
        ("at_least: 13, at_most: 17", "consistent"),
        ("at_least: 17, at_most: 18", "contradicted"),
    ],
)
def test_a_value_is_consistent_if_its_interval_lies_within_the_bounds(
    make_results: Make, bounds: str, outcome: str
) -> None:
    mean = float(make_results().leaderboard().set_index("arm")["fid_mean"]["dcgan"])
    assert 14 < mean < 16
    entry = f"{{where: {{tricks: []}}, {bounds.replace('MEAN', repr(mean))}, metric: fid, source: table 1}}"
    [finding] = expecting(make_results, entry).expectations()
    assert finding.outcome == outcome
    assert finding.measured[0].mean == mean
    assert finding.measured[0].n == 5


def test_a_figure_is_expected_of_every_cell_that_is_meant(make_results: Make) -> None:
    results = expecting(make_results, "{at_most: 13, metric: fid, source: table 1}")
    found = {finding.measured[0].arm: finding.outcome for finding in results.expectations()}
    assert set(found) == set(results.arms)  # the excluded cell is not among them
    assert found["dcgan + feature_matching"] == "consistent"
    assert found["dcgan"] == "cannot tell"  # its mean is above, by less than the spread of five seeds


def values(results: Results, finding: Finding) -> NDArray[np.float64]:
    return np.array(list(results.by_seed(finding.measured[0].arm, finding.expectation.metric).values()))


ORDER = "{{order: [{{tricks: [{}]}}, {{tricks: [{}]}}], metric: {}, source: table 1}}"


def test_an_order_goes_by_what_is_better_on_the_metric(make_results: Make) -> None:
    """FID: lower is better. Inception score, which the made-up trials lose with FID: higher is."""
    entries = ", ".join(
        ORDER.format(*order)
        for order in [
            ("feature_matching", "ema", "fid"),
            ("ema", "feature_matching", "fid"),
            ("feature_matching", "ema", "inception_score"),
            ("feature_matching", "ema", "covered_classes"),
        ]
    )
    right, wrong, higher, tied = expecting(make_results, entries).expectations()
    assert right.outcome == right.steps[0].outcome == "consistent"
    assert wrong.outcome == wrong.steps[0].outcome == "contradicted"
    assert right.steps[0].effect == pytest.approx(1 / wrong.steps[0].effect)
    assert right.steps[0].effect < 1
    assert higher.outcome == "consistent"
    assert higher.steps[0].effect > 0
    assert tied.outcome == "cannot tell"  # both cover all ten classes


def test_figures_and_steps_are_corrected_together(make_results: Make) -> None:
    from made_up import EXPECT, SUITE

    from harness.analysis.statistics import Question, Sample, holm, verdict_alone

    results = make_results(text=SUITE + EXPECT)
    *figures, order = results.expectations()
    arms = dict.fromkeys(arm for place in order.places for arm in place)
    samples = {arm: Sample(results.by_seed(arm, "fid")) for arm in arms}
    alone = [verdict_alone(Question(s.arm, s.other, samples, results.measure("fid"), 0)).p for s in order.steps]
    # The three figures and the two steps are one family of tests.
    raw = [one.p_contradicted for one in (_tested(f.expectation, values(results, f)) for f in figures)]
    assert [*(f.p for f in figures), *(step.p for step in order.steps)] == pytest.approx(holm([*raw, *alone]))
    assert max(step.p for step in order.steps) > 0


def test_what_is_not_measured_yet_is_open(make_results: Make, tmp_path: Path) -> None:
    value = "{where: {tricks: [ema]}, at_most: 20, metric: fid, source: table 1}"
    entries = f"{value}, {ORDER.format('ema', 'feature_matching', 'fid')}"
    results = expecting(make_results, entries, arms={"dcgan": (14.0, 0.0)}, missing=15)
    assert [finding.outcome for finding in results.expectations()] == ["open", "open"]
    path = report.write(results, tmp_path / "out")
    for text in (Page(path.read_text(encoding="utf-8")).text, console_text(results, path)):
        assert "2 without results yet." in text
        assert "no value yet" in text
        assert "nan" not in text.lower().split()


def test_an_arm_that_never_finishes_contradicts_every_figure(make_results: Make, tmp_path: Path) -> None:
    value = "{where: {tricks: [ema]}, at_most: 20, metric: fid, source: table 1}"
    better, worse = ORDER.format("ema", "", "fid"), ORDER.format("", "ema", "fid")
    arms = {"dcgan": (14.0, 0.0), "dcgan + ema": (12.0, 1.0)}
    results = expecting(make_results, f"{value}, {better}, {worse}", arms=arms)
    assert [finding.outcome for finding in results.expectations()] == ["contradicted", "contradicted", "consistent"]
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8")).text
    assert "no value: 5 trials failed" in page


def test_sources_are_text_and_not_markup(make_results: Make, tmp_path: Path) -> None:
    entry = "{at_most: 12, metric: fid, source: '<script>alert(1)</script> [red]', note: '<b>'}"
    results = expecting(make_results, entry)
    path = report.write(results, tmp_path / "out")
    page = path.read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert "[<script>alert(1)</script> [red]]" in console_text(results, path)


# --- values that not every model can give ----------------------------------------------------------------


def test_what_a_model_cannot_give_is_a_dash_and_no_failure(make_results: Make, tmp_path: Path) -> None:
    from made_up import ENCODING, REQUIRING

    results = make_results(text=REQUIRING, arms=ENCODING)
    gan, vae, autoencoder = results.arms
    board = results.leaderboard().set_index("arm")
    assert list(board.index) == [vae, autoencoder, gan]  # what has no value comes last
    assert board["failed"].tolist() == [0, 0, 0]
    assert board["n"].tolist() == [5, 5, 5]
    assert [verdict.arm for verdict in results.verdicts()] == [autoencoder]
    assert results.verdicts()[0].failed == 0
    path = report.write(results, tmp_path / "out")
    page, said = Page(path.read_text(encoding="utf-8")).text, console_text(results, path)
    for text in (page, said, (path.parent / "leaderboard.md").read_text(encoding="utf-8")):
        assert "–" in text
        assert "nan" not in re.findall(r"\w+", text.lower())
    assert "gan cannot give what the metric needs." in page
    trials = pd.read_csv(path.parent / "trials.csv")
    assert trials.loc[trials["arm"] == gan, "reconstruction_mse"].isna().all()
    assert trials.loc[trials["arm"] != gan, "reconstruction_mse"].notna().all()


def test_a_failed_trial_still_counts_where_the_model_could_have_given_a_value(make_results: Make) -> None:
    from made_up import REQUIRING

    arms = {"vae": (20.0, 0.0), "autoencoder": (30.0, 0.5), "gan": (14.0, 0.5)}
    results = make_results(text=REQUIRING, arms=arms)
    gan, vae, autoencoder = results.arms
    failed = {arm: sum(not record.done for record in results.of(arm)) for arm in results.arms}
    assert failed[vae] == 0 < failed[gan] < 5 > failed[autoencoder] > 0
    [verdict] = results.verdicts()
    assert (verdict.arm, verdict.failed) == (autoencoder, failed[autoencoder])


def test_no_other_arm_with_a_value_is_said(make_results: Make, tmp_path: Path) -> None:
    from made_up import REQUIRING

    results = make_results(text=REQUIRING, arms={"vae": (20.0, 0.0), "gan": (14.0, 0.0)})
    path = report.write(results, tmp_path / "out")
    assert f"No arm but {results.baseline} can give" in Page(path.read_text(encoding="utf-8")).text


# --- pictures --------------------------------------------------------------------------------------------


def test_a_model_s_own_pictures_are_shown_once_an_arm(written: tuple[Results, Path, Page]) -> None:
    results, _, page = written
    alts = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    for arm in results.arms:
        walks = [alt for alt in alts if re.fullmatch(rf"Latent walk of {re.escape(arm)}, seed \d", alt)]
        assert len(walks) == 1
    assert "latent walk" in page.text  # its caption
    assert "latent_walk" not in page.text


def test_pictures_for_which_there_is_no_room_are_counted(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.gallery.PICTURE_BYTES", 0)
    page = Page(report.write(make_results(), tmp_path / "out").read_text(encoding="utf-8"))
    assert not any("walk" in (attributes.get("alt") or "") for _, attributes in page.tags)
    assert "The MLflow run of this arm has 2 more pictures" in page.text


def test_points_are_shown_as_they_were_drawn(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = make_results(arms={"dcgan": (14.0, 0.0)})
    monkeypatch.setattr("harness.zoo.data.digits.Digits.points", True)
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8"))
    assert any("points" in (attributes.get("class") or "").split() for tag, attributes in page.tags if tag == "ul")
    assert any((attributes.get("alt") or "").startswith("Scatter plot") for _, attributes in page.tags)


def test_the_samples_of_every_seed_stand_beside_real_images(written: tuple[Results, Path, Page]) -> None:
    results, path, page = written
    alts = [attributes["alt"] or "" for tag, attributes in page.tags if tag == "img"]
    for arm in results.arms:
        assert f"Grid of real images, beside {arm}" in alts
        for record in results.of(arm):
            shown = f"Grid of samples of {arm}, seed {record.seed}, end" in alts
            assert shown == record.done
    [failed] = [record.seed for record in results.records if not record.done]
    assert f"seed {failed}: diverged" in page.text
    assert (path.parent / "figures" / "dcgan-samples-seed-4.png").is_file()
    assert (path.parent / "figures" / "dcgan-real.png").is_file()


def test_every_picture_can_be_enlarged_by_mouse_and_keyboard(written: tuple[Results, Path, Page]) -> None:
    tags = written[2].tags
    moving = [
        n for n, (tag, attributes) in enumerate(tags) if tag == "img" and "Animation" in (attributes["alt"] or "")
    ]
    for n, (tag, _) in enumerate(tags):
        if tag == "img" and n not in moving:
            assert tags[n - 1] == ("button", {"type": "button", "class": "zoom", "title": "Enlarge"})
    assert any(tag == "dialog" for tag, _ in tags)


def test_of_many_seeds_the_first_are_shown_and_the_others_counted(make_results: Make, tmp_path: Path) -> None:
    results = make_results(seeds=14, arms={"dcgan": (14.0, 0.0)})
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8"))
    ends = [a["alt"] for tag, a in page.tags if tag == "img" and (a["alt"] or "").endswith(", end")]
    assert len(ends) == 12
    assert "The first 12 seeds are shown; 2 more trials in MLflow." in page.text


def test_samples_for_which_there_is_no_room_are_named(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.gallery.SEED_BYTES", 0)
    results = make_results(seeds=3, arms={"dcgan": (14.0, 0.0)})
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8"))
    ends = [a["alt"] for tag, a in page.tags if tag == "img" and (a["alt"] or "").endswith(", end")]
    assert ends == ["Grid of samples of dcgan, seed 0, end"]
    assert "seed 1: no picture here" in page.text


# --- the forest plot and the curves ----------------------------------------------------------------------


def test_the_effects_of_the_seeds_have_the_effect_as_their_mean(make_results: Make) -> None:
    results = make_results()
    for verdict in results.verdicts():
        if math.isnan(verdict.effect):
            continue
        effects = results.effects(verdict)
        assert len(effects) == verdict.n
        assert math.exp(np.mean(np.log(list(effects.values())))) == pytest.approx(verdict.effect)


def test_the_figure_of_the_page_with_effects_has_the_points_of_the_seeds() -> None:
    axis = plots.EffectAxis("FID, factor", 1.0, None, True, "lower")
    effect = plots.Effect("ema", "arm-0", 0.9, 0.8, 1.0, "better", seeds=[0.85, 0.95, 0.9])
    [axes] = plots.forest([effect], axis).axes
    points = [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata()) == 3]
    assert sorted(points[0].get_xdata()) == [0.85, 0.9, 0.95]
    assert {"ema", "better"} <= {text.get_text() for text in axes.texts}
    # The line of "no difference" ends below the name, which stands above its interval (the axis points down).
    [[[_, top], [_, bottom]]] = axes.collections[0].get_segments()
    [name] = [text.get_position()[1] for text in axes.texts if text.get_text() == "ema"]
    assert name < top < 0 < max(points[0].get_ydata()) < bottom


def test_the_losses_have_axes_of_their_own(make_results: Make) -> None:
    panels = {panel.names: panel for panel in plots.panels(make_results().curves())}
    generator, discriminator = panels["generator_loss",], panels["discriminator_loss",]
    assert (generator.title, discriminator.title) == ("Generator loss", "Discriminator loss")
    assert (generator.low, generator.high) != (discriminator.low, discriminator.high)
    assert panels["d_real", "d_fake"].title == "Discriminator's mean output"


# --- where it comes from ---------------------------------------------------------------------------------


def test_every_model_and_trick_is_explained_by_the_head_of_its_own_file(
    written: tuple[Results, Path, Page],
) -> None:
    from harness.zoo.models import gan
    from harness.zoo.tricks import ema, feature_matching, one_sided_label_smoothing

    text = written[2].text
    for module in (gan, ema, feature_matching, one_sided_label_smoothing):
        for line in (module.__doc__ or "").replace("``", " ").splitlines():
            assert " ".join(line.split()) in text
    equations = [attributes for tag, attributes in written[2].tags if attributes.get("class") == "equation"]
    assert len(equations) == 4
    assert "Salimans et al. 2016, section 3.1" in text


def test_every_trick_s_head_has_its_equation_and_paper() -> None:
    from harness.report.sources import blocks
    from harness.zoo import registry

    for entry in registry.entries("tricks"):
        head = inspect.cleandoc(sys.modules[entry.plugin.__module__].__doc__ or "")
        assert any(block.kind == "equation" for block in blocks(head)), entry.name
        surname, *_, year = re.split(r",| ", entry.paper.split(",")[0])
        assert surname in head, entry.name
        assert year in head, entry.name


def test_a_head_comes_apart_into_prose_equations_and_lists() -> None:
    from harness.report.sources import blocks, code_and_prose

    head = "One line\nand another:\n    a = b\n      + c\n\n- ``x``: first\n  of two\n- second\n\n1. one\n2. two"
    assert [(block.kind, block.lines) for block in blocks(head)] == [
        ("text", ["One line and another:"]),
        ("equation", ["a = b", "  + c"]),
        ("list", ["``x``: first of two", "second"]),
        ("list", ["1. one", "2. two"]),
    ]
    assert code_and_prose("``x`` of y") == [(True, "x"), (False, " of y")]


def test_a_head_is_text_and_not_markup(make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<script>alert(1)</script>"
    monkeypatch.setattr("harness.zoo.tricks.ema.__doc__", f"Evil ``{evil}``.\n\n    {evil} = 1\n\n- {evil}\n")
    page = report.write(make_results(), tmp_path / "out").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3


def test_a_name_that_is_known_no_longer_gives_a_page(make_results: Make, tmp_path: Path) -> None:
    results = make_results(arms={"dcgan": (14.0, 0.0), "dcgan + gone": (12.0, 0.0)})
    page = Page(report.write(results, tmp_path / "out").read_text(encoding="utf-8"))
    assert "no plug-in of this name is installed now" in page.text


# --- protocols -------------------------------------------------------------------------------------------


def test_values_of_different_protocols_are_marked_on_top(make_results: Make, tmp_path: Path) -> None:
    from harness.analysis import protocol

    results = make_results(arms={"dcgan": (14.0, 0.0), "dcgan + ema": (12.0, 0.0)})
    same = Page(report.write(results, tmp_path / "same").read_text(encoding="utf-8"))
    assert "different protocols" not in same.text
    last = results.records[-1]
    assert last.artifacts is not None
    changed = {name: {**fields, "samples": 777} for name, fields in protocol.of(last).items()}
    (last.artifacts / "protocol.json").write_text(json.dumps(changed), encoding="utf-8")
    # A record keeps what it has read.
    results = dataclasses.replace(results, records=tuple(map(dataclasses.replace, results.records)))
    path = report.write(results, tmp_path / "other")
    page = Page(path.read_text(encoding="utf-8"))
    warned = page.text.index("were measured by different protocols")
    assert warned < page.text.index(words.headline(results))
    assert "samples: 2000 against 777" in page.text[warned:]
    assert "There is no verdict and no mean for dcgan + ema" in page.text
    assert pd.read_csv(path.parent / "verdicts.csv")["verdict"].isna().all()
    assert page.text.count("2000 against 777") == 1  # once for all metrics


# --- verdicts in figures, and files beside the page ------------------------------------------------------


def test_the_comparison_says_of_every_arm_what_statistics_says(written: tuple[Results, Path, Page]) -> None:
    from harness.analysis.statistics import failure_rate, interquartile_mean, probability_of_improvement

    results, path, page = written
    table = pd.read_csv(path.parent / "verdicts.csv").set_index("arm")
    baseline = list(results.by_seed("dcgan", "fid").values())
    for verdict in results.verdicts():
        own = list(results.by_seed(verdict.arm, "fid").values())
        row = table.loc[verdict.arm]
        assert row["improvement"] == probability_of_improvement(own, baseline, "lower")
        assert row["iqm"] == pytest.approx(interquartile_mean(own), nan_ok=True)
        assert (row["verdict"], row["p"], row["effect"]) == (verdict.kind, verdict.p, verdict.effect)
        assert tuple(row[["failure_rate", "failure_low", "failure_high"]]) == failure_rate(verdict.failed, 5)
        assert (words.NOTHING if math.isnan(row["iqm"]) else f"{row['iqm']:.2f}") in page.text
    failed = table.loc["dcgan + one_sided_label_smoothing"]
    assert 0 < failed["failure_rate"] < 1
    bounds = f"{100 * failed['failure_low']:.0f} % to {100 * failed['failure_high']:.0f} %"
    assert page.text.count(bounds) >= 2  # in the leaderboard and in the comparison
    assert pd.isna(table.loc["dcgan", "verdict"])
    assert "Holm's procedure corrects tests and intervals for 3 comparisons" in page.text
    assert "a failed trial is worse than any other" in page.text


def test_curves_are_a_table_too(written: tuple[Results, Path, Page]) -> None:
    results, path, _ = written
    table = pd.read_csv(path.parent / "curves.csv")
    assert table["value"].tolist() == results.curves()["value"].tolist()


def test_markdown_tables_are_tables_whatever_arms_are_called(make_results: Make, tmp_path: Path) -> None:
    from made_up import EXPECT, SUITE

    path = report.write(make_results(text=SUITE + EXPECT), tmp_path / "out")
    for name in ("leaderboard.md", "verdicts.md", "expectations.md"):
        lines = (path.parent / name).read_text(encoding="utf-8").splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert "nan" not in "".join(lines)
    assert "feature\\_matching" in (path.parent / "verdicts.md").read_text(encoding="utf-8")


def test_every_figure_of_the_page_is_a_file_and_old_ones_go(make_results: Make, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    folder = tmp_path / "out" / "figures"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("kept", encoding="utf-8")
    (folder / ".written.json").write_text("[]", encoding="utf-8")  # damaged: nothing is known of earlier figures
    report.write(make_results(), folder.parent)
    (folder / "mine.png").write_bytes(b"kept")
    (folder / "dcgan-generator-loss.svg").write_bytes(b"another file of mine, in the place of a figure")
    first = {path.name for path in folder.iterdir()}
    fewer = {arm: numbers for arm, numbers in ARMS.items() if arm == "dcgan + ema"}
    page = Page(report.write(make_results(arms=fewer), folder.parent).read_text(encoding="utf-8"))
    names = {path.name for path in folder.iterdir()}
    assert {"dcgan-ema-generator-loss.svg", "dcgan-ema-histogram-classes.png", "notes.txt", "mine.png"} <= names
    assert {name for name in names if name.startswith("dcgan-") and not name.startswith("dcgan-ema")} == {
        "dcgan-generator-loss.svg"
    }
    assert first > names
    for name in ("mine.png", "dcgan-generator-loss.svg"):
        (folder / name).unlink()
    drawn = [path for path in folder.iterdir() if path.suffix == ".svg"]
    assert len(drawn) == sum(tag == "svg" and "class" not in attributes for tag, attributes in page.tags)
    for path in drawn:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    shown = sum(tag == "img" for tag, _ in page.tags)
    assert len([*folder.glob("*.png"), *folder.glob("*.gif")]) == len(drawn) + shown


def test_files_of_figures_have_safe_and_different_names() -> None:
    from harness.report.figures import slugs

    found = slugs(["../../etc/passwd", "vae (β=4)", "VAE (β=4)", "ψ", "φ", "a" * 300])
    assert list(found.values())[:5] == ["etc-passwd", "vae-4", "vae-4_2", "unnamed", "unnamed_2"]
    assert len(found["a" * 300]) == 80


def test_long_names_take_three_lines_and_lose_their_middle() -> None:
    from harness.report.plots import wrapped

    assert wrapped("gan + packing (size=2)") == "gan + packing (size=2)"
    assert wrapped(" ".join(["word"] * 12), 29) == "\n".join(["word word word word word word"] * 2)
    name = " ".join(f"word{number:02}" for number in range(40))
    first, second, third = wrapped(name).split("\n")
    assert name.startswith(f"{first} {second}")
    assert third.startswith("… ")
    assert name.endswith(third[2:])
    assert max(map(len, (first, second, third))) <= 38


def test_a_damaged_picture_is_left_out_and_named(
    make_results: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    results = make_results(arms={"dcgan": (14.0, 0.0)})
    whole = report.write(results, tmp_path / "whole").read_text(encoding="utf-8")
    artifacts = results.records[0].artifacts
    assert artifacts is not None
    path = artifacts / "samples" / "final.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    page = report.write(results, tmp_path / "damaged").read_text(encoding="utf-8")
    assert base64.b64encode(content).decode() not in page
    assert page.count("data:image/png") < whole.count("data:image/png")
    assert f"{path}: damaged, so the page leaves it out" in caplog.text

"""The page, the tables and the console summary say the same, escape what users write, and need no network."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from harness import report
from harness.results import Results

Make = Callable[..., Results]


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


@pytest.fixture
def written(make_results: Make, tmp_path: Path) -> tuple[Results, Path, Page]:
    results = make_results()
    path = report.write(results, tmp_path / "out")
    return results, path, Page(path.read_text(encoding="utf-8"))


def console_text(results: Results, path: Path) -> str:
    buffer = io.StringIO()
    report.console(results, path, Console(file=buffer, width=200))
    return buffer.getvalue()


def test_everything_is_written_and_nothing_else(written: tuple[Results, Path, Page]) -> None:
    names = {path.name for path in written[1].parent.iterdir()}
    assert names == {"report.html", "trials.csv", "leaderboard.csv", "leaderboard.md"}


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
        for name in ("src", "href", "srcset", "poster"):
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

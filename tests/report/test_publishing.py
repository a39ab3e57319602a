"""`harness publish`: a folder that carries what made it, proved again from its own trials, and taken into a store."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest
from harness_cli import Workspace, numbers

from harness.report import proof, publishing

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_store: Workspace) -> Workspace:
    """A site with the tiny suite, and a folder of tables of older code."""
    made = tiny_store.copy(tmp_path_factory.mktemp("site"))
    older = made.folder / "site" / "published" / "before"
    older.mkdir(parents=True)
    (older / "trials.csv").write_text("arm,seed\ngan,0\n")
    made.run("publish", made.folder / "tiny.yaml")
    return made


@pytest.fixture
def folder(site: Workspace, tmp_path: Path) -> Path:
    """A copy of the published folder, to be changed."""
    return Path(shutil.copytree(site.folder / "site" / "published" / "tiny", tmp_path / "tiny"))


def test_a_folder_carries_what_made_it(site: Workspace, folder: Path) -> None:
    made = publishing.read(folder)
    assert made is not None
    assert (folder / "suite.yaml").read_text() == (site.folder / "tiny.yaml").read_text()
    assert (made.trials, made.failed, made.missing) == (4, 0, 0)
    spent = sum(float(row["seconds_train"]) + float(row["seconds_evaluate"]) for row in site.table())
    assert made.core_hours == pytest.approx(spent / 3600)
    assert made.protocol["fid"]["samples"] == 100
    assert re.fullmatch(r"[0-9a-f]{64}", made.code[0])
    assert made.machines[0].startswith("cpu: ")
    assert made.verdicts
    assert made.command == "harness run suite.yaml"
    names = {path.name for path in folder.iterdir()}
    tables = {"trials.csv", "leaderboard.csv", "verdicts.csv"}
    pages = {"report.html", "README.md", "pictures"}  # three grids and more make an animation
    assert names == tables | pages | {"suite.yaml", "made.json", "trials.jsonl.gz", "looks"}
    assert {path.name for path in folder.glob("pictures/*/samples/*")} == {"final.png", "real.png"}
    assert (folder / "leaderboard.csv").read_text() == (site.results / "tiny" / "leaderboard.csv").read_text()


def test_nothing_published_names_this_machine_s_folders(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    own = str(tmp_path_factory.getbasetemp()).encode()  # where the suite was run, copied and published
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert own not in (gzip.decompress(content) if path.suffix == ".gz" else content), path


def test_tables_are_computed_again_from_the_trials(site: Workspace) -> None:
    output = site.run("publish", "--check", site.folder / "site")
    assert "published/tiny: 3 tables computed again from the trials, all equal" in output
    assert "published/before: tables of older code, without their trials" in output


def test_a_table_that_its_trials_do_not_give_is_found(site: Workspace, folder: Path) -> None:
    table = folder / "leaderboard.csv"
    [head, first, *rest] = table.read_text().splitlines()
    value = first.split(",")[3]
    table.write_text("\n".join([head, first.replace(value, f"{float(value) + 1}"), *rest]) + "\n")
    output = site.run("publish", "--check", folder, code=1)
    assert f"leaderboard.csv, line 2, column fid_mean: {float(value) + 1}, and the trials give {value}" in output
    (folder / "verdicts.csv").unlink()
    assert "verdicts.csv: missing" in site.run("publish", "--check", folder, code=1)


def edited(folder: Path, old: str, new: str) -> None:
    """Replace a text in the published trials."""
    text = gzip.decompress((folder / "trials.jsonl.gz").read_bytes()).decode()
    assert old in text
    (folder / "trials.jsonl.gz").write_bytes(gzip.compress(text.replace(old, new, 1).encode()))


def test_an_edited_trial_is_found(site: Workspace, folder: Path) -> None:
    value = next(row["sharpness"] for row in site.table())
    edited(folder, f'"sharpness":{value}', '"sharpness":0.5')
    output = site.run("publish", "--check", folder, code=1)
    assert "made.json tells of 4 trials, and" in output
    assert "has 3" in output
    (folder / "trials.jsonl.gz").write_bytes(b"no gzip")
    assert "trials.jsonl.gz is damaged" in site.run("publish", "--check", folder, code=1)


def test_trials_of_older_code_are_told_and_still_proved(site: Workspace, folder: Path) -> None:
    code = json.loads((folder / "made.json").read_text())["code"][0]
    text = gzip.decompress((folder / "trials.jsonl.gz").read_bytes()).decode()
    lines = []
    for line in map(json.loads, text.splitlines()):
        line["tags"]["key"], line["tags"]["code"] = line["tags"]["key"][::-1], code[::-1]
        line["tags"] = {name: tag for name, tag in line["tags"].items() if not name.startswith("seal")}
        line["tags"].pop("files")
        lines.append(json.dumps(line))
    (folder / "trials.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    for name in ("trials.csv",):
        rows = (folder / name).read_text()
        for row in site.table():
            rows = rows.replace(row["key"], row["key"][::-1])
        (folder / name).write_text(rows)
    output = site.run("publish", "--check", folder)
    assert "all equal (4 of 4 trials are of older code than this)" in output


def test_published_trials_are_taken_into_a_fresh_store(site: Workspace, folder: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    assert "4 trials taken (gan: 2 and gan + ema: 2)" in site.run("merge", folder, "--results", fresh)
    more = site.suite(seeds=3)
    assert '"total": 6, "done": 4' in site.run("run", more, "--results", fresh, "--json")
    site.run("report", site.suite(), "--results", fresh)
    assert numbers(site.table(results=fresh)) == numbers(site.table())
    pictured = fresh.glob("artifacts/tiny/*/artifacts/samples/real.png")
    assert len(list(pictured)) == 2 + 2  # of one trial per arm, and of those that were trained here
    assert "4 trials there already" in site.run("merge", site.folder / "site", "--results", fresh)


def test_the_index_lists_all_folders(site: Workspace) -> None:
    for name in ("README.md", "index.html"):
        text = (site.folder / "site" / name).read_text()
        assert "Does it work?" in text
        assert "Against gan on" in text
        assert "core-hours" in text
        assert "published/before" in text
        for path in re.findall(r'src="([^"]+)"', text):
            assert (site.folder / "site" / path).is_file()
        links = re.findall(r'href="([^"]+)"', text) + re.findall(r"\]\(([^)]+)\)", text)
        assert links
        assert all((site.folder / "site" / path).exists() for path in links)


def test_what_cannot_be_published_is_refused(site: Workspace, tmp_path: Path) -> None:
    suite, other = site.folder / "tiny.yaml", tmp_path / "published" / "tiny"
    other.mkdir(parents=True)
    (other / "mine.txt").write_text("mine")
    assert "has files that `harness publish` did not write" in site.run("publish", suite, "--out", tmp_path, code=2)
    assert (other / "mine.txt").read_text() == "mine"
    assert "name a suite to publish" in site.run("publish", code=2)
    assert "publishes nothing" in site.run("publish", suite, "--check", tmp_path, code=2)
    assert "there is no folder" in site.run("publish", "--check", tmp_path / "none", code=2)


def test_every_table_of_this_repository_is_proved_or_said_to_be_of_older_code() -> None:
    proofs = [proof.prove(folder) for folder in publishing.folders(ROOT / "results")]
    assert [line for each in proofs for line in each.differences] == []
    assert any(each.tables for each in proofs)
    index = (ROOT / "results" / "README.md").read_text("utf-8")
    assert [each.folder.name for each in proofs if f"](published/{each.folder.name}/" not in index] == []

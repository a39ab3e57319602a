"""`harness merge`: real stores joined into one, then run and reported."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace, numbers

from harness.base import files
from harness.store import sqlite


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory, tiny_store: Workspace) -> Workspace:
    """The tiny store with a third seed."""
    made = tiny_store.copy(tmp_path_factory.mktemp("larger"))
    made.run("run", made.suite(seeds=3))
    return made


@pytest.fixture
def two(tmp_path: Path, tiny_store: Workspace, larger: Workspace) -> tuple[Workspace, Workspace]:
    """The tiny store, which has two seeds of two arms, and the store of another person, who has the third seed too."""
    return tiny_store.copy(tmp_path / "one"), larger.copy(tmp_path / "other")


def values(workspace: Workspace, results: Path) -> dict[tuple[str, str], dict[str, str]]:
    return numbers(workspace.table(results=results))


def test_stores_are_joined_and_a_run_trains_only_the_difference(two: tuple[Workspace, Workspace]) -> None:
    one, other = two
    whole, joined = one.suite(seeds=4), one.folder / "joined"
    words = ("merge", one.results, other.results, "--results", joined)
    output = one.run(*words)
    assert f"{one.results}: 4 trials taken (gan: 2 and gan + ema: 2)" in output
    assert f"{other.results}: 2 trials taken (gan: 1 and gan + ema: 1); 4 trials there already" in output
    assert not (joined / "intake").exists()

    states = {trial["key"]: trial["state"] for trial in one.plan(whole, "--results", str(joined))["trials"]}
    assert sorted(states.values()) == ["done"] * 6 + ["to do"] * 2

    one.run("report", other.folder / "tiny.yaml", "--results", joined)
    assert values(one, joined) == values(other, other.results)
    assert (joined / "tiny" / "leaderboard.csv").read_text() == (other.results / "tiny" / "leaderboard.csv").read_text()

    output = one.run("run", whole, "--results", joined, "--json")
    assert '"total": 8, "done": 6' in output
    assert "gan + ema: 1" not in one.run(*words)  # all are there


def test_files_and_curves_come_along(two: tuple[Workspace, Workspace]) -> None:
    one, _ = two
    joined = one.folder / "joined"
    one.run("merge", one.results, "--results", joined)
    shutil.rmtree(one.results)
    out = one.folder / "drawn"
    assert "images of gan + ema" in one.run("sample", "gan + ema", "--out", out, "--results", joined)
    shown = one.run("show", "gan", "--results", joined)
    assert "final.png" in shown
    assert "altered" not in shown
    assert "edited" not in one.run("report", one.folder / "tiny.yaml", "--results", joined)
    curves = one.table(name="curves", results=joined)
    assert {row["arm"] for row in curves} == {"gan", "gan + ema"}


def test_other_values_of_a_trial_are_told_and_those_that_are_here_stay(two: tuple[Workspace, Workspace]) -> None:
    one, other = two
    before = values(one, one.results)
    key = one.table()[0]["key"]
    with closing(sqlite3.connect(other.results / "mlflow.db")) as store, store:
        [(run,)] = store.execute("SELECT run_uuid FROM tags WHERE key = 'key' AND value = ?", (key,)).fetchall()
        store.execute("UPDATE latest_metrics SET value = 7.5 WHERE key = 'sharpness' AND run_uuid = ?", (run,))
        store.execute("DELETE FROM tags WHERE run_uuid = ? AND key LIKE 'seal%'", (run,))
        store.execute("DELETE FROM tags WHERE run_uuid = ? AND key = 'files'", (run,))
    output = one.run("merge", other.results)
    assert f"1 trial there already, with other values. Those in {one.results} are kept" in output
    assert f"(key {key}): sharpness" in output
    assert "here, 7.5 there" in output
    one.run("report", one.folder / "tiny.yaml")
    assert values(one, one.results) == before


def test_an_altered_trial_is_left(two: tuple[Workspace, Workspace]) -> None:
    one, other = two
    with closing(sqlite3.connect(other.results / "mlflow.db")) as store, store:
        store.execute("UPDATE latest_metrics SET value = 7.5 WHERE key = 'sharpness'")
    joined = one.folder / "joined"
    output = one.run("merge", other.results, "--results", joined)
    assert "0 trials taken" in output
    assert "6 altered" in output


def test_trials_of_an_arm_keep_one_protocol(two: tuple[Workspace, Workspace]) -> None:
    one, other = two
    # As if another device had trained there. The digest of the file is as it would be.
    for path in other.results.glob("artifacts/tiny/*/artifacts/protocol.json"):
        path.write_text(path.read_text().replace('"trained_on": "cpu"', '"trained_on": "cuda"'))
    with closing(sqlite3.connect(other.results / "mlflow.db")) as store, store:
        store.execute("DELETE FROM tags WHERE key LIKE 'seal%' OR key = 'files'")
    output = one.run("merge", other.results)
    assert "0 trials taken; 4 trials there already" in output
    assert "gan: left, because its trials" in output
    assert "trained_on: cpu against cuda" in output
    assert len(one.plan(one.suite(seeds=3))["trials"]) == 6


def looks_of(results: Path) -> list[dict[str, Any]]:
    """The looks at the tiny suite that a results folder knows."""
    content = files.read_sealed(results / "looks" / "tiny.sealed", "")
    assert content is not None
    found: list[dict[str, Any]] = json.loads(content)["looks"]["sharpness"]
    return found


def test_looks_come_along_and_what_they_settled_only_where_there_is_no_other(two: tuple[Workspace, Workspace]) -> None:
    one, other = two
    joined, path = one.folder / "joined", other.results / "looks" / "tiny.sealed"
    kept = json.loads(files.read_sealed(path, "") or b"")
    kept["looks"]["sharpness"][1]["settled"] = [["gan + ema", "gan", "better"]]
    files.write_sealed(path, json.dumps(kept).encode())
    assert [look["seeds"] for look in looks_of(other.results)] == [2, 3]

    one.run("merge", other.results, "--results", joined)
    assert looks_of(joined) == looks_of(other.results)
    one.run("report", other.folder / "tiny.yaml", "--results", joined)
    assert len(looks_of(joined)) == 2  # the same look

    one.run("merge", other.results)
    assert [(look["seeds"], look["settled"]) for look in looks_of(one.results)] == [(2, []), (3, [])]


def test_an_interrupted_merge_goes_on(two: tuple[Workspace, Workspace]) -> None:
    """It is killed while the store is locked: a whole journal waits, which the next merge delivers, of any source."""
    one, other = two
    joined = one.folder / "joined"
    one.run("merge", one.results, "--results", joined)
    with closing(sqlite3.connect(joined / "mlflow.db", isolation_level=None)) as store:
        store.execute("BEGIN IMMEDIATE")
        process = other.start("merge", other.results, "--results", joined)
        # The folder of a whole journal has the trial's key as its name; until then it has another.
        while not list((joined / "intake").glob(f"{'[0-9a-f]' * 16}/records.jsonl")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        store.execute("ROLLBACK")
    one.run("merge", one.results, "--results", joined)
    assert not (joined / "intake").exists()

    def done() -> list[str]:
        trials = one.plan(other.folder / "tiny.yaml", "--results", str(joined))["trials"]
        return [trial["key"] for trial in trials if trial["state"] == "done"]

    assert len(done()) == 5
    one.run("merge", other.results, "--results", joined)
    assert len(done()) == 6
    with closing(sqlite3.connect(joined / "mlflow.db", sqlite.PATIENCE)) as store:
        keys = [key for (key,) in store.execute("SELECT value FROM tags WHERE key = 'key'")]
    assert sorted(keys) == sorted(done())


def test_what_is_no_store_is_refused(tmp_path: Path, tiny_store: Workspace) -> None:
    one = tiny_store.copy(tmp_path / "one")
    assert "cannot be merged into itself" in one.run("merge", one.results, code=2)
    refused = one.run("merge", tmp_path, "--results", tmp_path / "new", code=2)
    assert f"{tmp_path} is no results folder (it has no mlflow.db) and no published folder" in refused

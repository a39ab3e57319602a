"""A run that somebody changed in MLflow is one row, named with what was changed; all else goes on as it was."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from harness_cli import SEARCH, Workspace, numbers
from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from harness.store.runs import Store

EMA = "gan + ema"
ON = " after the run ended: `harness run` trains it again, or restore what was there"

AGAIN = " after the run ended; it is trained again"


def retrained(printed: str) -> list[str]:
    """The lines that say why a trial is trained again."""
    return [line for line in printed.splitlines() if line.endswith(AGAIN)]


@pytest.fixture
def workspace(tiny_store: Workspace, tmp_path: Path) -> Workspace:
    """Its own copy of a store in which four trials are done."""
    return tiny_store.copy(tmp_path / "copy")


@contextlib.contextmanager
def client(workspace: Workspace) -> Any:
    """MLflow's own, as a user's script or its user interface have it."""
    store = Store(workspace.results)
    yield MlflowClient(tracking_uri=store.address)
    SqlAlchemyStore._get_or_create_engine(store.address).dispose()


def sql(workspace: Workspace, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(workspace.results / "mlflow.db")) as file, file:
        assert file.execute(statement, values).rowcount == 1


def states(workspace: Workspace, suite: Path) -> dict[tuple[str, int], tuple[str, str]]:
    return {(t["arm"], t["seed"]): (t["state"], t["reason"]) for t in workspace.plan(suite)["trials"]}


def test_a_changed_tag_is_one_row_and_all_else_goes_on(workspace: Workspace) -> None:
    suite, other = workspace.folder / "tiny.yaml", workspace.suite("other", seeds=1)
    baseline = workspace.folder / "baseline.json"
    workspace.run("check", suite, "--baseline", baseline, "--update")
    before = numbers(workspace.table())
    row = next(row for row in workspace.table() if (row["arm"], row["seed"]) == (EMA, "1"))
    with client(workspace) as mlflow:
        mlflow.set_tag(row["mlflow_run_id"], "seed", "7")
    told = f"altered: tag 'seed' was edited or damaged{ON}"

    assert f"{EMA}, seed 1: {told}" in workspace.run("plan", suite)
    assert states(workspace, suite)[EMA, 1] == ("altered", told.removeprefix("altered: "))
    assert set(states(workspace, other).values()) == {("done", "")}

    printed = workspace.run("report", suite)
    assert f"{EMA}, seed 1: {told}" in printed
    assert "1 trial still to do" in printed
    page = (workspace.results / "tiny" / "report.html").read_text("utf-8")
    assert "tag &#39;seed&#39; was edited or damaged" in page
    rows = numbers(workspace.table())
    assert {place: cells for place, cells in rows.items() if place != (EMA, "1")} == {
        place: cells for place, cells in before.items() if place != (EMA, "1")
    }
    changed = rows[EMA, "1"]
    assert (changed["state"], changed["fid"], changed["key"]) == ("altered", "", row["key"])
    [board] = [line for line in workspace.table(name="leaderboard") if line["arm"] == EMA]
    assert (board["n"], board["failed"]) == ("1", "0")  # in no table, and no failure

    compared = workspace.run("compare", "--suite", suite, EMA, "gan")
    assert f"{EMA}, seed 1 is left out: {told}" in compared
    ids = [line["mlflow_run_id"] for line in workspace.table()]
    sound = [run_id for run_id in ids if run_id != row["mlflow_run_id"]]
    workspace.run("compare", sound[0], sound[1])
    assert told.removeprefix("altered: ") in workspace.run("compare", sound[0], row["mlflow_run_id"], code=2)
    assert "1 changed after they ended" in workspace.run("doctor")

    again = workspace.run("check", suite, "--baseline", baseline)
    assert retrained(again) == [f"{EMA}, seed 1: {told.removesuffix(ON)}{AGAIN}"]
    assert "1 done before" not in again
    assert "3 done before" in again
    workspace.run("report", suite)
    assert numbers(workspace.table()) == before  # trained anew, and the newest good run speaks
    assert "altered" not in workspace.run("plan", suite)


def test_each_way_to_change_a_run_is_named(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    before = numbers(workspace.table())
    runs = {(row["arm"], int(row["seed"])): row["mlflow_run_id"] for row in workspace.table()}
    metric, parameter, key, role = runs
    with client(workspace) as mlflow:
        mlflow.log_metric(runs[metric], "fid", 0.001)
        mlflow.delete_tag(runs[key], "key")
        mlflow.set_tag(runs[role], "role", "mine")
        mlflow.log_metric(runs[parameter], "mine", 1.0)  # which the harness does not read
    assert [state for state, _ in states(workspace, suite).values()].count("altered") == 3
    sql(workspace, "UPDATE params SET value = '21' WHERE key = 'train.steps' AND run_uuid = ?", runs[parameter])
    found = states(workspace, suite)
    assert found == {
        metric: ("altered", f"metric 'fid' was edited or damaged{ON}"),
        parameter: ("altered", f"parameter 'train.steps' was edited or damaged{ON}"),
        key: ("altered", f"tag 'key' was removed{ON}"),
        role: ("altered", f"tag 'role' was edited or damaged{ON}"),
    }
    printed = workspace.run("report", suite)
    assert all(reason in printed for _, reason in found.values())
    assert "4 trials still to do" in printed
    assert sorted(retrained(workspace.run("run", suite))) == sorted(
        f"{arm}, seed {seed}: altered: {reason.removesuffix(ON)}{AGAIN}" for (arm, seed), (_, reason) in found.items()
    )
    assert numbers(workspace.table()) == before
    assert retrained(workspace.run("run", suite)) == []


def test_what_is_put_back_counts_again(workspace: Workspace) -> None:
    suite, [row, *_] = workspace.folder / "tiny.yaml", workspace.table()
    for value in ("interrupted", "no state at all"):
        with client(workspace) as mlflow:
            mlflow.set_tag(row["mlflow_run_id"], "state", value)
        assert ("altered", f"tag 'state' was edited or damaged{ON}") in states(workspace, suite).values()
    with client(workspace) as mlflow:
        mlflow.set_tag(row["mlflow_run_id"], "state", "done")
    assert set(states(workspace, suite).values()) == {("done", "")}


@pytest.mark.slow
def test_a_trial_of_a_search_is_trained_anew_too(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(**SEARCH)
    workspace.run("run", suite)
    before = numbers(workspace.table())
    row = workspace.table()[2]
    with client(workspace) as mlflow:
        mlflow.set_tag(row["mlflow_run_id"], "arm", "mine")
    told = f"{row['arm']}, seed {row['seed']}: altered: tag 'arm' was edited or damaged{ON}"
    assert told in workspace.run("report", suite)
    assert retrained(workspace.run("run", suite)) == [f"{told.removesuffix(ON)}{AGAIN}"]
    assert numbers(workspace.table()) == before
    assert "still to do" not in workspace.run("report", suite)


@pytest.mark.parametrize("name", ["protocol.json", "histograms.json"])
def test_a_damaged_file_is_one_row_too(workspace: Workspace, name: str) -> None:
    suite, before = workspace.folder / "tiny.yaml", numbers(workspace.table())
    row = next(row for row in workspace.table() if (row["arm"], row["seed"]) == (EMA, "1"))
    path = workspace.results / "artifacts" / "tiny" / row["mlflow_run_id"] / "artifacts" / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1", b"2", 1))
    reason = f"file '{name}' was edited or damaged{ON}"
    if name == "protocol.json":
        assert states(workspace, suite)[EMA, 1] == ("altered", reason)
        printed = workspace.run("report", suite)
        assert f"{EMA}, seed 1: altered: {reason}" in printed
        assert "delete" not in printed
        rows = numbers(workspace.table())
        assert (rows[EMA, "1"]["state"], rows[EMA, "1"]["sharpness"]) == ("altered", "")
        assert {place: rows[place] for place in before if place != (EMA, "1")} == {
            place: cells for place, cells in before.items() if place != (EMA, "1")
        }
        floors = path.with_name("floors.json")
        kept = floors.read_bytes()
        floors.write_bytes(kept + b" ")  # two files of one run are one line
        both = f"{reason.removesuffix(ON)}, file 'floors.json' was edited or damaged"
        trained = workspace.copy(workspace.folder.parent / "trained")
        assert retrained(trained.run("run", suite)) == [f"{EMA}, seed 1: altered: {both}{AGAIN}"]
        assert numbers(trained.table()) == before
        floors.write_bytes(kept)
        path.write_bytes(content)  # what is put back counts again
        assert set(states(workspace, suite).values()) == {("done", "")}
    else:
        printed = workspace.run("run", suite)
        assert retrained(printed) == [f"{EMA}, seed 1: altered: {reason.removesuffix(ON)}{AGAIN}"]
        assert "3 done before" in printed
        assert numbers(workspace.table()) == before
        assert path.read_bytes() != content  # the old run is left as it is


def test_a_file_that_is_missing_is_no_change(workspace: Workspace) -> None:
    suite, [row, *_] = workspace.folder / "tiny.yaml", workspace.table()
    (workspace.results / "artifacts" / "tiny" / row["mlflow_run_id"] / "artifacts" / "protocol.json").unlink()
    assert set(states(workspace, suite).values()) == {("done", "")}
    refused = workspace.run("check", suite, "--baseline", workspace.folder / "b.json", "--update", code=2)
    assert "its protocol.json is missing" in refused
    assert "delete" not in refused

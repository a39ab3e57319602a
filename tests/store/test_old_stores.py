"""Stores that another version made: refused with the command that upgrades them, and not touched before."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from harness_cli import Workspace

from harness.base import files
from harness.base.errors import HarnessError
from harness.execution import study
from harness.store import identity, seals, sqlite
from harness.store.runs import Store

STORES = Path(__file__).parent / "stores"


def old(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.partition('-')[0]}.db"
    path.write_bytes(gzip.decompress((STORES / f"{name}.db.gz").read_bytes()))
    return path


def execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def opened(path: Path) -> None:
    """As every command opens it."""
    if path.name == "optuna.db":
        study.storage(path.parent)
    else:
        list(Store(path.parent).runs())


@pytest.mark.parametrize("name", ["mlflow-2.9.2", "optuna-2.10.1"])
def test_an_older_store_is_refused_with_the_command(tmp_path: Path, name: str) -> None:
    path = old(name, tmp_path)
    before = path.read_bytes()
    with pytest.raises(HarnessError, match=r"older version of (mlflow|optuna).*make a copy of it, then run") as caught:
        opened(path)
    assert shlex.quote(sqlite.address(path)) in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["mlflow-2.9.2", "optuna-2.10.1"])
def test_a_store_of_a_later_version_is_refused(tmp_path: Path, name: str) -> None:
    path = old(name, tmp_path)
    execute(path, "UPDATE alembic_version SET version_num = 'of tomorrow'")
    with pytest.raises(HarnessError, match=r"a newer version made it.*pip install --upgrade (mlflow|optuna)"):
        opened(path)


def command(message: str) -> list[str]:
    found = re.search(r"then run `([^`]*)`", message)
    assert found
    program, *words = shlex.split(found[1])
    return [str(Path(sys.executable).parent / program), *words]


def test_the_command_upgrades_optuna_s(tmp_path: Path) -> None:
    path = old("optuna-2.10.1", tmp_path / "mit Blank ü")
    with pytest.raises(HarnessError) as caught:
        opened(path)
    subprocess.run(command(str(caught.value)), check=True, capture_output=True)
    found = optuna.load_study(study_name="tiny/fid", storage=study.storage(path.parent))
    assert [(t.value, t.user_attrs["key"]) for t in found.trials] == [(12.5, "0123456789abcdef")]


@pytest.mark.chaos
def test_the_command_upgrades_mlflow_s(tmp_path: Path) -> None:
    path = old("mlflow-2.9.2", tmp_path / "mit Blank ü")
    with pytest.raises(HarnessError) as caught:
        opened(path)
    subprocess.run(command(str(caught.value)), check=True, capture_output=True)
    [run] = Store(path.parent).runs()
    assert run.data.metrics == {"fid": 12.5}


def test_the_command_line_refuses_before_anything_is_trained(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path, suite = old("mlflow-2.9.2", workspace.results), workspace.suite()
    before = path.read_bytes()
    for words in (["run", suite], ["plan", suite]):
        output = workspace.run(*words, code=2)
        assert "mlflow db upgrade" in output
    assert path.read_bytes() == before
    assert not list(workspace.results.glob("work/*/"))


def stamped(change: Callable[[dict[str, object]], None], folder: Path) -> None:
    path = folder / sqlite.STAMP
    content = files.read_sealed(path, "")
    assert content
    value = json.loads(content)
    change(value)
    files.write_sealed(path, json.dumps(value).encode())


def test_what_the_harness_itself_wrote(tmp_path: Path) -> None:
    study.storage(tmp_path).engine.dispose()  # type: ignore[attr-defined]
    sqlite.stamp(tmp_path)
    # Before there were notes of the format, it was the same.
    note = (tmp_path / sqlite.STAMP).read_bytes()
    (tmp_path / sqlite.STAMP).unlink()
    study.storage(tmp_path)
    (tmp_path / sqlite.STAMP).write_bytes(note)
    # Another library is looked at closely, whatever the note says.
    stamped(lambda value: value.update(optuna=["2.0", "v2.6.0.a"]), tmp_path)
    study.storage(tmp_path)
    stamped(lambda value: value.update(format=sqlite.FORMAT + 1), tmp_path)
    newer = rf"has format {sqlite.FORMAT + 1}, .* knows only {sqlite.FORMAT}:.*newer harness"
    with pytest.raises(HarnessError, match=newer):
        study.storage(tmp_path)


@pytest.mark.slow
def test_a_store_of_an_older_harness_is_gone_on_with(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for name in ("mlflow", "optuna"):
        old(f"{name}-of-harness-3f53e41", workspace.results)

    def runs() -> dict[str, dict[str, object]]:
        found = {run.info.run_id: dataclasses.asdict(run) for run in Store(workspace.results).runs()}  # of trials
        for run in found.values():
            run["info"].pop("artifact_uri")  # the folder's place: it follows the folder
        return found

    before = runs()
    assert len([run for run in before.values() if run["info"]["status"] == "FINISHED"]) == 4  # type: ignore[index]
    workspace.run("run", workspace.suite())
    # Other code trained the four trials in it: they are left as they are, and not taken for those of this code.
    assert [row["state"] for row in workspace.table()] == ["done"] * 4
    after = runs()
    assert len(after) == 8
    assert {name: after[name] for name in before} == before
    assert not {row["mlflow_run_id"] for row in workspace.table()} & before.keys()


def test_an_mlflow_database_that_is_put_in_the_place_of_another_is_looked_at(tmp_path: Path) -> None:
    Store(tmp_path).create()
    sqlite.stamp(tmp_path)
    shutil.copy(old("mlflow-2.9.2", tmp_path / "old"), tmp_path / "mlflow.db")
    with pytest.raises(HarnessError, match="older version of mlflow"):
        opened(tmp_path / "mlflow.db")


def aged(results: Path) -> None:
    """Make the runs of a store what they were before settings and code were kept apart."""
    store = Store(results)
    for run in list(store.runs()):
        tags = dict(run.data.tags)
        for name in (identity.SETTINGS, identity.CODE, identity.PARTS, seals.PARAMETERS_SEAL):
            store.client.delete_tag(run.info.run_id, name)
            del tags[name]
        tags["key"] = "0123456789abcdef"
        tags[seals.SEAL] = "0" * 32
        for name, value in (tags | seals.again(tags, run.data.metrics)).items():
            store.client.set_tag(run.info.run_id, name, value)


def test_a_store_of_an_older_harness_is_brought_up_to_date_after_a_copy(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(seeds=1, matrix={"tricks": [[]]})
    workspace.run("run", suite)
    [row] = workspace.table()
    aged(workspace.results)
    assert "1 run of an older harness is not read: run `harness upgrade`" in workspace.run("report", suite, code=2)
    output = workspace.run("upgrade")
    assert "1 run brought up to date" in output
    copy = workspace.results / "mlflow.db.before-upgrade"
    assert str(copy) in output
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM tags WHERE key = 'settings'").fetchone() == (0,)

    shown = " ".join(workspace.run("report", suite).split())
    assert "1 trial of gan was trained by other code" in shown
    assert "an unknown part of the code changed" in shown
    assert [new["fid"] for new in workspace.table()] == [row["fid"]]
    [change] = re.findall(r"--accept-change (\w{8})`", workspace.run("plan", suite))
    workspace.run("run", suite, "--accept-change", change)
    assert [new["mlflow_run_id"] for new in workspace.table()] == [row["mlflow_run_id"]]
    assert "0 runs brought up to date" in workspace.run("upgrade")


@pytest.mark.slow
def test_a_run_of_other_data_is_not_taken_for_one_of_this(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("run", workspace.suite(seeds=1, matrix={"tricks": [[]]}))
    aged(workspace.results)
    [run] = Store(workspace.results).runs()
    protocol = Path(run.info.artifact_uri.removeprefix("file://")) / "protocol.json"
    protocol.write_text(protocol.read_text().replace('"data_hash": "', '"data_hash": "other'))
    tags = {**run.data.tags, seals.FILES: "{}"}
    for name, value in (tags | seals.again(tags, run.data.metrics)).items():
        Store(workspace.results).client.set_tag(run.info.run_id, name, value)
    output = workspace.run("upgrade")
    assert "0 runs brought up to date" in output
    assert "1 left unchanged" in output
    assert "its data or its judge have changed" in output

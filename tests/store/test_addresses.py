"""Where the stores are said to be: what is refused, and that no password is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness_cli import Workspace
from servers import free_port

from harness.base import interrupts
from harness.base.errors import HarnessError
from harness.store import addresses, claims
from harness.store.studies import Studies

SECRET = "geheim"


@pytest.mark.parametrize(
    "address",
    ["sqlite:///queue.db", "mysql://h/x", "postgresql+asyncpg://h/x", "postgresql://h", "postgresql:///x", "h/x"],
)
def test_only_a_database_of_postgresql_can_be_shared(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STORAGE", address.replace("://h", f"://ada:{SECRET}@h"))
    with pytest.raises(HarnessError, match="is not a PostgreSQL database") as raised:
        Studies(Path("results"))
    assert SECRET not in str(raised.value)


def test_mlflow_and_optuna_need_a_database_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_STORAGE", "postgresql://a@h/one")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg2://b@h:5432/one")
    with pytest.raises(HarnessError, match="name the same database"):
        addresses.storage()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg2://b@h:5432/other")
    assert addresses.storage() == "postgresql://a@h/one"


def test_without_an_address_the_queues_are_in_the_results_folder(tmp_path: Path) -> None:
    studies = Studies(tmp_path)
    assert (studies.file, studies.shared, studies.exists) == (tmp_path / "optuna.db", False, False)
    assert studies.claims(tmp_path).take("a").ours


@pytest.mark.parametrize("text", ["soon", "1", "1e9", "nan"])
def test_a_lease_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_LEASE", text)
    with pytest.raises(HarnessError, match="HARNESS_LEASE is"):
        claims.lease()


def test_the_command_line_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["harness", "run", "--storage", f"postgresql://ada:{SECRET}@h/x", "s.yaml"])
    assert interrupts.command_line() == "harness run --storage postgresql://h/x s.yaml"


def test_a_storage_that_is_away_is_one_message(tmp_path: Path) -> None:
    pytest.importorskip("psycopg2", reason="needs the driver of PostgreSQL: pip install psycopg2-binary")
    workspace = Workspace(tmp_path, {"COLUMNS": "500"})
    address = f"postgresql://ada:{SECRET}@127.0.0.1:{free_port()}/x"
    said = workspace.run("run", workspace.suite(), "--storage", address, code=2)
    assert "cannot be used" in said
    assert "`harness doctor`" in said
    assert SECRET not in said
    assert os.environ.get("HARNESS_STORAGE") is None, "it is told to that process alone"
    for path in workspace.results.rglob("*"):
        assert not (path.is_file() and SECRET.encode() in path.read_bytes()), path


def test_an_address_without_a_driver_means_that_of_the_extra() -> None:
    assert addresses.with_driver("postgresql://a:b@h/x") == "postgresql+psycopg2://a:b@h/x"
    assert addresses.with_driver("postgresql+psycopg://a@h/x") == "postgresql+psycopg://a@h/x"

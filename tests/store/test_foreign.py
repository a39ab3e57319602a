"""Runs of other programs in the same store: no tag of theirs disturbs a command, and nobody deletes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness_cli import Workspace, numbers
from mlflow import MlflowClient

from harness.store import seals
from harness.store.runs import Store

OTHERS: dict[str, dict[str, str]] = {
    "a role": {"role": "trial"},
    "a seal": {"seal": "approved by Ada"},
    "a seal of JSON": {"role": "trial", "seal": '{"tag": 1}'},
    "a seal like an old one": {"seal": "0" * 32},
    "a role and a key": {"role": "trial", "key": "batch 7", "seed": "x", "state": "done"},
    "a role and a token": {"role": "trial", "token": "secret", "settings": "none", "code_accepted": "{"},
    "a suite": {"role": "suite"},
}


@pytest.mark.parametrize("tags", OTHERS.values(), ids=OTHERS.keys())
def test_a_run_of_another_program_is_not_ours(tags: dict[str, str]) -> None:
    assert not seals.ours(tags)


def test_ours_are_known_by_any_of_their_marks(tiny_store: Workspace) -> None:
    run = next(iter(Store(tiny_store.results).runs()))
    for name in ("role", "key", "token", "seal", "arm"):
        assert seals.ours({tag: value for tag, value in run.data.tags.items() if tag != name})
    begun = {"role": "trial", "key": run.data.tags["key"]}  # as older versions began a run
    assert seals.ours(begun)


def test_they_are_passed_over(tiny_store: Workspace, tmp_path: Path) -> None:
    workspace = tiny_store.copy(tmp_path / "copy")
    suite, before = workspace.folder / "tiny.yaml", numbers(workspace.table())
    client = MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}")
    own = client.get_experiment_by_name("tiny").experiment_id
    theirs = {
        client.create_run(experiment, tags=tags).info.run_id: tags
        for experiment in (own, client.create_experiment("another team"))
        for tags in OTHERS.values()
    }
    for run_id in theirs:
        client.set_terminated(run_id)

    assert {trial["state"] for trial in workspace.plan(suite)["trials"]} == {"done"}
    workspace.run("report", suite)
    assert numbers(workspace.table()) == before
    assert "4 done before" in workspace.run("run", suite)
    assert "4 trials, 4 done" in " ".join(workspace.run("doctor").split())
    for run_id, tags in theirs.items():
        run = client.get_run(run_id)
        assert run.info.lifecycle_stage == "active"
        assert {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")} == tags
        assert client.list_artifacts(run_id) == []  # the suite's text went to its own parent

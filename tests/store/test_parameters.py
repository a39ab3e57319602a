"""All settings of a run are stored and sealed, however many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.base.states import State
from harness.store import journal, seals
from harness.store.delivery import Delivery
from harness.store.journal import Journal
from harness.store.runs import Store, standing
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Outcome


@pytest.mark.parametrize("n", [99, 450])
def test_no_setting_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    suite = tmp_path / "tiny.yaml"
    suite.write_text("suite: tiny\ndata: digits\nbase: {model: gan}\nseeds: 1\nevaluate: {metrics: [fid]}\n")
    [trial] = make_plan(read_suite(suite)).trials
    config = {"model": {f"a_setting_with_a_longer_name_{i}": i for i in range(n)}}
    monkeypatch.setattr(type(trial.arm), "config", lambda self: config)
    kept = Journal(tmp_path / "work" / trial.key)
    kept.begin("tiny", trial)
    kept.end(Outcome(State.DONE, "", {"fid": 1.5}, 1.5, 0.25))
    store = Store(tmp_path)
    store.create()
    Delivery(store, tmp_path / "work", print).deliver()
    assert not journal.files(tmp_path / "work")  # MLflow refused nothing

    [run] = store.runs()
    settings = {f"model.a_setting_with_a_longer_name_{i}": str(i) for i in range(n)}
    assert run.data.params == settings | {"seed": "0"}
    assert standing(run) == (State.DONE, "")
    last = f"model.a_setting_with_a_longer_name_{n - 1}"
    changed = seals.changes(run.data.tags, run.data.metrics, run.data.params | {last: "7777"})
    assert changed == [f"parameter '{last}' was edited or damaged"]
    # What others add is not looked at.
    added = run.data.tags | {"seal_parameters_of_mine": "x", "seal_parameters_77": '{"parameter": {"mine": "1"}}'}
    assert seals.changes(added, run.data.metrics, run.data.params | {"mine": "1"}) == []

"""What commands do around training is counted: files read, digests computed, figures drawn, queries made."""

from __future__ import annotations

import functools
import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace
from matplotlib.figure import Figure
from sqlalchemy import Engine, event

from harness.analysis import loading
from harness.cli.commands import main
from harness.judge import catalogue
from harness.store import runs
from harness.store.runs import Store
from harness.suite import fingerprint, read_suite
from harness.suite.plan import make_plan
from harness.zoo.data.points import Mixture

GRID = """\
suite: grid
data: digits
seeds: 10
base: {model: gan}
matrix:
  data: [digits, ring, grid]
  model.generator_rate: RATES
  model.discriminator_rate: RATES
evaluate: {samples: 64, metrics: [precision_recall]}
"""


def harness(*words: str | Path) -> None:
    """A command in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0


@pytest.fixture
def workspace(tiny_store: Workspace, tmp_path: Path) -> Workspace:
    """Its own copy of a store in which four trials are done; a run has seen it here, too."""
    copy = tiny_store.copy(tmp_path / "copy")
    copy.run("run", copy.folder / "tiny.yaml")
    return copy


def test_planning_ten_thousand_trials_reads_each_file_and_computes_each_digest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened, drawn, opens, digest = Counter[str](), Counter[str](), io.open, Mixture.whole_digest

    def counted_open(file: Any, *words: Any, **more: Any) -> Any:
        opened[str(file)] += 1
        return opens(file, *words, **more)

    def counted_digest(self: Mixture) -> str:
        drawn[self.name] += 1
        return digest(self)

    suite = tmp_path / "grid.yaml"
    suite.write_text(GRID.replace("RATES", json.dumps([0.0001 + 0.000001 * n for n in range(18)])), encoding="utf-8")
    catalogue.digest.cache_clear()
    for each in vars(fingerprint).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()
    monkeypatch.setattr(io, "open", counted_open)
    monkeypatch.setattr(Mixture, "whole_digest", counted_digest)
    harness("plan", suite, "--results", tmp_path / "nothing")
    monkeypatch.undo()

    assert "9720 trials: 9720 to do" in capsys.readouterr().out
    assert drawn == {"ring": 1, "grid": 1}
    assert sum(path.endswith(".safetensors") for path in opened) == 3
    assert sum(path.endswith(".py") for path in opened) > 30
    assert {path: times for path, times in opened.items() if times > 1} == {}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The format of each file that matplotlib draws."""
    found: list[str] = []
    save = Figure.savefig

    def counted(self: Figure, *words: Any, **more: Any) -> None:
        found.append(more["format"])
        save(self, *words, **more)

    monkeypatch.setattr(Figure, "savefig", counted)
    return found


def test_a_report_of_unchanged_data_draws_nothing(workspace: Workspace, drawn: list[str]) -> None:
    suite, results = workspace.folder / "tiny.yaml", workspace.results
    figures = results / "tiny" / "figures"
    before = contents(figures)
    report = functools.partial(harness, "report", suite, "--results", results)
    report()
    page = (results / "tiny" / "report.html").read_bytes()
    report()
    assert drawn == []
    assert (results / "tiny" / "report.html").read_bytes() == page
    assert contents(figures) == before
    # Half of a figure that was drawn is gone, or is another: that figure alone is drawn again, and is as it was.
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"another")):
        spoil(figures / "forest.png")
        report()
        assert sorted(drawn) == ["png", "svg"]
        assert contents(figures) == before
        drawn.clear()


def test_figures_of_other_data_are_drawn_again(workspace: Workspace, drawn: list[str]) -> None:
    before = contents(workspace.results / "tiny" / "figures")
    harness("report", workspace.folder / "tiny.yaml", "--results", workspace.results, "--set", "seeds=1")
    after = contents(workspace.results / "tiny" / "figures")
    new = {name for name in after if before.get(name) != after[name] and not name.startswith(".")}
    assert new
    assert len(drawn) >= len(new)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_of_a_finished_suite_opens_no_database_and_trains_nothing(workspace: Workspace) -> None:
    script = "import sys; from harness.cli.commands import main\ntry: main()\nfinally: print(sorted(sys.modules))"
    command = [sys.executable, "-c", script, "run", workspace.folder / "tiny.yaml", "--results", workspace.results]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "4 trials, 4 done before" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].replace("'", "").strip("[]").split(", "))
    assert "pandas" in loaded
    assert loaded & {"torch", "mlflow", "optuna", "sqlalchemy", "matplotlib.figure"} == set()


def test_what_is_not_finished_is_run(workspace: Workspace) -> None:
    suite = workspace.folder / "tiny.yaml"
    place = Store(workspace.results).place(Store(workspace.results).runs()[0])
    assert place is not None
    (place / "protocol.json").write_text("{}", encoding="utf-8")  # which changes no database
    assert "3 done before" in workspace.run("run", suite)
    assert "4 done before" in workspace.run("run", suite)
    assert "6 trials, 4 done before" in workspace.run("run", workspace.suite(seeds=3))


@pytest.fixture
def queries() -> Iterator[list[str]]:
    """The statements that reach a database."""
    found: list[str] = []

    def note(_: Any, __: Any, statement: str, *more: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def test_results_are_read_by_as_many_queries_whatever_the_number_of_trials(
    workspace: Workspace, queries: list[str]
) -> None:
    def asked(seeds: int) -> int:
        for kept in (workspace.results / "cache").glob("mlflow.db.*"):
            kept.unlink()
        runs._last.clear()
        queries.clear()
        plan = make_plan(read_suite(workspace.folder / "tiny.yaml", (f"seeds={seeds}",)))
        assert len(loading.load(plan, workspace.results).records) == 2 * seeds
        return len(queries)

    asked(1)  # opens the database
    assert 0 < asked(1) == asked(2)
    queries.clear()
    loading.load(make_plan(read_suite(workspace.folder / "tiny.yaml")), workspace.results)
    assert queries == []  # they are known

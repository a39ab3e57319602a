"""The states of a trial are spelled in one module, and the documentation says of each what the code does."""

from __future__ import annotations

import ast
import json
import pickle
from pathlib import Path

import pytest

from harness.base import states
from harness.base.states import State
from harness.trial.task import Outcome

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "harness"
TABLES = {
    "analysis/across.py",
    "analysis/results.py",
    "analysis/expectations.py",
    "report/board.py",
    "report/page.py",
    "report/tables.py",
    "report/terminal.py",
}
"""Where "failed" is the name of a column: how many trials of an arm gave no value."""


def spelled(source: str) -> list[tuple[int, str, bool]]:
    """Each state that a module spells: the line, the word, and whether it may be the name of a column."""
    found = []

    def visit(node: ast.AST, compared: bool, column: bool) -> None:
        if isinstance(node, ast.Constant) and node.value in set(State):
            found.append((node.lineno, str(node.value), column and not compared))
        for child in ast.iter_child_nodes(node):
            holds = isinstance(node, ast.Subscript | ast.Dict | ast.List | ast.Tuple)
            visit(child, compared or isinstance(node, ast.Compare), holds)

    visit(ast.parse(source), False, False)
    return found


@pytest.mark.parametrize("path", [str(p.relative_to(PACKAGE)) for p in sorted(PACKAGE.rglob("*.py"))])
def test_no_other_module_spells_a_state(path: str) -> None:
    if PACKAGE / path == Path(states.__file__):
        return
    found = spelled((PACKAGE / path).read_text(encoding="utf-8"))
    assert not [(n, word) for n, word, column in found if not (column and word == "failed" and path in TABLES)]


def test_every_way_to_spell_one_is_seen() -> None:
    assert spelled('x == "done"') == [(1, "done", False)]
    assert spelled('x in ("failed", "pruned")') == [(1, "failed", False), (1, "pruned", False)]
    assert spelled('Outcome("failed")') == [(1, "failed", False)]
    assert spelled('row["failed"]') == [(1, "failed", True)]
    assert {word for _, word, _ in spelled(Path(states.__file__).read_text(encoding="utf-8"))} == set(State)


def test_the_documentation_says_of_each_what_the_code_does() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## States")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert rows[2:] == [[state, state.meaning, "yes" if state.own else "no", state.next_run] for state in State]


def test_what_is_settled_is_an_outcome_and_not_tried_again() -> None:
    settled = {state for state in State if state.settled}
    assert settled == {State.DONE, State.DIVERGED} == {state for state in State if state.next_run.startswith("no")}
    assert {state for state in State if state.own} == settled | {State.PRUNED}


def test_files_and_pipes_hold_the_value() -> None:
    for state in State:
        assert json.dumps(state) == f'"{state}"'
        assert pickle.loads(pickle.dumps(Outcome(state))).state is state
        assert Outcome(json.loads(json.dumps(state))).state is state

"""`benchmarks/chaos.py`: a session counts as passed only where tests did pass, and says what was skipped."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

CASES = {
    "passed": '<testcase classname="a" name="b"/>',
    "failed": '<testcase classname="a" name="c"><failure message="no">x</failure></testcase>',
    "skipped": '<testcase classname="a" name="d"><skipped message="needs mount">x</skipped></testcase>',
    "late": '<testcase classname="a" name="e"><skipped message="the time is over">x</skipped></testcase>',
}


@pytest.fixture(scope="module")
def session() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "chaos.py"
    spec = importlib.util.spec_from_file_location("chaos_session", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["chaos_session"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("rounds", "went_wrong"),
    [
        ([(0, ["passed"])], []),
        ([(0, ["passed", "skipped"]), (0, ["late"])], []),
        ([(1, ["passed", "failed"])], ["seed 3: a.c"]),
        ([(1, ["passed"])], ["seed 3: pytest ended with exit code 1"]),
        ([(2, ["passed"])], ["seed 3: pytest ended with exit code 2"]),
        ([(3, ["passed"])], ["seed 3: pytest ended with exit code 3"]),
        ([(4, None)], ["seed 3: pytest ended with exit code 4", "seed 3: no test passed"]),
        ([(5, [])], ["seed 3: pytest ended with exit code 5", "seed 3: no test passed"]),
        ([(0, ["passed"]), (0, ["skipped"])], ["seed 4: no test passed"]),
        ([(0, ["late"])], ["no test passed"]),
    ],
)
def test_a_session(
    session: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rounds: list[tuple[int, list[str] | None]],
    went_wrong: list[str],
) -> None:
    left = iter(rounds)

    def pytest_run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        code, cases = next(left)
        if cases is not None:
            body = "".join(CASES[case] for case in cases)
            (tmp_path / "round.xml").write_text(f"<testsuites><testsuite>{body}</testsuite></testsuites>")
        return subprocess.CompletedProcess(command, code)

    # A round takes a minute.
    clock = iter(range(0, 6000, 60))
    monkeypatch.setattr(
        sys, "argv", ["chaos", "--minutes", str(len(rounds) + 0.5), "--seed", "3", "--folder", str(tmp_path)]
    )
    monkeypatch.setattr(session, "time", mock.Mock(time=lambda: next(clock), monotonic=lambda: 0.0))
    monkeypatch.setattr(session, "subprocess", mock.Mock(run=pytest_run))
    assert session.main() == (1 if went_wrong else 0)
    text = (tmp_path / "summary.md").read_text()
    assert [line[2:] for line in text.partition("Went wrong:")[2].splitlines() if line] == went_wrong
    kinds = [case for _, cases in rounds for case in cases or ()]
    assert ("- a.d: needs mount (1 ×)" in text) == ("skipped" in kinds)
    assert f"{kinds.count('passed')} tests passed" in text

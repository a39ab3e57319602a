"""Runs the tests marked `chaos` repeatedly, with a new seed each round, until the time is over.

    python benchmarks/chaos.py [--minutes 30] [--seed 0] [--processes 2] [--folder results/chaos] [PYTEST-ARGUMENT ...]

Prints a summary and writes it to summary.md in the folder: which faults were tried and how often, which tests were
skipped, and which failed. Exit code 1 if a test failed or none passed. `nox -s chaos` calls it. One round:
`pytest -m chaos --chaos-seed N`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIME_IS_OVER = "the time is over"
"""The reason of `tests/conftest.py` for skipping the remaining tests."""


@dataclass(frozen=True)
class Case:
    """The result of a test: passed, failed, or skipped with a reason."""

    test: str
    outcome: str
    reason: str = ""


def main() -> int:
    """Run the rounds and write the summary. Returns: the exit code."""
    parser = argparse.ArgumentParser(description="Run fault tests for a number of minutes.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first round; each later round adds 1")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "chaos")
    options, pytest_arguments = parser.parse_known_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "tried.jsonl"
    record.unlink(missing_ok=True)
    started, until = time.monotonic(), time.time() + 60 * options.minutes
    files = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.chaos" in path.read_text("utf-8")]
    seed, cases, failures = options.seed, list[Case](), list[str]()
    while time.time() < until:
        xml = folder / "round.xml"
        xml.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-m", "chaos", "-n", str(options.processes), "--dist", "load"]
        command += [f"--chaos-seed={seed}", f"--chaos-record={record}", f"--chaos-until={until}", f"--junitxml={xml}"]
        code = subprocess.run([*command, *files, *pytest_arguments], cwd=ROOT, check=False).returncode
        found = list(read(xml)) if xml.is_file() else []
        cases += found
        failures += [f"seed {seed}: {problem}" for problem in problems(code, found)]
        seed += 1
        if code not in (0, 1):
            break
    if not failures and not any(case.outcome == "passed" for case in cases):
        failures.append("no test passed")
    text = summary(record, options.seed, seed - 1, time.monotonic() - started, cases, failures)
    (folder / "summary.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\n(written to {folder / 'summary.md'})")
    return 1 if failures else 0


def read(xml: Path) -> Iterator[Case]:
    """The result of each test of a round."""
    for case in ElementTree.parse(xml).iter("testcase"):
        kinds = {child.tag: child.get("message", "") for child in case}
        outcome = "failed" if kinds.keys() & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        yield Case(f"{case.get('classname')}.{case.get('name')}", outcome, kinds.get("skipped", ""))


def problems(code: int, cases: list[Case]) -> list[str]:
    """The failures of a round. pytest's exit code must be 0 (all tests passed) or 1 (some failed)."""
    failed = [case.test for case in cases if case.outcome == "failed"]
    if code not in (0, 1) or (code == 1 and not failed):
        failed.append(f"pytest ended with exit code {code}")
    if not any(case.outcome == "passed" or case.reason == TIME_IS_OVER for case in cases):
        failed.append("no test passed")
    return failed


def summary(record: Path, first: int, last: int, seconds: float, cases: list[Case], failures: list[str]) -> str:
    """The summary as Markdown: faults tried by kind and detail, tests skipped, and failures."""
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    counts: dict[str, Counter[str]] = {}
    for entry in map(json.loads, lines):
        counts.setdefault(entry["what"], Counter())[entry["detail"]] += entry["n"]
    outcomes = Counter(case.outcome for case in cases)
    text = f"# Chaos: {seconds / 60:.0f} min, seeds {first} to {last}\n\n"
    text += f"{outcomes['passed']} tests passed, {outcomes['failed']} failed, {outcomes['skipped']} skipped\n\n"
    text += "| what | tried | of which |\n|---|---|---|\n"
    for what, details in sorted(counts.items()):
        parts = ", ".join(f"{name} {n}" for name, n in sorted(details.items()) if name)
        text += f"| {what} | {details.total()} | {parts} |\n"
    skipped = Counter(f"- {case.test}: {case.reason}" for case in cases if case.outcome == "skipped")
    if skipped:
        text += "\nSkipped:\n\n" + "".join(f"{line} ({n} ×)\n" for line, n in sorted(skipped.items()))
    lost = "\n".join(f"- {failure}" for failure in failures)
    return text + (f"\nWent wrong:\n\n{lost}\n" if failures else "\nLost: nothing.\n")


if __name__ == "__main__":
    sys.exit(main())

"""Runs the tests marked `chaos` again and again, with a new seed each round, until the time is over.

    python benchmarks/chaos.py [--minutes 30] [--seed 0] [--processes 2] [--folder results/chaos] [PYTEST-ARGUMENT ...]

Prints, and writes to summary.md in the folder, what was tried, how often, and what went wrong. Exit code 1 where
something did. `nox -s chaos` calls it. One round alone: `pytest -m chaos --chaos-seed N`.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NONE_COLLECTED = 5


def main() -> int:
    """Run the rounds, and say what came of them."""
    parser = argparse.ArgumentParser(description="Fault tests for a number of minutes.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the next ones count on")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "chaos")
    options, pytest_arguments = parser.parse_known_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "tried.jsonl"
    record.unlink(missing_ok=True)
    started, until = time.monotonic(), time.time() + 60 * options.minutes
    files = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.chaos" in path.read_text("utf-8")]
    seed, passed, failures = options.seed, 0, list[str]()
    while time.time() < until:
        xml = folder / "round.xml"
        xml.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-m", "chaos", "-n", str(options.processes), "--dist", "load"]
        command += [f"--chaos-seed={seed}", f"--chaos-record={record}", f"--chaos-until={until}", f"--junitxml={xml}"]
        code = subprocess.run([*command, *files, *pytest_arguments], cwd=ROOT, check=False).returncode
        if code == NONE_COLLECTED or not xml.is_file():
            failures.append(f"seed {seed}: pytest ended with exit code {code} and ran no test")
            break
        outcomes = list(results(xml))
        passed += sum(outcome == "passed" for _, outcome in outcomes)
        failures += [f"seed {seed}: {test}" for test, outcome in outcomes if outcome == "failed"]
        seed += 1
    text = summary(record, options.seed, seed - 1, time.monotonic() - started, passed, failures)
    (folder / "summary.md").write_text(text, encoding="utf-8")
    print(f"\n{text}\n(written to {folder / 'summary.md'})")
    return 1 if failures else 0


def results(xml: Path) -> Iterator[tuple[str, str]]:
    """(test, passed/failed/skipped) of a round."""
    for case in ElementTree.parse(xml).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        yield f"{case.get('classname')}.{case.get('name')}", outcome


def summary(record: Path, first: int, last: int, seconds: float, passed: int, failures: list[str]) -> str:
    """What was tried, by kind and detail, and what was lost, as Markdown."""
    lines = record.read_text(encoding="utf-8").splitlines() if record.is_file() else []
    counts: dict[str, Counter[str]] = {}
    for entry in map(json.loads, lines):
        counts.setdefault(entry["what"], Counter())[entry["detail"]] += entry["n"]
    text = (
        f"# Chaos: {seconds / 60:.0f} min, seeds {first} to {last}, {passed} tests passed, {len(failures)} failed\n\n"
    )
    text += "| what | tried | of which |\n|---|---|---|\n"
    for what, details in sorted(counts.items()):
        parts = ", ".join(f"{name} {n}" for name, n in sorted(details.items()) if name)
        text += f"| {what} | {details.total()} | {parts} |\n"
    lost = "\n".join(f"- {failure}" for failure in failures)
    return text + (f"\nWent wrong:\n\n{lost}\n" if failures else "\nLost: nothing.\n")


if __name__ == "__main__":
    sys.exit(main())

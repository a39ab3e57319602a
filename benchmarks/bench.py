"""Measures the rows of every bench_*.py in pairs, alternating, in processor time, and writes a table and a page.

    python benchmarks/bench.py [--rows WORD ...] [--pairs 5] [--minutes 60] [--out results/benchmarks]
                               [--against COMMIT] [--docs docs/speed.md]

Rows that are not measured now keep what the table says of them. A pair is one measurement of each side, and every
second pair begins with the other side, so that a machine whose speed drifts treats both alike.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import importlib
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from bench_kit import AGAINST, ROOT, Row

from harness.base.version import commit
from harness.trial.device import cpu_facts

FIELDS = (
    "row",
    "what",
    "unit",
    "wanted",
    "median",
    "lowest",
    "highest",
    "met",
    "pairs",
    "ours",
    "other",
    "commit",
    "date",
)
"""The columns of the table; ``ours`` and ``other`` are medians of the two sides."""
BEGIN, END = "<!-- measured: written by benchmarks/bench.py -->", "<!-- end of what was measured -->"
"""The marks in a page between which the table is put."""
Entry = dict[str, str]


def rows() -> list[Row]:
    """The rows of all files of rows."""
    modules = [importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("bench_*.py"))]
    return [row for module in modules for row in getattr(module, "ROWS", ())]


def measured(row: Row, pairs: int) -> Entry:
    """Measure a row."""
    ours, others, values = list[float](), list[float](), list[float]()
    for number in range(pairs):
        sides = [(row.ours, ours), *([(row.other, others)] if row.other else [])]
        for measure, found in sides if number % 2 == 0 else reversed(sides):
            found.append(measure())
        values.append(others[-1] / ours[-1] if row.ratio else ours[-1])
        print(f"{row.name}, pair {number + 1}: {values[-1]:.3g} {row.unit}", flush=True)
    median = statistics.median(values)
    numbers = {"wanted": row.wanted, "median": median, "lowest": min(values), "highest": max(values)}
    numbers["ours"] = statistics.median(ours)
    sides_other = {"other": f"{statistics.median(others):.4g}" if others else ""}
    told = {"row": row.name, "what": row.what, "unit": row.unit, "met": "yes" if row.met(median) else "no"}
    made = {"pairs": str(pairs), "commit": commit(), "date": datetime.date.today().isoformat()}
    return told | {name: f"{value:.4g}" for name, value in numbers.items()} | sides_other | made


def machine() -> str:
    """This machine, in words."""
    name = cpu_facts().get("model name", "unknown processor")
    return f"{name}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"


def slug(text: str) -> str:
    """A text as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def table(entries: Sequence[Entry]) -> str:
    """The entries as a table of a page."""
    head = "| what | wanted | median | range | of | this | other | commit |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for one in entries:
        sign = "≥" if one["unit"] in ("×", "trials a minute") else "≤"
        shown = f"**{one['median']}**" if one["met"] == "yes" else one["median"]
        lines.append(
            f"| {one['what']} | {sign} {one['wanted']} {one['unit']} | {shown} | {one['lowest']} … {one['highest']} | "
            f"{one['pairs']} | {one['ours']} | {one['other'] or '–'} | {one['commit'][:10]} |"
        )
    return "\n".join(lines)


def publish(entry: Entry, out: Path, docs: Path | None) -> Path:
    """Put a row into the table, as CSV and as a page, and put that into a page of the documentation.

    Every row is published when it is measured: what ends the program loses no other.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{slug(machine().partition(', torch')[0])}.csv"
    known = {one["row"]: one for one in csv.DictReader(path.open(encoding="utf-8"))} if path.exists() else {}
    known[entry["row"]] = entry
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(known.values())
    dates = sorted({one["date"] for one in known.values()})
    note = "Bold: as wanted. Ratios are other / this, in processor time if nothing else is said."
    head = f"{machine()}; measured on {', '.join(dates)}. {note}"
    text = f"{head}\n\n{table(list(known.values()))}\n"
    path.with_suffix(".md").write_text(f"# Benchmarks\n\n{text}", encoding="utf-8")
    if docs is not None:
        before, _, rest = docs.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        docs.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")
    return path


@contextlib.contextmanager
def checkout(name: str | None) -> Iterator[None]:
    """The files of a commit in a temporary folder, which the variable names."""
    if name is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        packed = subprocess.run(["git", "archive", name], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
        os.environ[AGAINST] = folder
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", metavar="WORD", help="only rows with one of these in their name")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of measurements of a row")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no further row after that")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks", help="the folder of the table")
    parser.add_argument("--against", metavar="COMMIT", help="the commit that some rows are compared with")
    parser.add_argument("--docs", type=Path, help="a page with the marks between which the table is put")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    until, path = time.monotonic() + 60 * chosen.minutes, None
    with checkout(chosen.against):
        for row in rows():
            if chosen.rows and not any(word in row.name for word in chosen.rows):
                continue
            if row.ratio and row.other is None:
                print(f"{row.name}: nothing to compare with (--against COMMIT)")
            elif time.monotonic() > until:
                print(f"{row.name}: no time left")
            else:
                path = publish(measured(row, chosen.pairs), chosen.out, chosen.docs)
    print(path or sys.exit("no row was measured"))


if __name__ == "__main__":
    main()

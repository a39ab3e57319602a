"""What ``benchmarks/gpu.py`` writes: the page, the table of measurements, the failures in full.

The parent process imports this, so it needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from gpu_parts import Course, Result, plain

SHOWN = 240
"""Characters of a message on the page; failures.txt has the whole."""
MOST = 40
"""Names in a list."""


def write_all(folder: Path, courses: list[Course], facts: dict[str, Any]) -> None:
    """Write every file anew. Each is whole at any moment, whenever the process is killed."""
    _write(folder / "gpu.json", json.dumps(plain(courses, facts), indent=1, ensure_ascii=False) + "\n")
    _write(folder / "gpu.csv", table(courses))
    _write(folder / "failures.txt", failures(courses))
    _write(folder / "gpu.md", page(courses, facts))


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def table(courses: list[Course]) -> str:
    """Every measured number, a row each, as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["part", "item", "quantity", "value", "unit"])
    for course in courses:
        for item, result in course.results.items():
            writer.writerows([course.part.name, item, *row] for row in result.rows)
    return file.getvalue()


def failures(courses: list[Course]) -> str:
    """Every failure with its traceback."""
    found = [
        f"{course.part.name}: {item}\n{result.message}\n\n{result.trace}".rstrip() + "\n"
        for course in courses
        for item, result in course.results.items()
        if result.state == "failed"
    ]
    return f"\n{'-' * 100}\n".join(found) or "No check and no measurement failed.\n"


def page(courses: list[Course], facts: dict[str, Any]) -> str:
    """The page, as Markdown."""
    lasted = f"{facts['seconds']:.0f} s of {60 * facts['minutes']:.0f}"
    over = "." if facts["over"] else " so far: the run is not over."
    blocks = [[f"# {facts['device']}: checks and measurements"]]
    blocks += [[f"`{facts['command']}`, commit {facts['commit']}, {facts['began']}, {lasted}{over}"]]
    blocks += [[facts["note"]], _summary(courses), *_failed(courses)]
    for course in courses:
        if course.begun:
            blocks += [[f"## {course.part.title}"]]
            blocks += _measured(course) if course.part.kind == "measurement" else _checked(course)
    return "\n\n".join("\n".join(lines) for lines in blocks if any(lines)) + "\n"


def _summary(courses: list[Course]) -> list[str]:
    head = ["part", "seconds allowed", "taken", "passed", "failed", "skipped", "cut off", "not reached"]
    rows = []
    for course in courses:
        allowed = f"{course.allowed:.0f}" if course.allowed else "what is left"
        counts = [course.count(state) or "" for state in ("passed", "failed", "skipped", "cut off")]
        missing = (len(course.not_reached) or "") if course.items else "all"
        rows.append([course.part.name, allowed, f"{course.took:.0f}", *counts, missing])
    return _rows(head, rows)


def _failed(courses: list[Course]) -> list[list[str]]:
    """The failures of all parts."""
    found = [
        [course.part.name, item, result.message]
        for course in courses
        for item, result in course.results.items()
        if result.state == "failed"
    ]
    if not found:
        return [["Nothing that was tried failed."]]
    return [["## Failures"], ["failures.txt has them in full."], _rows(["part", "item", "message"], found)]


def _checked(course: Course) -> list[list[str]]:
    """The items of a check by what became of them."""
    numbered = {item: result for item, result in course.results.items() if result.rows}
    remarks = {item: result.message for item, result in course.results.items() if _remarked(result)}
    told = numbered.keys() | remarks.keys()
    silent = [item for item, result in course.results.items() if result.state == "passed" and item not in told]
    passed = [f"Passed ({len(silent)}): {'; '.join(silent)}."] if silent else []
    return [_numbers(numbered), _remarks(remarks), passed, *_left(course)]


def _measured(course: Course) -> list[list[str]]:
    """The numbers of a measurement, a line an item."""
    numbered = {item: result for item, result in course.results.items() if result.rows}
    remarks = {item: result.message for item, result in course.results.items() if _remarked(result)}
    return [_numbers(numbered), _remarks(remarks), *_left(course)]


def _remarked(result: Result) -> bool:
    return bool(result.message) and result.state in ("passed", "cut off")


def _remarks(remarks: dict[str, str]) -> list[str]:
    return [f"- {item}: {_cell(message)}" for item, message in remarks.items()]


def _left(course: Course) -> list[list[str]]:
    """What was skipped, by reason, and what was not reached."""
    reasons: dict[str, list[str]] = {}
    for item, result in course.results.items():
        if result.state == "skipped":
            reasons.setdefault(result.message, []).append(item)
    lines = [[f"Skipped ({len(items)}), {_cell(reason)}: {_several(items)}."] for reason, items in reasons.items()]
    missing = course.not_reached
    return lines + ([[f"Not reached ({len(missing)}): {_several(missing)}."]] if missing else [])


def _several(items: list[str]) -> str:
    more = f" and {len(items) - MOST} more (gpu.json has them)" if len(items) > MOST else ""
    return "; ".join(items[:MOST]) + more


def _numbers(results: dict[str, Result]) -> list[str]:
    """A table of items and what was measured of them."""
    if not results:
        return []
    columns = list(dict.fromkeys((quantity, unit) for result in results.values() for quantity, _, unit in result.rows))
    if len(columns) > 8:  # every item has its own quantities
        rows = [[item, q, _digits(v), unit] for item, result in results.items() for q, v, unit in result.rows]
        return _rows(["item", "quantity", "value", "unit"], rows)
    head = ["item", *(f"{quantity}, {unit}" if unit else quantity for quantity, unit in columns)]
    rows = []
    for item, result in results.items():
        found = {(quantity, unit): _digits(value) for quantity, value, unit in result.rows}
        rows.append([item, *(found.get(column, "") for column in columns)])
    return _rows(head, rows)


def _digits(value: float) -> str:
    """Three digits that count, and no more, without an exponent."""
    if value == 0 or not abs(value) < float("inf"):
        return f"{value:g}"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def _rows(head: list[str], rows: list[list[Any]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return lines + [f"| {' | '.join(_cell(str(cell)) for cell in row)} |" for row in rows]


def _cell(text: str) -> str:
    """A message on one line, short, that breaks no table."""
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def device_of(courses: list[Course]) -> str:
    """The name of the device, once the part "machine" has said it, else nothing."""
    for course in courses:
        with contextlib.suppress(KeyError):
            result = course.results["device"]
            return result.message.partition(",")[0] if result.state == "passed" else ""
    return ""

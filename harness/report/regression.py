"""The result of a regression check on the console, in Markdown and as JUnit XML; and the update of a baseline."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from harness.base.errors import HarnessError
from harness.base.messages import visible

if TYPE_CHECKING:
    from rich.console import Console

from harness.analysis.regression import FAILURES, RED, RELEVANT, Baseline, Check, Distribution, read, write


def differences(old: Baseline, new: Baseline) -> list[tuple[str, str, str, str]]:
    """Arm, column, old and new "mean ± sd" of each difference between two baselines; "–" if one lacks it."""
    found = []
    for arm in dict.fromkeys([*old.arms, *new.arms]):
        one, other = ({} if arm not in b.arms else b.arms[arm].columns for b in (old, new))
        for column in dict.fromkeys([*one, *other]):
            was, now = one.get(column), other.get(column)
            if was != now:
                found.append((arm, column, _described(was), _described(now)))
        failed = [str(len(b.arms[arm].failures)) if arm in b.arms else "–" for b in (old, new)]
        if failed[0] != failed[1]:
            found.append((arm, FAILURES, failed[0], failed[1]))
    return found


def _described(found: Distribution | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:.4g}" + (f" ± {found.sd:.2g}" if found.sd is not None else "") + f" (n={found.n})"


HEADER = ("arm", "column", "baseline", "now", "p (Holm)", "smallest loss found", "outcome")


def rows(found: Check) -> list[tuple[str, ...]]:
    """A check as the rows of a table, under ``HEADER``."""
    return [
        (
            cell.arm,
            cell.column,
            f"{cell.before:.4g}",
            _number(cell.now, ".4g"),
            _number(cell.p, ".2g"),
            _number(cell.detectable, ".2g"),
            cell.state + (f" ({cell.note})" if cell.note else ""),
        )
        for cell in found.cells
    ]


def _number(value: float, form: str) -> str:
    return "–" if np.isnan(value) else format(value, form)


def markdown(found: Check) -> str:
    """A check as a Markdown page."""
    lines = [f"# {found.sentence}", "", _method(found.alpha), ""]
    lines += [_line(HEADER), _line(["---"] * len(HEADER))]
    return "\n".join([*lines, *map(_line, rows(found))]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def _method(alpha: float) -> str:
    return (
        f"One-sided Welch t tests and Fisher's exact test, Holm-corrected: at most {alpha:.2g} of checks are a false "
        f"alarm. Too noisy to tell: the smallest loss that the test finds in 80 % of cases exceeds {RELEVANT:.0%} of "
        "the baseline's mean."
    )


def junit(found: Check) -> bytes:
    """A check as JUnit XML: one test case per arm and column."""
    root = ElementTree.Element("testsuite", name=_plain(found.suite), tests=str(len(found.cells)))
    root.attrib |= {"failures": str(len(found.red)), "errors": "0"}
    root.set("skipped", str(sum(cell.state == "too noisy to tell" for cell in found.cells)))
    for cell, row in zip(found.cells, rows(found), strict=True):
        case = ElementTree.SubElement(root, "testcase", classname=_plain(f"{found.suite}.{cell.arm}"), name=cell.column)
        text = _plain("; ".join(f"{name} {value}" for name, value in zip(HEADER[2:], row[2:], strict=True)))
        if cell.state in RED:
            ElementTree.SubElement(case, "failure", message=text)
        elif cell.state == "too noisy to tell":
            ElementTree.SubElement(case, "skipped", message=text)
        elif cell.note:
            ElementTree.SubElement(case, "system-out").text = text
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _plain(text: str) -> str:
    """The text with a blank for each character that XML does not allow."""
    return "".join(c if c >= " " and c not in "\ufffe\uffff" else " " for c in text)


def show(found: Check, console: Console) -> None:
    """Print the result of a check."""
    _table(console, HEADER, rows(found))
    console.print(f"{_method(found.alpha)}\n{visible(found.sentence)}", markup=False, soft_wrap=True)


def forget(*files: Path | None) -> None:
    """Remove the files of an earlier check: if this check ends in an error, CI must not read an old green result.

    Raises:
        HarnessError: a file cannot be removed.
    """
    for path in filter(None, files):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise HarnessError(f"{path} cannot be written ({error})") from error


def save(found: Check, junit_path: Path | None, markdown_path: Path | None) -> None:
    """Write the JUnit and Markdown files whose paths are given.

    Raises:
        HarnessError: a file cannot be written.
    """
    for path, content in ((junit_path, junit(found)), (markdown_path, markdown(found).encode())):
        if path is None:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise HarnessError(f"{path} cannot be written ({error})") from error


def update(new: Baseline, path: Path, console: Console) -> None:
    """Write a new baseline and print how it differs from the old one."""
    old = None
    try:
        old = read(path)
    except HarnessError as error:
        if path.exists():
            console.print(f"nothing to compare with: {error}", markup=False, soft_wrap=True)
    write(new, path)
    if old is not None:
        _table(console, ("arm", "column", "old", "new"), differences(old, new))
    for name, arm in new.arms.items():
        for seed, why in arm.failures.items():
            text = visible(f"the baseline has a failed trial: {name}, seed {seed}: {why}")
            console.print(text, markup=False, soft_wrap=True)
    console.print(visible(f"baseline of {len(new.arms)} arms written to {path}"), markup=False, soft_wrap=True)


def _table(console: Console, header: Iterable[str], lines: Iterable[Iterable[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(*header)
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(table)

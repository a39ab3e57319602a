"""`harness gc`: says what can be deleted in a results folder, and deletes it if the user agrees."""

from __future__ import annotations

from pathlib import Path

import click

from harness.base.errors import HarnessError
from harness.base.terminal import echo
from harness.store import garbage
from harness.store.garbage import KINDS, MEANINGS, Kind
from harness.store.runs import Store


def collect(results: Path, kinds: tuple[Kind, ...], yes: bool) -> None:
    """Say what can be deleted, ask, and delete it. The caller holds the lock of the folder.

    Raises:
        HarnessError: nobody answered.
    """
    found = garbage.found(Store(results), kinds or KINDS)
    if not found:
        echo(f"{results} has nothing to delete")
        return
    for each in found:
        echo(f"{each.kind:<12} {size(each.size):>9} in {len(each.paths):>5}   {MEANINGS[each.kind]}")
    total = size(sum(each.size for each in found))
    try:
        agreed = yes or click.confirm(f"Delete these {total}?")
    except click.Abort:
        raise HarnessError("nothing was deleted: answer y, or add --yes") from None
    if agreed:
        garbage.delete(found)
    echo(f"deleted {total}" if agreed else "nothing was deleted")


def size(number: float) -> str:
    """A number of bytes in words: ``950 B``, ``1.5 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"

"""The code that workers of other machines need: the harness, and packages and files of plug-ins, in one folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

from harness.base.errors import HarnessError
from harness.zoo import importing, registry

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".git")


def pack(folder: Path) -> None:
    """Copy the code into this folder. A process that has the folder on its path finds the same plug-ins as this one.

    Raises:
        HarnessError: the package of a plug-in is not on the disk.
    """
    _copy("harness", folder)
    for package, owner in _plugins():
        # The standard library takes the first of two distributions of the same name: this one.
        described = folder / f"{owner.name}-{owner.version}.dist-info"
        if not described.exists():
            described.mkdir()
            for name in ("METADATA", "entry_points.txt"):
                (described / name).write_text(owner.read_text(name) or "", encoding="utf-8")
        _copy(package, folder)
    for path in importing.files():
        shutil.copy(path, folder)


def _plugins() -> Iterator[tuple[str, metadata.Distribution]]:
    """The packages with plug-ins, each with the distribution that says so."""
    for kind in registry.KINDS:
        for point in metadata.entry_points(group=f"harness.{kind}"):
            if point.dist is not None:
                yield point.module.partition(".")[0], point.dist


def _copy(package: str, folder: Path) -> None:
    """Copy a package, or a module of one file, unless it is there."""
    found = util.find_spec(package)
    if found is None or not (found.submodule_search_locations or found.origin):
        raise HarnessError(f"the package {package}, which has plug-ins, is not found: install it again")
    if found.submodule_search_locations is None:
        shutil.copy(str(found.origin), folder)
        return
    for place in found.submodule_search_locations:
        shutil.copytree(place, folder / package, ignore=LEFT_OUT, dirs_exist_ok=True)

"""How the code of plug-ins is imported: without waiting for torch, and from files that are in no package.

The file of a trick or model has its settings and its mathematics in one place. Only the mathematics needs torch, whose
import takes seconds; `harness plan` and `harness list` read only the settings.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import no_file

_files: dict[str, Path] = {}
"""Name of a module -> its file, for the files that were imported here."""
_contents: dict[str, str] = {}
"""Name of such a module -> the digest of its file when it was added."""


def files() -> tuple[Path, ...]:
    """The plug-in files of this process, as absolute paths."""
    return tuple(_files.values())


def from_file(path: Path) -> types.ModuleType:
    """Import a plug-in file. Its module has the file's name, so that other processes find its classes by that name.

    Raises:
        HarnessError: it is not there, cannot be imported, or its name cannot be that of a module.
    """
    name = path.stem
    _refuse(path)
    if name in sys.modules:  # added before, or imported by a script or notebook
        _keep(name, path)
    else:
        specification = importlib.util.spec_from_file_location(name, path.resolve())
        assert specification is not None  # it ends in .py
        assert specification.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(specification)
        try:
            with torch_postponed():
                specification.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise HarnessError(f"{path}{_line(error, path)}: {_why(error)}") from error
        _keep(name, path)
    return sys.modules[name]


def _keep(name: str, path: Path) -> None:
    _files[name] = path.resolve()
    _contents.setdefault(name, digests.of_file(path))


def refuse_changed() -> None:
    """Refuse to go on with plug-in files that were changed after their import: workers would import other code.

    Only a process that lives longer than one command can meet this: a notebook.

    Raises:
        HarnessError: a file was changed, or is gone.
    """
    for name, path in _files.items():
        if not path.is_file() or digests.of_file(path) != _contents[name]:
            raise HarnessError(f"{path} was changed after it was imported: restart the notebook's kernel or the script")


def again(file: str) -> types.ModuleType:
    """Import in a worker a plug-in file of its driver, or the module of that name that was sent to its machine."""
    path = Path(file)
    found = importlib.util.find_spec(path.stem) if path.stem not in _files else None
    return from_file(Path(found.origin) if found is not None and found.origin is not None else path)


def _refuse(path: Path) -> None:
    """Refuse what is no file of Python code whose name is free."""
    if not path.exists():
        raise HarnessError(f"{path}: no such file: expected a Python file with plug-ins (`harness docs plugins`)")
    if (what := no_file(path)) or path.suffix != ".py":
        raise HarnessError(f"{path}: {what or 'no Python file'}: expected a file whose name ends in .py, with plug-ins")
    name = path.stem
    if not name.isidentifier():
        raise HarnessError(
            f"{path}: {name!r} cannot be the name of a module: use letters, digits and _, as my_trick.py"
        )
    if (other := _files.get(name)) is not None:
        if other != path.resolve():
            raise HarnessError(f"{path}: another plug-in file has this name ({other}): rename one of them")
        return
    there = sys.modules.get(name)
    found = there.__spec__ if there is not None else importlib.util.find_spec(name)
    origin = getattr(found, "origin", None)
    if (there or found) and (origin is None or Path(origin).resolve() != path.resolve()):
        raise HarnessError(f"{path}: a module {name} is installed already ({origin or 'built in'}): rename the file")


def _line(error: BaseException, path: Path) -> str:
    """``:line`` of the file where an error arose, if it did there."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.filename == str(path.resolve()) else ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path.resolve())]
    return f":{lines[-1]}" if lines else ""


def _why(error: BaseException) -> str:
    """What is wrong, and what to do about it if that is not plain."""
    if isinstance(error, SyntaxError):
        return f"syntax error: {error.msg}"
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}: install it, or, if it is a file beside this one, put its code into this file"
    return text


class _Postponed(types.ModuleType):
    """Stands in for a module; at the first access to an attribute it imports the module and takes its content."""

    def __getattr__(self, attribute: str) -> Any:
        if sys.modules.get(self.__name__) is self:  # used during an import: make room for the real module
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(vars(module))
        return getattr(module, attribute)


@contextlib.contextmanager
def torch_postponed() -> Iterator[None]:
    """Postpone the import of torch until it is used.

    LazyLoader of the standard library does not work here: the statement ``import torch`` itself reads ``__spec__``,
    which triggers the import.
    """
    if "torch" in sys.modules:
        yield
        return
    postponed = sys.modules["torch"] = _Postponed("torch")
    try:
        yield
    finally:
        # Other libraries check sys.modules to see whether torch is in use: leave no stand-in there.
        if sys.modules.get("torch") is postponed:
            del sys.modules["torch"]

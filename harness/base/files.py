"""Atomic writes, temporary files, files with a digest, and the cache folder."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.messages import note

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

COMPUTED_ANEW = "it is computed again"
ABANDONED = 600.0
"""Seconds without a write after which the temporary file of a download is abandoned (downloads time out after 30)."""
LONG_ABANDONED = 86400.0
"""Seconds after which a temporary file of another machine is abandoned: its process cannot be asked for from here."""
_TEMPORARY = re.compile(r"\.harness-([0-9a-f]{8})-(\d+)-(\d+)-\w+\.tmp")
"""The names of temporary files: the machine, the process, when the process began, and a random text."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: under a temporary name in its folder, flushed to the disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_prefix(), suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it readable only by its owner
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def create_atomically(path: Path, make: Callable[[Path], None]) -> None:
    """Create a file that needs several writes atomically: in a temporary folder, then renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(path.parent) as folder:
        made = folder / path.name
        make(made)
        write_bytes(path, made.read_bytes())


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in this folder, for the time of a block. If the process is killed, ``tidy`` removes it."""
    with tempfile.TemporaryDirectory(".tmp", _prefix(), parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def tidy(folder: Path, deep: bool = False) -> None:
    """Remove the temporary files and folders that killed processes of the harness left; ``deep``: below it, too.

    Nothing else is touched: the results folder may be a folder with files of the user's own, and a report may be
    writing its files beside a run.
    """
    for path in folder.glob("**/.harness-*.tmp" if deep else ".harness-*.tmp"):
        if not _left_by_the_dead(path):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # a file that stays does no harm
                path.unlink()


def _prefix() -> str:
    """The beginning of the name of a temporary file of this process."""
    return f".harness-{_machine()}-{os.getpid()}-{_began(os.getpid())}-"


def _left_by_the_dead(path: Path) -> bool:
    """Whether a path is a temporary file of the harness whose process has ended."""
    named = _TEMPORARY.fullmatch(path.name)
    if named is None:
        return False
    machine, process, began = named.groups()
    if machine == _machine():
        return _began(int(process)) != int(began)
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > LONG_ABANDONED
    return False


@functools.cache
def _machine() -> str:
    """Eight hexadecimal digits for the machine, or the container, in which the numbers of processes mean something."""
    try:
        processes = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        processes = ""
    return digests.of_text(f"{socket.gethostname()} {processes}")[:8]


def _began(process: int) -> int | None:
    """When a running process began, in ticks of the system (0 where it does not say); None if it has ended.

    With it, a later process that got the same number is not taken for the first.
    """
    try:
        fields = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])  # a zombie has ended
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, IndexError, ValueError):
        return 0
    try:  # no /proc: ask the system whether there is such a process
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return 0


def sweep(folder: Path, pattern: str) -> None:
    """Remove the half-written files of killed downloads. Other processes may be writing to the folder."""
    with contextlib.suppress(OSError):  # another process may remove the file first; a file that stays does no harm
        for path in folder.glob(pattern):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def no_file(path: Path) -> str | None:
    """What a path names (links are followed) if it is no file, for a message; None if it is one. Opens nothing.

    Opening a pipe without a writer would wait for ever, and reading a device can have effects.

    Raises:
        OSError: there is nothing at this path, or it cannot be looked at.
    """
    mode = os.stat(path).st_mode
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    if stat.S_ISREG(mode):
        return None
    return next((f"{words}, no file" for is_so, words in kinds if is_so(mode)), "a device, no file")


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    write_bytes(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True).encode())


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file atomically, with the SHA-256 of its content in the first line."""
    write_bytes(path, digests.of_bytes(content).encode() + b"\n" + content)


def read_sealed(path: Path, instead: str) -> bytes | None:
    """The content that ``write_sealed`` wrote; None if the file is missing or damaged.

    A damaged file is reported to the user, with what happens ``instead``.
    """
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    if digests.of_bytes(content).encode() != head:
        note(f"{path} is damaged (its SHA-256 is not the one in its first line): {instead}")
        return None
    return content


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested tensors and plain values with ``write_sealed``."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_sealed(path, buffer.getvalue())


def load_state(path: Path, instead: str, device: Any = "cpu") -> dict[str, Any] | None:
    """What ``save_state`` wrote; None as in ``read_sealed``.

    It loads only tensors and plain values, so a file cannot run code.
    """
    from pickle import UnpicklingError  # torch raises it

    import torch

    content = read_sealed(path, instead)
    if content is None:
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except UnpicklingError:
        note(f"{path} is refused, because it holds more than tensors and plain values: {instead}")
        return None
    return state if isinstance(state, dict) else None


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors atomically as safetensors, with a digest of their names and content in the header."""
    from safetensors.torch import save

    # The format refuses tensors that share memory: features and logits of points are one tensor.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_bytes(path, save(whole, {"sha256": _digest(whole)}))


def load_tensors(path: Path, instead: str) -> dict[str, Tensor] | None:
    """What ``save_tensors`` wrote, on the CPU; None if the file is missing or damaged.

    The tensors are mapped from the file, so all processes share the memory. A damaged file is reported to the user,
    with what happens ``instead``.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            said = (file.metadata() or {}).get("sha256")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (SafetensorError, OSError) as error:
        note(f"{path} is damaged ({' '.join(str(error).split())}): {instead}")
        return None
    if said != _digest(tensors):
        note(f"{path} is damaged (the SHA-256 of its content is not the one in its header): {instead}")
        return None
    return tensors


def _digest(tensors: dict[str, Tensor]) -> str:
    parts: list[bytes | memoryview] = []
    for name, tensor in sorted(tensors.items()):
        parts += [
            f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(),
            tensor.numpy().reshape(-1).view("uint8").data,
        ]
    return digests.of_bytes(*parts)


def made_once(
    path: Path, load: Callable[[Path], T | None], make: Callable[[], T], save: Callable[[Path, T], None]
) -> T:
    """What a file of the cache holds. If it is missing or damaged, one process makes it, and the others wait for it.

    The system releases the lock when a process ends.
    """
    import filelock

    found = load(path)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_name(f".{path.name}.lock")):
        found = load(path)
        if found is None:
            found = make()
            save(path, found)
    return found


def expanded(path: str | Path) -> Path:
    """A path from the user, with a leading ``~`` or ``~name`` replaced by the home folder.

    Raises:
        HarnessError: that home folder is not known.
    """
    text = os.fspath(path)
    found = os.path.expanduser(text)
    if found.startswith("~"):
        raise HarnessError(
            f"{text}: the home folder of {text.partition('/')[0]} is not known: write the whole path, or "
            f"./{text} if a folder has that name"
        )
    return Path(found)


def brought(packed: str, source: str) -> Path:
    """A folder that comes with the harness.

    Args:
        packed: its name in the installed package.
        source: its name beside the package, in a checkout.
    """
    package = Path(str(resources.files("harness")))
    inside = package / packed
    return inside if inside.is_dir() else package.parent / source


def cache_folder() -> Path:
    """The folder of downloads: HARNESS_CACHE, else XDG_CACHE_HOME/harness, else ~/.cache/harness.

    Without a home folder it is one of the user's own in the system's folder of temporary files.
    """
    if own := os.environ.get("HARNESS_CACHE"):
        return expanded(own)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return expanded(base) / "harness"
    try:
        home = Path.home() if os.environ.get("HOME") != "" else None
    except RuntimeError:  # HOME is not set, and this user id has no account
        home = None
    return home / ".cache" / "harness" if home else _private(Path(tempfile.gettempdir()) / f"harness-{os.getuid()}")


def _private(folder: Path) -> Path:
    """This folder, if nobody else can have put anything into it; else a new one, until the process ends.

    Everybody may write to the system's temporary folder, and so may have made a folder, or a link, of this name first.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700)
    with contextlib.suppress(OSError):
        found = folder.lstat()
        writable_by_others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not writable_by_others:
            return folder
    made = tempfile.mkdtemp(prefix="harness-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    os.environ["HARNESS_CACHE"] = made  # also for the processes that this one starts
    note(
        f"{folder} belongs to somebody else, or others may write to it: this process keeps its cache in {made} and "
        "removes it at its end. Set HOME or HARNESS_CACHE to a folder of your own"
    )
    return Path(made)

"""Files of published data sets: where they may lie, whether they are the right ones, how they come from a mirror.

A file counts by the SHA-256 of its decompressed bytes, so a raw file and any gzip of it are equally good, and one
that was cut short or altered is refused wherever it came from.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import math
import os
import shutil
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.base.errors import HarnessError
from harness.base.files import cache_folder, sweep

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 1 << 26
"""Bytes of a decompressed file, more than any has: a small file can decompress to one that fills the memory."""
TIMEOUT = 30.0
"""Seconds without an answer after which a mirror counts as out of reach."""


@dataclass(frozen=True)
class File:
    """A file of a data set: its name without ``.gz``, and the SHA-256 (hex) of its decompressed bytes."""

    name: str
    sha256: str


def digest_of(files: Iterable[File]) -> str:
    """SHA-256 (hex) of a data set that consists of these files, from their stated digests; reads nothing."""
    return hashlib.sha256("\n".join(f"{f.name} {f.sha256}" for f in files).encode()).hexdigest()


def folders(data_set: str) -> list[Path]:
    """The folders in which the files of a data set are looked for, in this order."""
    data = os.environ.get("HARNESS_DATA")
    own = [Path(data) / data_set, Path(data)] if data else []
    return [*own, cache_folder() / data_set]


def find(data_set: str, file: File) -> Path | None:
    """The file, raw or gzipped, in the first folder that has it; None where none has. Does not look inside."""
    for folder in folders(data_set):
        for path in (folder / file.name, folder / f"{file.name}.gz"):
            if os.path.isfile(path):  # Path's own raises for names that are too long
                return path
    return None


def content(path: Path, file: File) -> bytes:
    """The decompressed and verified bytes of a file. They stay in memory for as long as the file is unchanged.

    Raises:
        HarnessError: the file cannot be read, or is not the file that it should be.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    return _content(path, file, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4)
def _content(path: Path, file: File, _mtime_ns: int, _size: int) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            data = opened.read(LARGEST)  # what is longer has another digest in any case
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise HarnessError(f"{path} is no whole gzip file ({error}); {_advice(file)}") from error
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    actual = hashlib.sha256(data).hexdigest()
    if actual != file.sha256:
        raise HarnessError(f"{path} is not the file it should be: its bytes have SHA-256 {actual}; {_advice(file)}")
    return data


def _advice(file: File) -> str:
    return (
        f"expected {file.name} with SHA-256 {file.sha256} (decompressed); "
        "delete the file, so that it is fetched again, or put the right one in its place"
    )


def download(data_set: str, name: str, mirrors: Sequence[str], verify: Callable[[Path], object]) -> Path:
    """Bring a file from the first mirror that gives the right bytes into the cache folder.

    It is written under a temporary name, verified, flushed to disk and only then renamed: whatever interrupts this,
    no half-written or wrong file is left under the final name.

    Args:
        name: the file's name, at the mirrors and in the cache folder.
        verify: raises ``HarnessError`` where a file is not the right one.

    Raises:
        HarnessError: no mirror gave it; the message says what each one answered.
    """
    target = cache_folder() / data_set / name
    answers = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            bring(url, target, verify)
            return target
        except (OSError, HTTPException, HarnessError) as error:
            answers.append(f"  {url}: {error}")
    raise HarnessError(f"{name} could not be downloaded to {target.parent}:\n" + "\n".join(answers))


def bring(url: str, target: Path, verify: Callable[[Path], object]) -> None:
    """Download to a temporary name, verify it there, flush it to the disk, and rename it.

    By HTTPS only, redirects included; what this machine itself offers may come plainly.

    Raises:
        OSError: it cannot be had, or not so.
        HarnessError: what ``verify`` says of it.
    """
    opener = urllib.request.build_opener(_SafeRedirects)
    parts = f".part-of-{target.name}-"
    sweep(target.parent, f"{parts}*")
    handle, name = tempfile.mkstemp(prefix=parts, suffix=target.suffix, dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            with opener.open(_safe(url), timeout=TIMEOUT) as answer:
                shutil.copyfileobj(answer, out)
            out.flush()
            os.fsync(out.fileno())
        verify(part)
        part.chmod(0o644)  # mkstemp makes it readable by its owner alone
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _safe(url: str) -> str:
    """The address, if nobody on the way can read or change what comes from it."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "file") and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"refused, for it leads to {parts.scheme}://{parts.hostname}: only HTTPS is taken")
    return url


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        return super().redirect_request(req, fp, code, msg, headers, _safe(newurl))


def read_idx(data: bytes, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes (LeCun's format: a magic number, the sizes, the values).

    Raises:
        HarnessError: the header does not announce unsigned bytes in that many dimensions, or not as many as follow.
    """
    import numpy as np

    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise HarnessError(f"no IDX file of unsigned bytes in {dimensions} dimensions (starts with {data[:4]!r})")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if len(data) - start != math.prod(shape):
        raise HarnessError(f"the IDX header announces {shape} values, but {len(data) - start} follow")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)

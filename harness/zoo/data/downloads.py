"""Files of published data sets: find them, verify them, download them from a mirror.

A file is verified by the SHA-256 of its decompressed bytes, so a raw file and any gzip of it are equally good. A
truncated or altered file is refused, wherever it comes from.
"""

from __future__ import annotations

import functools
import gzip
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

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import cache_folder, sweep

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST = 1 << 26
"""Limit of the bytes of a decompressed file; all files are smaller. A bomb could otherwise fill the memory."""
TIMEOUT = 30.0
"""Seconds without an answer after which a mirror counts as unreachable."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set: its name without ``.gz``, and the SHA-256 (hex) of its decompressed bytes."""

    name: str
    sha256: str


def digest_of(files: Iterable[RemoteFile]) -> str:
    """SHA-256 (hex) of a data set that consists of these files, from their stated digests; reads no file."""
    return digests.of_text("\n".join(f"{f.name} {f.sha256}" for f in files))


def folders(data_set: str) -> list[Path]:
    """The folders in which the files of a data set are searched, in this order."""
    data = os.environ.get("HARNESS_DATA")
    own = [Path(data) / data_set, Path(data)] if data else []
    return [*own, cache_folder() / data_set]


def find(data_set: str, file: RemoteFile) -> Path | None:
    """The file, raw or gzipped, in the first folder that has it; None if no folder has it. Does not verify it."""
    for folder in folders(data_set):
        for path in (folder / file.name, folder / f"{file.name}.gz"):
            if os.path.isfile(path):  # Path.is_file raises an error for names that are too long
                return path
    return None


def content(path: Path, file: RemoteFile) -> bytes:
    """The decompressed and verified bytes of a file. They stay in memory as long as the file does not change.

    Raises:
        HarnessError: the file cannot be read, or is not the expected file.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    return _content(path, file, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4)
def _content(path: Path, file: RemoteFile, _mtime_ns: int, _size: int) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            data = opened.read(LARGEST)  # a longer file has another digest in any case
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise HarnessError(f"{path} is no whole gzip file ({error}); {_advice(file)}") from error
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error
    actual = digests.of_bytes(data)
    if actual != file.sha256:
        raise HarnessError(f"{path} is not the file it should be: its bytes have SHA-256 {actual}; {_advice(file)}")
    return data


def _advice(file: RemoteFile) -> str:
    return (
        f"expected {file.name} with SHA-256 {file.sha256} (decompressed); "
        "delete the file, so that it is downloaded again, or replace it with the right one"
    )


def download(data_set: str, name: str, mirrors: Sequence[str], verify: Callable[[Path], object]) -> Path:
    """Download a file into the cache folder, from the first mirror that has the right bytes.

    The file is written under a temporary name, flushed to disk, verified, and then renamed: an interruption never
    leaves a half-written or wrong file under the final name.

    Args:
        data_set: the name of the data set, which is also the folder in the cache folder.
        name: the file's name, at the mirrors and in the cache folder.
        mirrors: the addresses of the folders at the mirrors.
        verify: raises ``HarnessError`` if a file is not the right one.

    Raises:
        HarnessError: no mirror had it; the message has the answer of each.
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
    raise HarnessError(f"{name} could not be downloaded to {target.parent}:", *answers)


def bring(url: str, target: Path, verify: Callable[[Path], object]) -> None:
    """Download to a temporary name, flush it to the disk, verify it, and rename it.

    Only HTTPS is allowed, also for redirects; except from this machine itself.

    Raises:
        OSError: the download failed, or the address is refused.
        HarnessError: ``verify`` refuses the file.
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
        part.chmod(0o644)  # mkstemp makes it readable only by its owner
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _safe(url: str) -> str:
    """The address, if it is safe: HTTPS, a file, or this machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("https", "file") and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"refused, because it leads to {parts.scheme}://{parts.hostname}: only HTTPS is allowed")
    return url


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        return super().redirect_request(req, fp, code, msg, headers, _safe(newurl))


def read_idx(data: bytes, dimensions: int) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes (LeCun's format: a magic number, the sizes, the values).

    Raises:
        HarnessError: the header has another type or number of dimensions, or its sizes do not fit the number of bytes.
    """
    import numpy as np

    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise HarnessError(f"not an IDX file of unsigned bytes in {dimensions} dimensions (starts with {data[:4]!r})")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4))
    if len(data) - start != math.prod(shape):
        raise HarnessError(f"the IDX header announces {shape} values, but {len(data) - start} follow")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)

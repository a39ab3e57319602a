"""CIFAR-10: 60 000 photographs in ten classes, 32×32 pixels in colour (Krizhevsky 2009).

It is read from the files of its author, packed or unpacked, of the binary version or of the Python version. Both have
the same images in the same order: five training batches and one test batch; an image is 3 072 bytes (red, green, blue,
each row by row).

- Binary: a byte with the label before each image.
- Python: a pickled mapping with ``data``, an array (n, 3072), and ``labels``, a list. A pickle can call any function;
  here nothing is called or imported, and the pickle may name only what rebuilds a numpy array.

An archive must have the MD5 that its author states, and is read in memory. For unpacked files there is no published
digest; they are accepted if their format is right. The digest of the data is that of the images and labels.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness.base import digests
from harness.base.errors import HarnessError
from harness.zoo.data import downloads
from harness.zoo.data.base import DataSet, Labelled, Shape, Split
from harness.zoo.data.digests import Stamp, refuse_altered, remembered, stamps
from harness.zoo.data.published import verified

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIRRORS = ("https://www.cs.toronto.edu/~kriz",)

BATCHES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCH = 10_000
"""Images in a batch file."""
PIXELS = 3 * 32 * 32

Batch = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]
"""Images (n, 3, 32, 32) and labels (n,)."""


@dataclass(frozen=True)
class Version:
    """A published version of the data: its folder, its archive, and the function that reads a batch."""

    folder: str
    archive: str
    md5: str
    ending: str
    read: Callable[[bytes], Batch]

    @property
    def files(self) -> dict[str, str]:
        """The name of the file of each batch."""
        return {batch: f"{batch}{self.ending}" for batches in BATCHES.values() for batch in batches}


class Cifar10(DataSet):
    """Reads the author's files from HARNESS_DATA or the cache folder."""

    name = "cifar10"
    summary = "50 000 + 10 000 photographs in ten classes, 32×32 in colour (files or a download)"
    paper = "Krizhevsky 2009, Learning multiple layers of features from tiny images"

    @property
    def shape(self) -> Shape:
        return Shape(channels=3, height=32, width=32, classes=10)

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def whole_digest(self) -> str:
        version, path = _source()
        now = stamps(_read_from(version, path))
        return remembered(self.name, now, lambda: _digest(version, path, now))

    def whole(self, split: Split) -> Labelled:
        version, path = _source()
        now = stamps(_read_from(version, path))
        refuse_altered(self.name, now, _digest(version, path, now))
        images, labels = _arrays(version, path)[split]
        return Labelled(torch.tensor(images), torch.tensor(labels))

    def present(self) -> bool:
        return _find() is not None

    def sources(self) -> dict[str, Path]:
        found = _find()
        if found is None:
            return {}
        return {f"{self.name}/{path.relative_to(found[1].parent)}": path for path in _read_from(*found)}

    def fetch(self) -> str:
        if _find() is None:
            wanted = VERSIONS[0]
            verify = functools.partial(verified, md5=wanted.md5)
            downloads.download(self.name, wanted.archive, MIRRORS, verify)
        version, path = _source()
        _arrays(version, path)
        return f"{self.name}: {path}, verified"


def _find() -> tuple[Version, Path] | None:
    """The first version that is in one of the folders, and its folder or archive; the binary version comes first."""
    for version in VERSIONS:
        for folder in downloads.folders("cifar10"):
            if all(os.path.isfile(folder / version.folder / name) for name in version.files.values()):
                return version, folder / version.folder
            if os.path.isfile(folder / version.archive):
                return version, folder / version.archive
    return None


def _source() -> tuple[Version, Path]:
    found = _find()
    if found is None:
        names = " or ".join(f"the folder {version.folder} or {version.archive}" for version in VERSIONS)
        raise HarnessError(
            f"CIFAR-10 is not on this machine. Searched for {names} in "
            f"{', '.join(map(str, downloads.folders('cifar10')))}{_incomplete()}. "
            "Put one of them into one of these folders (HARNESS_DATA sets the first), "
            "or run `harness data fetch cifar10`"
        )
    return found


def _incomplete() -> str:
    """The part of the message about incomplete folders."""
    folders = [(v, folder / v.folder) for v in VERSIONS for folder in downloads.folders("cifar10")]
    lacking = {
        path: [name for name in version.files.values() if not (path / name).is_file()]
        for version, path in folders
        if path.is_dir()
    }
    return "".join(f" ({path} lacks {', '.join(names)})" for path, names in lacking.items())


def _read_from(version: Version, path: Path) -> list[Path]:
    return [path / name for name in version.files.values()] if path.name == version.folder else [path]


def _arrays(version: Version, path: Path) -> dict[Split, Batch]:
    """Both splits, verified. They stay in memory as long as the files do not change."""
    return _cached(version, path, stamps(_read_from(version, path)))


@functools.lru_cache(maxsize=1)
def _cached(version: Version, path: Path, _unchanged: tuple[Stamp, ...]) -> dict[Split, Batch]:
    import numpy as np

    batches = {batch: _batch(version, path, batch, content) for batch, content in _contents(version, path)}
    return {
        split: (np.concatenate([batches[name][0] for name in names]), np.concatenate([batches[n][1] for n in names]))
        for split, names in BATCHES.items()
    }


def _contents(version: Version, path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes of each batch."""
    if path.name == version.archive:
        packed = _members(verified(path, version.md5), [f"{version.folder}/{name}" for name in version.files.values()])
        for batch, name in version.files.items():
            if f"{version.folder}/{name}" not in packed:
                raise HarnessError(f"{path} has no {version.folder}/{name}; replace it with the published archive")
            yield batch, packed[f"{version.folder}/{name}"]
        return
    for batch, name in version.files.items():
        try:
            yield batch, (path / name).read_bytes()
        except OSError as error:
            raise HarnessError(f"{path / name} cannot be read: {error}") from error


def _members(archive: bytes, names: list[str]) -> dict[str, bytes]:
    """The bytes of these members of a gzipped tar; nothing is written to the disk."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        for member in packed:
            file = packed.extractfile(member) if member.name in names and member.isfile() else None
            if file is not None:
                found[member.name] = file.read()
    return found


def _batch(version: Version, path: Path, batch: str, content: bytes) -> Batch:
    try:
        images, labels = version.read(content)
        if not ((labels >= 0) & (labels <= 9)).all():
            raise HarnessError("it holds labels that are not 0 to 9")
    except HarnessError as error:
        where = f"{version.files[batch]} in {path}"
        raise HarnessError(f"{where} is not a batch of CIFAR-10: {error}; replace it with the published one") from error
    return images, labels


def _read_binary(content: bytes) -> Batch:
    import numpy as np

    if len(content) != BATCH * (1 + PIXELS):
        raise HarnessError(f"{len(content)} bytes, expected {BATCH} × (1 + {PIXELS})")
    records = np.frombuffer(content, np.uint8).reshape(BATCH, 1 + PIXELS)
    return records[:, 1:].reshape(BATCH, 3, 32, 32), records[:, 0].astype(np.int64)


def _read_pickled(content: bytes) -> Batch:
    import numpy as np

    batch = _unpickled(content)
    data, labels = (batch.get(key) for key in ("data", "labels")) if isinstance(batch, Mapping) else (None, None)
    pixels = _pixels(data)
    if pixels is None:
        raise HarnessError(f"expected an array `data` of {BATCH} × {PIXELS} bytes")
    if not isinstance(labels, list) or len(labels) != BATCH or not all(type(label) is int for label in labels):
        raise HarnessError(f"expected a list `labels` of {BATCH} whole numbers")
    if not all(0 <= label <= 9 for label in labels):
        raise HarnessError("it holds labels that are not 0 to 9")
    return pixels.reshape(BATCH, 3, 32, 32), np.array(labels, np.int64)


class _Named:
    """A stand-in for an object that a pickle names. It can be called, and only stores its arguments."""

    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Rebuilt(_Named):
    """A stand-in for numpy's ``_reconstruct``: an array, with its shape, type and bytes in its state."""


class _Kind(_Named):
    """A stand-in for ``numpy.dtype``: the type of an array's values, in its first argument."""


NAMED: Mapping[tuple[str, str], type[_Named]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Rebuilt,
    ("numpy._core.multiarray", "_reconstruct"): _Rebuilt,
    ("numpy", "ndarray"): _Named,
    ("numpy", "dtype"): _Kind,
}
"""Everything that such a pickle may name -> its stand-in."""


class _Inert(pickle.Unpickler):
    """Reads a pickle without running code: objects that it names are replaced by stand-ins, never imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in NAMED:
            raise HarnessError(f"the pickle names {module}.{name}, which no such file needs; it was not run")
        return type(name, (NAMED[module, name],), {})  # a new class each time, because a pickle can change it


def _unpickled(content: bytes) -> Any:
    """The content of a pickle of Python 2 or 3: plain values, and stand-ins for arrays.

    Raises:
        HarnessError: it is not a pickle, or names anything else.
    """
    try:
        return _Inert(io.BytesIO(content), encoding="latin1").load()
    except HarnessError:
        raise
    except Exception as error:  # bytes that are not a pickle can raise anything
        raise HarnessError(f"not a readable pickle ({type(error).__name__}: {error})") from error


def _pixels(array: Any) -> NDArray[np.uint8] | None:
    """The bytes of an array (BATCH, PIXELS) that a pickle describes; None if it is not such an array."""
    import numpy as np

    try:
        _, shape, kind, by_column, raw = array.state
        content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)  # Python 2 wrote them as text
        right = isinstance(array, _Rebuilt) and isinstance(kind, _Kind) and kind.arguments[0] in ("u1", "|u1")
        if not right or tuple(shape) != (BATCH, PIXELS) or len(content) != BATCH * PIXELS:
            return None
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
    return np.frombuffer(content, np.uint8).reshape((BATCH, PIXELS), order="F" if by_column else "C")


@functools.lru_cache(maxsize=1)
def _digest(version: Version, path: Path, _unchanged: tuple[Stamp, ...]) -> str:
    pairs = _arrays(version, path).values()
    return digests.of_bytes(
        *(part for images, labels in pairs for part in (images.tobytes(), labels.astype("<i8").tobytes()))
    )


VERSIONS = (
    Version(
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        ending=".bin",
        read=_read_binary,
    ),
    Version(
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        ending="",
        read=_read_pickled,
    ),
)

"""Fashion-MNIST: 70 000 pictures of clothes in the format of MNIST, 28×28 pixels (Xiao, Rasul and Vollgraf 2017).

A gzipped file must have the MD5 that its publishers state. A raw file, as other programs unpack it, has no published
digest: it is accepted if its format is right, and its content is part of the digest of the data.
"""

from __future__ import annotations

import functools
import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.base import digests, files
from harness.base.errors import HarnessError
from harness.zoo.data import downloads
from harness.zoo.data.base import DataSet, Labelled, Shape, Split
from harness.zoo.data.digests import Stamp, refuse_altered, remembered, stamps
from harness.zoo.data.published import verified

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIRRORS = ("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",)

FILES: dict[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
"""MD5 of the gzipped files."""
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
COUNTS: dict[Split, int] = {"train": 60_000, "test": 10_000}


class FashionMnist(DataSet):
    """Reads the four IDX files from HARNESS_DATA or the cache folder."""

    name = "fashion_mnist"
    summary = "60 000 + 10 000 pictures of clothes in ten classes, 28×28 (files or a download)"
    paper = "Xiao, Rasul and Vollgraf 2017, Fashion-MNIST: a novel image dataset for benchmarking"

    @property
    def shape(self) -> Shape:
        return Shape(channels=1, height=28, width=28, classes=10)

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASSES

    def whole_digest(self) -> str:
        return remembered(self.name, stamps(_paths()), lambda: _digest(stamps(_paths())))

    def whole(self, split: Split) -> Labelled:
        now = stamps(_paths())
        refuse_altered(self.name, now, _digest(now))
        images, labels = _arrays(split)
        return Labelled(torch.tensor(images).unsqueeze(1), torch.tensor(labels).long())

    def present(self) -> bool:
        return all(_find(name) for name in MD5)

    def sources(self) -> dict[str, Path]:
        found = [_find(name) for name in MD5]
        return {f"{self.name}/{path.name}": path for path in found if path is not None}

    def fetch(self) -> str:
        for name in MD5:
            if _find(name) is None:
                downloads.download(self.name, f"{name}.gz", MIRRORS, functools.partial(verified, md5=MD5[name]))
        for split in FILES:
            _arrays(split)
        places = " and ".join(sorted({str(path.parent) for path in _paths()}))
        return f"{self.name}: four files in {places}, verified"


def _folders() -> Iterator[Path]:
    """The folders in which the files are searched. Not HARNESS_DATA itself: MNIST's files have the same names."""
    if data := os.environ.get("HARNESS_DATA"):
        yield Path(data) / "fashion_mnist"
        yield Path(data) / "FashionMNIST" / "raw"  # torchvision's folder
    yield files.cache_folder() / "fashion_mnist"


def _find(name: str) -> Path | None:
    """The file, raw or gzipped, in the first folder that has it."""
    paths = (folder / f"{name}{ending}" for folder in _folders() for ending in ("", ".gz"))
    return next((path for path in paths if os.path.isfile(path)), None)


def _path(name: str) -> Path:
    found = _find(name)
    if found is None:
        raise HarnessError(
            f"Fashion-MNIST is not on this machine: {name}, raw or as .gz, is in none of "
            f"{', '.join(map(str, _folders()))}. Put its four files ({', '.join(MD5)}) into one of these folders "
            "(HARNESS_DATA sets the first), or run `harness data fetch fashion_mnist`"
        )
    return found


def _paths() -> list[Path]:
    return [_path(name) for name in MD5]


def _content(name: str) -> bytes:
    """The decompressed bytes of a file."""
    path = _path(name)
    if path.suffix == ".gz":
        return gzip.decompress(verified(path, MD5[name]))
    try:
        return path.read_bytes()
    except OSError as error:
        raise HarnessError(f"{path} cannot be read: {error}") from error


def _array(name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array in a file, which must have this shape."""
    content = _content(name)
    try:
        array = downloads.read_idx(content, len(shape))
        if array.shape != shape:
            raise HarnessError(f"an array of shape {array.shape}, expected {shape}")
        return array
    except HarnessError as error:
        raise HarnessError(f"{_path(name)} is no file of Fashion-MNIST: {error}") from error


def _arrays(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (n, 28, 28) and labels (n,) of a split."""
    (images, labels), n = FILES[split], COUNTS[split]
    numbers = _array(labels, (n,))
    if numbers.max() > 9:
        raise HarnessError(f"{_path(labels)} is no file of Fashion-MNIST: it holds the label {numbers.max()}, above 9")
    return _array(images, (n, 28, 28)), numbers


@functools.lru_cache(maxsize=1)
def _digest(_unchanged: tuple[Stamp, ...]) -> str:
    arrays = (array for split in FILES for array in _arrays(split))
    return digests.of_text("\n".join(digests.of_bytes(array.tobytes()) for array in arrays))

"""MNIST: 70 000 handwritten digits of 28×28 pixels (LeCun, Bottou, Bengio and Haffner 1998)."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from harness.base.errors import HarnessError
from harness.zoo.data import downloads
from harness.zoo.data.base import DataSet, Labelled, Shape, Split
from harness.zoo.data.downloads import RemoteFile
from harness.zoo.data.strokes import StrokeSettings, redrawn

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
)

FILES: dict[Split, tuple[RemoteFile, RemoteFile]] = {
    "train": (
        RemoteFile("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        RemoteFile("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ),
    "test": (
        RemoteFile("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        RemoteFile("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ),
}


class Mnist(DataSet):
    """Reads the four IDX files from HARNESS_DATA or the cache folder, or downloads them into the cache folder."""

    name = "mnist"
    summary = "60 000 + 10 000 handwritten digits, 28×28 (files or a download)"
    paper = "LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition"
    judge = "mnist"
    Settings = StrokeSettings
    settings: StrokeSettings

    @property
    def shape(self) -> Shape:
        return Shape(channels=1, height=28, width=28, classes=10)

    def whole_digest(self) -> str:
        return downloads.digest_of(file for pair in FILES.values() for file in pair)

    def whole(self, split: Split) -> Labelled:
        images, labels = (self._content(file) for file in FILES[split])
        return Labelled(
            redrawn(torch.tensor(downloads.read_idx(images, 3)).unsqueeze(1), self.settings.stroke),
            torch.tensor(downloads.read_idx(labels, 1)).long(),
        )

    def present(self) -> bool:
        return all(downloads.find(self.name, file) for pair in FILES.values() for file in pair)

    def sources(self) -> dict[str, Path]:
        found = [downloads.find(self.name, file) for pair in FILES.values() for file in pair]
        return {f"{self.name}/{path.name}": path for path in found if path is not None}

    def fetch(self) -> str:
        paths = [(self._path(file), file) for pair in FILES.values() for file in pair]
        for path, file in paths:
            downloads.content(path, file)
        places = " and ".join(sorted({str(path.parent) for path, _ in paths}))
        return f"{self.name}: four files in {places}, verified by their SHA-256"

    def _content(self, file: RemoteFile) -> bytes:
        return downloads.content(self._path(file), file)

    def _path(self, file: RemoteFile) -> Path:
        """The path of the file; downloads it if no folder has it."""
        found = downloads.find(self.name, file)
        if found is not None:
            return found
        try:
            verify = functools.partial(downloads.content, file=file)
            return downloads.download(self.name, f"{file.name}.gz", MIRRORS, verify)
        except HarnessError as error:
            raise HarnessError(f"{self._missing()} {error.lines[0]}", *error.lines[1:]) from error

    def _missing(self) -> str:
        names = ", ".join(file.name for pair in FILES.values() for file in pair)
        looked = ", ".join(str(folder) for folder in downloads.folders(self.name))
        return (
            f"MNIST is not on this machine. Its four files ({names}; raw or as .gz) were searched in {looked}. "
            f"Put them into one of these folders (HARNESS_DATA sets the first), or use `data: digits`, which comes "
            f"with the harness."
        )

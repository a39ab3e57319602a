"""All files of both splits are read before anything trains: no first evaluation finds a damaged test file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import test_cifar10
import test_fashion_mnist
import test_mnist
from PIL import Image

from harness.base.errors import HarnessError
from harness.cli.running import fetch_all
from harness.cli.telling import Silence
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.zoo.data import cifar10, fashion_mnist, mnist
from harness.zoo.data import folder as folder_module
from harness.zoo.data.downloads import RemoteFile

NOT_FOUND = b"<html>404</html>"


def a_mnist(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    content = test_mnist.CONTENT
    small = {
        split: tuple(RemoteFile(f.name, hashlib.sha256(content[f.name]).hexdigest()) for f in pair)
        for split, pair in mnist.FILES.items()
    }
    monkeypatch.setattr(mnist, "FILES", small)
    for name, right in content.items():
        (own / name).write_bytes(right)
    return [own / name for name in content]


def a_fashion_mnist(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(fashion_mnist, "COUNTS", {"train": test_fashion_mnist.TRAIN, "test": test_fashion_mnist.TEST})
    test_fashion_mnist.put(own / "fashion_mnist")
    return [own / "fashion_mnist" / name for name in test_fashion_mnist.CONTENT]


def a_cifar10(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(cifar10, "BATCH", test_cifar10.N)
    cifar10._cached.cache_clear()
    test_cifar10.put(own, "binary")
    return [own / name for name in test_cifar10.files("binary")]


def a_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    paths = [own / "images" / split / "one" / f"{n}.png" for split in ("train", "test") for n in range(2)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 200).save(path)
    return paths


SETS = {
    "mnist": a_mnist,
    "fashion_mnist": a_fashion_mnist,
    "cifar10": a_cifar10,
    "folder": a_folder,
    "cyclegan's own": a_mnist,
}


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty HARNESS_DATA, an empty cache."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def verify(folder: Path, data: str) -> None:
    """What `harness run` does before it trains."""
    text = f"suite: s\ndata: {data}\nbase: {{model: {{name: gan, architecture: fully_connected}}}}\n"
    if data == "cyclegan's own":
        text = "suite: s\ndata: digits\nbase: {model: {name: cyclegan, source: mnist}}\n"
    (folder / "s.yaml").write_text(f"{text}evaluate: {{metrics: [sharpness], features: auto}}\n")
    folder_module._looked_through.cache_clear()  # another process looks again
    fetch_all(make_plan(read_suite(folder / "s.yaml")), Silence())


@pytest.mark.parametrize("name", SETS)
def test_each_file_is_verified_before_anything_trains(own: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make: Callable[[Path, pytest.MonkeyPatch], list[Path]] = SETS[name]
    files = make(own, monkeypatch)
    verify(own.parent, name)
    for path in files:
        right = path.read_bytes()
        path.write_bytes(NOT_FOUND)
        with pytest.raises(HarnessError) as caught:
            verify(own.parent, name)
        assert path.name in str(caught.value)
        path.write_bytes(right)

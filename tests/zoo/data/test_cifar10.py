"""CIFAR-10's files: both versions, packed and unpacked, verified; pickles run nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data import cifar10, digests

N = 20
"""Images a batch of the miniature."""
NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def data(**settings: object) -> cifar10.Cifar10:
    choice = registry.choose("data", {"name": "cifar10", **settings})
    made: cifar10.Cifar10 = choice.make()
    return made


def batch(position: int) -> tuple[np.ndarray, list[int]]:
    pixels = np.random.default_rng(position).integers(0, 256, (N, 3072), dtype=np.uint8)
    return pixels, [(k + position) % 10 for k in range(N)]


def binary(position: int) -> bytes:
    pixels, labels = batch(position)
    return b"".join(bytes([label]) + row.tobytes() for row, label in zip(pixels, labels, strict=True))


def pickled(position: int) -> bytes:
    """As Python 3 writes it."""
    pixels, labels = batch(position)
    return pickle.dumps({"data": pixels, "labels": labels, "batch_label": "x"}, protocol=4)


def as_python_2(position: int) -> bytes:
    """As Python 2 wrote it, by hand: byte strings, and numpy's module under its old name."""

    def text(value: bytes) -> bytes:
        return b"T" + struct.pack("<I", len(value)) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    pixels, labels = batch(position)
    kind = b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
    kind += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"t" + text(b"b") + b"tR"
    array += b"(" + number(1) + b"(" + number(N) + number(3072) + b"t" + kind + b"\x89" + text(pixels.tobytes()) + b"tb"
    listed = b"](" + b"".join(number(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


WRITTEN = {
    "binary": ("cifar-10-batches-bin", ".bin", binary),
    "python 3": ("cifar-10-batches-py", "", pickled),
    "python 2": ("cifar-10-batches-py", "", as_python_2),
}


def files(manner: str) -> dict[str, bytes]:
    folder, ending, write = WRITTEN[manner]
    return {f"{folder}/{name}{ending}": write(position) for position, name in enumerate(NAMES)}


def put(where: Path, manner: str) -> None:
    for name, content in files(manner).items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def archive(content: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, value in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(value)
            tar.addfile(member, io.BytesIO(value))
    return packed.getvalue()


def expect(monkeypatch: pytest.MonkeyPatch, packed: bytes) -> None:
    """Let this archive be the published one, of whichever version."""
    md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    versions = tuple(dataclasses.replace(version, md5=md5) for version in cifar10.VERSIONS)
    monkeypatch.setattr(cifar10, "VERSIONS", versions)


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty HARNESS_DATA, an empty cache, a mirror that refuses, and batches of 20."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "MIRRORS", ("http://127.0.0.1:9/nothing",))
    monkeypatch.setattr(cifar10, "BATCH", N)
    cifar10._cached.cache_clear()
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def is_right() -> None:
    images, labels = data().load("train")
    assert images.dtype == torch.uint8
    assert images.shape == (5 * N, 3, 32, 32)
    assert labels.dtype == torch.int64
    for position in range(6):
        images, labels = data().load("train" if position < 5 else "test")
        part = slice(position * N, (position + 1) * N) if position < 5 else slice(None)
        pixels, expected = batch(position)
        # red, green, blue, each row by row
        assert images[part].numpy().tobytes() == pixels.tobytes()
        assert images[part][3, 1, 2, 5] == pixels[3, 1024 + 2 * 32 + 5]
        assert labels[part].tolist() == expected


@pytest.mark.parametrize("manner", WRITTEN)
@pytest.mark.parametrize("below", ["own", "own/cifar10", "cache/cifar10"])
def test_unpacked(tmp_path: Path, manner: str, below: str) -> None:
    put(tmp_path / below, manner)
    assert data().present()
    is_right()
    assert str(tmp_path / below) in data().fetch()


@pytest.mark.parametrize("manner", WRITTEN)
def test_packed(own: Path, monkeypatch: pytest.MonkeyPatch, manner: str) -> None:
    packed = archive(files(manner))
    expect(monkeypatch, packed)
    (own / ("cifar-10-binary.tar.gz" if manner == "binary" else "cifar-10-python.tar.gz")).write_bytes(packed)
    before = sorted(own.parent.rglob("*"))
    is_right()
    assert sorted(own.parent.rglob("*")) == before  # nothing is unpacked to the disk


def test_the_digest_is_the_same_for_all_versions_and_another_for_other_content(own: Path) -> None:
    put(own, "python 2")
    expected = data().digest()
    put(own, "binary")
    assert data().digest() == expected
    changed = own / "cifar-10-batches-bin" / "test_batch.bin"
    changed.write_bytes(binary(7))
    assert data().digest() != expected


def test_the_binary_version_is_preferred(own: Path) -> None:
    put(own, "binary")
    put(own, "python 3")
    assert "cifar-10-batches-bin" in data().fetch()


def test_the_digest_is_remembered_between_processes(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(own, "binary")
    expected = data().digest()
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(cifar10, "_arrays", None)  # reading the files would fail now
    assert data().digest() == expected


def test_one_class(own: Path) -> None:
    put(own, "binary")
    images, labels = data(classes=[4]).load("train")
    assert labels.tolist() == [4] * 10
    assert images[0].numpy().tobytes() == batch(0)[0][4].tobytes()


class Malicious:
    def __init__(self, reached: Path) -> None:
        self.reached = reached

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.reached),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_without_running(own: Path, tmp_path: Path, protocol: int) -> None:
    put(own, "python 3")
    pixels, labels = batch(2)
    bad = {"data": pixels, "labels": labels, "more": Malicious(tmp_path / "reached")}
    content = pickle.dumps(bad, protocol=protocol)
    (own / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(HarnessError, match=r"data_batch_3 in .* is not a batch .*names .*which no such file needs"):
        data().load("train")
    assert not (tmp_path / "reached").exists()
    pickle.loads(content)  # it would have run
    assert (tmp_path / "reached").exists()


@pytest.mark.parametrize("name", ["numpy\nload", "numpy\nfromfile", "builtins\neval", "numpy.core.multiarray\nscalar"])
def test_a_pickle_names_nothing_else_of_numpy(name: str) -> None:
    with pytest.raises(HarnessError, match="which no such file needs"):
        cifar10._unpickled(f"c{name}\n.".encode())


@pytest.mark.parametrize(
    ("manner", "content", "fragment"),
    [
        ("binary", binary(0)[:-1], "61459 bytes, expected 20"),
        ("binary", b"", "0 bytes"),
        ("binary", b"\x0a" + binary(0)[1:], "labels that are not 0 to 9"),
        ("python 3", b"no pickle at all", "not a readable pickle"),
        ("python 3", pickled(0)[:-500], "not a readable pickle"),
        ("python 3", b"", "not a readable pickle"),
        ("python 3", pickle.dumps([1, 2]), "expected an array `data`"),
        ("python 3", pickle.dumps({"data": batch(0)[0][:5], "labels": [1] * 5}, protocol=4), "expected an array"),
        ("python 3", pickle.dumps({"data": batch(0)[0], "labels": [1] * 5}, protocol=4), "expected a list `labels`"),
        ("python 3", pickle.dumps({"data": batch(0)[0], "labels": ["1"] * N}, protocol=4), "whole numbers"),
        ("python 3", pickle.dumps({"data": batch(0)[0], "labels": [-1] * N}, protocol=4), "not 0 to 9"),
    ],
)
def test_a_wrong_batch_is_named(own: Path, manner: str, content: bytes, fragment: str) -> None:
    put(own, manner)
    folder, ending, _ = WRITTEN[manner]
    (own / folder / f"data_batch_4{ending}").write_bytes(content)
    for ask in (data().digest, data().fetch, lambda: data().load("test")):
        with pytest.raises(HarnessError, match=fragment) as caught:
            ask()
        assert f"data_batch_4{ending} in {own / folder}" in str(caught.value)


def test_an_archive_with_another_digest_is_refused(own: Path) -> None:
    (own / "cifar-10-binary.tar.gz").write_bytes(archive(files("binary")))
    with pytest.raises(HarnessError, match=r"cifar-10-binary\.tar\.gz is not the file .* c32a1d4ab5d03f"):
        data().load("train")


def test_where_it_is_missing_the_message_says_what_to_do(own: Path) -> None:
    put(own, "binary")
    (own / "cifar-10-batches-bin" / "data_batch_2.bin").unlink()
    assert not data().present()
    for ask in (data().digest, lambda: data().load("test")):
        with pytest.raises(HarnessError) as caught:
            ask()
        folder = own / "cifar-10-batches-bin"
        for expected in (f"{folder} lacks data_batch_2.bin", "python.tar.gz", "HARNESS_DATA", "data fetch cifar10"):
            assert expected in str(caught.value)


def test_fetch_brings_the_binary_version(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HarnessError, match="could not be downloaded"):
        data().fetch()
    packed = archive(files("binary"))
    expect(monkeypatch, packed)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "cifar-10-binary.tar.gz").write_bytes(packed)
    monkeypatch.setattr(cifar10, "MIRRORS", [(tmp_path / "mirror").as_uri()])
    assert str(tmp_path / "cache" / "cifar10" / "cifar-10-binary.tar.gz") in data().fetch()
    is_right()

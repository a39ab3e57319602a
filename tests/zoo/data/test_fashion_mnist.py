"""Fashion-MNIST's files: found where they may lie, verified, and known by their content."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest
import torch

from harness.base import files
from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data import digests, fashion_mnist

TRAIN, TEST = 20, 10


def data(**settings: object) -> fashion_mnist.FashionMnist:
    choice = registry.choose("data", {"name": "fashion_mnist", **settings})
    made: fashion_mnist.FashionMnist = choice.make()
    return made


def idx(*shape: int, values: bytes) -> bytes:
    return bytes((0, 0, 8, len(shape))) + b"".join(s.to_bytes(4, "big") for s in shape) + values


def pixels(n: int) -> bytes:
    return b"".join(bytes([k]) * 784 for k in range(n))


CONTENT = {
    "train-images-idx3-ubyte": idx(TRAIN, 28, 28, values=pixels(TRAIN)),
    "train-labels-idx1-ubyte": idx(TRAIN, values=bytes(k % 10 for k in range(TRAIN))),
    "t10k-images-idx3-ubyte": idx(TEST, 28, 28, values=pixels(TEST)),
    "t10k-labels-idx1-ubyte": idx(TEST, values=bytes(range(TEST))),
}
ZIPPED = {name: gzip.compress(content, mtime=0) for name, content in CONTENT.items()}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A miniature of it, expected in an empty HARNESS_DATA; an empty cache, mirrors that refuse."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ("http://127.0.0.1:9/nothing",))
    monkeypatch.setattr(fashion_mnist, "COUNTS", {"train": TRAIN, "test": TEST})
    md5 = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in ZIPPED.items()}
    monkeypatch.setattr(fashion_mnist, "MD5", md5)
    return tmp_path / "own" / "fashion_mnist"


def put(folder: Path, zipped: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (ZIPPED if zipped else CONTENT).items():
        (folder / (name + ".gz" * zipped)).write_bytes(content)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("below", ["own/fashion_mnist", "own/FashionMNIST/raw", "cache/fashion_mnist"])
def test_raw_or_gzipped_wherever_it_may_lie(tmp_path: Path, below: str, zipped: bool) -> None:
    put(tmp_path / below, zipped)
    assert data().present()
    images, labels = data().load("train")
    assert images.dtype == torch.uint8
    assert images.shape == (TRAIN, 1, 28, 28)
    assert images[:, 0, 27, 27].tolist() == list(range(TRAIN))
    assert labels.dtype == torch.int64
    assert labels.tolist() == [*range(10), *range(10)]
    assert data().load("test").labels.tolist() == list(range(10))
    assert str(tmp_path / below) in data().fetch()


def test_mnist_in_harness_data_itself_is_not_taken_for_it(tmp_path: Path) -> None:
    put(tmp_path / "own")
    assert not data().present()


def test_classes_and_limit(folder: Path) -> None:
    put(folder)
    assert data(classes=[3]).load("train").images[:, 0, 0, 0].tolist() == [3, 13]
    assert len(data(limit=10).load("train").labels.unique()) == 10


def test_the_digest_is_that_of_the_content(folder: Path) -> None:
    put(folder)
    raw = data().digest()
    for path in list(folder.iterdir()):
        path.unlink()
    put(folder, zipped=True)
    assert data().digest() == raw
    assert len(raw) == 64


def test_other_raw_content_has_another_digest(folder: Path) -> None:
    put(folder)
    before = data().digest()
    name = "train-labels-idx1-ubyte"
    (folder / name).write_bytes(idx(TRAIN, values=bytes(TRAIN)))
    assert data().digest() != before


def test_the_digest_is_remembered_between_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder)
    expected = data().digest()
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setattr(fashion_mnist, "_arrays", None)  # reading the files would fail now
    assert data().digest() == expected


def test_a_damaged_note_is_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder)
    expected = data().digest()
    (note,) = (files.cache_folder() / "fashion_mnist").glob("digest-*.json")
    whole = note.read_bytes()
    changed = [whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :] for k in range(len(whole))]
    for damaged in (b"", b"[]", whole[:-9], *changed):
        note.write_bytes(damaged)
        monkeypatch.setattr(digests, "_known", {})
        assert data().digest() == expected


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("train-images-idx3-ubyte.gz", ZIPPED["train-labels-idx1-ubyte"], "MD5"),
        ("train-images-idx3-ubyte.gz", ZIPPED["train-images-idx3-ubyte"][:-1], "MD5"),
        ("train-images-idx3-ubyte", CONTENT["train-images-idx3-ubyte"][:-1], "IDX header announces"),
        ("train-images-idx3-ubyte", CONTENT["t10k-images-idx3-ubyte"], r"shape \(10, 28, 28\), expected \(20"),
        ("train-labels-idx1-ubyte", idx(TRAIN, values=bytes([10] * TRAIN)), "label 10, above 9"),
        ("train-labels-idx1-ubyte", b"", "not an IDX file"),
    ],
)
def test_a_wrong_file_is_named(folder: Path, name: str, content: bytes, fragment: str) -> None:
    put(folder)
    (folder / name.removesuffix(".gz")).unlink()
    (folder / name).write_bytes(content)
    for ask in (data().digest, data().fetch, lambda: data().load("train")):
        with pytest.raises(HarnessError, match=fragment) as caught:
            ask()
        assert str(folder / name) in str(caught.value)


def test_where_it_is_missing_the_message_says_what_to_do(folder: Path) -> None:
    assert not data().present()
    for ask in (data().digest, lambda: data().load("test")):
        with pytest.raises(HarnessError) as caught:
            ask()
        for expected in (*CONTENT, str(folder), "HARNESS_DATA", "harness data fetch fashion_mnist"):
            assert expected in str(caught.value)


def test_fetch_brings_what_is_missing_and_refuses_what_is_wrong(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarnessError, match="could not be downloaded"):
        data().fetch()
    mirrors = [tmp_path / "wrong", tmp_path / "right"]
    monkeypatch.setattr(fashion_mnist, "MIRRORS", [mirror.as_uri() for mirror in mirrors])
    for mirror in mirrors:
        put(mirror, zipped=True)
    for path in mirrors[0].iterdir():
        path.write_bytes(b"something else")
    assert "verified" in data().fetch()
    names = sorted(path.name for path in (tmp_path / "cache" / "fashion_mnist").iterdir())
    assert names == sorted(f"{name}.gz" for name in CONTENT)
    assert data().load("test").labels.tolist() == list(range(10))

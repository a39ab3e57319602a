"""MNIST's files: found, verified, downloaded, and refused when they are not what they should be."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data import downloads, mnist
from harness.zoo.data.downloads import RemoteFile


def data() -> mnist.Mnist:
    choice = registry.choose("data", "mnist")
    made: mnist.Mnist = choice.make()
    return made


def idx(shape: tuple[int, ...], fill: int = 0) -> bytes:
    count = 1
    for size in shape:
        count *= size
    return bytes((0, 0, 8, len(shape))) + b"".join(s.to_bytes(4, "big") for s in shape) + bytes([fill]) * count


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without MNIST: an empty cache folder, no HARNESS_DATA, mirrors that refuse."""
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/mnist",))
    return tmp_path


CONTENT = {
    "train-images-idx3-ubyte": idx((3, 28, 28), 7),
    "train-labels-idx1-ubyte": idx((3,), 1),
    "t10k-images-idx3-ubyte": idx((2, 28, 28), 9),
    "t10k-labels-idx1-ubyte": idx((2,), 2),
}


@pytest.fixture
def miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST of five images: the same names, other digests."""
    small = {
        split: tuple(RemoteFile(f.name, hashlib.sha256(CONTENT[f.name]).hexdigest()) for f in pair)
        for split, pair in mnist.FILES.items()
    }
    monkeypatch.setattr(mnist, "FILES", small)


class Mirror(http.server.BaseHTTPRequestHandler):
    """Answers as the path asks: /good, /corrupt, /truncated, /interrupted, /missing."""

    def do_GET(self) -> None:
        _, manner, name = self.path.split("/")
        body = gzip.compress(CONTENT[name.removesuffix(".gz")])
        if manner == "corrupt":
            body = gzip.compress(CONTENT[name.removesuffix(".gz")] + b"x")
        sent = body[: len(body) // 2] if manner in ("truncated", "interrupted") else body
        self.send_response(404 if manner == "missing" else 200)
        # "interrupted" promises more than comes before the connection ends
        self.send_header("Content-Length", str(len(body) if manner == "interrupted" else len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()


def test_where_it_is_missing_the_message_says_what_to_do(nowhere: Path) -> None:
    with pytest.raises(HarnessError) as caught:
        data().load("train")
    message = str(caught.value)
    for expected in (*CONTENT, str(nowhere / "cache" / "mnist"), "HARNESS_DATA", "data: digits"):
        assert expected in message
    assert not data().present()


@pytest.mark.usefixtures("miniature")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("below", ["", "mnist"])
def test_raw_or_gzipped_in_either_folder(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool, below: str
) -> None:
    folder = nowhere / "own" / below
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    monkeypatch.setenv("HARNESS_DATA", str(nowhere / "own"))
    assert data().present()
    images, labels = data().load("train")
    assert images.shape == (3, 1, 28, 28)
    assert set(images.unique().tolist()) == {7}
    assert labels.tolist() == [1, 1, 1]


@pytest.mark.usefixtures("miniature")
@pytest.mark.parametrize("manner", ["corrupt", "truncated", "interrupted", "missing"])
def test_a_bad_download_leaves_nothing_behind(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, server: str, manner: str
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (f"{server}/{manner}",))
    with pytest.raises(HarnessError, match="could not be downloaded"):
        data().fetch()
    assert [path for path in (nowhere / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.usefixtures("miniature")
def test_the_second_mirror_serves_where_the_first_does_not(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", (f"{server}/corrupt", f"{server}/good"))
    assert str(nowhere / "cache" / "mnist") in data().fetch()
    assert data().load("test").labels.tolist() == [2, 2]
    names = sorted(path.name for path in (nowhere / "cache" / "mnist").iterdir())
    assert names == sorted(f"{name}.gz" for name in CONTENT)


@pytest.mark.usefixtures("miniature")
@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("train-images-idx3-ubyte", CONTENT["train-images-idx3-ubyte"][:-1], "SHA-256"),
        ("train-images-idx3-ubyte.gz", b"no gzip at all", "no whole gzip file"),
        (
            "train-images-idx3-ubyte.gz",
            gzip.compress(CONTENT["train-images-idx3-ubyte"], mtime=0)[:-9],
            "no whole gzip file",
        ),
    ],
)
def test_a_wrong_file_is_named(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, fragment: str
) -> None:
    for other, right in CONTENT.items():
        (nowhere / other).write_bytes(right)
    (nowhere / "train-images-idx3-ubyte").unlink()
    (nowhere / name).write_bytes(content)
    monkeypatch.setenv("HARNESS_DATA", str(nowhere))
    with pytest.raises(HarnessError, match=fragment) as caught:
        data().load("train")
    assert str(nowhere / name) in str(caught.value)
    assert "delete the file" in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00\x08",
        idx((2, 3))[:-1],
        idx((2, 3)) + b"x",
        b"\x00\x00\x09\x02" + idx((2, 3))[4:],
        idx((6,)),
    ],
)
def test_idx_files_with_a_wrong_header_are_refused(content: bytes) -> None:
    with pytest.raises(HarnessError, match="IDX"):
        downloads.read_idx(content, 2)


@pytest.mark.mnist
def test_the_real_one() -> None:
    images, labels = data().load("test")
    assert images.shape == (10_000, 1, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert "verified" in data().fetch()

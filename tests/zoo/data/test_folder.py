"""A folder of one's own images: both layouts, every mode of an image, what is refused, and what is kept."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data import digests as digests_module
from harness.zoo.data import folder


def data(**settings: object) -> folder.Folder:
    choice = registry.choose("data", {"name": "folder", "size": 4, **settings})
    made: folder.Folder = choice.make()
    return made


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The default folder, not yet there; an empty cache."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "images"


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the process knows."""
    monkeypatch.setattr(digests_module, "_known", {})
    folder._looked_through.cache_clear()


def put(path: Path, value: int = 0, size: tuple[int, int] = (4, 4)) -> None:
    """A picture of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def flat(root: Path) -> None:
    """Two classes; the values of b tell the place in the order of names."""
    for place in range(10):
        put(root / "b" / f"{place:02}.png", place)
    for place in range(6):
        put(root / "a" / f"{place}.png", 100 + place)


def apart(root: Path) -> None:
    """The same two classes, with a test folder."""
    for place in range(3):
        put(root / "train" / "b" / f"{place}.png", place)
    put(root / "train" / "a" / "x.png", 50)
    put(root / "test" / "a" / "x.png", 60)
    put(root / "test" / "b" / "x.png", 70)


def values(split: str, **settings: object) -> list[int]:
    images = data(**settings).load(split).images  # type: ignore[arg-type]
    return [int(value) for value in images[:, 0, 0, 0]]


def test_every_fifth_is_held_out(root: Path) -> None:
    flat(root)
    assert data().present()
    assert data().shape == (3, 4, 4, 2)
    assert values("train") == [100, 101, 102, 103, 105, 0, 1, 2, 3, 5, 6, 7, 8]
    assert values("test") == [104, 4, 9]
    images, labels = data().load("train")
    assert images.dtype == torch.uint8
    assert images.shape == (13, 3, 4, 4)
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0] * 5 + [1] * 8
    assert "13 + 3 images of 2 classes" in data().fetch()


def test_a_test_folder_is_taken_whole(root: Path) -> None:
    apart(root)
    put(root / "validation" / "c" / "x.png")  # not looked at
    put(root / "val" / "x.png")
    (root / "notes").mkdir()
    (root / "notes" / "README.txt").write_text("no image")
    assert values("train") == [50, 0, 1, 2]
    assert values("test") == [60, 70]
    assert data().shape.classes == 2


def test_classes_of_those_names_are_classes(root: Path) -> None:
    for place in range(5):
        put(root / "train" / f"{place}.png", 10)
        put(root / "ship" / f"{place}.png", 20)
    assert values("test") == [20, 10]


def test_one_class(root: Path) -> None:
    flat(root)
    assert values("test", classes=[1]) == [4, 9]
    assert data(classes=[1]).load("test").labels.tolist() == [1, 1]


def numbered(root: Path, *names: str) -> None:
    """Five pictures of a class, of the grey that its name says."""
    for name in names:
        for place in range(5):
            put(root / name / f"{place}.png", int(re.sub("[^0-9]", "", name)))


def test_classes_are_in_natural_order(root: Path) -> None:
    numbered(root, *map(str, range(12)))
    assert data().class_names == tuple(map(str, range(12)))
    assert values("test", classes=[2, 10]) == [2, 10]
    assert data(classes=[2]).load("test").labels.tolist() == [2]


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["10", "9", "1"], ["1", "9", "10"]),
        (["img10", "img9", "Img8"], ["Img8", "img9", "img10"]),
        (["v1.10", "v1.9", "v1"], ["v1", "v1.9", "v1.10"]),
        (["1", "01", "001"], ["001", "01", "1"]),
        (["b", "a2b", "a"], ["a", "a2b", "b"]),
    ],
)
def test_natural_order(names: list[str], ordered: list[str]) -> None:
    assert sorted(names, key=folder.natural) == ordered


def test_classes_by_name(root: Path) -> None:
    numbered(root, "cat 7", "dog 8", "2 eels")
    assert data().class_names == ("2 eels", "cat 7", "dog 8")
    assert values("test", classes=["dog 8", "2 eels"]) == [2, 8]
    by_name, by_number = data(classes=["dog 8", 0]), data(classes=[0, 2])
    assert by_name.digest() == by_number.digest()
    assert by_name.refusal() is None
    assert data(classes=["dog"]).refusal() == (
        "it has no class 'dog', did you mean 'dog 8'? (classes: 2 eels, cat 7, dog 8)"
    )
    assert data(classes=[2, "dog 8"]).refusal() == "the class 'dog 8' is listed twice"
    assert data(classes=[3]).refusal() == "it has the classes 0 to 2, not 3"


def test_a_number_that_is_the_name_of_another_class_is_refused(root: Path) -> None:
    numbered(root, "3", "5", "007", "1")
    assert data(classes=[5]).refusal() == (
        "5 could mean the class called '5', or the class number 5: write its name in quotes, as in classes: ['5']"
    )
    assert data(classes=[3]).refusal() == (
        "3 could mean the class called '3', or the class number 3, which is called '007': "
        "write its name in quotes, as in classes: ['3']"
    )
    assert values("test", classes=["5"]) == [5]
    assert values("test", classes=["007"]) == [7]
    assert "could mean the class called '007'" in str(data(classes=[7]).refusal())
    assert data(classes=[0]).load("test").labels.tolist() == [0]  # no class is called so


def test_a_class_is_a_number_or_a_name() -> None:
    assert data(classes=[1.0]).settings.classes == (1,)
    for wrong in (True, 1.5, None, [1]):
        with pytest.raises(registry.ChoiceError, match="expected the number or name of a class, got "):
            data(classes=[wrong])


def test_the_classes_of_the_published_sets_have_names() -> None:
    chosen = registry.choose("data", {"name": "cifar10", "classes": ["ship", "cat"]}).make()
    assert chosen.kept == (3, 8)
    assert registry.choose("data", {"name": "fashion_mnist", "classes": ["Bag"]}).make().kept == (8,)
    assert registry.choose("data", {"name": "mnist", "classes": ["3"]}).make().kept == (3,)


@pytest.mark.parametrize("written", ["{}", "{}/../images", "~/images", "images"])
def test_ways_to_write_the_path(root: Path, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    flat(root)
    assert data(path=written.format(root)).load("test").labels.tolist() == [0, 1, 1]


def test_hidden_files_are_no_images(root: Path) -> None:
    flat(root)
    before = data().digest()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "a" / name).write_bytes(b"no image")
    (root / ".git").mkdir()
    (root / "README.txt").write_text("beside the classes")
    assert values("test") == [104, 4, 9]
    assert data().digest() == before


FOREIGN = [
    *("@eaDir", "#recycle", "#snapshot", "@tmp", "@Recycle", "lost+found", "LOST.DIR", "$RECYCLE.BIN", "FOUND.000"),
    *("System Volume Information", "__MACOSX", ".ipynb_checkpoints", ".Trashes", ".@__thumb", "__pycache__"),
]


@pytest.mark.parametrize("layout", [flat, apart])
def test_folders_of_systems_are_no_classes(root: Path, layout: Callable[[Path], None]) -> None:
    layout(root)
    before, at = data().digest(), root / "train" if layout is apart else root
    for name in FOREIGN:
        put(at / name / "thumb.png")
        put(at / "a" / name / "x.png")  # beside the images, too
        put(root / name / "thumb.png")
    for name in ("Thumbs.db", "ehthumbs.db", ".DS_Store", "Icon\r"):
        (at / "a" / name).write_bytes(b"no image")
    assert data().class_names == ("a", "b")
    assert data().digest() == before


def test_what_is_no_file_is_named_and_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat(root)
    os.mkfifo(root / "a" / "pipe.png")
    (root / "b" / "zero.png").symlink_to("/dev/zero")
    (root / "b" / "inner.png").mkdir()
    monkeypatch.chdir(root / "b")  # the name of a socket may have at most a hundred characters
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind("s.png")
    with pytest.raises(HarnessError, match=r"^4 files in .* cannot be read as an image") as caught:
        data().digest()
    lines = str(caught.value).splitlines()[1:]
    for line in ("a/pipe.png: a pipe", "b/zero.png: a device", "b/s.png: a socket", "b/inner.png: a folder"):
        assert f"  {line}, no file" in lines


def test_the_middle_is_cut_out(root: Path) -> None:
    flat(root)
    picture = np.zeros((4, 10), np.uint8)
    picture[:, 3:7] = np.arange(16).reshape(4, 4)
    Image.fromarray(picture).save(root / "a" / "4.png")
    Image.fromarray(picture.T.copy()).save(root / "b" / "04.png")
    wide, high = data(channels=1).load("test").images[:2, 0]
    assert wide.flatten().tolist() == list(range(16))
    assert torch.equal(high, wide.T)


def test_resized_by_lanczos(root: Path) -> None:
    flat(root)
    original = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)
    Image.fromarray(original).save(root / "a" / "4.png")
    expected = np.asarray(Image.fromarray(original).resize((4, 4), Image.Resampling.LANCZOS))
    assert data(channels=1).load("test").images[0, 0].numpy().tolist() == expected.tolist()


def png(image: Image.Image, **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, str(how.pop("kind", "png")), **how)
    return buffer.getvalue()


def palette(transparent: bool) -> bytes:
    image = Image.new("P", (1, 1), 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    return png(image, transparency=1) if transparent else png(image)


def turned() -> bytes:
    """Red above blue, to be shown turned by half: blue above red."""
    image = Image.new("RGB", (2, 2), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 2, 1))
    exif = Image.Exif()
    exif[0x0112] = 3
    return png(image, exif=exif)


def pixels(content: bytes, size: int, channels: int) -> np.ndarray:
    """A decoded image (channels, size, size), as if it were alone."""
    image, _, _ = folder._pixels(content, folder.Form(size, channels))
    return image


MODES: dict[str, tuple[Callable[[], bytes], list[int]]] = {
    "grey": (lambda: png(Image.new("L", (1, 1), 77)), [77, 77, 77]),
    "black and white": (lambda: png(Image.new("1", (1, 1), 1)), [255, 255, 255]),
    "colour": (lambda: png(Image.new("RGB", (1, 1), (1, 2, 3))), [1, 2, 3]),
    "transparent": (lambda: png(Image.new("RGBA", (1, 1), (200, 100, 50, 0))), [0, 0, 0]),
    "half transparent": (lambda: png(Image.new("RGBA", (1, 1), (200, 100, 50, 51))), [40, 20, 10]),
    "grey, half transparent": (lambda: png(Image.new("LA", (1, 1), (200, 51))), [40, 40, 40]),
    "grey with a transparent value": (lambda: png(Image.new("L", (1, 1), 7), transparency=7), [0, 0, 0]),
    "palette": (lambda: palette(False), [200, 100, 50]),
    "transparent palette": (lambda: palette(True), [0, 0, 0]),
    "16 bit": (lambda: png(Image.fromarray(np.full((1, 1), 257 * 99 + 128, np.uint16))), [99, 99, 99]),
    "16 bit, white": (lambda: png(Image.fromarray(np.full((1, 1), 65535, np.uint16))), [255, 255, 255]),
    "16 bit, big-endian": (
        lambda: png(Image.frombytes("I;16B", (1, 1), (257 * 99).to_bytes(2, "big")), kind="tiff"),
        [99, 99, 99],
    ),
    "CMYK": (lambda: png(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), kind="tiff"), [255, 0, 0]),
    "first frame": (
        lambda: png(Image.new("L", (1, 1), 5), kind="gif", save_all=True, append_images=[Image.new("L", (1, 1), 9)]),
        [5, 5, 5],
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    make, expected = MODES[mode]
    assert pixels(make(), 1, 3).flatten().tolist() == expected


def test_grey_is_the_luma_of_colour() -> None:
    for colour, expected in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert pixels(png(Image.new("RGB", (1, 1), colour)), 1, 1).tolist() == [[[expected]]]


def test_turned_as_exif_says() -> None:
    image = pixels(turned(), 2, 3)
    assert image[:, 0, 0].tolist() == [0, 0, 255]
    assert image[:, 1, 0].tolist() == [255, 0, 0]


def deep(root: Path, largest: int, name: str = "4", black: int = 0) -> None:
    """Sixteen bits a pixel: a 4×4 picture with this value on its left half, black on its right."""
    picture = np.full((4, 4), black, np.uint16)
    picture[:, :2] = largest
    (root / "a").mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(root / "a" / f"{name}.png")


@pytest.mark.parametrize(
    ("largest", "white"), [(255, 255), (200, 255), (256, 1023), (4095, 4095), (4096, 16383), (16384, 65535)]
)
def test_the_bits_that_are_used_are_those_of_the_whole_folder(
    root: Path, caplog: pytest.LogCaptureFixture, largest: int, white: int
) -> None:
    for name in "01234":
        deep(root, largest // 2, name)
    deep(root, largest, "0")
    images = data(channels=1).load("train").images[:, 0, 0, 0]
    assert images.tolist() == [round(largest / white * 255), *[round(largest // 2 / white * 255)] * 3]
    assert (f"values up to {largest}: {white} is taken as white" in caplog.text) == (white < 65535)
    assert data(channels=1, white=65535).load("train").images[0, 0, 0, 0] == round(largest / 257)
    assert data(white=65535, channels=1).digest() != data(channels=1).digest()


def test_eight_bits_beside_sixteen_stay_as_they_are(root: Path) -> None:
    flat(root)
    deep(root, 4095)  # a/4.png is held out
    assert values("train") == [100, 101, 102, 103, 105, 0, 1, 2, 3, 5, 6, 7, 8]
    assert values("test") == [255, 4, 9]


def test_values_above_white_are_white(root: Path) -> None:
    for name in "01234":
        deep(root, 5000, name, black=1000)
    assert data(channels=1, white=2000).load("test").images.unique().tolist() == [128, 255]


def colours(value: int) -> bytes:
    """A PNG of one pixel with 16 bits per colour, which Pillow cannot write."""
    head = (1).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + value.to_bytes(2, "big") * 3)), (b"IEND", b""))
    chunks = (len(c).to_bytes(4, "big") + kind + c + zlib.crc32(kind + c).to_bytes(4, "big") for kind, c in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_colours_that_lose_their_bits_are_refused(root: Path) -> None:
    flat(root)
    (root / "a" / "4.png").write_bytes(colours(4095))
    with pytest.raises(HarnessError, match="16 bits per colour, but use 14 or fewer"):
        data().digest()
    (root / "a" / "5.png").write_bytes(colours(65535))
    assert values("test") == [15, 4, 9]


def test_a_folder_that_is_nearly_black_is_said_to_be(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for place in range(5):
        put(root / "a" / f"{place}.png", place)  # classes in place of greys, as masks have them
    data().digest()
    assert f"the images in {root} are nearly black: their largest value is 4 of 255" in caplog.text


def damaged_exif(*, turn: int) -> bytes:
    """A JPEG whose EXIF data say how it is turned, and then end too early."""
    image = Image.new("RGB", (16, 16), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 16, 8))
    entry = (0x0112).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    beyond = (0x010F).to_bytes(2, "little") + (2).to_bytes(2, "little") + (99).to_bytes(4, "little")
    tags = entry + turn.to_bytes(4, "little") + beyond + (9999).to_bytes(4, "little")
    return png(image, kind="jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0" + tags + b"\x01")


def test_damaged_exif_is_quiet(root: Path, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]) -> None:
    flat(root)
    (root / "a" / "4.png").write_bytes(damaged_exif(turn=3))
    (root / "b" / "04.png").write_bytes(
        png(Image.new("L", (4, 4), 77), kind="jpeg", exif=b"Exif\0\0MM\0" + b"\xff" * 9)
    )
    red_and_blue = data().load("test").images[0]
    assert values("test")[1] == 77
    assert red_and_blue[0, 3, 0] > 200 > 50 > red_and_blue[0, 0, 0]  # turned by half: what can be read is obeyed
    assert not recwarn.list
    assert capfd.readouterr().err == ""


def test_files_that_are_no_images_are_named_in_one_message(root: Path) -> None:
    flat(root)
    whole = png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)))
    (root / "a" / "cut.png").write_bytes(whole[:600])
    (root / "a" / "empty.jpg").write_bytes(b"")
    (root / "a" / "gone.png").symlink_to(root / "nowhere")
    (root / "a" / "inner").mkdir()
    (root / "b" / "deep.tif").write_bytes(png(Image.new("I", (1, 1), 70_000), kind="tiff"))
    (root / "b" / "fraction.tif").write_bytes(png(Image.new("F", (1, 1), 0.5), kind="tiff"))
    for number in range(6):
        (root / "b" / f"notes{number}.txt").write_text("no image")
    for ask in (data().digest, data().fetch, lambda: data().load("test")):
        with pytest.raises(HarnessError) as caught:
            ask()
        lines = str(caught.value).splitlines()
        assert lines[0] == f"12 files in {root} cannot be read as an image; repair or remove:"
        named = [line.split(":")[0].strip() for line in lines[1:11]]
        inside_a = ["a/cut.png", "a/empty.jpg", "a/gone.png", "a/inner"]
        assert set(named) <= {*inside_a, "b/deep.tif", "b/fraction.tif", *(f"b/notes{n}.txt" for n in range(6))}
        assert set(inside_a) & set(named)
        assert len(set(named)) == 10
        assert lines[11:] == ["  and 2 more"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no image", "not an image format that Pillow knows"),
        (b"", "not an image format"),
        (png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)))[:600], "truncated"),
        (png(Image.new("I", (1, 1), 70_000), kind="tiff"), "more than 16 bits"),
        (png(Image.new("F", (1, 1), 0.5), kind="tiff"), "floating-point"),
    ],
)
def test_why_a_file_is_no_image(root: Path, content: bytes, reason: str) -> None:
    flat(root)
    (root / "a" / "bad.png").write_bytes(content)
    with pytest.raises(HarnessError, match=rf"1 file in .* cannot be read as an image.*\n  a/bad\.png: .*{reason}"):
        data().digest()


def test_an_image_without_pixels() -> None:
    with pytest.raises(ValueError, match="0 × 5 pixels"):
        folder._square(Image.new("L", (0, 5)))


def empty_class(root: Path) -> None:
    flat(root)
    (root / "c").mkdir()


def empty_test_class(root: Path) -> None:
    apart(root)
    (root / "test" / "b" / "x.png").rename(root / "test" / "b" / ".x.png")


def too_few(root: Path) -> None:
    flat(root)
    (root / "a" / "4.png").unlink()
    (root / "a" / "5.png").unlink()


def differing(root: Path) -> None:
    apart(root)
    put(root / "train" / "c" / "x.png")
    put(root / "test" / "d" / "x.png")


def no_test(root: Path) -> None:
    apart(root)
    (root / "test").rename(root / "later")


def beside(root: Path) -> None:
    """The advice for too few images, followed for one class alone."""
    flat(root)
    put(root / "train" / "rare" / "x.png")
    put(root / "test" / "rare" / "x.PNG")
    (root / "more").mkdir()
    (root / "more" / "x").write_bytes(png(Image.new("L", (1, 1))))


def loose(root: Path) -> None:
    put(root / "x.png")


def loose_in_both(root: Path) -> None:
    put(root / "train" / "x.png")
    put(root / "test" / "x.png")


@pytest.mark.parametrize(
    ("make", "fragment"),
    [
        (lambda root: None, "there is no folder .*images; put images there"),
        (loose, "images has no sub-folders"),
        (loose_in_both, "images/train has no sub-folders"),
        (empty_class, "images/c has no images"),
        (empty_test_class, "images/test/b has no images"),
        (too_few, "images/a has 4 images; every 5th.* the images of all classes into .*/train and .*/test, with one"),
        (beside, "train and test, and classes beside them, which would be left out: a, b, more; move every class"),
        (differing, "different classes: only one of them has c, d"),
        (no_test, "only one of the folders train and test"),
    ],
)
def test_a_folder_of_another_form_is_refused(root: Path, make: Callable[[Path], object], fragment: str) -> None:
    make(root)
    assert not data().present()
    for ask in (data().digest, data().fetch, lambda: data().shape, lambda: data().load("test")):
        with pytest.raises(HarnessError, match=fragment):
            ask()


def test_without_harness_data_a_relative_path_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA")
    assert not data().present()
    with pytest.raises(HarnessError, match="relative to HARNESS_DATA, which is not set"):
        data().digest()


@pytest.mark.parametrize("setting", [{"channels": 2}, {"size": 0}, {"path": ""}, {"width": 3}])
def test_settings_out_of_range_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(registry.ChoiceError):
        data(**setting)


def test_the_digest_tells_content_names_and_form_apart(root: Path) -> None:
    flat(root)
    digests = [data().whole_digest(), data(size=5).whole_digest(), data(channels=1).whole_digest()]
    put(root / "a" / "0.png", 99)
    os.utime(root / "a" / "0.png", ns=(1, 1))
    os.utime(root / "a", ns=(1, 1))  # as if a file had come or gone: looked through again
    digests.append(data().whole_digest())
    (root / "a" / "0.png").rename(root / "a" / "00.png")
    digests.append(data().whole_digest())
    (root / "b").rename(root / "c")
    digests.append(data().whole_digest())
    assert len(set(digests)) == 6
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_is_the_same_elsewhere(root: Path) -> None:
    flat(root)
    flat(root.parent / "copy")
    assert data(path="copy").whole_digest() == data().whole_digest()


def test_nothing_is_decoded_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat(root)
    digest, images = data().digest(), data().load("train").images
    another_process(monkeypatch)
    monkeypatch.setattr(folder, "_decoded", None)  # decoding would fail now
    assert data().digest() == digest
    assert torch.equal(data().load("train").images, images)
    assert data().load("test").images.shape == (3, 3, 4, 4)


@pytest.mark.parametrize("where", [0, 40, -1, -700])
def test_damaged_images_in_the_cache_are_decoded_anew(root: Path, monkeypatch: pytest.MonkeyPatch, where: int) -> None:
    flat(root)
    digest, images = data().digest(), data().load("train").images
    (kept,) = (root.parent / "cache" / "folder").glob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[where] ^= 0xFF
    kept.write_bytes(content)
    another_process(monkeypatch)
    assert torch.equal(data().load("train").images, images)
    assert values("test") == [104, 4, 9]
    assert data().digest() == digest


def test_truncated_and_missing_images_in_the_cache(root: Path) -> None:
    flat(root)
    images = data().load("train").images
    (kept,) = (root.parent / "cache" / "folder").glob("*.safetensors")
    size = kept.stat().st_size
    kept.write_bytes(kept.read_bytes()[:-10])
    assert torch.equal(data().load("train").images, images)
    assert kept.stat().st_size == size
    kept.unlink()
    assert torch.equal(data().load("train").images, images)
    assert kept.stat().st_size == size


def test_a_change_behind_the_process_is_noticed(root: Path) -> None:
    flat(root)
    data().digest()
    (kept,) = (root.parent / "cache" / "folder").glob("*.safetensors")
    kept.unlink()
    put(root / "a" / "0.png", 1)
    with pytest.raises(HarnessError, match="have changed"):
        data().load("train")


def test_without_a_cache_it_works_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flat(root)
    (root.parent / "file").write_text("no folder can be made below this")
    monkeypatch.setenv("HARNESS_CACHE", str(root.parent / "file" / "cache"))
    assert values("test") == [104, 4, 9]

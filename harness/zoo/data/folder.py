"""A folder of the user's images, with one sub-folder per class.

Two layouts: ``path/train/<class>/*`` and ``path/test/<class>/*`` (other entries beside these two are ignored), or
``path/<class>/*``, where every fifth image of each class, by name, is held out for the test split. The classes are the
names of the sub-folders in natural order (2 before 10); the images are ordered by class and then by name, as text.

An image is rotated according to its EXIF data, put on black where it is transparent, cropped to the square in its
middle, and resized with the Lanczos filter. 16-bit values become 8-bit ones by the white of the whole folder: the
setting, else the smallest of 255, 1023, 4095, 16383 and 65535 that no value exceeds. So 12 bits in 16-bit files are
read as 12 bits.

All images are decoded once and stored in the cache folder under the digest of their names and contents. As long as no
name, size or modification time changes, neither the digest nor the images are computed again.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from pydantic import Field

from harness.base import digests
from harness.base.errors import HarnessError
from harness.base.files import COMPUTED_ANEW, cache_folder, no_file, write_bytes
from harness.base.messages import note
from harness.zoo.data.base import SPLITS, DataSet, DataSettings, Labelled, Shape, Split
from harness.zoo.data.digests import remembered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

RECIPE = 2
"""The version of decoding and numbering: change it whenever the images or labels of the same files change."""
WHITES = (255, 1023, 4095, 16383, 65535)
"""The largest values of 8, 10, 12, 14 and 16 bits, one of which is white in a folder of 16-bit images."""
DARK = 26
"""Images whose values are all below this, a tenth of 255, are said to be nearly black."""
ORIENTATION = 0x0112
"""The EXIF tag that says how an image is to be turned."""
HELD_OUT = 5
"""Without a test folder, one of this number of images is held out."""
NAMED = 10
"""The largest number of files that a message names."""
MAX_PIXELS = 100_000_000
"""The largest image: a small file can contain an image that fills the memory."""
NOT_YOURS = frozenset(
    {
        *(
            "thumbs.db",
            "ehthumbs.db",
            "desktop.ini",
            "$recycle.bin",
            "recycler",
            "system volume information",
        ),  # Windows
        *("__macosx", "network trash folder", "temporary items", "icon\r"),  # macOS
        *("lost+found", "lost.dir", "aquota.user", "aquota.group"),  # Linux, Android
        *("@eadir", "@tmp", "@sharebin", "#recycle", "#snapshot"),  # Synology
        *("@recycle", "@recently-snapshot", "@__thumb"),  # QNAP
        *("~snapshot", "__pycache__"),  # NetApp; Python
    }
)
"""Files and folders (in lower case) that systems put beside one's own, besides names that begin with a dot."""
RESCUED = re.compile(r"found\.[0-9]{3}")
"""The folders in which Windows puts what it found when it repaired a disk."""
ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp", ""})
"""How the names of images end, in lower case, to tell a class from another folder."""
VALIDATION = frozenset({"val", "valid", "validation", "dev"})
"""Folders beside train and test that are no class, even if they hold images."""


class FolderSettings(DataSettings):
    """The folder, and the size and channels of the images."""

    path: str = Field(
        "images",
        min_length=1,
        max_length=4096,
        description="the folder: absolute, from ~, or inside the folder that HARNESS_DATA names",
    )
    size: int = Field(32, ge=1, le=1024, description="height and width in pixels to which the images are resized")
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: colour")
    white: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="the value that is white in 16-bit images; null: the smallest of 255, 1023, 4095, 16383 and 65535 "
        "that no value of the folder exceeds",
    )


class Folder(DataSet):
    """The images in a folder of the user, decoded once."""

    name = "folder"
    summary = "your own images, one sub-folder per class, resized to one size"
    Settings = FolderSettings
    settings: FolderSettings

    @property
    def shape(self) -> Shape:
        size = self.settings.size
        return Shape(self.settings.channels, size, size, len(self._listing().classes))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._listing().classes

    def whole_digest(self) -> str:
        listing, form = self._listing(), self._form
        return remembered(self.name, [RECIPE, *form, listing.key], lambda: _prepare(listing, form))

    def whole(self, split: Split) -> Labelled:
        digest = self.whole_digest()
        images = _stored(digest, split)
        if images is None:
            listing = self._listing()
            now, arrays = _decoded(listing, self._form)
            if now != digest:
                raise HarnessError(f"the images in {listing.root} have changed since they were first read; start again")
            _store(digest, arrays)
            images = arrays[split]
        return Labelled(torch.tensor(images), torch.tensor(self._listing().labels(split)))

    def present(self) -> bool:
        try:
            self._listing()
        except HarnessError:
            return False
        return True

    def sources(self) -> dict[str, Path]:
        place = Path(self.settings.path)
        if place.is_absolute() or ".." in place.parts or str(place).startswith("~"):
            return {}  # another machine has it at the same place, or not at all
        try:
            listing = self._listing()
        except HarnessError:
            return {}
        return {str(place / file.name): listing.root / file.name for file in listing.files}

    def fetch(self) -> str:
        listing = self._listing()
        for split in SPLITS:
            self.whole(split)
        counts = " + ".join(str(len(listing.labels(split))) for split in SPLITS)
        return f"{self.name}: {counts} images of {len(listing.classes)} classes in {listing.root}"

    @property
    def _form(self) -> Form:
        return Form(self.settings.size, self.settings.channels, self.settings.white)

    def _listing(self) -> Listing:
        return _listed(_root(self.settings.path))


class Form(NamedTuple):
    """The settings of the decoding: size, channels, and the white of 16-bit images (None: found from their values)."""

    size: int
    channels: int
    white: int | None = None


class Decoded(NamedTuple):
    """What is known of a decoded file.

    Attributes:
        sha256: the digest of the file; empty if it is no image.
        wrong: why it is no image; empty if it is one.
        largest: the largest value, if it has 16 bits per value, else 0.
        cut: the largest value, if it has 16 bits per colour, of which only the upper 8 could be read, else None.
    """

    sha256: str = ""
    wrong: str = ""
    largest: int = 0
    cut: int | None = None


@dataclass(frozen=True)
class File:
    """A file in the folder of a class: its path relative to the root, and what shows whether it has changed."""

    name: str
    split: Split
    label: int
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Listing:
    """The files of a folder, in the order of split, class and name."""

    root: Path
    classes: tuple[str, ...]
    files: tuple[File, ...]

    @functools.cached_property
    def key(self) -> str:
        """A hash of the folder's path and of every file's name, size and modification time."""
        files = [(file.name, file.bytes, file.mtime_ns) for file in self.files]
        return digests.of_text(json.dumps([str(self.root), files]))

    def of(self, split: Split) -> list[File]:
        """The files of a split."""
        return [file for file in self.files if file.split == split]

    def labels(self, split: Split) -> list[int]:
        """The class numbers of the images of a split."""
        return [file.label for file in self.of(split)]


def _root(path: str) -> Path:
    """The folder that the setting ``path`` names."""
    wanted = Path(os.path.expanduser(path))
    data = os.environ.get("HARNESS_DATA")
    if not wanted.is_absolute() and not data:
        raise HarnessError(
            f"the folder of images {path!r} is relative to HARNESS_DATA, which is not set; "
            "set it, or give an absolute path (`data: {name: folder, path: …}`)"
        )
    root = Path(data or "", wanted).absolute()
    if not os.path.isdir(root):  # Path.is_dir raises an error for names that are too long
        raise HarnessError(
            f"there is no folder {root}; put images there, with one sub-folder per class, "
            "or name the folder that has them (`data: {name: folder, path: …}`)"
        )
    return root


def _listed(root: Path) -> Listing:
    """The listing of the folder. It is made once per process, and again when a file was added or removed."""
    apart = [root / name for name in SPLITS if (root / name).is_dir()]
    split = len(apart) == 2 or any(_folders(folder) for folder in apart)
    parts = [root / name for name in SPLITS] if split else [root]
    for part in parts:
        if not part.is_dir():
            raise HarnessError(
                f"{root} has only one of the folders train and test; "
                "create both, each with one sub-folder per class, or neither"
            )
    watched = [root, *parts, *(folder for part in parts for folder in _folders(part))]
    return _looked_through(root, split, tuple((folder, folder.stat().st_mtime_ns) for folder in watched))


@functools.lru_cache(maxsize=8)
def _looked_through(root: Path, split: bool, _unchanged: tuple[tuple[Path, int], ...]) -> Listing:
    parts = {name: _folders(root / name) for name in SPLITS} if split else {"": _folders(root)}
    for name, folders in parts.items():
        if not folders:
            where = root / name
            raise HarnessError(f"{where} has no sub-folders; put the images of each class into its own sub-folder")
    if split and (beside := [folder.name for folder in _folders(root) if _is_class(folder)]):
        raise HarnessError(
            f"{root} has the folders train and test, and classes beside them, which would be left out: "
            f"{', '.join(beside[:NAMED])}{', …' * (len(beside) > NAMED)}; move every class into train and test, one "
            "sub-folder per class in each, or move these folders elsewhere"
        )
    classes = [tuple(folder.name for folder in folders) for folders in parts.values()]
    if differing := sorted(set(classes[0]) ^ set(classes[-1])):
        raise HarnessError(
            f"train and test in {root} have different classes: only one of them has {', '.join(differing[:NAMED])}; "
            "create the same sub-folders in both"
        )
    read = _files_split if split else _files_held_out
    files = [file for label, name in enumerate(classes[0]) for file in read(root, name, label)]
    return Listing(root, classes[0], tuple(sorted(files, key=lambda file: (SPLITS.index(file.split), file.label))))


def _is_class(folder: Path) -> bool:
    """Whether a folder beside train and test looks like that of a class: it holds images."""
    if folder.name in SPLITS or folder.name.lower() in VALIDATION:
        return False
    return any(Path(entry.name).suffix.lower() in ENDINGS and not entry.is_dir() for entry in _entries(folder))


def _files_split(root: Path, name: str, label: int) -> Iterator[File]:
    """The files of a class if train and test are separate folders."""
    for split in SPLITS:
        entries = _entries(root / split / name)
        if not entries:
            raise HarnessError(f"{root / split / name} has no images; put some there, or remove the class")
        for entry in entries:
            yield _file(root, entry, split, label)


def _files_held_out(root: Path, name: str, label: int) -> Iterator[File]:
    """The files of a class; every fifth is for the test split."""
    entries = _entries(root / name)
    if not entries:
        raise HarnessError(f"{root / name} has no images; put some there, or remove the class")
    if len(entries) < HELD_OUT:
        raise HarnessError(
            f"{root / name} has {len(entries)} images; every {HELD_OUT}th is held out, so a class needs at least "
            f"{HELD_OUT}. Put more there, or sort the images of all classes into {root / 'train'} and "
            f"{root / 'test'}, with one sub-folder per class in each"
        )
    for position, entry in enumerate(entries, 1):
        yield _file(root, entry, "train" if position % HELD_OUT else "test", label)


def _file(root: Path, entry: os.DirEntry[str], split: Split, label: int) -> File:
    try:
        stat = entry.stat()
    except OSError:  # a broken link: it is listed among the unreadable files later
        stat = entry.stat(follow_symlinks=False)
    return File(Path(entry.path).relative_to(root).as_posix(), split, label, stat.st_size, stat.st_mtime_ns)


def _folders(where: Path) -> list[Path]:
    """The folders in a folder, in natural order."""
    return sorted(
        (Path(entry.path) for entry in _entries(where) if entry.is_dir()), key=lambda path: natural(path.name)
    )


def natural(name: str) -> tuple[list[str | int], str]:
    """Sorts names with numbers as people do: 2 before 10. Names that differ only in zeroes are sorted as text."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _entries(where: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name, without hidden ones and those that systems put there."""
    try:
        with os.scandir(where) as found:
            shown = [entry for entry in found if not _foreign(entry.name)]
    except OSError as error:
        raise HarnessError(f"{where} cannot be read: {error}") from error
    return sorted(shown, key=lambda entry: entry.name)


def _foreign(name: str) -> bool:
    """Whether a name is hidden, or that of a file or folder that a system puts there."""
    lower = name.lower()
    return name.startswith(".") or lower in NOT_YOURS or RESCUED.fullmatch(lower) is not None


Arrays = dict[str, "NDArray[np.uint8]"]
"""The images (n, channels, size, size) of each split."""


def _prepare(listing: Listing, form: Form) -> str:
    """Decode and store all images; returns their digest."""
    digest, arrays = _decoded(listing, form)
    _store(digest, arrays)
    return digest


def _decoded(listing: Listing, form: Form) -> tuple[str, Arrays]:
    """Decode all images; returns the digest of names, contents and form, and the images.

    Raises:
        HarnessError: some files are not readable images; the message names the first of them.
    """
    import numpy as np

    shape = (form.channels, form.size, form.size)
    arrays: Arrays = {split: np.empty((len(listing.of(split)), *shape), np.uint8) for split in SPLITS}
    places = [image for split in SPLITS for image in arrays[split]]
    found = _decode_all(listing.root, listing.files, places, form)
    _refuse(
        listing.root, [(file.name, each.wrong) for file, each in zip(listing.files, found, strict=True) if each.wrong]
    )
    white = form.white or _white(max((each.largest for each in found), default=0))
    if form.white is None and white != WHITES[-1]:
        # Only now it is known that no image uses all 16 bits: decode those that have them again.
        deep = [place for place, each in enumerate(found) if each.largest]
        files, again = [listing.files[place] for place in deep], [places[place] for place in deep]
        _decode_all(listing.root, files, again, form._replace(white=white))
        note(
            f"the 16-bit images in {listing.root} have values up to {max(each.largest for each in found)}: {white} is "
            "taken as white (`data: {name: folder, white: 65535}` takes all 16 bits)"
        )
    _look_at(listing.root, found, arrays)
    names = [[file.name, each.sha256] for file, each in zip(listing.files, found, strict=True)]
    return digests.of_text(json.dumps([RECIPE, form.size, form.channels, white, sorted(names)])), arrays


def _decode_all(
    root: Path, files: Sequence[File], places: Sequence[NDArray[np.uint8]], form: Form
) -> Sequence[Decoded]:
    """Decode files into their places, in several threads. Pillow's warnings are of no use: they name no file."""

    def decode(file: File, place: NDArray[np.uint8]) -> Decoded:
        try:
            if what := no_file(root / file.name):
                return Decoded(wrong=what)
            content = (root / file.name).read_bytes()
            place[...], largest, cut = _pixels(content, form)
        except Exception as error:  # Pillow's readers can raise anything
            return Decoded(wrong=_reason(error))
        return Decoded(digests.of_bytes(content), "", largest, cut)

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        warnings.simplefilter("ignore")
        return list(threads.map(decode, files, places))


def _white(largest: int) -> int:
    """The value of white in 16-bit images whose largest value is this."""
    return next(white for white in WHITES if largest <= white) if largest else WHITES[-1]


def _look_at(root: Path, found: Sequence[Decoded], arrays: Arrays) -> None:
    """Refuse images whose colours lost most of their bits, and say if all images are nearly black."""
    cut = [each.cut for each in found if each.cut is not None]
    if cut and 0 < max(cut) < 64:
        raise HarnessError(
            f"the colour images in {root} have 16 bits per colour, but use 14 or fewer, and only the upper 8 of 16 can "
            "be read: save them with 8 bits per colour"
        )
    brightest = max(int(array.max()) for array in arrays.values())
    if brightest < DARK:
        note(f"the images in {root} are nearly black: their largest value is {brightest} of 255")


def _refuse(root: Path, unreadable: Sequence[tuple[str, str]]) -> None:
    if unreadable:
        lines = [f"  {name}: {reason}" for name, reason in unreadable[:NAMED]]
        lines += [f"  and {len(unreadable) - NAMED} more"] * (len(unreadable) > NAMED)
        count = "1 file" if len(unreadable) == 1 else f"{len(unreadable)} files"
        raise HarnessError(f"{count} in {root} cannot be read as an image; repair or remove:", *lines)


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image format that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _pixels(content: bytes, form: Form) -> tuple[NDArray[np.uint8], int, int | None]:
    """The image in a file's bytes as (channels, size, size); ``largest`` and ``cut`` of ``Decoded``."""
    import numpy as np
    from PIL import Image

    with Image.open(BytesIO(content)) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"it has {opened.width} × {opened.height} pixels, more than {MAX_PIXELS:,}")
        cut = opened.mode.startswith(("RGB", "LA")) and any("16" in str(tile[3]) for tile in opened.tile)
        opened.load()
        largest = int(np.asarray(opened).max()) if _deep(opened) else 0
        brightest = int(np.asarray(opened.convert("RGB")).max()) if cut else None
        image = _square(_plain(_upright(opened), form.white or WHITES[-1]))
    image = image.convert("L" if form.channels == 1 else "RGB")
    pixels = np.asarray(image.resize((form.size, form.size), Image.Resampling.LANCZOS))
    return (pixels[None] if form.channels == 1 else pixels.transpose(2, 0, 1)), largest, brightest


def _deep(image: Image.Image) -> bool:
    """Whether the values of a grey image have 16 bits or more."""
    return image.mode == "I" or image.mode.startswith("I;16")


def _upright(image: Image.Image) -> Image.Image:
    """The image, turned as its EXIF data say. If these are damaged, the image is taken as it is stored."""
    from PIL import Image

    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow's readers can raise anything
        orientation = None
    turn = Image.Transpose
    ways = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return image.transpose(ways[orientation]) if orientation in ways else image


def _plain(image: Image.Image, white: int) -> Image.Image:
    """The image in grey or in colour, 8 bits per value, without transparency.

    Args:
        image: any image.
        white: the value of white in an image of more than 8 bits; larger values are white, too.
    """
    import numpy as np
    from PIL import Image

    if _deep(image):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("its values have more than 16 bits")
        return Image.fromarray(((values.clip(max=white) * 510 + white) // (2 * white)).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers, and the value of white is unknown")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("L") if image.mode in ("1", "L") else image.convert("RGB")


def _square(image: Image.Image) -> Image.Image:
    """The square in the middle of an image."""
    width, height = image.size
    side = min(width, height)
    if side < 1:
        raise ValueError(f"it has {width} × {height} pixels")
    left, top = (width - side) // 2, (height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _store(digest: str, arrays: Arrays) -> None:
    """Store the images in the cache folder. If it cannot be written, they are decoded again every time."""
    from safetensors.numpy import save

    sums = {split: digests.of_bytes(array.data) for split, array in arrays.items()}
    with contextlib.suppress(OSError):
        write_bytes(_stored_at(digest), save(arrays, sums))


def _stored(digest: str, split: Split) -> NDArray[np.uint8] | None:
    """The stored images of a split; None if there are none, or they are damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_stored_at(digest), framework="np") as kept:
            array: NDArray[np.uint8] | None = kept.get_tensor(split)
            sums = kept.metadata() or {}
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError):
        array, sums = None, {}
    if array is not None and digests.of_bytes(array.tobytes()) == sums.get(split):
        return array
    note(f"{_stored_at(digest)} is damaged (its sum differs): {COMPUTED_ANEW}")
    return None


def _stored_at(digest: str) -> Path:
    return cache_folder() / "folder" / f"{digest[:32]}.safetensors"

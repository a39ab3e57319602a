"""Printed characters as images like MNIST's: from the fonts of a folder, 20 pixels large, in the middle of 28×28.

Digits of many fonts are further digits; letters and kana are shapes that are no digit. Characters that a reader may
take for a digit, alone on a page, are in ``AMBIGUOUS``: they are never an example of anything, only measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

SIZE = 28
INK = 20
"""Pixels of the longer side of a character, as in MNIST."""
DRAWN = 96
"""Font size in which a character is drawn before it is reduced."""

DIGITS = "0123456789"
CAPITALS = "ACEFHJKLMNPRTUVWXY"
SMALL = "acdefhkmnprtuvwx"
GREEK = "ΔΛΞΠΣΦΨΩλμπφψω"
CYRILLIC = "ДЖИЙЛПФЦШЩЫЮЯ"
KATAKANA = "アイウエオカキケサシスセソタチツテトナネハヒヘホマムメモヤユルレ"
HIRAGANA = "あいえおかきけこさすせそたちてとなにぬねはひふへほまみむめもやゆよれわを"
AMBIGUOUS = "OIQDSZBGosqzbgiljyΘθβδΓБУЗクノニミヨロコワフヌろるらしつくのんうり"

KINDS = {
    "capitals": CAPITALS,
    "small letters": SMALL,
    "Greek": GREEK,
    "Cyrillic": CYRILLIC,
    "katakana": KATAKANA,
    "hiragana": HIRAGANA,
}
"""Characters that are no digits. Hiragana is never shown in training."""

KEPT_BACK = (
    *("comfortaa", "courier-prime", "ecolier", "kristi", "lato", "lobster", "ocr-b", "open-sans"),
    *("quicksand", "sawarabi", "sil-andika", "takao", "vollkorn", "wine", "adf-universalis", "cwtex"),
)
"""Fonts whose file or folder has such a name are never shown in training."""


def shipped_fonts() -> Path:
    """The folder of the fonts that come with matplotlib."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def fonts(folder: Path, kept_back: bool) -> list[Path]:
    """The font files below a folder: those for training, or those that are kept back for the evaluation."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf", ".ttc", ".t1"))
    named = {path: f"{path.parent.name}/{path.name}".lower() for path in found}
    return [path for path, name in named.items() if any(part in name for part in KEPT_BACK) == kept_back]


def drawn(characters: str, files: Iterable[Path]) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28), uint8, of the characters in all fonts that have them, and their places in the text (n,).

    Fonts that cannot be read, characters that a font lacks, and blanks are left out.
    """
    images, labels = [], []
    for path in files:
        for label, image in _of_font(characters, path):
            images.append(image)
            labels.append(label)
    if not images:
        return torch.zeros(0, 1, SIZE, SIZE, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)
    return torch.stack(images), torch.tensor(labels)


def _of_font(characters: str, path: Path) -> list[tuple[int, Tensor]]:
    from PIL import ImageFont

    try:
        font = ImageFont.truetype(str(path), DRAWN)
        absent = bytes(font.getmask("\uffff"))  # what the font draws for a character that it lacks
        masks = [font.getmask(character) for character in characters]
    except (OSError, ValueError):  # no outlines, or a table that FreeType does not read
        return []
    found = []
    for label, mask in enumerate(masks):
        if min(mask.size) > 0 and bytes(mask) != absent and (image := _placed(mask)) is not None:
            found.append((label, image))
    return found


def _placed(mask: object) -> Tensor | None:
    """A drawn character, reduced to 20 pixels and placed so that its centre of mass is in the middle."""
    import numpy as np
    from PIL import Image

    width, height = mask.size  # type: ignore[attr-defined]
    ink = np.array(mask, dtype=np.uint8).reshape(height, width)
    rows, columns = np.flatnonzero(ink.max(1)), np.flatnonzero(ink.max(0))
    if len(rows) == 0:
        return None
    picture = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    scale = INK / max(picture.size)
    picture = picture.resize([max(1, round(side * scale)) for side in picture.size], Image.Resampling.BOX)
    small = np.array(picture, dtype=np.float64)
    down, across = (
        round(SIZE / 2 - float((small.sum(1 - axis) * (np.arange(small.shape[axis]) + 0.5)).sum() / small.sum()))
        for axis in (0, 1)
    )
    top, left = (min(max(0, place), SIZE - side) for place, side in zip((down, across), small.shape, strict=True))
    image = np.zeros((SIZE, SIZE), np.uint8)
    image[top : top + small.shape[0], left : left + small.shape[1]] = small.round()
    return torch.from_numpy(image)[None]

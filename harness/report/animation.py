"""Samples over training as an animation: the arms side by side, a frame for each snapshot."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from harness.base import digests
from harness.report.artifacts import Picture

if TYPE_CHECKING:
    from PIL import Image

Colours = tuple[str, str, str, str]

NAME = "training.gif"
"""The file of the animation, among the figures."""
FEWEST = 3
"""Snapshots of an arm from which on there is something to see."""
MOST = 6
"""Arms that are shown."""
WIDE = 3
"""Arms in a row."""
SIDE, HEAD, GAP = 256, 46, 8
"""Pixels: the width of an arm's samples, the height of its heading, and the space around both."""
FRAME, LAST = 350, 2500
"""Milliseconds of a frame, and of the last one."""
DARK, LIGHT = ("#e3e6e9", "#9ba5ae", "#343a40", "#14171a"), ("#1b1f23", "#5d6770", "#d0d7de", "#ffffff")
"""Colours of headings, moments, frames and paper around pixels, and around points, which are dark on white."""


def gif(arms: Mapping[str, Sequence[Picture]], real: Picture | None, earlier: Path, points: bool) -> bytes | None:
    """The animation as a GIF that repeats; None if no arm has enough snapshots.

    Args:
        arms: arm -> the grids of one of its trials, in the order of training. The first ``MOST`` are shown.
        real: real images or points, which come first.
        earlier: the file of an earlier report. Its bytes are returned if it shows the same.
        points: whether all that is shown are points, which gives white paper; else it is dark, as a frame of pixels.
    """
    shown = {arm: grids for arm, grids in arms.items() if len(grids) >= FEWEST}
    shown = dict(list(shown.items())[:MOST])
    if not shown:
        return None
    sources = [(arm, grid.caption, grid.path) for arm, grids in shown.items() for grid in grids]
    sources += [("real", "", real.path)] if real else []
    pictures = [(arm, when, digests.of_bytes(path.read_bytes())) for arm, when, path in sources]
    colours = LIGHT if points else DARK
    seal = digests.of_value([colours, pictures])
    return _kept(earlier, seal) or _drawn(shown, real, seal, colours)


def _kept(earlier: Path, seal: str) -> bytes | None:
    from PIL import Image

    with contextlib.suppress(OSError), Image.open(earlier, formats=["GIF"]) as image:
        if image.info.get("comment") == seal.encode():
            return earlier.read_bytes()
    return None


def _drawn(arms: Mapping[str, Sequence[Picture]], real: Picture | None, seal: str, colours: Colours) -> bytes:
    moments = sorted({_step(grid) for grids in arms.values() for grid in grids})
    frames = []
    for moment in moments:
        panels = [("real", "", real.path)] if real else []
        for arm, grids in arms.items():
            # An arm with fewer steps stays as it was at its end.
            grid = [grid for grid in grids if _step(grid) <= moment] or grids[:1]
            panels.append((arm, grid[-1].caption, grid[-1].path))
        frames.append(_frame(panels, colours))
    file = io.BytesIO()
    durations = [FRAME] * (len(frames) - 1) + [LAST]
    first, *rest = [frame.quantize(64) for frame in frames]
    first.save(file, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, comment=seal.encode())
    return file.getvalue()


def _step(grid: Picture) -> float:
    """The step of a snapshot; the end comes after all."""
    words = grid.caption.split()
    return float(words[-1]) if words[-1].isdecimal() else math.inf


def _frame(panels: Sequence[tuple[str, str, Path]], colours: Colours) -> Image.Image:
    """The panels (heading, moment, file) in rows, each scaled to the same width."""
    from PIL import Image, ImageDraw, ImageFont

    ink, muted, line, paper = colours
    pictures = [_scaled(path) for _, _, path in panels]
    columns = min(WIDE + (panels[0][0] == "real"), len(panels))
    tall = max(picture.height for picture in pictures)
    rows = math.ceil(len(panels) / columns)
    frame = Image.new("RGB", (columns * (SIDE + GAP) + GAP, rows * (HEAD + tall + GAP) + GAP), paper)
    pen, font = ImageDraw.Draw(frame), ImageFont.load_default(13)
    for number, ((heading, when, _), picture) in enumerate(zip(panels, pictures, strict=True)):
        x, y = GAP + number % columns * (SIDE + GAP), GAP + number // columns * (HEAD + tall + GAP)
        lines = wrap(heading, 38, max_lines=2 if not when else 1, placeholder=" …")
        pen.text((x, y), "\n".join(lines), ink, font)
        pen.text((x, y + 20), when, muted, font)
        frame.paste(picture, (x, y + HEAD))
        pen.rectangle((x - 1, y + HEAD - 1, x + picture.width, y + HEAD + picture.height), outline=line)
    return frame


def _scaled(path: Path) -> Image.Image:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        size = SIDE, max(1, round(image.height * SIDE / image.width))
        smoothed = Image.Resampling.BOX if image.width > SIDE else Image.Resampling.NEAREST
        return image.convert("RGB").resize(size, smoothed)

"""The images that a trial wrote, those that exist and are intact."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.messages import note
from harness.trial.task import SNAPSHOTS, step_of

if TYPE_CHECKING:
    from harness.store.record import Record


END = "end"
"""The caption of samples that were drawn after training."""


@dataclass(frozen=True)
class Picture:
    """An image file.

    Attributes:
        caption: what it shows; for a grid of samples, when it was drawn.
        path: the PNG file.
        width: in pixels.
        height: in pixels.
    """

    caption: str
    path: Path
    width: int
    height: int

    @cached_property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self.path.stat().st_size


def grids(record: Record) -> list[Picture]:
    """The sample grids of a trial in the order of training, the final one last."""
    samples = record.folder("samples")  # in older runs with the grids over training
    files = {step: path for path in (*samples, *record.folder(SNAPSHOTS)) if (step := step_of(path.name)) is not None}
    drawn = [files[step] for step in sorted(files)] + [path for path in samples if path.name == "final.png"]
    found = [picture for picture in map(grid, drawn) if picture is not None]
    # The snapshot after the last step is the same image as the final grid.
    if len(found) > 1 and found[-2].path.read_bytes() == found[-1].path.read_bytes():
        del found[-2]
    return found


def grid(path: Path) -> Picture | None:
    """A grid of samples; None if the file is damaged."""
    size = _png_size(path)
    return Picture(_when(path), path, *size) if size is not None else None


def last(record: Record) -> Picture | None:
    """The samples of a trained model; None if the trial has none, or if the file is damaged."""
    path = _sampled(record, "final.png")
    return grid(path) if path else None


def real(record: Record) -> Picture | None:
    """Real images, drawn as the samples of this trial are; None if it has none."""
    path = _sampled(record, "real.png")
    size = _png_size(path) if path else None
    return Picture("real", path, *size) if path and size else None


def _sampled(record: Record, name: str) -> Path | None:
    return next((path for path in record.folder("samples") if path.name == name), None)


def pictures(record: Record) -> list[Picture]:
    """The other images of a trained model, such as interpolations, in the order of their names."""
    found = ((path, _png_size(path)) for path in record.folder("pictures") if path.suffix == ".png")
    return [Picture(path.stem.replace("_", " "), path, *size) for path, size in found if size is not None]


def thinned(images: list[Picture], budget: int, most: int = 7) -> list[Picture]:
    """At most ``most`` grids, evenly spaced from first to last, of at most ``budget`` bytes together.

    The last grid is always kept, even if it alone exceeds the budget. Empty without grids.
    """
    for n in range(min(most, len(images)), 1, -1):
        chosen = [images[round(i * (len(images) - 1) / (n - 1))] for i in range(n)]
        if sum(image.size for image in chosen) <= budget:
            return chosen
    return images[-1:]


def fitting(images: list[Picture], budget: int) -> list[Picture]:
    """The pictures in their order; a picture that does not fit into the rest of ``budget`` bytes is skipped."""
    chosen = []
    for image in images:
        if image.size <= budget:
            chosen.append(image)
            budget -= image.size
    return chosen


def _when(path: Path) -> str:
    step = step_of(path.name)
    return END if step is None else f"step {step}"


def _png_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a PNG file; None if the file is missing or damaged (its checksums are wrong)."""
    from PIL import Image

    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            return image.size
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        note(f"{path}: damaged, so the page leaves it out ({error}): restore a copy of it")
        return None

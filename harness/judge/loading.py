"""Loads a judge onto a device. torch is imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.base.errors import HarnessError
from harness.judge.catalogue import digest, files, of, shape_text

if TYPE_CHECKING:
    from harness.judge.judge import Judge
    from harness.judge.stacked import StackedJudge
    from harness.zoo.data.base import DataSet


def load(name: str, device: Any) -> Judge:
    """Load a judge onto a device.

    Raises:
        HarnessError: the name is unknown, or its weights are missing, damaged or of another shape.
    """
    from harness.judge.judge import Judge

    return Judge(name, files(name), digest(name), device)


def load_for(data: DataSet, device: Any, name: str | None = None) -> Judge | StackedJudge | None:
    """Load the judge of this data, or another one for the same images, onto a device; None if there is none.

    A judge for images with one channel also judges data of the same height and width, channel by channel.

    Raises:
        HarnessError: as ``load``; or the judge is for images of another shape.
    """
    from harness.judge.stacked import StackedJudge

    name = name or of(data)
    if name is None:
        return None
    single, shape = load(name, device), tuple(data.shape[:3])
    if single.shape == shape:
        return single
    if single.shape == (1, *shape[1:]):
        return StackedJudge(single, shape[0])
    raise HarnessError(
        f"the judge {name!r} is for images of {shape_text(single.shape)}, but {data.name} has {shape_text(shape)}"
    )

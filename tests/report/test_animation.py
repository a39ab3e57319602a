"""The animation of samples over training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from harness.report import animation
from harness.report.artifacts import Picture


def picture(folder: Path, caption: str, shade: int) -> Picture:
    path = folder / f"{caption.replace(' ', '-')}-{shade}.png"
    Image.fromarray(np.full((32, 32), shade, dtype=np.uint8)).save(path)
    return Picture(caption, path, 32, 32)


def strip(folder: Path, shades: dict[str, int]) -> list[Picture]:
    return [picture(folder, caption, shade) for caption, shade in shades.items()]


def frames(content: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(content)) as image:
        found = []
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(np.asarray(image.convert("L")).astype(int))
        return found


def shade_of(frame: np.ndarray, column: int) -> int:
    """The shade in the middle of a panel of the first row."""
    x = animation.GAP + column * (animation.SIDE + animation.GAP) + animation.SIDE // 2
    return int(frame[animation.GAP + animation.HEAD + animation.SIDE // 2, x])


def test_a_frame_for_each_moment_and_a_shorter_arm_keeps_its_end(tmp_path: Path) -> None:
    long = strip(tmp_path, {"step 0": 10, "step 10": 60, "step 20": 110, "step 30": 160})
    short = strip(tmp_path, {"step 0": 20, "step 10": 70, "step 20": 120})
    content = animation.gif(
        {"long": long, "short": short}, picture(tmp_path, "real", 230), tmp_path / "none.gif", False
    )
    assert content is not None
    found = frames(content)
    assert len(found) == 4
    shades = [[shade_of(frame, column) for column in range(3)] for frame in found]
    wanted = [[230, 10, 20], [230, 60, 70], [230, 110, 120], [230, 160, 120]]
    assert np.abs(np.array(shades) - wanted).max() <= 6  # a GIF has few colours


def test_too_few_snapshots_make_no_animation(tmp_path: Path) -> None:
    assert (
        animation.gif({"arm": strip(tmp_path, {"step 0": 10, "end": 20})}, None, tmp_path / "none.gif", False) is None
    )


def test_the_same_pictures_are_not_drawn_again(tmp_path: Path) -> None:
    arms = {"arm": strip(tmp_path, {"step 0": 10, "step 1": 90, "end": 200})}
    earlier = tmp_path / animation.NAME
    content = animation.gif(arms, None, earlier, False)
    assert content is not None
    # Marked, to tell it from one that was drawn anew.
    earlier.write_bytes(content + b"\0")
    assert animation.gif(arms, None, earlier, False) == content + b"\0"
    picture(tmp_path, "end", 200).path.write_bytes(arms["arm"][0].path.read_bytes())
    again = animation.gif(arms, None, earlier, False)
    assert again not in (None, content + b"\0", content)


def test_pixels_have_dark_paper_and_points_white(tmp_path: Path) -> None:
    arms, earlier = {"arm": strip(tmp_path, {"step 0": 10, "step 1": 90, "end": 200})}, tmp_path / animation.NAME
    corners = []
    for points in (False, True):
        content = animation.gif(arms, None, earlier, points)
        assert content is not None
        earlier.write_bytes(content)  # the other paper is not an animation that shows the same
        corners.append(int(frames(content)[0][2, 2]))
    assert corners[0] < 40
    assert corners[1] > 250

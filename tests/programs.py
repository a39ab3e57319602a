"""Where programs are that some tests need and a machine may lack."""

from __future__ import annotations

import shutil
from importlib.util import find_spec


def chromium() -> str | None:
    """The path of Chromium or Chrome; None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def has_browser() -> bool:
    """Whether there is a Chromium, and the library that drives it."""
    return chromium() is not None and find_spec("playwright") is not None

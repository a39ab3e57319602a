"""The fixture of the report's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import maker

from harness.analysis.results import Results


@pytest.fixture
def make_results(tmp_path: Path) -> Callable[..., Results]:
    """Make results: see ``made_up.maker``."""
    return maker(tmp_path)

"""A benchmark harness for generative adversarial networks: from a suite file to verdicts.

Scripts and notebooks import ``load`` from here. Authors of plug-ins import their base classes from ``harness.plugins``
and their tests from ``harness.testing``. docs/architecture.md lists the packages; each imports only those below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.version import __version__

if TYPE_CHECKING:
    from harness.analysis.comparison import Loaded

__all__ = ["__version__", "load"]


def load(suite: str | Path, results: str | Path = "results", sets: Sequence[str] = ()) -> Loaded:
    """A suite's results as pandas frames: ``.trials``, ``.curves``, ``.arms`` (the leaderboard), ``.verdicts``.

    Args:
        suite: a suite file, or the name of one in the folder ``suites`` here, or of one that comes with the harness.
        results: the results folder.
        sets: overrides, as in ``--set``.
    """
    from harness.base.surroundings import quiet

    with quiet():
        from harness.analysis.comparison import load  # heavy: pandas, MLflow

        return load(suite, results, sets)

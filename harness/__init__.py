"""A benchmark harness for generative adversarial networks: from a suite file to verdicts.

Scripts and notebooks import ``Suite`` and ``load`` from here (docs/notebook.md). Authors of plug-ins import their base
classes from ``harness.plugins`` and their tests from ``harness.testing``. docs/architecture.md lists the packages; each
imports only those below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.base.version import __version__

if TYPE_CHECKING:
    from harness.notebook import Suite, load

__all__ = ["Suite", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """``Suite`` and ``load``, imported when they are first asked for: the command line does not wait for them."""
    if name in ("Suite", "load"):
        from harness import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")

"""The version of the harness, and its commit if it runs from a git checkout."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

__version__ = "0.1.0"


@functools.cache
def commit() -> str:
    """The git commit of the harness, with ``-dirty`` if tracked files differ from it; "unknown" outside git."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*words: str) -> str:
        done = subprocess.run(
            [git, "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    head = ask("rev-parse", "HEAD")
    return (head + ("-dirty" if ask("status", "--porcelain", "-uno") else "")) if head else "unknown"

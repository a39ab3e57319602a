"""The trick that docs/plugins.md shows is a real one: it is taken from there and put through the contract."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs" / "plugins.md"


def test_the_documented_trick_passes_its_contract(tmp_path: Path) -> None:
    code, contract = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    (tmp_path / "my_tricks.py").write_text(code)
    (tmp_path / "test_my_tricks.py").write_text(contract)
    information = tmp_path / "my_tricks-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-tricks\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[harness.tricks]\ninput_dropout = my_tricks:InputDropout\n")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_my_tricks.py"]
    done = subprocess.run(words, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def _environment(folder: Path) -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(folder), "PYTEST_ADDOPTS": ""}

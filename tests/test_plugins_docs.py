"""The plug-ins that docs/plugins.md shows are real ones: taken from there and put through their contracts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs" / "plugins.md"


def test_the_documented_plugins_pass_their_contracts(tmp_path: Path) -> None:
    trick, contract, classifier = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S)
    (tmp_path / "my_tricks.py").write_text(trick)
    (tmp_path / "my_classifier.py").write_text(classifier)
    (tmp_path / "test_mine.py").write_text(
        contract + "\n\nfrom harness.testing import ClassifierContract\n\n\n"
        'class TestNaiveBayes(ClassifierContract):\n    names = ["naive_bayes"]\n'
    )
    information = tmp_path / "my_plugins-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-plugins\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[harness.tricks]\ninput_dropout = my_tricks:InputDropout\n"
        "[harness.classifiers]\nnaive_bayes = my_classifier:NaiveBayes\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(words, cwd=tmp_path, env=_environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def _environment(folder: Path) -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(folder), "PYTEST_ADDOPTS": ""}

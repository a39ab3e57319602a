"""The fingerprint of code: what changes it, what does not, and that nothing is run for it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.suite.fingerprint import CANNOT_CHANGE_NUMBERS, fingerprint

PACKAGE = {
    "__init__": "raise RuntimeError('imported')",
    "model": '''
        """A model."""
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from . import layers
        if TYPE_CHECKING:
            from toy.report import Page
        # how wide
        WIDTH = 3
        def build(n: int) -> object:
            """Build it."""
            from toy.deep.inner import depth
            return layers.layer(n, depth())
        ''',
    "layers": "import toy.numbers\ndef layer(n, d):\n    return [n] * d * toy.numbers.TWO",
    "numbers": "TWO = 2",
    "deep/__init__": "",
    "deep/inner": "from ..numbers import TWO\ndef depth():\n    return TWO",
    "report": "class Page: ...",
    "other": "X = 1",
}


def of(folder: Path, **changes: str) -> str:
    """The fingerprint of ``toy.model`` with these files changed, taken in a process of its own."""
    for name, text in {**PACKAGE, **changes}.items():
        path = folder / "toy" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    code = "import sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from harness.suite.fingerprint import fingerprint; print(fingerprint(['toy.model']))"
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return run.stdout


def changed(name: str, old: str, new: str) -> dict[str, str]:
    assert old in PACKAGE[name]
    return {name: PACKAGE[name].replace(old, new)}


@pytest.mark.parametrize(
    "change",
    [
        changed("model", "A model.", "The model, explained better."),
        changed("model", '"""Build it."""', '"""Build it, at length."""'),
        changed("model", "# how wide", "# the width (it was measured)"),
        changed("model", "WIDTH = 3", "WIDTH   =   (3)"),
        changed("model", "from toy.report import Page", "from toy.other import X"),
        changed("report", "class Page: ...", "class Page:\n    size = 3"),
        changed("other", "1", "2"),
    ],
    ids=[
        "docstring",
        "function docstring",
        "comment",
        "formatting",
        "type checking",
        "type only",
        "unrelated",
    ],
)
def test_what_cannot_change_numbers_keeps_the_fingerprint(tmp_path: Path, change: dict[str, str]) -> None:
    assert of(tmp_path) == of(tmp_path, **change)


@pytest.mark.parametrize(
    "change",
    [
        changed("model", "WIDTH = 3", "WIDTH = 4"),
        changed("layers", "[n] * d", "[n] + d"),
        changed("numbers", "2", "2.0"),
        changed("deep/inner", "return TWO", "return TWO + 1"),
        changed("deep/__init__", "", "SEED = 1"),
    ],
    ids=["itself", "relative import", "import of an import", "import in a function", "package of an import"],
)
def test_what_can_change_numbers_changes_the_fingerprint(tmp_path: Path, change: dict[str, str]) -> None:
    assert of(tmp_path) != of(tmp_path, **change)


def test_a_module_that_does_not_exist_adds_nothing() -> None:
    assert fingerprint(["harness.zoo.objectives"]) == fingerprint(
        ["harness.zoo.objectives", "harness.nothing", "nowhere"]
    )


def test_what_is_skipped_adds_nothing() -> None:
    assert fingerprint(["harness.zoo.objectives", *CANNOT_CHANGE_NUMBERS]) == fingerprint(["harness.zoo.objectives"])


def test_what_is_skipped_does_not_reach_the_others() -> None:
    from harness.suite.fingerprint import _examined, _file

    source = _file("harness.trial.run")
    assert source is not None
    assert "harness.trial.loop" in _examined("harness.trial.run", source)[1]
    assert not any(name.startswith("harness.suite.plan") for name in _examined("harness.trial.run", source)[1])


def test_it_is_quick_once_the_files_have_been_read() -> None:
    modules = ["harness.trial.run", "harness.zoo.models.gan", "harness.zoo.networks.dcgan"]
    fingerprint(modules)
    start = time.perf_counter()
    fingerprint(reversed(modules))
    assert time.perf_counter() - start < 0.01


def test_a_plug_in_that_inherits_from_the_harness_is_known_by_what_it_inherits(tmp_path: Path) -> None:
    """Else a change of the game would leave the results of its subclasses in place."""
    from harness.suite.fingerprint import _examined

    source = tmp_path / "mine.py"
    source.write_text("from harness.zoo.models.gan import GAN\nimport numpy\n\nclass Mine(GAN): ...\n")
    assert {"harness.zoo.models.gan", "harness.zoo.models.gan.GAN"} <= _examined("mine", source)[1]
    assert "numpy" not in _examined("mine", source)[1]

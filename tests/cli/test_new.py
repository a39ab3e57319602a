"""`harness new` and `harness test`: starts that hold their contracts, failures in words, and the tutorials as they are.

The tutorials' suites are trained with fewer steps and one seed.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from harness_cli import Workspace

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
QUICK = ["train.steps=4", "seeds=1", "evaluate.samples=64", "evaluate.metrics=[sharpness]", "compare.metric=sharpness"]
SETS = [word for value in QUICK for word in ("--set", value)]


def tutorial(title: str) -> str:
    """The section of the page with this title."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def commands(section: str) -> list[list[str]]:
    """The words of the commands in a section, after ``harness``."""
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.S | re.M)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def follow(section: str, workspace: Workspace) -> None:
    """Write the suite of a section, and run its commands in their order."""
    [suite] = re.findall(r"^```yaml\n(.*?)^```", section, re.S | re.M)
    name = suite.partition("suite: ")[2].partition("\n")[0]
    (workspace.folder / f"{name}.yaml").write_text(suite)
    for words in commands(section):
        said = workspace.run(*words, *(SETS if words[0] == "run" else []))
        assert "FAIL" not in said
    assert [row["state"] for row in workspace.table(name)] == ["done", "done"]


def test_the_tutorial_from_an_empty_file_to_a_verdict(tmp_path: Path) -> None:
    section = tutorial("From an empty file to a verdict")
    assert [words[0] for words in commands(section)] == ["new", "test", "run", "run"]
    follow(section, Workspace(tmp_path))


def test_the_tutorial_that_wraps_a_script(tmp_path: Path) -> None:
    section = tutorial("Wrapping a PyTorch GAN that you have")
    [code] = re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)
    (tmp_path / "my_dcgan.py").write_text(code)
    assert [words[0] for words in commands(section)] == ["test", "run"]
    follow(section, Workspace(tmp_path))
    for forgotten, said in {
        "nn.Unflatten(1, (latent, 1, 1)), ": "put torch.nn.Unflatten(1, (6, 1, 1)) before it",
        'frozenset({"generator", "discriminator"})': "has batch normalisation, and the architecture does not say so",
    }.items():
        (tmp_path / "my_dcgan.py").write_text(code.replace(forgotten, "frozenset()" * ("frozenset" in forgotten)))
        assert said in Workspace(tmp_path).run("test", "my_dcgan.py", code=1)


@pytest.mark.parametrize("what", ["model", "network", "metric", "data"])
def test_a_start_holds_its_contract(tmp_path: Path, what: str) -> None:
    workspace = Workspace(tmp_path)
    assert f"harness test my_{what}.py" in workspace.run("new", what, f"my_{what}")
    said = workspace.run("test", f"my_{what}.py")
    assert said.startswith(f"my_{what} (")
    assert said.count("  ok    ") > 1
    assert "FAIL" not in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My-Trick", "'My-Trick' cannot be its name"),
        ("ema", "the name 'ema' in tricks is taken"),
        ("random", "a module random is installed already"),
        ("there", "there.py is there already"),
    ],
)
def test_a_name_that_cannot_be_used_writes_nothing(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "there.py").write_text("mine")
    assert said in Workspace(tmp_path).run("new", "trick", name, code=2)
    assert [path.read_text() for path in tmp_path.glob("*.py")] == ["mine"]


WRONG = """from harness.plugins import Metric, Trick, Value


class Misspelt(Trick):
    name = "misspelt"
    summary = "a hook that there is not"

    def discriminator_inputs(self, images, game):
        return images


class Backwards(Metric):
    name = "backwards"
    summary = "noise has most grey levels"
    values = {"levels": Value("Levels", "higher", "the number of grey levels")}

    def compute(self, samples, reference):
        return {"levels": float(len(samples.pixels.unique()))}


class Divides(Metric):
    name = "divides"
    summary = "cannot be computed"
    values = {"ratio": Value("Ratio", "higher", "a ratio")}

    def compute(self, samples, reference):
        return {"ratio": 1 / 0}
"""


def test_each_failure_is_explained_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    said = Workspace(tmp_path).run("test", "wrong.py", code=1)
    assert "FAIL  it is refused: Misspelt defines the method discriminator_inputs, which is no hook" in said
    backwards = said.partition("backwards (metrics)")[2].partition("divides (metrics)")[0]
    assert re.findall(r"FAIL  (.*)", backwards) == ["real digits score better than noise"]
    assert "Real images must have better values than noise" in backwards
    assert "ZeroDivisionError: division by zero (wrong.py:27 in compute)" in said
    assert "Traceback" not in said


def test_what_cannot_be_tested_is_a_mistake(tmp_path: Path) -> None:
    assert "nothing.py: no such file" in Workspace(tmp_path).run("test", "nothing.py", code=2)

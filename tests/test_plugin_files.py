"""Plug-ins in files outside any package: found by name, part of the keys, imported by every worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness_cli import Workspace, numbers

ROOT = Path(__file__).parents[1]
TRICK = '''"""Darkens what the discriminator sees."""

from pydantic import Field

from harness.plugins import Settings, Trick


class DarkerSettings(Settings):
    share: float = Field(0.5, gt=0, lt=1, description="what is left of the brightness")


class Darker(Trick):
    name = "darker"
    summary = "the discriminator sees darker images"
    paper = "none: a test"
    Settings = DarkerSettings
    requires = frozenset({"discriminator"})

    def discriminator_input(self, images, game):
        return images * self.settings.share
'''
MATRIX = {"tricks": [[], ["darker"]]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A store in which a suite was trained that names a file in the folder beside its own."""
    workspace = Workspace(tmp_path_factory.mktemp("files"))
    (workspace.folder / "suites").mkdir()
    (workspace.folder / "mine").mkdir()
    (workspace.folder / "mine" / "my_darker.py").write_text(TRICK)
    suite = workspace.suite("suites/tiny", suite="tiny", plugins=["../mine/my_darker.py"], matrix=MATRIX)
    workspace.run("run", suite)
    return workspace


def test_the_trick_of_a_file_trains_and_makes_a_difference(trained: Workspace) -> None:
    rows = trained.table()
    assert {(row["arm"], row["state"]) for row in rows} == {("gan", "done"), ("gan + darker", "done")}
    assert len(numbers(rows)) == 4  # and no two values are equal


def test_a_trial_of_a_file_s_trick_is_sampled_with_the_file(trained: Workspace, tmp_path: Path) -> None:
    words = ["sample", "gan + darker", "--n", "2", "--out", str(tmp_path / "images")]
    assert "install the plug-in" in trained.run(*words, code=2)
    trained.run(*words, "--plugin", str(trained.folder / "mine" / "my_darker.py"))
    assert len(list((tmp_path / "images" / "samples").glob("*.png"))) == 2


def test_only_what_the_file_computes_is_part_of_the_keys_of_its_arms(trained: Workspace, tmp_path: Path) -> None:
    workspace = trained.copy(tmp_path)
    suite, file = workspace.folder / "suites" / "tiny.yaml", workspace.folder / "mine" / "my_darker.py"
    states = []
    for text in (TRICK, TRICK.replace("none: a test", "other words"), TRICK.replace("images *", "0.9 * images *")):
        file.write_text(text)
        trials = workspace.plan(suite)["trials"]
        states.append({trial["arm"]: trial["state"] for trial in trials})
    done = {"gan": "done", "gan + darker": "done"}
    assert states == [done, done, done | {"gan + darker": "to do"}]


def test_the_command_line_names_a_file_for_whatever_reads_names(trained: Workspace, tmp_path: Path) -> None:
    workspace = trained.copy(tmp_path)
    file = workspace.folder / "mine" / "my_darker.py"
    suite = workspace.suite(matrix=MATRIX)
    refused = workspace.run("plan", suite, code=2)
    assert "unknown name 'darker' in tricks" in refused
    assert "one of your own comes with --plugin FILE.py" in refused
    keys = [trial["key"] for trial in workspace.plan(suite, "--plugin", str(file))["trials"]]
    assert keys == [trial["key"] for trial in workspace.plan(workspace.folder / "suites" / "tiny.yaml")["trials"]]
    assert "gan + darker" in workspace.run("report", suite, "--plugin", file)
    assert "darker images" in workspace.run("list", "tricks", "--plugin", file)
    assert "what is left of the brightness" in workspace.run("explain", "darker", "--plugin", file)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("mine.py", None, "mine.py: no such file"),
        ("mine.txt", TRICK, "mine.txt: no Python file"),
        ("my-trick.py", TRICK, "my-trick.py: 'my-trick' cannot be the name of a module"),
        ("random.py", TRICK, "random.py: a module random is installed already"),
        ("mine.py", "x = 1\nif x\n", "mine.py:2: syntax error: expected ':'"),
        (
            "mine.py",
            "\nimport helpers_of_mine\n",
            "mine.py:2: ModuleNotFoundError: No module named 'helpers_of_mine': ",
        ),
        ("mine.py", "x = 1\n\ny = x / 0\n", "mine.py:3: ZeroDivisionError: division by zero"),
        ("mine.py", TRICK.replace('name = "darker"', ""), "mine.py: there is no plug-in in it: expected a class"),
        ("mine.py", TRICK.replace('"darker"', '"ema"'), "the name 'ema' in tricks is taken by "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    workspace = Workspace(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    of_option = workspace.run("list", "tricks", "--plugin", name, code=2)
    of_suite = workspace.run("plan", workspace.suite(plugins=[name]), code=2)
    assert said in of_option
    assert of_option.startswith("error: ")
    assert said in of_suite
    assert "plugins[0]: " in of_suite
    assert (of_option + of_suite).count("\n") == 2


def test_two_files_with_a_trick_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("one.py", "other.py"):
        (tmp_path / name).write_text(TRICK)
    said = Workspace(tmp_path).run("list", "tricks", "--plugin", "one.py", "--plugin", "other.py", code=2)
    assert f"other.py: the name 'darker' in tricks is taken by Darker ({tmp_path / 'one.py'})" in said


PACK = """
import pathlib, pickle, sys
from harness.execution import shipping
from harness.suite import Run, read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Task
folder = pathlib.Path.cwd()
trial = make_plan(read_suite(folder / "tiny.yaml")).trials[-1]
(folder / "task").write_bytes(pickle.dumps(Task(trial, Run(), folder, folder)))
shipping.pack(folder / "code")
"""
UNPACK = "import pickle, sys; task = pickle.load(open('../task', 'rb')); print(task.trial.arm.tricks[0].plugin)"


@pytest.mark.parametrize("far", [False, True])
def test_a_worker_that_knows_only_the_task_imports_the_file(tmp_path: Path, far: bool) -> None:
    """As a job of SLURM does, which sees the same disk, and a node of Ray, which has got the code in one folder."""
    (tmp_path / "my_darker.py").write_text(TRICK)
    for folder in ("code", "elsewhere"):
        (tmp_path / folder).mkdir()
    Workspace(tmp_path).suite(plugins=["my_darker.py"], matrix=MATRIX)
    subprocess.run([sys.executable, "-c", PACK], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    if far:
        (tmp_path / "my_darker.py").unlink()
    environment = os.environ | {"PYTHONPATH": "." if far else str(ROOT)}
    words, folder = [sys.executable, "-c", UNPACK], "code" if far else "elsewhere"
    done = subprocess.run(words, env=environment, cwd=tmp_path / folder, capture_output=True, text=True)
    assert done.stdout == "<class 'my_darker.Darker'>\n", done.stderr

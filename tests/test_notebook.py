"""The harness from Python: docs/notebook.md runs as it stands, in a script and in a real kernel of Jupyter."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_cli import SUITE, Workspace
from PIL import Image

import harness
from harness.base import interrupts
from harness.base.errors import HarnessError

PAGE = Path(__file__).parents[1] / "docs" / "notebook.md"
SMALL = {'"steps": 600': '"steps": 2', "seeds=5": "seeds=2", "suite.run()": "suite.run(workers=1, device='cpu')"}
"""What is changed in the page's examples, so that they take seconds."""


def blocks() -> list[str]:
    """The examples of the page, in small."""
    found = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    for text, small in SMALL.items():
        assert sum(text in block for block in found) == 1, text
        found = [block.replace(text, small) for block in found]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose suite `quickstart` has the arms of the real one, and trains in seconds."""
    workspace = Workspace(tmp_path)
    (tmp_path / "suites").mkdir()
    small = {
        "train": {"steps": 4, "batch_size": 16, "precision": "float32"},
        "seeds": 2,
        "base": {},
        "matrix": {"model": ["gan", "dcgan"], "tricks": [[], ["ema"]]},
        "exclude": [{"where": {"model": "gan", "tricks": ["ema"]}, "reason": "not asked"}],
        "compare": {"baseline": {"model": "dcgan", "tricks": []}, "metric": "sharpness"},
    }
    workspace.suite("suites/quickstart", **small | {"suite": "quickstart"})
    return tmp_path


def python(folder: Path, script: str) -> str:
    """What a script prints that has no guard against being imported."""
    (folder / "script.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_runs_as_a_script(folder: Path) -> None:
    told = """
import json
print(json.dumps([str(found.page), found.samples("dcgan").size, images.shape, str(images.dtype), repr(found),
                  repr(suite.plan()), sorted(found.verdicts["arm"])]))
"""
    printed = python(folder, "\n".join([*blocks(), told]))
    page, size, shape, kind, results, plan, arms = json.loads(printed.splitlines()[-1])
    assert "6 trials, 0 done before" in printed
    assert printed.count("6 trials, 0 done before") == 1  # no worker has run the script again
    assert (folder / page).is_file()
    assert size == [224, 224]
    assert (shape, kind) == ([16, 28, 28], "uint8")
    assert results.startswith("quickstart, 6 trials: Against dcgan on ")
    assert plan == "6 trials: 6 done"
    assert arms == ["dcgan + ema", "gan"]
    assert json.loads((folder / "my_question.yaml").read_text())["matrix"] == {"tricks": [[], ["ema"]]}


def test_importing_the_package_waits_for_nothing_heavy() -> None:
    script = "import sys, harness; print(sorted({'torch', 'pandas', 'mlflow', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- suites ----------------------------------------------------------------------------------------------


def test_a_suite_built_here_has_the_trials_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    built = harness.Suite(**SUITE)
    path = built.to_yaml()
    assert path == Path("tiny.yaml")
    read = harness.Suite.from_yaml(path)
    assert list(built.plan().trials["key"]) == list(read.plan().trials["key"])
    assert list(built.plan().trials["state"]) == ["to do"] * 4
    assert repr(built) == "Suite tiny: 2 arms, 2 seeds, metric sharpness"
    with pytest.raises(HarnessError, match=r"tiny\.yaml is there already: name another file"):
        read.to_yaml()


def test_mistakes_of_a_suite_built_here_are_reported_at_once_without_a_line() -> None:
    wrong = SUITE | {"matrix": {"tricks": [[], ["emma"]]}, "seedz": 3}
    with pytest.raises(HarnessError) as caught:
        harness.Suite(**wrong)
    assert sorted(str(caught.value).splitlines()) == [
        "harness.Suite: matrix.tricks[1][0]: unknown name 'emma' in tricks, did you mean 'ema'? "
        + str(caught.value).split("did you mean 'ema'? ")[1].splitlines()[0],
        "harness.Suite: seedz: unknown key 'seedz', did you mean 'seeds'?",
    ]
    with pytest.raises(HarnessError, match=r"harness\.Suite: expected plain values, as in a suite file: .* ndarray"):
        harness.Suite(**SUITE | {"seeds": np.arange(3)})


def test_an_error_in_a_notebook_is_its_message() -> None:
    with pytest.raises(HarnessError) as caught:
        harness.Suite.from_yaml("quickstarts")
    [line] = caught.value._render_traceback_()
    assert line.startswith("quickstarts: neither a file here nor the name of a suite, did you mean 'quickstart'?")


def test_a_plug_in_that_was_changed_is_refused(tmp_path: Path) -> None:
    script = """
from pathlib import Path
import harness
from harness.base.errors import HarnessError
suite = harness.Suite.from_yaml("mine.yaml")
suite.plan()
file = Path("blur_of_mine.py")
file.write_text(file.read_text() + "# changed\\n")
try:
    suite.run()
except HarnessError as error:
    print(error)
"""
    source = (
        "from harness.plugins import Trick\n\n\nclass Blur(Trick):\n    name = 'blur_of_mine'\n    summary = 'x'\n\n"
        "    def after_step(self, game):\n        pass\n"
    )
    (tmp_path / "blur_of_mine.py").write_text(source)
    Workspace(tmp_path).suite("mine", plugins=["blur_of_mine.py"], matrix={"tricks": [[], ["blur_of_mine"]]})
    assert "blur_of_mine.py was changed after it was imported: restart" in python(tmp_path, script)
    assert not (tmp_path / "results").exists()


def test_who_holds_a_store_is_told_by_the_call() -> None:
    with interrupts.called("suite.run()"):
        assert interrupts.interrupted_message() == "interrupted; continue with: suite.run()"
    assert interrupts.command_line().startswith("harness")


# --- results ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(tiny_store: Workspace) -> harness.notebook.Loaded:  # type: ignore[name-defined]
    """The results of the tiny suite."""
    return harness.load(tiny_store.folder / "tiny.yaml", tiny_store.results)


def test_results_show_the_answer_and_the_tables(found: Any, tiny_store: Workspace) -> None:
    assert repr(found).startswith("tiny, 4 trials: Against gan on ")
    shown = found._repr_html_()
    assert "<i>Does it work?</i>" in shown
    assert shown.count("<tr>") == 3  # the heads, and a row for each arm
    assert f"<td>{found.arms['arm'][0]}</td>" in shown
    assert "gan + ema" in shown.partition("<ul>")[2]  # the sentence of its verdict
    assert found.page == tiny_store.results / "tiny" / "report.html"
    assert found.page.is_file()


def test_what_others_have_named_is_no_markup(tmp_path: Path) -> None:
    question = "<script>alert(1)</script>"
    suite = harness.Suite(**SUITE | {"question": question})
    assert "<script>" not in suite._repr_html_()
    assert "&lt;script&gt;" in suite._repr_html_()


def test_a_plan_shows_states_by_arm_and_seed(tiny_store: Workspace) -> None:
    plan = harness.Suite.from_yaml(tiny_store.folder / "tiny.yaml", ["seeds=3"]).plan(tiny_store.results)
    assert "<td>gan</td><td>done</td><td>done</td><td>to do</td>" in plan._repr_html_()
    assert list(plan.trials.query("state == 'to do'")["seed"]) == [2, 2]
    assert "2 to do" in repr(plan)
    assert "estimated from the trials in this store" in repr(plan)
    only = harness.Suite.from_yaml(tiny_store.folder / "tiny.yaml").plan(tiny_store.results, only=["gan"])
    assert list(only.trials["arm"]) == ["gan", "gan"]


def test_figures_are_those_of_the_report(found: Any) -> None:
    forest = found.plot.forest()
    assert forest._repr_png_().startswith(b"\x89PNG")
    assert any("gan + ema" in text.get_text() for axes in forest.axes for text in axes.texts)
    assert len(found.plot.training("gan", "generator loss").axes[0].lines) == 1
    output = found.plot.training("gan", "discriminator's mean output")
    assert [text.get_text() for text in output.axes[0].get_legend().get_texts()] == ["d real", "d fake"]
    assert found.plot.histogram("gan").axes[0].get_ylabel() == "% of samples"
    with pytest.raises(HarnessError, match="no figure 'colours': there are: Discriminator loss, "):
        found.plot.training("gan", "colours")
    with pytest.raises(HarnessError, match="has no arm 'gun'"):
        found.plot.training("gun")


def test_samples_are_the_final_grid(found: Any) -> None:
    [first, second] = found.results.of("gan + ema")
    own = found.samples("gan + ema")
    assert own.tobytes() == Image.open(first.file("samples/final.png")).tobytes()
    assert found.samples("gan + ema", seed=1).tobytes() == Image.open(second.file("samples/final.png")).tobytes()
    assert own.tobytes() != found.samples("gan + ema", seed=1).tobytes()
    with pytest.raises(HarnessError, match=r"gan has no trial with the seed 7 that is done \(it has: seed 0 done"):
        found.samples("gan", seed=7)


def test_a_generator_draws_the_images_of_the_evaluation_and_others(
    found: Any, tiny_store: Workspace, tmp_path: Path
) -> None:
    generator = found.generator("gan", seed=1, device="cpu")
    assert repr(generator) == "Generator of gan, seed 1, on cpu"
    images = generator(5)
    tiny_store.run("sample", "gan", "--seed", "1", "--n", "5", "--out", tmp_path / "out", "--device", "cpu")
    files = sorted((tmp_path / "out" / "samples").glob("*.png"))
    assert np.array_equal(images, np.stack([np.asarray(Image.open(path)) for path in files]))
    assert np.array_equal(generator(5), images)
    assert not np.array_equal(generator(5, part=1), images)
    assert not np.array_equal(generator(5, part=1), generator(5, part=2))
    assert generator.grid(64).tobytes() == found.samples("gan", seed=1).tobytes()
    with pytest.raises(HarnessError, match="a label: the model of gan draws no images of a given class"):
        generator(5, label=3)
    with pytest.raises(HarnessError, match="n must be at least 1, got 0"):
        generator(0)


def test_points_and_classes_are_drawn(tmp_path: Path) -> None:
    small = {"train": {"steps": 2, "batch_size": 16, "precision": "float32"}, "seeds": 1, "compare": {}}
    workspace = Workspace(tmp_path)
    metrics = {"samples": 64, "metrics": ["energy_distance"]}
    points = {"data": "ring", "base": {"model": "gan"}, "matrix": {"tricks": [[]]}, "evaluate": metrics}
    conditional = {"base": {"model": "cgan"}, "matrix": {"tricks": [[]]}}
    sharp = {"samples": 64, "metrics": ["sharpness"]}
    workspace.run("run", workspace.suite("points", **small | points))
    workspace.run("run", workspace.suite("classes", **small | conditional | {"evaluate": sharp}))
    drawn = harness.load(tmp_path / "points.yaml", workspace.results).generator("gan", device="cpu")
    assert drawn(10).shape == (10, 2)
    assert drawn(10).dtype == np.float32
    assert np.abs(drawn(10)).max() <= 1
    assert drawn.grid(100).size == (256, 256)
    [arm] = harness.load(tmp_path / "classes.yaml", workspace.results).arms["arm"]
    of_class = harness.load(tmp_path / "classes.yaml", workspace.results).generator(arm, device="cpu")
    assert of_class(3, label=4).shape == (3, 28, 28)
    assert not np.array_equal(of_class(3, label=4), of_class(3, label=5))
    with pytest.raises(HarnessError, match="has no class 10: its classes are 0, 1, 2"):
        of_class(3, label=10)


# --- a real kernel ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_runs_in_a_kernel_of_jupyter(folder: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(block) for block in blocks()])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    outputs: list[dict[str, Any]] = [out.get("data", {}) for cell in notebook.cells for out in cell.outputs]
    shown = [kind for data in outputs for kind in data]
    assert shown.count("image/png") == 4  # two figures, the samples, the grid
    [progress] = [data["text/html"] for data in outputs if "<progress" in data.get("text/html", "")]
    assert "6 of 6 trials" in progress
    assert "dcgan + ema, seed 1: done in " in progress
    assert any("<thead><tr><th>arm</th><th>seed 0</th>" in data.get("text/html", "") for data in outputs)


INTERRUPT = """
import _thread, pathlib, threading, time

def interrupt():
    while not list(pathlib.Path("results/work").glob("*/samples+step+*.png")):
        time.sleep(0.1)
    _thread.interrupt_main()

threading.Thread(target=interrupt, daemon=True).start()
"""
"""Interrupts the kernel, as its button does, when a trial has drawn its first samples."""


@pytest.mark.slow
def test_an_interrupted_cell_saves_and_the_same_call_continues(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    workspace = Workspace(tmp_path)
    workspace.suite(train={"steps": 3000, "batch_size": 16, "precision": "float32"}, seeds=1)
    run = "found = suite.run(workers=1, device='cpu'); print(len(found.trials))"
    cells = ["import harness; suite = harness.Suite.from_yaml('tiny.yaml')", INTERRUPT + run, run]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, second = notebook.cells[1].outputs, notebook.cells[2].outputs
    assert any(out.get("ename") == "KeyboardInterrupt" for out in first)
    told = json.dumps(first)
    assert "saving the running trials" in told
    assert "interrupted; continue with: suite.run()" in told
    assert any(out.get("text") == "2\n" for out in second)
    logs = "".join(path.read_text() for path in (tmp_path / "results" / "work").glob("worker-*.log"))
    assert "resumed at step" in logs

"""`harness run` from the suite file to the tables, with real processes, SQLite files and MLflow."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from harness_cli import SEARCH, Workspace, numbers
from mlflow import MlflowClient
from PIL import Image

from harness.analysis import pyfunc
from harness.base import files
from harness.base.errors import HarnessError
from harness.suite import shipped

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose small suite has been run."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    workspace.environment["HARNESS_CACHE"] = str(workspace.folder / "cache")
    (workspace.folder / "cache" / "mnist").mkdir(parents=True)
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    for process in (ended.pid, os.getpid()):
        name = files._prefix().replace(f"-{os.getpid()}-", f"-{process}-")
        (workspace.folder / "cache" / "mnist" / f"{name}x.tmp").touch()
    workspace.run("run", workspace.suite(), "--workers", "2")
    return workspace


def test_what_killed_runs_left_in_the_cache_goes(finished: Workspace) -> None:
    [left] = (finished.folder / "cache" / "mnist").iterdir()
    assert f"-{os.getpid()}-" in left.name  # this process may be writing it now


def client(workspace: Workspace) -> MlflowClient:
    return MlflowClient(f"sqlite:///{workspace.results / 'mlflow.db'}")


def trial_runs(workspace: Workspace, suite: str = "tiny") -> list:
    store = client(workspace)
    experiment = store.get_experiment_by_name(suite)
    return store.search_runs([experiment.experiment_id], "tags.role = 'trial'")


def test_every_trial_is_in_the_table(finished: Workspace) -> None:
    rows = finished.table()
    assert [(r["arm"], r["seed"], r["state"]) for r in rows] == [
        ("gan", "0", "done"), ("gan", "1", "done"), ("gan + ema", "0", "done"), ("gan + ema", "1", "done"),
    ]  # fmt: skip
    assert list(rows[0]) == [
        "key", "arm", "model", "tricks", "data", "seed", "state", "reason", "seconds_train", "seconds_evaluate",
        "fid", "covered_classes", "argmax_classes", "effective_classes", "kl_to_train", "refused", "other_style",
        "class_spread", "class_recall", "sharpness", "mlflow_run_id",
        "other_code",
    ]  # fmt: skip


def test_another_seed_and_another_trick_give_other_numbers(finished: Workspace) -> None:
    # What the comparisons of tables in these tests rest on. A trial's curve moves from point to point, too.
    assert len({row["sharpness"] for row in finished.table()}) == 4
    store, curves = client(finished), []
    for run in trial_runs(finished):
        points = store.get_metric_history(run.info.run_id, "train/generator_loss")
        curves.append(tuple(point.value for point in points))
        assert len(set(curves[-1])) == len(points) == 10
    assert len(set(curves)) == 2  # ema leaves training as it is
    trained = weights(finished).values()
    assert len(set(trained)) == 4


def test_mlflow_holds_the_same_numbers_as_the_table(finished: Workspace) -> None:
    runs = {run.info.run_id: run for run in trial_runs(finished)}
    for row in finished.table():
        run = runs[row["mlflow_run_id"]]
        assert run.info.status == "FINISHED"
        for column in ("fid", "covered_classes", "refused", "sharpness", "seconds_train"):
            assert run.data.metrics[column] == float(row[column])
        for tag in ("key", "arm", "model", "tricks", "seed", "data"):
            assert run.data.tags[tag] == row[tag]
        assert {"suite", "git_commit", "device", "environment", "mlflow.parentRunId"} <= run.data.tags.keys()
        # Numbers depend on both. Some processors have a comma in their name.
        device, _, instructions = run.data.tags["device"].rpartition(", ")
        assert device.startswith("cpu: ")
        assert instructions == torch.backends.cpu.get_cpu_capability()
        assert run.data.params["train.steps"] == "20"


def test_mlflow_holds_curves_and_files(finished: Workspace) -> None:
    store, run = client(finished), trial_runs(finished)[0]
    points = store.get_metric_history(run.info.run_id, "train/discriminator_loss")
    assert [point.step for point in points] == list(range(2, 21, 2))
    files = {f.path for f in store.list_artifacts(run.info.run_id)}
    assert files == {
        "config.json",
        "floors.json",
        "generator",
        "histograms.json",
        "images",
        "pictures",
        "protocol.json",
        "samples",
    }
    samples = {f.path for f in store.list_artifacts(run.info.run_id, "samples")}
    assert samples == {"samples/final.png", "samples/real.png"}
    model = {f.path.removeprefix("generator/") for f in store.list_artifacts(run.info.run_id, "generator")}
    assert model == {"MLmodel", "config.json", "generator.safetensors"}


def test_mlflow_has_the_grids_as_images_with_steps(finished: Workspace) -> None:
    store, run = client(finished), trial_runs(finished)[0]
    assert run.data.tags["mlflow.loggedImages"] == "True"
    names = {f.path for f in store.list_artifacts(run.info.run_id, "images")}
    stems = {f"images/samples+step+{step:06d}+timestamp+0+grid" for step in (0, 20)}
    assert names == {f"{stem}{ending}" for stem in stems for ending in (".png", "+compressed.webp")}
    place = Path(run.info.artifact_uri.removeprefix("file://"))
    for name in names:
        with Image.open(place / name) as image:
            assert image.size == (224, 224)


def test_grids_have_the_names_that_mlflow_gives_them(finished: Workspace) -> None:
    # The library's own call, in a run of its own: only the time and the random part of the names are other ones.
    store, trial = client(finished), trial_runs(finished)[0].info
    run_id = store.create_run(trial.experiment_id).info.run_id
    with Image.open(finished.results / "tiny" / "figures" / "gan-samples-seed-0.png") as image:
        store.log_image(run_id, image.copy(), key="samples", step=20)

    def names(run: str) -> set[str]:
        found = (file.path.replace("+000020", "+20") for file in store.list_artifacts(run, "images"))
        return {re.sub(r"timestamp\+\d+\+[0-9a-z-]+", "timestamp", name) for name in found if "step+20" in name}

    assert len(names(run_id)) == 2
    assert names(run_id) == names(trial.run_id)
    store.delete_run(run_id)


def test_mlflow_has_the_data_as_an_input(finished: Workspace) -> None:
    for run in trial_runs(finished):
        [data] = run.inputs.dataset_inputs
        assert (data.dataset.name, json.loads(data.dataset.source)["split"]) == ("digits", "train")
        place = Path(run.info.artifact_uri.removeprefix("file://"))
        protocol = json.loads((place / "protocol.json").read_text())
        assert data.dataset.digest == protocol["fid"]["data_hash"]
        assert {tag.key: tag.value for tag in data.tags} == {"mlflow.data.context": "training"}


def test_the_generator_is_a_model_of_mlflow(finished: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    run = next(run for run in trial_runs(finished) if run.data.tags["seed"] == "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.results / 'mlflow.db'}")
    [shown] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "mlflow.md").read_text("utf-8"), re.S)
    names: dict[str, Any] = {}
    exec(shown.replace("RUN", run.info.run_id), names)
    model, other = names["model"], names["images"]
    images = model.predict({"samples": [40, 24]})
    assert (images.shape, images.dtype, other.shape) == ((64, 28, 28, 1), np.uint8, (64, 28, 28, 1))
    assert (other != images).any()
    # Those of the grid of the trial.
    with Image.open(Path(run.info.artifact_uri.removeprefix("file://")) / "samples" / "final.png") as image:
        grid = np.asarray(image)
    assert (images.reshape(8, 8, 28, 28).transpose(0, 2, 1, 3).reshape(224, 224) == grid).all()
    assert str(model.metadata.signature.outputs) == "[Tensor('uint8', (-1, 28, 28, 1))]"
    [listed] = json.loads(run.data.tags["mlflow.log-model.history"])
    assert (listed["run_id"], listed["artifact_path"]) == (run.info.run_id, "generator")


def test_a_model_that_cannot_be_drawn_from_says_why(finished: Workspace) -> None:
    folder = Path(trial_runs(finished)[0].info.artifact_uri.removeprefix("file://")) / "generator"
    model = pyfunc._load_pyfunc(str(folder))
    with pytest.raises(HarnessError, match="samples is -1: expected 0 or more"):
        model.predict(pd.DataFrame({"samples": [-1]}))
    assert len(model.predict(pd.DataFrame({"samples": [0]}))) == 0
    damaged = finished.folder / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "config.json").write_text("{}")
    with pytest.raises(HarnessError, match=r"settings have no 'model': restore a copy of config.json"):
        pyfunc._load_pyfunc(str(damaged))


def test_the_link_to_the_runs_is_that_of_a_saved_view(finished: Workspace) -> None:
    said = finished.run("report", finished.folder / "tiny.yaml")
    experiment = client(finished).get_experiment_by_name("tiny")
    path = f"/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=harness"
    assert f"then http://127.0.0.1:5000{path}" in " ".join(said.split())
    page = (finished.results / "tiny" / "report.html").read_text()
    assert f'href="http://127.0.0.1:5000{path.replace("&", "&amp;")}"' in page
    view = json.loads(experiment.tags["mlflow.sharedViewState.harness"])
    state = json.loads(view["state"])
    assert state["selectedColumns"][0] == "metrics.`sharpness`"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]


def test_quality_over_training_is_a_curve_and_changes_no_number(finished: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = {"snapshots": 5, "quality": 50, "curve_points": 10}
    compare = {"metric": "sharpness"}
    workspace.run("run", workspace.suite(run=run, matrix={"tricks": [["ema"]]}, seeds=1, compare=compare))
    [row] = workspace.table()
    points = client(workspace).get_metric_history(row["mlflow_run_id"], "train/intermediate_sharpness")
    assert [point.step for point in points] == [5, 10, 15]
    assert len({point.value for point in points}) == 3
    assert numbers([row]).items() <= numbers(finished.table()).items()


def test_the_classes_of_the_snapshots_are_curves_and_a_table(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.run("run", workspace.suite(run={"snapshots": 5}, matrix={"tricks": [["ema"]]}, compare={"metric": "fid"}))
    store, at_once, visited = client(workspace), [], []
    for row in workspace.table():
        points = {
            name: store.get_metric_history(row["mlflow_run_id"], f"train/{name}")
            for name in ("classes_at_once", "classes_visited")
        }
        assert [[point.step for point in each] for each in points.values()] == [[5, 10, 15, 20]] * 2
        assert all(1 <= point.value <= 10 for each in points.values() for point in each)
        at_once.append(statistics.mean(point.value for point in points["classes_at_once"]))
        visited.append(points["classes_visited"][-1].value)
    told = pd.read_csv(workspace.results / "tiny" / "visits.csv").iloc[0]
    assert (told["n"], told["snapshots"]) == (2, 4)
    assert float(told["at_once"]) == pytest.approx(statistics.mean(at_once))
    assert float(told["visited"]) == pytest.approx(statistics.mean(visited))
    page = (workspace.results / "tiny" / "report.html").read_text()
    assert f'data-label="Classes visited">{statistics.mean(visited):.1f}<' in page


def test_the_suite_s_run_has_the_answer(finished: Workspace) -> None:
    store = client(finished)
    experiment = store.get_experiment_by_name("tiny")
    [run] = store.search_runs([experiment.experiment_id], "tags.role = 'suite'")
    assert "Against gan on" in run.data.tags["mlflow.note.content"]
    files = {file.path.removeprefix("report/") for file in store.list_artifacts(run.info.run_id, "report")}
    assert {"report.html", "leaderboard.csv", "verdicts.csv", "trials.csv"} <= files
    for arm, name in {"gan": "gan", "gan + ema": "gan-ema"}.items():
        fid = [float(row["fid"]) for row in finished.table() if row["arm"] == arm]
        assert run.data.metrics[f"fid/{name}"] == pytest.approx(sum(fid) / 2)


def test_nothing_is_left_behind(finished: Workspace) -> None:
    left = [p for p in (finished.results / "work").iterdir() if not p.name.endswith(".log")]
    assert left == []
    assert not list(finished.results.rglob("*.tmp"))


def test_the_plan_shows_what_is_done(finished: Workspace) -> None:
    plan = finished.plan(finished.folder / "tiny.yaml")
    assert {trial["state"] for trial in plan["trials"]} == {"done"}
    assert {trial["key"] for trial in plan["trials"]} == {row["key"] for row in finished.table()}
    more = finished.plan(finished.folder / "tiny.yaml", "--set", "seeds=3")
    assert [t["state"] for t in more["trials"]].count("to do") == 2


def test_a_second_run_trains_nothing_and_more_seeds_only_the_difference(finished: Workspace) -> None:
    before = finished.table()
    suite = finished.suite()
    assert "4 trials, 4 done before" in finished.run("run", suite)
    assert finished.table() == before
    assert "6 trials, 4 done before" in finished.run("run", suite, "--set", "seeds=3")
    after = finished.table()
    assert len(after) == 6
    assert [row for row in after if row["seed"] != "2"] == before
    assert len(trial_runs(finished)) == 6


def test_an_arm_without_the_compared_metric_is_in_the_table(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(
        base={},
        matrix={"model": ["vae", "gan"]},
        seeds=1,
        train={"steps": 3, "batch_size": 16, "precision": "float32"},
        compare={"baseline": {"model": "vae"}, "metric": "reconstruction_mse"},
        evaluate={"samples": 50, "metrics": ["fid", "reconstruction"]},
        run={"snapshots": 0, "curve_points": 3},
    )
    workspace.run("run", suite, "--workers", "1")
    assert {row["arm"]: (row["state"], row["reconstruction_mse"] == "") for row in workspace.table()} == {
        "vae": ("done", False),
        "gan": ("done", True),
    }
    assert "2 trials, 2 done before" in workspace.run("run", suite)


@pytest.mark.slow
def test_a_cell_in_two_suites_is_trained_once(finished: Workspace) -> None:
    other = finished.suite("other", matrix={"tricks": [[], ["one_sided_label_smoothing"]]})
    assert "4 trials, 2 done before" in finished.run("run", other)
    shared = [row for row in finished.table("other") if row["arm"] == "gan"]
    assert shared == [row for row in finished.table() if row["arm"] == "gan"][:2]


def test_the_report_shows_the_table_s_numbers(finished: Workspace) -> None:
    output = finished.run("report", finished.suite())
    page = (finished.results / "tiny" / "report.html").read_text()
    board = finished.table(name="leaderboard")
    assert {row["arm"] for row in board} == {"gan", "gan + ema"}
    assert len({row["sharpness_mean"] for row in board}) == 2
    for row in board:
        shown = f"{float(row['sharpness_mean']):.3f}"
        assert shown in page
        assert shown in output
    assert "Does it work?" in page


def test_smoke_runs_every_arm_in_a_store_of_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    output = workspace.run("run", workspace.suite(), "--smoke")
    assert "2 trials, 0 done before" in output
    assert not (workspace.results / "mlflow.db").exists()
    assert {row["state"] for row in workspace.table(results=workspace.results / "smoke")} == {"done"}

    # The plan and the report are those of the same trials in the same store.
    suite, page = workspace.folder / "tiny.yaml", workspace.results / "smoke" / "tiny" / "report.html"
    workspace.environment["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"  # another store, which is not asked
    trained = [row["key"] for row in workspace.table(results=workspace.results / "smoke")]
    trials = workspace.plan(suite, "--smoke")["trials"]
    assert [(trial["key"], trial["state"]) for trial in trials] == [(key, "done") for key in trained]
    page.unlink()
    assert "smoke" in workspace.run("report", suite, "--smoke")
    assert page.is_file()
    del workspace.environment["MLFLOW_TRACKING_URI"]
    assert {trial["state"] for trial in workspace.plan(suite)["trials"]} == {"to do"}
    assert "run `harness run" in workspace.run("report", suite, code=2)


@pytest.mark.slow
def test_a_search_trains_each_configuration_on_all_seeds(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite("search", **SEARCH)
    workspace.run("run", suite)
    rows = workspace.table("search")
    assert len(rows) == 6
    assert len({row["arm"] for row in rows}) == 3
    import optuna

    [study] = optuna.get_all_study_summaries(f"sqlite:///{workspace.results / 'optuna.db'}")
    values = optuna.load_study(
        study_name=study.study_name, storage=f"sqlite:///{workspace.results / 'optuna.db'}"
    ).trials
    for trial in values:
        own = [float(row["sharpness"]) for row in rows if f"#{trial.number} " in row["arm"]]
        assert trial.value == pytest.approx(sum(own) / 2)
    assert len({trial.value for trial in values}) == 3
    assert "done before" in workspace.run("run", suite)
    assert workspace.table("search") == rows
    # Evaluated on the way, for a pruner that lets the first five live: the same numbers.
    (tmp_path / "watched").mkdir()
    watched = Workspace(tmp_path / "watched")
    looking = SEARCH["search"] | {"n_trials": 1, "pruner": {"name": "median", "every": 3, "samples": 50}}
    watched.run("run", watched.suite("search", search=looking, matrix={"tricks": [[]]}))
    looked_at = numbers(watched.table("search"))
    assert len(looked_at) == 2
    assert looked_at == {trial: numbers(rows)[trial] for trial in looked_at}
    workspace.run("run", suite, "--set", "search.n_trials=4")
    assert len(workspace.table("search")) == 8


@pytest.mark.slow
def test_a_search_with_a_pruner_ends_well_and_is_done(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    search = {
        "n_trials": 6,
        "space": {"model.generator_rate": {"type": "float", "low": 1e-7, "high": 1e-2, "log": True}},
        "pruner": {"name": "successive_halving", "every": 5, "samples": 50},
    }
    suite = workspace.suite("pruned", search=search, matrix={"tricks": [[]]})
    workspace.run("run", suite)  # exit code 0, whatever was pruned
    states = [row["state"] for row in workspace.table("pruned")]
    assert set(states) == {"done", "pruned"}
    workspace.run("run", suite)
    assert [row["state"] for row in workspace.table("pruned")] == states


def test_planning_with_a_store_needs_no_torch_either(finished: Workspace) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from harness.cli.commands import main; "
        "result = CliRunner().invoke(main, ['plan', 'tiny.yaml', '--results', 'results']); "
        "assert result.exit_code == 0, result.output; assert 'done' in result.output; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=finished.folder)


@pytest.mark.slow
def test_neither_order_nor_workers_nor_how_often_one_looks_changes_a_number(
    finished: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path, {"TERM": "xterm"})
    suite = workspace.suite(
        seeds=[1, 0],
        matrix={"tricks": [["ema"], []]},
        run={"snapshots": 0, "curve_points": 3, "checkpoint_seconds": 0.001},
    )
    shown = on_a_terminal(workspace, "run", suite, "--workers", "3")
    assert "\x1b[" in shown, "it did not take it for a terminal"
    ours, theirs = numbers(workspace.table()), numbers(finished.table())
    assert len(ours) == 4
    assert ours == {trial: theirs[trial] for trial in ours}
    trained, before = weights(workspace), weights(finished)
    assert trained == {key: before[key] for key in trained}


def on_a_terminal(workspace: Workspace, *words: str | Path) -> str:
    """Run a command whose output is a terminal; what it wrote there."""
    screen, terminal = pty.openpty()
    process = workspace.start(*words, output=terminal)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is closed when the last process that has it ends
        while part := os.read(screen, 65536):
            shown += part
    os.close(screen)
    assert process.wait(timeout=300) == 0, shown.decode()
    return shown.decode()


def weights(workspace: Workspace) -> dict[str, bytes]:
    """Key -> the file of trained weights."""
    folders = {r.data.tags["key"]: Path(r.info.artifact_uri.removeprefix("file://")) for r in trial_runs(workspace)}
    return {key: (folder / "generator" / "generator.safetensors").read_bytes() for key, folder in folders.items()}


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["run", "nowhere.yaml"], "no such file"),
        (["run", "tiny.yaml", "--set", "train.stepz=3"], "did you mean 'steps'"),
        (["run", "tiny.yaml", "--set", "data=mnist"], "MNIST is not on this machine"),
        (["run", "tiny.yaml", "--device", "tpu"], "expected auto, cpu, cuda or cuda:i"),
        (["run", "tiny.yaml", "--device", "cuda:97"], "cuda:97"),
        (["report", "tiny.yaml"], "holds no finished trial"),
        (["ui"], "no store"),
        (["data", "fetch", "mnits"], "did you mean 'mnist'"),
        (["data", "fetch", "folder"], "path"),
    ],
)
def test_a_user_s_mistake_gets_one_message_and_exit_code_2(tmp_path: Path, words: list[str], fragment: str) -> None:
    nowhere = {
        "HARNESS_DATA": str(tmp_path),
        "HARNESS_CACHE": str(tmp_path / "cache"),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    workspace = Workspace(tmp_path, nowhere)
    workspace.suite()
    output = workspace.run(*words, code=2)
    assert fragment in output
    assert not (workspace.results / "mlflow.db").exists()


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from harness.cli.commands import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; "
        "heavy = {'torch', 'mlflow', 'optuna', 'pandas', 'numpy', 'pydantic'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_list_names_everything(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for kind, names in {
        "models": ["gan", "dcgan"],
        "tricks": ["ema", "feature_matching", "one_sided_label_smoothing"],
        "metrics": ["fid", "inception_score", "kid", "mode_coverage", "precision_recall"],
        "data": ["digits", "mnist"],
    }.items():
        listed = [line.split()[0] for line in workspace.run("list", kind).splitlines()]
        assert set(names) <= set(listed)


def test_a_command_has_the_name_of_a_suite_that_comes_with_the_harness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    comes = shipped.names()["quickstart"]
    assert shipped.word(comes) == "quickstart"
    assert shipped.word(tmp_path / "quickstart.yaml") == str(tmp_path / "quickstart.yaml")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quickstart.yaml").write_text("suite: quickstart\n")
    assert shipped.word(comes) == str(comes)  # the name means another file here


def test_suites_have_names_from_anywhere(tmp_path: Path) -> None:
    """Those that come with the harness, and before them those of the folder ``suites`` here."""
    workspace = Workspace(tmp_path)
    listed = {line.split()[0]: line for line in workspace.run("list", "suites").splitlines()}
    assert "15 trials  Does a convolutional GAN" in listed["quickstart"]
    assert listed["tricks_ablation"].endswith(" core-hours]")
    assert len(workspace.plan(Path("quickstart"))["trials"]) == 15
    (tmp_path / "suites").mkdir()
    workspace.suite("quickstart").rename(tmp_path / "suites" / "quickstart.yaml")
    assert "4 trials  Does it work?" in workspace.run("list", "suites")
    assert len(workspace.plan(Path("quickstart"))["trials"]) == 4
    assert "did you mean 'quickstart'? (`harness list suites`" in workspace.run("run", "quikstart", code=2)
    assert not workspace.results.exists()


LATE = """
import atexit, os, subprocess, sys, time
from harness.cli import main

AGAIN_AND_AGAIN = "import os, sys, time\\nfor _ in range(2000): os.kill(int(sys.argv[1]), 2); time.sleep(.002)"

def press():
    none = subprocess.DEVNULL
    subprocess.Popen([sys.executable, "-c", AGAIN_AND_AGAIN, str(os.getpid())], stdout=none, stderr=none)
    time.sleep(0.5)

if __name__ == "__main__":
    atexit.register(press)
    main()
"""


@pytest.mark.slow
def test_ctrl_c_while_python_ends_does_not_take_away_the_exit_code(tmp_path: Path) -> None:
    # Python gives the signal back to the system some time before the process is gone.
    script, workspace = tmp_path / "late.py", Workspace(tmp_path)
    script.write_text(LATE)
    suite = workspace.suite("tiny", train={"steps": 2, "batch_size": 16}, seeds=1, matrix={"tricks": [[]]})
    words = ["run", suite, "--device", "cpu", "--results", workspace.results]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_report_shows_the_trials_that_have_not_ended(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite()
    assert "holds no finished trial" in workspace.run("report", suite, code=2)
    [key, *_] = [trial["key"] for trial in workspace.plan(suite)["trials"]]
    work = workspace.results / "work" / key
    work.mkdir(parents=True)
    Image.new("L", (8, 8)).save(work / "step-000003.png")
    workspace.run("report", suite)
    page = (workspace.results / "tiny" / "report.html").read_text()
    assert "Not finished" in page
    assert "seed 0: step 3 of " in page

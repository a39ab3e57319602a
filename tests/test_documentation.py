"""What README and docs/ tell users to type can be typed: every command runs in a small form, or is listed with why not.

The small form is the command itself, word for word, in a folder where every suite is a small one (the quickstart with
two steps): all share their trials, so that only the first command trains them.
"""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from harness_cli import Workspace
from ruamel.yaml import YAML

from harness.cli.commands import main
from harness.suite import read_suite
from harness.suite.shipped import COST
from harness.zoo import registry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("harness", "nox", "python", "pip", "pytest", "mlflow")
SHOWN = re.compile(r"harness (?:run|plan|check) (suites/[\w/]+\.yaml)([^`\n|#]*)")


def texts() -> list[str]:
    """The pages, without breaks inside commands."""
    return [re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")) for page in PAGES]


def commands(line: str) -> list[str]:
    """The commands of a line, without comments."""
    parts = re.sub(r"\s#.*", "", line.strip().removeprefix("$ ")).split(" && ")
    parts = [re.sub(r"^(\w+=\S+ )+", "", part.strip()) for part in parts]  # what is set for one command
    return [part for part in parts if part.split(" ")[0] in PROGRAMS]


def fenced() -> list[str]:
    """The commands in fenced blocks (or, in Markdown's other form, indented by four), each once."""
    found: list[str] = []
    for text in texts():
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"^    (\S.*)", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M)
        found += [command for line in lines for command in commands(line)]
    return list(dict.fromkeys(found))


def mentioned() -> list[str]:
    """The commands that stand in a sentence, each once."""
    inline = (match for text in texts() for match in re.findall(r"`([^`\n]+)`", text))
    return list(dict.fromkeys(command for each in inline for command in commands(each) if " " in command))


# A command -> what is put after it; what runs is the command itself, with that.
FEW = " --workers 1 --device cpu"
RUN: dict[str, str] = {
    "harness run suites/quickstart.yaml": FEW,
    "harness run suites/tricks_ablation.yaml": FEW,
    "harness run suites/tricks_ablation.yaml --set seeds=8": " --set seeds=2" + FEW,
    "harness run suites/collapse.yaml": FEW,
    "harness run suites/mode_collapse_ring.yaml": FEW,
    "harness plan suites/tricks_ablation.yaml": "",
    "harness plan suites/quickstart.yaml --measure": " --device cpu",
    "harness plan quickstart": "",
    "harness plan quickstart --measure": " --device cpu",
    "harness report suites/tricks_ablation.yaml": "",
    "harness plan suites/gan_zoo.yaml": "",
    "harness run suites/tricks_ablation.yaml --smoke": FEW,
    "harness plan suites/tricks_ablation.yaml --smoke": "",
    "harness report suites/tricks_ablation.yaml --smoke": "",
    'harness compare "dcgan + ema" dcgan --suite suites/quickstart.yaml': "",
    "harness check my_suite.yaml --baseline baselines/my_suite.json --update": FEW,
    "harness check my_suite.yaml --baseline baselines/my_suite.json"
    " --junit regression.xml --markdown regression.md": FEW,
    "harness compare suites/quickstart.yaml mine.yaml": "",
    "harness compare 1a2b3c4d 5e6f7a8b": "",
    "harness noise suites/quickstart.yaml --arms dcgan": " --seeds 3 --evaluations 2" + FEW,
    "harness run suites/tricks_ablation.yaml --only '*feature_matching*'": FEW,
    "harness plan suites/tricks_ablation.yaml --only dcgan": "",
    "harness show dcgan": "",
    "harness sample dcgan --n 10000 --out dcgan-samples": " --n 3",
    "harness export suites/quickstart.yaml --format latex": "",
    'harness show "dcgan + ema"': "",
    "harness gc cache smoke --yes": "",
    "harness list suites": "",
    "harness run quickstart": FEW,
    "harness run my_suite.yaml": FEW,
    "harness run collapse": FEW,
    "harness plan my_suite.yaml --measure": " --device cpu",
    "harness list tricks": "",
    "harness explain feature_matching": "",
    "harness doctor": "",
    "harness publish suites/quickstart.yaml --out site": "",
    "harness publish --check site": "",
    "harness merge site --results fresh": "",
    "harness verify 'site/published/quickstart#dcgan'": " --seeds 2" + FEW,
}
"""In this order: a store must be there before it can be reported."""

WRITTEN = "it would replace a suite of these tests; tests/cli/test_commands.py runs it"
TUTORIAL = "tests/cli/test_new.py does what the tutorials of docs/plugins.md say"
PLANNED = "its suite is read with these settings below; what they train is trained by nox -s smoke"
LISTED: dict[str, str] = {
    "harness init": WRITTEN,
    "harness gc": "it asks; tests/cli/test_gc.py answers",
    "harness show 8c1f09aa": "a key that no store of these tests has; tests/cli/test_store_commands.py shows one",
    "pip install -e .": "needs a package registry; CI does it in a clean environment (.ci/run)",
    "python -m venv venv": "makes the environment that the next command fills",
    "pip install -e '.[slurm]'": "needs a package registry",
    "harness run suites/quickstart.yaml --engine slurm --slurm partition=gpu --slurm account=mine": "needs SLURM; "
    "tests/cluster/test_slurm.py runs suites with such options",
    "pip install nox uv": "needs a package registry; CI does it in a clean environment (.ci/run)",
    "nox -s tests": "these tests",
    "nox -s lint": "CI runs it (.ci/run)",
    "nox -s types": "CI runs it (.ci/run)",
    "pytest tests/test_contracts.py tests/suite/test_fingerprint.py tests/zoo tests/metrics "
    "tests/test_documentation.py": "some of these tests",
    "nox -s cluster": "installs and starts SLURM, Ray, PostgreSQL and MLflow; half an hour",
    "nox -s chaos -- --minutes 30 --seed 0": "half an hour; tests/test_benchmarks.py runs a minute of it",
    "nox -s bench -- --against 60f8e6a --docs docs/speed.md": "hours; tests/test_bench.py measures one row",
    "python benchmarks/gpu.py --minutes 9 --out gpu": "tests/test_gpu_script.py runs it on the CPU",
    "pip download --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 --platform "
    "manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d wheels -r benchmarks/gpu-wheels.txt": "needs a registry",
    "pip install --no-index --no-deps --no-compile --upgrade --target /tmp/site --find-links wheels "
    "-r benchmarks/gpu-wheels.txt": "needs what the command before it downloads",
    "python benchmarks/tuning.py": "minutes; tests/test_benchmarks.py runs a few of its pairs",
    "python benchmarks/engines.py --trials 12": "minutes; tests/test_benchmarks.py measures the local engine",
    "python benchmarks/bench_scale.py": "half an hour; tests/test_benchmarks.py measures a few trials",
    "python benchmarks/bench_evaluation.py": "minutes; tests/test_benchmarks.py runs a pair of each row",
    "harness check suites/regression.yaml --baseline results/baselines/regression.json": "minutes; nox -s regression",
    "harness run suites/tricks_ablation.yaml --accept-change 8c42ea19": "tests/test_other_code.py accepts a change",
    "pip install -e '.[ray]'": "needs a package registry; nox -s cluster does it",
    "harness run suites/quickstart.yaml --engine ray --address 10.0.0.1:6379": "tests/cluster/test_ray.py has one",
    "harness new trick my_noise": TUTORIAL,
    "harness test my_noise.py": TUTORIAL,
    "harness run my_noise.yaml --smoke": TUTORIAL,
    "harness run my_noise.yaml": TUTORIAL,
    "harness test my_dcgan.py": TUTORIAL,
    "harness run my_dcgan.yaml": TUTORIAL,
    "harness upgrade --results results": "tests/store/test_old_stores.py upgrades a store",
    "pip install mlflow psycopg2-binary": "needs a package registry",
    "pip install -e '.[postgresql]'": "needs a package registry",
    "mlflow server --host 0.0.0.0 --port 5000 --allowed-hosts 'stores.lab:5000' --artifacts-destination /srv/mlflow": (
        "a server that does not end; tests/cluster/test_stores.py starts one"
    ),
    "harness merge alice/results bob/results": "tests/analysis/test_merging.py joins such stores",
    "nox -s evidence -- collapse": "minutes; it is `harness plan`, `run` and `publish`, which run above",
    "harness ui": "a server that does not end; tests/test_security.py starts and stops it",
    "harness compare tiny.yaml fewer.yaml": "a refusal; tests/analysis/test_compare.py runs it",
    "harness judge train --data NAME [--set KEY=VALUE …]": "a form; tests/judge/test_labelled.py trains such a judge",
    "harness judge train --data cifar10 --mirror": "a download; tests/judge/test_labelled.py trains for a few steps",
    "harness judge train --out my-weights": "minutes on MNIST; tests/judge/test_labelled.py trains other judges",
    "harness judge evaluate": "a minute on MNIST; see the slow test below",
    "harness judge agree suites/quickstart.yaml --samples 1000": "tests/judge/test_agree.py judges trials again",
    "harness run suites/quickstart.yaml --until-settled": "tests/analysis/test_looks.py runs until all is settled",
    "harness run suites/quickstart.yaml --set train.steps=100 --set seeds=1": PLANNED,
    "harness run suites/quickstart.yaml --set 'matrix.tricks=[[], [ema], [feature_matching]]'": PLANNED,
    "harness run suites/quickstart.yaml --set 'matrix.model.latent=[32, 100]' --set compare.pairs=null"
    " --set names={}": PLANNED,
    'harness run suites/regression.yaml --set exclude.0.reason="one model is enough"': PLANNED,
    "harness run suites/tricks_ablation.yaml --set base.model.architecture.width=16": PLANNED,
    "harness run suites/tricks_ablation.yaml --set seeds=3": PLANNED,
    "harness run suites/tricks_ablation.yaml --set 'matrix.tricks=[[ema]]' --set "
    "'matrix.model.architecture.convolutions=[0, 1]' --set seeds=1 --set compare.baseline=null --set 'names={}' "
    "--set 'expect=[]'": PLANNED,
}
"""Commands that do not run here, and why not. Their options are checked."""


def test_every_command_of_a_block_runs_or_is_listed() -> None:
    assert sorted(fenced()) == sorted([*RUN, *LISTED])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A folder in which all suites of the pages are small; commands find each other's trials."""
    workspace = Workspace(tmp_path_factory.mktemp("documentation"), {"COLUMNS": "200"})
    small: Any = YAML(typ="safe").load(ROOT / "suites" / "quickstart.yaml")
    small |= {"train": {"steps": 8, "batch_size": 8}, "seeds": 1}
    small["evaluate"] = {"samples": 32, "metrics": ["sharpness"]}
    small["compare"]["metric"] = "sharpness"
    (workspace.folder / "suites").mkdir()
    for path in (
        "my_suite",
        "mine",
        "suites/quickstart",
        "suites/collapse",
        "suites/mode_collapse_ring",
        "suites/gan_zoo",
    ):
        workspace.suite(path, **small | {"suite": Path(path).name})
    tricks = {"matrix": {"tricks": [[], ["feature_matching"]]}, "exclude": [], "names": {}}
    compare = {"compare": {"baseline": {"tricks": []}, "metric": "sharpness"}}
    name = {"suite": "tricks_ablation", "base": {"model": "dcgan"}}
    workspace.suite("suites/tricks_ablation", **small | tricks | compare | name)
    return workspace


def test_the_commands_of_blocks_run(workspace: Workspace) -> None:
    for command, more in RUN.items():
        words = shlex.split(command + more)
        if "1a2b3c4d" in words:  # the beginnings of two runs' ids
            words[-2:] = [row["mlflow_run_id"][:12] for row in workspace.table("quickstart")[:2]]
        code = (0, 1) if command == "harness doctor" else (0,)  # it may find something missing here
        assert workspace.run(*words[1:], code=code), command
    for path in ("baselines/my_suite.json", "regression.xml", "regression.md", "results/tricks_ablation/report.html"):
        assert (workspace.folder / path).is_file(), path


def test_the_snippets_for_a_ci_are_yaml_cache_the_store_and_run_commands_that_are_tested() -> None:
    page = (ROOT / "docs" / "regression.md").read_text(encoding="utf-8")
    github, gitlab = map(YAML(typ="safe").load, re.findall(r"^```yaml\n(.*?)^```", page, re.S | re.M))
    steps = github["jobs"]["check"]["steps"]
    ran = [[step["run"] for step in steps if "run" in step], gitlab["regression"]["script"]]
    for lines in ran:
        assert [line for line in lines if line.startswith("harness ")] == [line for line in lines if line in RUN] != []
    places = [step["with"]["path"] for step in steps if step.get("uses", "").startswith("actions/cache/")]
    assert [*places, *gitlab["regression"]["cache"]["paths"]] == ["results", "results", "results/"]
    # What fails must not lose what was trained.
    assert [step["if"] for step in steps if step.get("uses", "").startswith("actions/cache/save@")] == ["always()"]
    assert gitlab["regression"]["cache"]["when"] == "always"


@pytest.mark.slow
@pytest.mark.mnist
def test_the_judge_that_comes_with_the_harness_is_evaluated(workspace: Workspace) -> None:
    assert "accepted, shown in training" in workspace.run("judge", "evaluate")


PLACEHOLDERS = {"NAME": "digits", "KEY=VALUE": "a=1", "SUITE": "s.yaml", "NAME-DIGEST": "digits-f23f79de", "N": "0"}


@pytest.mark.parametrize("command", [*LISTED, *mentioned()])
def test_a_command_has_the_options_that_are_shown(command: str) -> None:
    program, *words = [PLACEHOLDERS.get(w, w) for w in shlex.split(re.sub(r"[\[\]…]", "", command)) if w != "…"]
    if program == "harness":
        parse(main, words, whole=command in LISTED or any(word.startswith("-") for word in words))
    elif program == "nox":
        own = words[: words.index("--")] if "--" in words else words
        assert own[0] == "-s"
        assert own[1] in sessions()
        assert set(own[2:]) <= {"--no-venv", "--force-python", "3.13"}
    elif program == "python":
        assert (ROOT / words[0]).is_file() or command in LISTED
    else:
        assert command in LISTED or command in (
            "pytest -m chaos --chaos-seed N",
            "pip install pytest",
            "pip install pre-commit",
            "pip install jupyterlab",
            "pip wheel --no-deps -w dist .",
            "pip install dist/*.whl",
        )


def parse(group: click.Group, words: list[str], whole: bool) -> None:
    """Find a command and read its options, without running it; of one that is only named (not whole) the name."""
    context = click.Context(group, info_name="harness")
    command: click.Command = group
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, parent=context)
    if whole or words:
        command.make_context(command.name, list(words), parent=context.parent)


def sessions() -> set[str]:
    """The sessions of noxfile.py."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}


def shown() -> list[tuple[str, str]]:
    """The suites in commands, and the words that follow, wherever pages show them; each once."""
    return sorted({(match[1], match[2].strip()) for text in texts() for match in SHOWN.finditer(text)})


@pytest.mark.parametrize(("suite", "options"), shown())
def test_the_suite_of_a_command_can_be_read_with_its_settings(suite: str, options: str) -> None:
    words = shlex.split(options.partition("&&")[0])
    sets = [value for option, value in itertools.pairwise(words) if option == "--set"]
    assert read_suite(ROOT / suite, sets).combinations


@pytest.mark.parametrize("kind", [kind for kind in registry.KINDS if kind not in ("data", "engines")])
def test_the_zoo_names_every_plugin(kind: str) -> None:
    zoo = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8").partition("\n## Suites")[0]
    assert [name for name in registry.names(kind) if f"`{name}`" not in zoo] == []


def test_what_every_shipped_suite_costs_stands_in_its_file_and_in_the_table() -> None:
    page = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8").partition("\n## Suites\n")[2].partition("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \|$", page, re.M))
    files = sorted((ROOT / "suites").glob("*.yaml"))
    stated = {path.stem: re.search(COST, path.read_text(encoding="utf-8"), re.M) for path in files}
    assert len(stated) >= 20
    assert {name: found and found[1].split(" core-hours")[0] for name, found in stated.items()} == table
    assert all(float(hours) > 0 for hours in table.values())


def test_the_page_of_data_sets_names_every_one() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in registry.names("data") if f"`{name}`" not in page] == []


def test_the_page_of_clusters_names_every_engine() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert [name for name in registry.names("engines") if f"`{name}`" not in page] == []


def test_no_page_counts_the_plugins() -> None:
    """A count is wrong after the next plug-in; `harness list` counts."""
    numbers = r"(\d+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty)"
    counted = re.compile(rf"\b{numbers} (models|tricks|architectures|classifiers)\b", re.I)
    pages = {page.name: page.read_text(encoding="utf-8") for page in PAGES if page.name in ("README.md", "plugins.md")}
    assert {name: counted.findall(text) for name, text in pages.items()} == {"README.md": [], "plugins.md": []}


def test_commands_are_found() -> None:
    found = shown()
    assert len(found) > 20
    assert any("convolutions" in options for _, options in found)  # goes over two lines
    assert len(mentioned()) > 30

"""The plug-ins that docs/plugins.md shows are real ones, and ``harness.plugins`` has what their authors need."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_cli import Workspace, package
from torch.nn.utils import parameters_to_vector

from harness import plugins
from harness.suite.fingerprint import fingerprint
from harness.testing import train
from harness.zoo.building import build

ROOT = Path(__file__).parents[1]
EXAMPLES = dict(re.findall(r'```python\n("""(\w+)\.py.*?)```', (ROOT / "docs" / "plugins.md").read_text(), re.S))
BY_FILE = {file: text for text, file in EXAMPLES.items()}
POINTS = {
    "my_tricks": ("tricks", "input_dropout", "InputDropout"),
    "my_clipping": ("tricks", "gradient_clipping", "GradientClipping"),
    "my_models": ("models", "pixels", "Pixels"),
    "my_networks": ("networks", "linear", "Linear"),
    "my_classifiers": ("classifiers", "naive_bayes", "NaiveBayes"),
    "my_metrics": ("metrics", "ink", "Ink"),
    "my_data": ("data", "stripes", "Stripes"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all examples are installed."""
    folder = tmp_path_factory.mktemp("site")
    for file, (kind, name, plugin) in POINTS.items():
        package(folder, file, BY_FILE[file], {f"harness.{kind}": f"{name} = {file}:{plugin}"})
    for file in ("test_mine", "test_engine"):
        (folder / f"{file}.py").write_text(BY_FILE[file])
    return folder


def test_every_example_is_tried() -> None:
    assert {*BY_FILE} == {*POINTS, "test_mine", "test_engine"}


def test_the_documented_plugins_pass_their_contracts(site: Path) -> None:
    """But for the trials of the engine: tests/test_contracts.py has the very engine of the example run them all."""
    nothing = "TestEngine and not test_with_nothing_to_do_it_waits and not test_a_trial_waits_for_the_answer"
    words = ["-q", "-rA", "-p", "no:cacheprovider", "test_mine.py", "test_engine.py", "-k", f"not ({nothing})"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], cwd=site, env=_environment(site), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    passed = {line.split("::")[0] for line in done.stdout.splitlines() if line.startswith("PASSED")}
    assert passed == {"PASSED test_mine.py", "PASSED test_engine.py"}


@pytest.mark.slow
def test_a_suite_of_them_runs(site: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"PYTHONPATH": _environment(site)["PYTHONPATH"]})
    recipe = {"name": "recipe", "architecture": "linear", "classifier": "naive_bayes", "images": 64}
    suite = workspace.suite(
        matrix={"model": ["pixels", {"name": "gan", "architecture": "linear"}, recipe]},
        evaluate={"samples": 64, "metrics": ["ink"]},
        compare={"baseline": {"model": "pixels"}, "metric": "ink"},
        seeds=1,
    )
    workspace.run("run", suite)
    assert [row["state"] for row in workspace.table()] == ["done"] * 3


def test_the_documented_gradient_clipping_clips_both_players(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With plain gradient descent, a step is the rate times the gradient: never longer than rate · norm."""
    monkeypatch.syspath_prepend(str(site))
    clipping = importlib.import_module("my_clipping").GradientClipping
    lengths = {}
    for norm in (0.01, 1e6):
        game: Any = build({"name": "gan", "architecture": {"width": 32}}, made=[clipping(clipping.Settings(norm=norm))])
        players = {"discriminator": game.discriminator, "generator": game.generator}
        before = {name: parameters_to_vector(player.parameters()).detach() for name, player in players.items()}
        for name, player in players.items():
            setattr(game, f"{name}_optimiser", torch.optim.SGD(player.parameters(), lr=1.0))
        game._set_rates = lambda: None  # else they are those of the settings
        train(game, 1)
        for name, player in players.items():
            lengths[name, norm] = float((parameters_to_vector(player.parameters()).detach() - before[name]).norm())
    for name in ("discriminator", "generator"):
        assert lengths[name, 0.01] == pytest.approx(0.01, rel=1e-3)
        assert lengths[name, 1e6] > 0.02, "a short gradient stays as it is"


def test_to_find_them_takes_no_torch(site: Path) -> None:
    script = (
        "import sys, harness.plugins; from harness.zoo import registry\n"
        f"for kind, name, _ in {list(POINTS.values())!r}: assert name in registry.names(kind), name\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], env=_environment(site), check=True)


def test_what_type_checkers_see_is_what_there_is() -> None:
    tree = ast.parse(Path(plugins.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        (node.module, alias.name)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {(place, name) for place, names in plugins.PLACES.items() for name in names}
    assert all(getattr(plugins, name) is not None for _, name in seen)
    assert {name for _, name in seen} <= set(dir(plugins))
    with pytest.raises(AttributeError, match="no attribute 'Tricks'"):
        plugins.Tricks  # noqa: B018


def test_the_code_of_a_plug_in_is_followed_through_the_public_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    body = "\n\nclass Mine(Trick):\n    def begin(self, game):\n        self.network = move_average(evaluating(game))\n"
    public = "from harness.plugins import Trick, evaluating, move_average"
    direct = (
        "from harness.zoo.networks.base import evaluating\nfrom harness.zoo.optimisation import move_average\n"
        "from harness.zoo.tricks.base import Trick"
    )
    for name, imports in (("by_public_place", public), ("by_own_place", direct)):
        (tmp_path / f"{name}.py").write_text(imports + body)
    found = [fingerprint({f"{name}:Mine"}) for name in ("by_public_place", "by_own_place")]
    assert found[0].digest == found[1].digest
    assert "harness.zoo.optimisation:move_average" in found[0].parts


def test_nothing_that_an_author_needs_is_in_a_private_file() -> None:
    files = [path.relative_to(ROOT) for path in (ROOT / "harness").rglob("*.py")]
    assert not [path for path in files if re.match("_[^_]", path.name)]
    assert not [place for place in plugins.PLACES if "._" in place]


def _environment(folder: Path) -> dict[str, str]:
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTEST_ADDOPTS": ""}

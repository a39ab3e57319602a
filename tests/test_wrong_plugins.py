"""Mistakes in the code of a plug-in: said in its author's words, once for an arm, and no worker is lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from harness_cli import Workspace
from torch import nn

from harness.base.errors import HarnessError
from harness.plugins import Architecture, Shape, Trick
from harness.zoo.compatibility import refusals
from harness.zoo.objectives import Targets
from harness.zoo.registry import choose

TRICKS = '''"""Tricks with mistakes."""

import os

from harness.plugins import Trick


class Talking(Trick):
    requires = frozenset({"discriminator"})

    def begin(self, game):
        print("worker", os.getpid(), flush=True)


class Forgets(Talking):
    name = "forgets"
    summary = "returns nothing"

    def discriminator_input(self, images, game):
        images * 0.5


class Divides(Talking):
    name = "divides"
    summary = "raises an error"

    def discriminator_input(self, images, game):
        return self._halved(images)

    def _halved(self, images):
        return images * (1 / 0)


class Idle(Talking):
    name = "idle"
    summary = "changes nothing"

    def discriminator_input(self, images, game):
        return images * 1
'''
MISTAKES = ["forgets", "divides", "idle"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A workspace in which all of them were trained by one worker, and what the run said."""
    workspace = Workspace(tmp_path_factory.mktemp("wrong"))
    (workspace.folder / "my_tricks.py").write_text(TRICKS)
    suite = workspace.suite(plugins=["my_tricks.py"], matrix={"tricks": [[], *([name] for name in MISTAKES)]})
    return workspace, workspace.run("run", suite, code=1)


def reasons(workspace: Workspace, trick: str) -> list[str]:
    """Why the trials of the arm with this trick failed, by seed."""
    rows = [row for row in workspace.table() if row["arm"] == f"gan + {trick}"]
    assert [row["state"] for row in rows] == ["failed", "failed"]
    return [row["reason"] for row in rows]


def test_what_a_hook_returned_and_what_was_expected_is_the_reason(trained: tuple[Workspace, str]) -> None:
    line = TRICKS.splitlines().index("class Forgets(Talking):") + 5
    assert reasons(trained[0], "forgets")[0] == (
        "forgets.discriminator_input returned None (expected a tensor of shape (16, 1, 28, 28)); "
        f"my_tricks.py:{line}, at step 1"
    )


def test_an_error_names_the_place_in_the_author_s_file(trained: tuple[Workspace, str]) -> None:
    line = TRICKS.splitlines().index("        return images * (1 / 0)") + 1
    expected = f"ZeroDivisionError: division by zero (my_tricks.py:{line} in _halved), at step 1"
    assert reasons(trained[0], "divides")[0] == expected


def test_the_traceback_is_an_artifact_and_in_the_worker_s_log(trained: tuple[Workspace, str]) -> None:
    results = trained[0].results
    found = [path.read_text() for path in results.rglob("traceback.txt") if "work" not in path.parts]
    assert len(found) == 2  # of the trials that were begun
    assert sum("in _halved" in text and text.startswith("Traceback") for text in found) == 1
    log = next(results.rglob("worker-0.log")).read_text()
    assert all(text in log for text in found)


def test_the_other_seeds_of_a_failed_arm_are_not_begun(trained: tuple[Workspace, str]) -> None:
    for trick in ("forgets", "divides"):
        first, second = reasons(trained[0], trick)
        assert second.startswith("not begun, because seed 0 failed at the first step (run.keep_going: true ")
        assert second.endswith(first)


def test_an_error_of_a_plug_in_costs_no_worker(trained: tuple[Workspace, str]) -> None:
    log = next(trained[0].results.rglob("worker-0.log")).read_text()
    workers = re.findall(r"worker (\d+)", log)
    assert len(workers) == 4  # two trials that failed, two of the idle trick
    assert len(set(workers)) == 1


def test_an_arm_whose_values_are_the_baseline_s_changes_nothing(trained: tuple[Workspace, str]) -> None:
    assert "gan + idle changes nothing: all its values are those of gan to the bit" in trained[1]
    assert re.search(r"Against gan on Sharpness: .*gan \+ idle changes nothing\.", trained[1])
    assert "gan + idle changes nothing" in (trained[0].results / "tiny" / "report.html").read_text()


def test_with_keep_going_every_seed_is_begun(trained: tuple[Workspace, str], tmp_path: Path) -> None:
    workspace = trained[0].copy(tmp_path)
    workspace.run("run", "tiny.yaml", "--set", "run.keep_going=true", code=1)
    for trick in ("forgets", "divides"):
        first, second = reasons(workspace, trick)
        assert first == second


class Returns(Trick):
    """Every hook returns what the test says."""

    name = "returns"
    value: ClassVar[Any] = None

    def discriminator_input(self, images: Any, game: Any) -> Any:
        return self.value

    def generator_loss(self, game: Any, real: Any, fake: Any) -> Any:
        return self.value

    def generator_gradients(self, game: Any, parameters: Any) -> Any:
        return self.value

    def rates(self, rates: Any) -> Any:
        return self.value

    def targets(self, targets: Any) -> Any:
        return self.value


IMAGES = torch.zeros(16, 1, 28, 28, requires_grad=True)


@pytest.mark.parametrize(
    ("hook", "value", "said"),
    [
        ("discriminator_input", 0.5, "returned 0.5 (expected a tensor of shape (16, 1, 28, 28))"),
        ("discriminator_input", IMAGES[:, :, 1:], "returned a tensor of shape (16, 1, 27, 28) (expected "),
        ("discriminator_input", IMAGES.detach(), "returned a tensor that has no gradient (expected one computed from"),
        ("discriminator_input", IMAGES.detach() > 0, "returned a tensor of torch.bool (expected torch.float32)"),
        ("generator_loss", IMAGES.sum((1, 2, 3)), "must return a scalar, got a tensor of shape (16,) (expected"),
        ("generator_loss", 0.5, "must return a scalar, got 0.5"),
        ("generator_loss", torch.zeros(()), "returned a scalar that has no gradient, so it changes nothing"),
        ("generator_gradients", [], "returned a list: [] (expected nothing: change each parameter's .grad in place)"),
        ("targets", None, "returned None (expected Targets(real, fake))"),
        ("targets", Targets(torch.ones(16)), "returned a tensor of shape (16,) as the target of real images (expected"),
        ("targets", Targets(torch.ones(()), 0.1), None),
        ("rates", None, "returned None (expected Rates(generator, discriminator))"),
        ("discriminator_input", IMAGES * 2, None),
        ("generator_loss", IMAGES.mean(), None),
        ("generator_loss", None, None),
    ],
)
def test_each_hook_is_checked_where_it_returns(
    monkeypatch: pytest.MonkeyPatch, hook: str, value: Any, said: str | None
) -> None:
    monkeypatch.setattr(Returns, "value", value)
    trick = Returns({})
    trick.guard()
    given = {"discriminator_input": (IMAGES, None), "generator_loss": (None, None, None)}.get(hook, (None, None))
    given = given if hook not in ("rates", "targets") else (None,)
    if said is None:
        assert getattr(trick, hook)(*given) is value
        return
    with pytest.raises(HarnessError, match=re.escape(f"returns.{hook} {said}")) as caught:
        getattr(trick, hook)(*given)
    assert str(caught.value).endswith(f"; test_wrong_plugins.py:{getattr(Returns, hook).__code__.co_firstlineno}")


class Mine(Architecture):
    """Two modules that the test gives."""

    name = "mine"
    scores_only = True
    modules: ClassVar[dict[str, Any]] = {}

    def generator(self, latent: int) -> Any:
        return self.modules["generator"]

    def discriminator(self, channels: int) -> Any:
        return self.modules["discriminator"]


def flat(*more: nn.Module, outputs: int = 1) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs), *more)


@pytest.mark.parametrize(
    ("role", "network", "said"),
    [
        ("generator", None, "mine.generator(6) returned a NoneType; expected a torch.nn.Module"),
        (
            "generator",
            nn.Linear(6, 64),
            "makes of latents of shape (2, 6) a tensor of shape (2, 64); expected images",
        ),
        ("generator", nn.ConvTranspose2d(6, 1, 8), "put torch.nn.Unflatten(1, (6, 1, 1)) before it"),
        (
            "discriminator",
            nn.Conv2d(3, 1, 8),
            "cannot take an input of shape (2, 1, 8, 8): RuntimeError: Given groups=1",
        ),
        ("discriminator", flat(outputs=2), "gives a tensor of shape (2, 2) for 2 images; expected one logit per image"),
        ("discriminator", flat(nn.Sigmoid()), "ends in a Sigmoid; expected logits"),
        ("discriminator", flat(nn.BatchNorm1d(1)), "has batch normalisation, and the architecture does not say so"),
    ],
)
def test_networks_are_tried_when_they_are_built(
    monkeypatch: pytest.MonkeyPatch, role: str, network: Any, said: str
) -> None:
    monkeypatch.setattr(Mine, "modules", {role: network})
    architecture = Mine({}, Shape(1, 8, 8, 10))
    architecture.guard()
    with pytest.raises(HarnessError, match=re.escape(said)):
        getattr(architecture, role)(6 if role == "generator" else 1)


def test_a_plain_discriminator_gives_scores_without_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mine, "modules", {"discriminator": flat()})
    architecture = Mine({}, Shape(1, 8, 8, 10))
    architecture.guard()
    state = torch.get_rng_state()
    network = architecture.discriminator(1)
    scores = network(torch.ones(5, 1, 8, 8))
    assert torch.equal(state, torch.get_rng_state())
    assert scores.logits.shape == (5,)
    assert scores.features.shape == (5, 0)
    with pytest.raises(HarnessError, match="discriminator's features are needed here"):
        print(network.features)
    monkeypatch.setattr(Mine, "scores_only", False)
    with pytest.raises(HarnessError, match="let the architecture say scores_only = True"):
        architecture.discriminator(1)


NETWORKS = '''"""Networks of a script."""

from torch import nn

from harness.plugins import Architecture


class Critic(nn.Module):
    def __init__(self, pixels):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def forward(self, images):
        return self.layers(images)


class Script(Architecture):
    name = "script"
    summary = "the networks of a script"
    scores_only = True

    def generator(self, latent):
        channels, height, width, _ = self.shape
        return nn.Sequential(
            nn.Linear(latent, channels * height * width), nn.Tanh(), nn.Unflatten(1, (channels, height, width))
        )

    def discriminator(self, channels):
        return Critic(channels * self.shape.height * self.shape.width)
'''


def test_two_modules_of_a_script_train_and_tricks_that_need_features_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "my_networks.py").write_text(NETWORKS)
    model = {"name": "gan", "architecture": "script"}
    changes: Any = {"plugins": ["my_networks.py"], "base": {"model": model}, "seeds": 1}
    workspace.run("run", workspace.suite(**changes))
    assert [row["state"] for row in workspace.table()] == ["done", "done"]
    suite = workspace.suite(**changes, matrix={"tricks": [[], ["feature_matching"]]})
    said = workspace.run("plan", suite, code=2)
    assert "the trick 'feature_matching' requires discriminator features, which the architecture 'script' has" in said


def test_a_built_in_architecture_keeps_its_features() -> None:
    assert refusals(choose("models", "dcgan"), (choose("tricks", "feature_matching"),), Shape(1, 28, 28, 10)) == []

"""A judge can be trained for any labelled images, is known by their content, and is refused when it is damaged."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from harness import judge
from harness.base.errors import HarnessError
from harness.cli.commands import main
from harness.judge import catalogue, labelled
from harness.judge.families import NEVER_SHOWN, SHOWN, AnySource
from harness.judge.networks import FeatureNetwork, ShapeNetwork, Size
from harness.suite import SuiteError, read_suite
from harness.suite.declaration import Evaluate
from harness.suite.plan import Plan, make_plan
from harness.trial.evaluation import Evaluator
from harness.zoo import registry
from harness.zoo.data.base import DataSet, DataSettings, Labelled, Shape, Split
from harness.zoo.data.digits import Digits

SIZES: dict[Split, int] = {"train": 300, "test": 120}


class Bars(DataSet):
    """Coloured bars on dark noise, 3×16×16: lying (class 0), standing (1), or crossed (2)."""

    name = "bars"
    summary = "made up"

    def __init__(self, seed: int = 0, side: int = 16, labels: int = 3) -> None:
        super().__init__(DataSettings())
        self.seed, self.side, self.labels = seed, side, labels

    @property
    def shape(self) -> Shape:
        return Shape(3, self.side, self.side, 3)

    def whole_digest(self) -> str:
        return hashlib.sha256(f"bars {self.seed}".encode()).hexdigest()

    def whole(self, split: Split) -> Labelled:
        n, rng = SIZES[split], torch.Generator().manual_seed(2 * self.seed + (split == "test"))
        labels = torch.arange(n) % self.labels
        images = torch.randint(0, 40, (n, 3, self.side, self.side), generator=rng)
        places = torch.randint(2, self.side - 4, (n, 2), generator=rng)
        colours = torch.randint(120, 256, (n, 3, 1, 1), generator=rng)
        for image, label, (row, column), colour in zip(images, labels, places, colours, strict=True):
            if label != 1:
                image[:, row : row + 3] = colour
            if label != 0:
                image[:, :, column : column + 3] = colour
        return Labelled(images.to(torch.uint8), labels)


class Points(Bars):
    points = True


def accepted(arbiter: Any, images: torch.Tensor) -> float:
    return float((arbiter.assess(images)[1] >= arbiter.threshold).float().mean())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A cache folder with a judge of bars, trained for some seconds, and what was said meanwhile."""
    folder, said = tmp_path_factory.mktemp("cache"), list[str]()
    recipe = labelled.LabelledSettings(all_steps=80, batch_size=48, each=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(folder))
        labelled.train(Bars(), {"name": "bars"}, recipe=recipe, report=said.append)
    return folder, said


@pytest.fixture
def cache(made: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A copy of that cache folder, in use."""
    folder = tmp_path / "cache"
    shutil.copytree(made[0], folder)
    monkeypatch.setenv("HARNESS_CACHE", str(folder))
    judge.digest.cache_clear()
    yield folder
    judge.digest.cache_clear()


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    judge.digest.cache_clear()
    yield tmp_path / "cache"
    judge.digest.cache_clear()


def weights(cache: Path, role: str) -> Path:
    (path,) = (cache / "judges").glob(f"bars-*-{role}.safetensors")
    return path


# --- one that was trained ----------------------------------------------------------------------------------------


def test_it_knows_the_classes_and_refuses_noise(cache: Path) -> None:
    arbiter = judge.load_for(Bars(), "cpu")
    assert arbiter is not None
    assert (arbiter.shape, arbiter.classes) == ((3, 16, 16), 3)
    images, labels = Bars().load("test")
    features, logits = arbiter.features(images)
    assert features.shape == (120, 64 + 16 * 3 + 3)
    assert (logits.argmax(1) == labels).float().mean() >= 0.9
    assert (arbiter.assess(images)[0].argmax(1) == labels).float().mean() >= 0.9
    assert accepted(arbiter, images) >= 0.9
    noise = torch.randint(0, 256, images.shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert accepted(arbiter, noise) <= 0.1


def test_a_part_of_the_data_is_judged_by_the_judge_of_the_whole(cache: Path) -> None:
    part = Bars()
    part.settings = DataSettings(classes=(2,), limit=10)
    assert part.digest() != Bars().digest()
    assert judge.of(part) == judge.of(Bars())
    arbiter = judge.load_for(part, "cpu")
    assert arbiter is not None
    assert (arbiter.assess(part.load("test").images)[0].argmax(1) == 2).float().mean() >= 0.9


def test_it_is_found_by_the_content_of_the_data(cache: Path) -> None:
    name = f"bars-{Bars().digest()[:8]}"
    assert judge.of(Bars()) == name
    assert judge.names() == [name, "mnist", "mnist-check"]
    assert judge.image_shape(name) == (3, 16, 16)
    assert judge.of(Bars(seed=1)) is None
    assert judge.load_for(Bars(seed=1), "cpu") is None


def test_what_was_measured_was_reported_and_stands_in_the_header(made: tuple[Path, list[str]], cache: Path) -> None:
    said = catalogue.header(weights(cache, "shape"))
    measured = json.loads(said["measured"])
    known = [*(f"never shown: {f}" for f in NEVER_SHOWN), *(f"shown in training: {f}" for f in SHOWN)]
    assert {f"accepted, {what}" for what in known} <= measured.keys()
    for what, value in measured.items():
        assert any(text.startswith(what) and f"{value:.4f}" in text for text in made[1]), what
    assert labelled.measure(judge.load(f"bars-{Bars().digest()[:8]}", "cpu"), Bars()) == measured
    assert said["data_hash"] == Bars().digest()


def test_evaluation_measures_with_it(cache: Path) -> None:
    name = judge.of(Bars())
    config = Evaluate.model_validate(
        {"samples": 100, "features": name, "metrics": ["inception_score", "mode_coverage"]}
    )
    made = Evaluator(config, Bars(), Bars().load("train"), torch.device("cpu"), None)
    assert made.extractor is made.judge
    assert made.judge.name == name
    assert made.floors["covered_classes"] == 3
    assert 2 < made.floors["inception_score"] <= 3


def test_half_a_judge_is_none(cache: Path) -> None:
    weights(cache, "shape").unlink()
    assert judge.of(Bars()) is None
    with pytest.raises(HarnessError, match=r"lacks its weights .*-shape.*train it again"):
        judge.load(f"bars-{Bars().digest()[:8]}", "cpu")


@pytest.mark.parametrize("role", catalogue.ROLES)
def test_a_damaged_file_is_to_be_trained_again(cache: Path, role: str) -> None:
    path = weights(cache, role)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(HarnessError, match=rf"{role}.*damaged.*train it again"):
        judge.load_for(Bars(), "cpu")


def test_a_header_that_is_none(cache: Path) -> None:
    path = weights(cache, "features")
    path.write_bytes(b"no safetensors")
    with pytest.raises(HarnessError, match="damaged"):
        judge.image_shape(f"bars-{Bars().digest()[:8]}")


def test_weights_of_another_size_than_the_header_says(cache: Path) -> None:
    path = weights(cache, "features")
    path.write_bytes(path.read_bytes().replace(b'"height":"16"', b'"height":"64"'))
    catalogue.write_sums(path.parent, f"bars-{Bars().digest()[:8]}")
    with pytest.raises(HarnessError, match="not the weights of a FeatureNetwork"):
        judge.load_for(Bars(), "cpu")


def test_a_judge_of_other_images_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bars, "judge", "mnist")
    with pytest.raises(HarnessError, match="images of 1×28×28, but bars has 3×16×16"):
        judge.load_for(Bars(), "cpu")


# --- what cannot be judged ---------------------------------------------------------------------------------------


def test_points_have_no_judge(cache: Path) -> None:
    assert judge.of(Points()) is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Points(), "holds points"),
        (Bars(side=7), r"images of 7×7: a judge needs at least 8×8"),
        (Bars(labels=1), "of 1 class to train on: .*two classes"),
    ],
)
def test_data_that_no_judge_can_be_trained_for(empty: Path, data: DataSet, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        labelled.train(data, {"name": "bars"})
    assert not empty.exists()


# --- digits: the commands, suites and keys -----------------------------------------------------------------------


def test_the_commands_train_and_measure(empty: Path) -> None:
    run = CliRunner().invoke(main, ["judge", "train", "--data", "digits", "--steps", "2"])
    assert run.exit_code == 0, run.output
    assert "digits-f23f79de is written to" in run.output
    assert "metrics use the judge mnist, which comes with the harness, for this data" in run.output
    assert judge.of(digits()) == "mnist"
    assert judge.names() == ["digits-f23f79de", "mnist", "mnist-check"]
    again = CliRunner().invoke(main, ["judge", "evaluate", "digits-f23f79de"])
    assert again.exit_code == 0, again.output
    rows = again.output.splitlines()
    assert len(rows) == 5 + len(SHOWN) + len(NEVER_SHOWN) + 2
    assert set(rows) <= set(run.output.splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "digitz"], "did you mean 'digits'"),
        (["--data", "digits", "--set", "colour=3"], r"data\.colour: unknown key 'colour'"),
        (["--data", "digits", "--set", "colour"], "expected KEY=VALUE"),
        (["--data", "{name: digits"], "not YAML"),
        (["--data", "mnist"], "comes with the harness"),
    ],
)
def test_commands_that_are_wrong(empty: Path, arguments: list[str], message: str) -> None:
    run = CliRunner().invoke(main, ["judge", "train", *arguments])
    assert run.exit_code == 2
    assert re.search(message, run.output), run.output


def digits() -> DataSet:
    choice = registry.choose("data", "digits")
    made: DataSet = choice.make()
    return made


SUITE = "suite: s\ndata: digits\nbase: {model: dcgan}\nseeds: 1\nevaluate: {metrics: [fid, mode_coverage]}\n"


def planned(folder: Path, *sets: str) -> Plan:
    (folder / "suite.yaml").write_text(SUITE)
    return make_plan(read_suite(folder / "suite.yaml", sets))


def test_metrics_ask_for_a_judge_and_take_the_one_that_is_trained(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Digits, "judge", None)
    with pytest.raises(SuiteError) as refused:
        planned(tmp_path)
    (problem,) = refused.value.problems
    assert problem.endswith(
        "mode_coverage: no judge knows the data 'digits': train one with `harness judge train --data digits`"
    )
    with pytest.raises(SuiteError, match=r"use auto or inception \(no judge knows the data"):
        planned(tmp_path, "evaluate.features=mnist", "evaluate.metrics=[fid]")
    assert planned(tmp_path, "evaluate.metrics=[fid]").cells[0].arm.evaluate.features == "inception"

    for role in catalogue.ROLES:  # the shipped weights under the name of one that was trained on digits
        (empty / "judges").mkdir(parents=True, exist_ok=True)
        shutil.copy(
            catalogue.SHIPPED / f"mnist-{role}.safetensors", empty / f"judges/digits-f23f79de-{role}.safetensors"
        )
    catalogue.write_sums(empty / "judges", "digits-f23f79de")
    found = planned(tmp_path)
    assert found.cells[0].arm.evaluate.features == "digits-f23f79de"
    arbiter = judge.load_for(digits(), "cpu")
    assert arbiter is not None
    assert arbiter.name == "digits-f23f79de"

    path = empty / "judges/digits-f23f79de-shape.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # other weights, another key
    catalogue.write_sums(empty / "judges", "digits-f23f79de")
    assert planned(tmp_path).trials[0].key != found.trials[0].key


def test_features_of_a_judge_of_other_images_are_refused(cache: Path, tmp_path: Path) -> None:
    name = f"bars-{Bars().digest()[:8]}"
    with pytest.raises(SuiteError, match="the judge is for images of 3×16×16, but digits has 1×28×28"):
        planned(tmp_path, f"evaluate.features={name}")


def test_the_command_that_is_recommended_is_one_that_works() -> None:
    command = catalogue.training_command({"name": "folder", "path": "my images", "classes": [0, 1]})
    assert command == """harness judge train --data folder --set 'path="my images"' --set 'classes=[0, 1]'"""


# --- networks and outliers ---------------------------------------------------------------------------------------


def test_the_shipped_architectures_are_those_of_the_model_card() -> None:
    counts = [sum(p.numel() for p in kind(10).parameters()) for kind in (FeatureNetwork, ShapeNetwork)]
    assert counts == [203_954, 191_795]


@pytest.mark.parametrize(
    ("size", "halvings"),
    [
        (Size(1, 8, 8), 1),
        (Size(3, 16, 16), 2),
        (Size(1, 28, 28), 3),
        (Size(3, 32, 32, 2), 3),
        (Size(3, 20, 64), 4),
        (Size(1, 129, 129), 5),
    ],
)
def test_networks_scale_with_the_images(size: Size, halvings: int) -> None:
    assert size.halvings == halvings
    images = torch.zeros(2, *size[:3])
    network = FeatureNetwork(7, size).eval()
    features, logits = network(images)
    assert (features.shape, logits.shape) == ((2, 64 + 16 * size.channels + 3), (2, 7))
    assert ShapeNetwork(7, size).eval()(images).shape == (2, 8)
    maps = [layer for layer in network.body if isinstance(layer, torch.nn.Conv2d)]
    assert sum(layer.stride == (2, 2) for layer in maps) == halvings
    assert maps[0].out_channels == 24 * size.factor


@pytest.mark.parametrize("shape", [(3, 16, 20), (1, 9, 11), (3, 8, 8)])
def test_every_family_takes_the_shape_of_the_data_and_follows_its_seed(shape: tuple[int, int, int]) -> None:
    images = torch.randint(0, 256, (40, *shape), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    for family in (*SHOWN.values(), *NEVER_SHOWN.values()):
        one, same = (
            family(AnySource(images, torch.arange(40) % 4, torch.Generator().manual_seed(5), 0.5, True), 12)
            for _ in range(2)
        )
        assert one.shape == (12, *shape), family.__name__
        assert torch.equal(one, same), family.__name__
        assert one.isfinite().all(), family.__name__


def test_mirroring_is_only_done_where_it_is_allowed() -> None:
    images = torch.zeros(60, 1, 16, 16, dtype=torch.uint8)
    images[:, :, :, :5] = 255  # bright at the left
    for mirror in (False, True):
        source = AnySource(images, torch.zeros(60), torch.Generator().manual_seed(0), 1.0, mirror)
        drawn, _ = source.digits(60)
        assert bool((drawn[:, 0, 8, 12] > 0.5).any()) is mirror

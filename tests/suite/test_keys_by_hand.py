"""Keys worked out by hand: the texts that are hashed, for arms whose data, judges and code are given names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from harness.base.errors import HarnessError
from harness.base.seeds import Seeds
from harness.suite import plan as module
from harness.suite import read_suite
from harness.suite.fingerprint import Code
from harness.suite.plan import Plan, key_of, make_plan, nested, smoke_plan, trial, with_parameters
from harness.zoo import registry

GOOD = "suite: s\ndata: digits\nbase: {model: dcgan}\nevaluate: {metrics: [fid]}\n"
POINTS = "suite: s\ndata: ring\nbase: {model: {name: gan, architecture: mlp}}\nevaluate: {metrics: [fid]}\n"
TRANSLATION = "suite: s\ndata: digits\nbase: {model: {name: cyclegan, source: mnist}}\nevaluate: {metrics: [fid]}\n"


def sha(text: str) -> str:
    """The first 16 digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests that can be written down."""
    monkeypatch.setattr("harness.suite.plan.fingerprint", lambda roots: Code("code", {}))
    monkeypatch.setattr("harness.judge.digest", lambda name: f"weights of {name}")
    for name in ("digits", "mnist", "ring"):
        plugin = registry.find("data", name).plugin
        monkeypatch.setattr(plugin, "digest", lambda self, name=name: f"content of {name}")


def plan(folder: Path, text: str, *sets: str) -> Plan:
    path = folder / "suite.yaml"
    path.write_text(text)
    return make_plan(read_suite(path, sets))


def test_texts_and_hashes() -> None:
    assert module._json({"b": [1, None], "a": "é"}) == '{"a":"\\u00e9","b":[1,null]}'
    assert module._hash(["x"]) == sha('["x"]')
    assert key_of("settings", "code") == sha('["settings","code"]')


@pytest.mark.parametrize(
    ("text", "override", "digests"),
    [
        (GOOD, None, ["content of digits", "weights of mnist"]),
        # The classes are counted by the judge of the data, wherever the features come from.
        (GOOD, "evaluate.features=inception", ["content of digits", "weights of mnist"]),
        (GOOD, "data=mnist", ["content of mnist", "weights of mnist"]),
        (POINTS, None, ["content of ring"]),
        (TRANSLATION, None, ["content of digits", "content of mnist", "weights of mnist"]),
    ],
)
def test_what_a_key_is_made_of(tmp_path: Path, text: str, override: str | None, digests: list[str]) -> None:
    found = plan(tmp_path, text, *([override] if override else []), "seeds=[5]")
    [cell], [one] = found.cells, found.trials
    arm = cell.arm
    config = json.dumps(arm.config(), sort_keys=True, separators=(",", ":"))
    identity = json.dumps([config, *digests], separators=(",", ":"))
    # A cell's key is that of its settings and its code; a trial's that of its settings with the seed, and its code.
    assert cell.key == sha(f'["{sha(identity)}","code"]')
    assert one.settings == sha(f'["{sha(identity)}",5]')
    assert one.key == sha(f'["{one.settings}","code"]')
    assert trial(arm, 5) == one
    assert (one.label, one.code.digest) == (f"{arm.name}, seed 5", "code")


def test_streams_with_seeds_of_their_own_are_part_of_a_key_and_no_other_key_changes(tmp_path: Path) -> None:
    [cell] = plan(tmp_path, GOOD, "seeds=[5]").cells
    config = json.dumps(cell.arm.config(), sort_keys=True, separators=(",", ":"))
    identity = json.dumps([config, "content of digits", "weights of mnist"], separators=(",", ":"))
    one = trial(cell.arm, Seeds(weights=5, order=7, latents=5, samples=6))
    assert one.settings == sha(f'["{sha(identity)}",5,{{"order":7,"samples":6}}]')
    assert (one.seed, one.streams, one.seeds) == (5, {"order": 7, "samples": 6}, (5, 7, 5, 6))
    assert one.label == f"{cell.arm.name}, seed 5 (order 7, samples 6)"
    assert trial(cell.arm, Seeds(5, 5, 5, 5)) == trial(cell.arm, 5)
    assert trial(cell.arm, 5).settings == sha(f'["{sha(identity)}",5]')


def test_a_configuration_is_all_settings_in_a_fixed_order(tmp_path: Path) -> None:
    text = GOOD.replace("[fid]", "[kid, fid]") + "matrix: {tricks: [[r1, ema]]}\ntrain: {steps: 7}\n"
    text = text.replace("dcgan", "{name: dcgan, architecture: {discriminator_norm: false}}")
    [cell] = plan(tmp_path, text, "evaluate.samples=99").cells
    config = cell.arm.config()
    assert set(config) == {"model", "tricks", "data", "train", "evaluate"}
    assert [trick["name"] for trick in config["tricks"]] == ["ema", "r1"]
    assert [metric["name"] for metric in config["evaluate"]["metrics"]] == ["fid", "kid"]
    assert (config["train"]["steps"], config["evaluate"]["samples"], config["data"]["name"]) == (7, 99, "digits")


@pytest.mark.parametrize(
    ("text", "judge", "override", "features"),
    [
        (GOOD, "mnist", None, "mnist"),
        (GOOD, None, None, "inception"),  # data without a judge
        (POINTS, "mnist", None, "points"),
        (GOOD, "mnist", "evaluate.features=inception", "inception"),
    ],
)
def test_where_features_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, judge: str | None, override: str | None, features: str
) -> None:
    monkeypatch.setattr("harness.judge.of", lambda data: judge)
    found = plan(tmp_path, text, *([override] if override else []))
    assert found.cells[0].arm.evaluate.features == features


def test_choices_are_found_in_settings_lists_and_mappings() -> None:
    ema, r1, gan = (
        registry.choose(kind, name) for kind, name in (("tricks", "ema"), ("tricks", "r1"), ("models", "gan"))
    )

    class Inner(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        chosen: Any

    found = list(module._choices_in({"a": [1, ema, (r1,)], "b": Inner(chosen={"c": gan}), "d": "text"}))
    assert [each.name for each in found] == ["ema", "r1", "gan", *(each.name for each in list(nested(gan))[1:])]
    assert len(found) > 3  # the architecture of the GAN


def test_a_smoke_test_by_hand(tmp_path: Path) -> None:
    found = smoke_plan(plan(tmp_path, GOOD + "train: {steps: 50, batch_size: 64}\n", "seeds=[8, 9]").suite)
    [one] = found.trials
    assert (one.seed, one.arm.train.steps, one.arm.train.batch_size, one.arm.evaluate.samples) == (8, 2, 16, 64)
    assert (found.suite.train.steps, found.suite.train.batch_size) == (2, 16)
    [combination] = found.suite.combinations
    assert {key: combination.raw["train"][key] for key in ("steps", "batch_size")} == {"steps": 2, "batch_size": 16}
    assert found.suite.expect == ()


def test_short_paths_of_a_configuration_are_put_before_long_ones(tmp_path: Path) -> None:
    # The architecture replaces all of its settings: its width must be put in afterwards, whatever the names' order.
    found = plan(tmp_path, GOOD)
    parameters = {"model.architecture.width": 48, "model.architecture": "fully_connected"}
    arm = with_parameters(found.suite, found.cells[0], parameters, 0)
    assert arm.model.settings.architecture.name == "fully_connected"
    assert arm.model.settings.architecture.settings.width == 48


def test_a_configuration_whose_parts_do_not_go_together_is_refused(tmp_path: Path) -> None:
    # Each part is right: but spectral normalisation does not go with batch normalisation.
    text = GOOD.replace("dcgan", "{name: dcgan, architecture: {discriminator_norm: false}}")
    found = plan(tmp_path, text + "matrix: {tricks: [[spectral_norm]]}\n")
    norm = "model.architecture.discriminator_norm"
    assert with_parameters(found.suite, found.cells[0], {norm: False}, 7).tricks
    with pytest.raises(HarnessError, match=r"#7: .*spectral_norm"):
        with_parameters(found.suite, found.cells[0], {norm: True}, 7)


def test_a_cell_without_an_arm_says_so() -> None:
    cell = module.Cell("a", SimpleNamespace(axes={}, excluded="why"))  # type: ignore[arg-type]
    assert (cell.key, cell.built, cell.excluded) == ("", None, "why")
    with pytest.raises(HarnessError, match="the cell a is excluded"):
        _ = cell.arm

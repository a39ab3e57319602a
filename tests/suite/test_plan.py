"""Plans: cells, trials, names and keys."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.base.errors import HarnessError
from harness.suite import read_suite
from harness.suite.fingerprint import Code
from harness.suite.plan import Plan, key_of, make_plan, smoke_plan, trial, with_parameters
from harness.trial.device import precision

SUITES = Path(__file__).parents[2] / "suites"

GOOD = """\
suite: s
data: digits
base: {model: dcgan}
evaluate: {metrics: [fid]}
"""


def plan(folder: Path, text: str, *sets: str) -> Plan:
    path = folder / "suite.yaml"
    path.write_text(text)
    return make_plan(read_suite(path, sets))


def keys(folder: Path, text: str, *sets: str) -> set[str]:
    return {trial.key for trial in plan(folder, text, *sets).trials}


def names(folder: Path, text: str, *sets: str) -> list[str]:
    return [cell.name for cell in plan(folder, text, *sets).cells]


def test_every_cell_is_trained_with_every_seed(tmp_path: Path) -> None:
    found = plan(tmp_path, GOOD + "matrix: {model: [gan, dcgan], tricks: [[], [ema]]}\nseeds: [4, 2, 9]\n")
    assert [(t.arm.name, t.seed) for t in found.trials] == list(
        itertools.product(["gan", "gan + ema", "dcgan", "dcgan + ema"], [4, 2, 9])
    )
    assert len({t.key for t in found.trials}) == 12
    assert all(len(t.key) == 16 and int(t.key, 16) >= 0 for t in found.trials)


def test_excluded_cells_stay_listed_with_their_reason(tmp_path: Path) -> None:
    text = GOOD + (
        "matrix: {model.architecture: [dcgan, fully_connected], model.architecture.discriminator_norm: [true]}\n"
        "exclude: [{where: {model.architecture: fully_connected}, reason: it has none}]\n"
    )
    trained, excluded = plan(tmp_path, text, "seeds=1").cells
    assert (trained.excluded, excluded.excluded) == (None, "it has none")
    assert excluded.name == "model.architecture=fully_connected, model.architecture.discriminator_norm=true"
    assert excluded.axes == {
        "model.architecture": "fully_connected",
        "model.architecture.discriminator_norm": True,
    }
    with pytest.raises(HarnessError, match="excluded"):
        _ = excluded.arm


def test_an_excluded_cell_that_no_axis_can_reach_comes_to_no_arm(tmp_path: Path) -> None:
    text = GOOD + (
        "matrix: {tricks: [[], [ema]], tricks.ema.decay: [0.5]}\n"
        "exclude: [{where: {tricks: []}, reason: there is no average}]\n"
    )
    assert names(tmp_path, text) == ["tricks=[], tricks.ema.decay=0.5", "dcgan + ema (decay=0.5)"]


def test_arms_are_called_as_the_suite_says(tmp_path: Path) -> None:
    text = GOOD + "matrix: {model: [gan, dcgan], tricks: [[], [ema]]}\n"
    called = text + 'names: {"plain <GAN>": {model: gan, tricks: []}, averaged: {tricks: [ema], model: dcgan}}\n'
    assert names(tmp_path, called) == ["plain <GAN>", "gan + ema", "dcgan", "averaged"]
    assert keys(tmp_path, called) == keys(tmp_path, text)


def test_the_baseline_is_the_one_named_or_the_first_that_is_trained(tmp_path: Path) -> None:
    text = GOOD + "matrix: {model: [gan, dcgan], tricks: [[], [ema]]}\n"
    assert plan(tmp_path, text).baseline.name == "gan"
    assert plan(tmp_path, text + "compare: {baseline: {tricks: [{name: ema}], model: dcgan}}\n").baseline.name == (
        "dcgan + ema"
    )
    first_out = "exclude: [{where: {model: gan, tricks: []}, reason: x}]\n"
    assert plan(tmp_path, text + first_out).baseline.name == "gan + ema"


def test_points_are_trained_in_float32_unless_asked_otherwise(tmp_path: Path) -> None:
    text = GOOD.replace("digits", "ring").replace("{model: dcgan}", "{model: {name: gan, architecture: mlp}}")
    for more, expected in (("", torch.float32), ("train: {precision: bfloat16}\n", torch.bfloat16)):
        (first, *_) = plan(tmp_path, text + more).trials
        assert precision(first.arm, torch.device("cpu")) is expected


# --- keys ------------------------------------------------------------------------------------------------

SAME = {
    "order of keys": "evaluate: {metrics: [fid]}\nbase: {model: dcgan}\ndata: digits\nsuite: s\n",
    "defaults written out": GOOD
    + "train: {steps: 4000, batch_size: 128, precision: auto, threads: 1}\nseeds: [0, 1, 2]\n",
    "another name and question": GOOD.replace("suite: s", "suite: t\nquestion: why?"),
    "names as mappings": GOOD.replace("dcgan", "{name: dcgan}").replace("digits", "{name: digits}"),
    "preset written out": GOOD.replace(
        "dcgan",
        "{name: gan, architecture: {name: dcgan, width: WIDTH}, SETTINGS}",
    ),
    "what is run otherwise": GOOD + "run: {time_limit: 60, checkpoint_seconds: 5, snapshots: 0, curve_points: 10}\n",
    "through the matrix": GOOD.replace("{model: dcgan}", "{model: gan}") + "matrix: {model: [dcgan]}\n",
    "what is expected": GOOD + "expect: [{metric: fid, at_most: 3, source: a paper}]\n",
    "another baseline": GOOD + "compare: {metric: fid, baseline: {}}\n",
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_the_same_trials_have_the_same_keys(tmp_path: Path, text: str) -> None:
    settings = plan(tmp_path, GOOD).trials[0].arm.model.settings
    written = {key: value for key, value in settings if key != "architecture"}
    text = text.replace("WIDTH", str(settings.architecture.settings.width))
    text = text.replace("SETTINGS", ", ".join(f"{key}: {value}" for key, value in written.items()))
    assert keys(tmp_path, text) == keys(tmp_path, GOOD)


def test_the_order_of_tricks_and_metrics_does_not_count(tmp_path: Path) -> None:
    one = GOOD.replace("[fid]", "[fid, kid]") + "matrix: {tricks: [[ema, feature_matching]]}\n"
    other = GOOD.replace("[fid]", "[kid, fid]") + "matrix: {tricks: [[feature_matching, ema]]}\n"
    assert keys(tmp_path, one) == keys(tmp_path, other)
    assert names(tmp_path, one) == names(tmp_path, other)


@pytest.mark.parametrize(
    "override",
    [
        "train.steps=3",
        "train.batch_size=64",
        "train.precision=float32",
        "train.threads=2",
        "evaluate.samples=100",
        "evaluate.split=train",
        "evaluate.features=inception",
        "evaluate.metrics=[kid]",
        "evaluate.metrics=[fid, kid]",
        "data=mnist",
        "base.model=gan",
        "base.model.latent=7",
        "base.model.architecture.width=16",
        "base.tricks=[ema]",
        "seeds=[3, 4, 5]",
    ],
)
def test_whatever_can_change_numbers_changes_every_key(tmp_path: Path, override: str) -> None:
    assert not keys(tmp_path, GOOD) & keys(tmp_path, GOOD, override)


def test_more_seeds_and_more_cells_leave_the_others_alone(tmp_path: Path) -> None:
    few = keys(tmp_path, GOOD)
    assert few < keys(tmp_path, GOOD, "seeds=5")
    assert few < keys(tmp_path, GOOD, "matrix.tricks=[[], [ema]]")


def test_a_key_covers_the_data_and_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(tmp_path, GOOD)
    with monkeypatch.context() as patch:
        patch.setattr("harness.zoo.data.digits.Digits.digest", lambda _: "other")
        assert not keys(tmp_path, GOOD) & before
    with monkeypatch.context() as patch:
        patch.setattr("harness.suite.plan.fingerprint", lambda _: Code("other", {}))
        assert not keys(tmp_path, GOOD) & before
    assert keys(tmp_path, GOOD) == before


def test_a_key_covers_the_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = GOOD.replace("digits", "ring").replace("{model: dcgan}", "{model: {name: gan, architecture: mlp}}")
    before = keys(tmp_path, GOOD), keys(tmp_path, points), keys(tmp_path, GOOD, "evaluate.features=inception")
    monkeypatch.setattr("harness.judge.digest", lambda name: f"other weights of {name}")
    assert not keys(tmp_path, GOOD) & before[0]
    assert keys(tmp_path, points) == before[1]  # which no judge looks at
    # The data's own judge counts classes, wherever the features come from.
    assert not keys(tmp_path, GOOD, "evaluate.features=inception") & before[2]


def test_settings_and_code_are_two_parts_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan(tmp_path, GOOD).trials
    monkeypatch.setattr("harness.suite.plan.fingerprint", lambda _: Code("other", {}))
    after = plan(tmp_path, GOOD).trials
    assert [trial.settings for trial in before] == [trial.settings for trial in after]
    assert len({trial.settings for trial in before}) == len(before)
    assert [trial.key for trial in after] == [key_of(trial.settings, "other") for trial in before]


def test_the_code_of_a_trial_is_that_of_its_own_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def noted(roots: set[str]) -> Code:
        asked.append(set(roots))
        return Code("", {})

    monkeypatch.setattr("harness.suite.plan.fingerprint", noted)
    plan(tmp_path, GOOD + "matrix: {tricks: [[ema]]}\n")
    assert asked[0] == {
        "harness.trial.run:run",
        *("harness.zoo.models.gan:GAN", "harness.zoo.networks.dcgan:DCGAN"),
        "harness.zoo.tricks.ema:ExponentialMovingAverage",
        *("harness.zoo.data.digits:Digits", "harness.metrics.fidelity:FrechetDistance"),
    }


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("tricks: [[], [feature_matching, ema]]", ["dcgan", "dcgan + ema + feature_matching"]),
        ("model.architecture.width: [16, 32]", ["dcgan (architecture.width=16)", "dcgan"]),
        ("tricks: [[{name: ema, decay: 0.5}], [ema]]", ["dcgan + ema (decay=0.5)", "dcgan + ema"]),
        ("model: [{name: gan, latent: 7}, gan]", ["gan (latent=7)", "gan"]),
        (
            "model: [dcgan], model.generator_rate: [1.0e-5, 0.25]",
            ["dcgan (generator_rate=1e-05)", "dcgan (generator_rate=0.25)"],
        ),
        (
            "model: [dcgan], model.generator_rate: [0.00012000000000000002, 0.25]",
            ["dcgan (generator_rate=0.00012)", "dcgan (generator_rate=0.25)"],
        ),
        (  # rounded, these two would have one name
            "model: [dcgan], model.generator_rate: [0.00012341, 0.00012342, 0.00016789]",
            [f"dcgan (generator_rate={rate})" for rate in ("0.00012341", "0.00012342", "0.0001679")],
        ),
        ("tricks: [[{name: ema, decay: 0.99999}], []]", ["dcgan + ema (decay=0.99999)", "dcgan"]),
        ("model: [{name: dcgan, latent: 7}], tricks: [[], [ema]]", ["dcgan", "dcgan + ema"]),
        (
            "model: [{name: dcgan, latent: 7}, {name: dcgan, latent: 7, beta1: 0}]",
            ["dcgan", "dcgan (beta1=0)"],
        ),
        ("model.architecture: [fully_connected]", ["dcgan (architecture=fully_connected)"]),
        ("train.batch_size: [32, 128]", ["dcgan with batch_size=32", "dcgan with batch_size=128"]),
        ("data: [digits, mnist]", ["dcgan on digits", "dcgan on mnist"]),
    ],
)
def test_names_say_what_is_special_about_an_arm(tmp_path: Path, matrix: str, expected: list[str]) -> None:
    assert names(tmp_path, GOOD + f"matrix: {{{matrix}}}\n") == expected


def test_settings_that_all_arms_share_are_not_in_their_names(tmp_path: Path) -> None:
    assert names(tmp_path, GOOD.replace("dcgan", "{name: dcgan, latent: 7}")) == ["dcgan"]


def test_names_are_unique(tmp_path: Path) -> None:
    text = GOOD + (
        "matrix:\n"
        "  model: [gan, dcgan, {name: gan, latent: 7}, {name: gan, architecture: dcgan}]\n"
        "  tricks: [[], [ema], [{name: ema, decay: 0.9}], [ema, feature_matching]]\n"
        "  model.beta1: [0.5, 0.50000001, 0]\n"
        "  train: [{steps: 1}, {steps: 2}]\n"
        "  data: [digits, mnist]\n"
    )
    found = names(tmp_path, text)
    assert len(found) == len(set(found)) == 4 * 4 * 3 * 2 * 2


# --- search ----------------------------------------------------------------------------------------------

SEARCH = GOOD + (
    "matrix: {tricks: [[], [ema]]}\n"
    "search:\n"
    "  n_trials: 3\n"
    "  space:\n"
    "    model.generator_rate: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}\n"
    "    model.architecture.width: {type: categorical, choices: [16, 32]}\n"
)


def test_a_search_has_cells_but_no_trials_yet(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH)
    assert len(found.cells) == 2
    assert found.trials == ()
    assert found.suite.target == ("fid", "minimize")


def test_parameters_are_laid_over_a_cell(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH)
    parameters = {"model.generator_rate": 0.001, "model.architecture.width": 16}
    arm = with_parameters(found.suite, found.cells[1], parameters, 3)
    assert arm.name == "dcgan + ema #3 (generator_rate=0.001, architecture.width=16)"
    assert arm.model.settings.generator_rate == 0.001
    assert arm.model.settings.architecture.settings.width == 16
    assert [trick.name for trick in arm.tricks] == ["ema"]


def test_a_configuration_has_the_key_that_the_same_arm_has_in_a_matrix(tmp_path: Path) -> None:
    search = plan(tmp_path, SEARCH)
    arm = with_parameters(search.suite, search.cells[0], {"model.generator_rate": 0.25}, 0)
    assert {trial(arm, seed).key for seed in range(3)} == keys(
        tmp_path, GOOD + "matrix: {model.generator_rate: [0.25]}\n"
    )


def test_parameters_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH)
    for parameters in ({"model.generator_rate": 5}, {"tricks.nothing.x": 1}):
        with pytest.raises(HarnessError):
            with_parameters(found.suite, found.cells[0], parameters, 0)


# --- smoke -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [SEARCH, SEARCH.partition("search")[0], GOOD + "matrix: {train.steps: [8, 9], tricks: [[], [ema]]}\n"],
)
def test_smoke_takes_two_steps_of_every_distinct_arm(tmp_path: Path, text: str) -> None:
    found = smoke_plan(plan(tmp_path, text).suite)
    assert found.suite.name == "s"
    assert found.suite.search is None
    assert [t.arm.tricks and t.arm.tricks[0].name for t in found.trials] == [(), "ema"]
    for one in found.trials:
        assert one.arm.train.steps == 2
        assert one.arm.train.batch_size <= 16
        assert one.arm.evaluate.samples <= 100
        assert one.seed == 0


# --- as other processes see it ---------------------------------------------------------------------------


def test_plans_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    found = plan(tmp_path, SEARCH.partition("search")[0])
    again = pickle.loads(pickle.dumps(found.trials))
    assert again == found.trials
    assert again[0].arm.config() == found.trials[0].arm.config()


def test_planning_the_shipped_suites_needs_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from harness.suite.plan import make_plan; from harness.suite import read_suite\n"
        "for path in sys.argv[1:]: make_plan(read_suite(Path(path)))\n"
        "heavy = {'torch', 'mlflow', 'optuna', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    # The digest of CIFAR-10 is in its files.
    suites = [path for path in SUITES.glob("*.yaml") if path.stem != "one_class_cifar10"]
    subprocess.run([sys.executable, "-c", code, *map(str, suites)], check=True)


@pytest.mark.slow
def test_ten_thousand_cells_can_be_planned(tmp_path: Path) -> None:
    text = GOOD + f"seeds: 1\nmatrix: {{model.latent: {list(range(1, 101))}, train.steps: {list(range(1, 101))}}}\n"
    assert len(plan(tmp_path, text).trials) == 10_000


def test_of_a_budget_only_what_differs_is_in_a_name(tmp_path: Path) -> None:
    text = GOOD + "matrix: {train: [{steps: 10, batch_size: 8}, {steps: 20, batch_size: 8}]}\n"
    assert names(tmp_path, text) == ["dcgan with steps=10", "dcgan with steps=20"]


def test_all_arms_of_the_zoo_are_sampled_from_an_averaged_generator() -> None:
    # R3GAN brings the average: an arm without one would be compared by it, and not by its objective.
    cells = [cell for cell in make_plan(read_suite(SUITES / "gan_zoo.yaml")).cells if not cell.excluded]
    assert len(cells) == 8
    for cell in cells:
        assert cell.combination.parts is not None
        assert "ema" in [trick.name for trick in cell.combination.parts.tricks], cell.name

"""One evaluation: protocol, floors, cache by content, and nothing disturbed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from harness.metrics.images import Images, cached_tensors
from harness.suite.declaration import Evaluate
from harness.testing import equal, train
from harness.trial.evaluation import Evaluator, NotFinite
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.models.base import Model

METRICS = ("fid", "inception_score", "kid", "precision_recall", "mode_coverage")


def evaluator(cache: Path | None = None, split: str = "test", samples: int = 200) -> Evaluator:
    choice = registry.choose("data", "digits")
    data = choice.make()
    config = Evaluate.model_validate(
        {"samples": samples, "features": "mnist", "split": split, "metrics": list(METRICS)}
    )
    return Evaluator(config, data, data.load("train"), torch.device("cpu"), cache)


@pytest.fixture(scope="module")
def model() -> Model:
    made = build("dcgan")
    train(made, 2)
    return made


def test_every_metric_has_values_floors_and_a_protocol(model: Model) -> None:
    evaluation = evaluator().evaluate(model, 0)
    columns = {c for name in METRICS for c in registry.choose("metrics", name).plugin.values}
    assert evaluation.values.keys() == columns
    assert evaluation.floors.keys() == columns
    assert evaluation.protocol.keys() == set(METRICS)
    for protocol in evaluation.protocol.values():
        assert protocol["samples"] == 200
        assert protocol["reference"] == 599
        assert protocol["split"] == "test"
        assert protocol["features"] == "mnist"
        assert len(protocol["features_hash"]) == 16
    assert evaluation.floors["fid"] < evaluation.values["fid"]
    assert evaluation.floors["covered_classes"] == 10


def test_it_disturbs_neither_random_states_nor_the_model(model: Model) -> None:
    before = torch.get_rng_state(), model.rng.get_state(), copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.generator.modules()]
    evaluator().evaluate(model, 0)
    assert equal(before, (torch.get_rng_state(), model.rng.get_state(), model.state_dict()))
    assert modes == [module.training for module in model.generator.modules()]


def test_a_shortened_evaluator_disturbs_no_random_state() -> None:
    before = torch.get_rng_state()
    evaluator().shortened(50)
    assert equal(before, torch.get_rng_state())


def test_the_same_seed_measures_the_same(model: Model) -> None:
    made = evaluator()
    assert made.evaluate(model, 0) == made.evaluate(model, 0)
    assert not torch.equal(made.draw(model, 0), made.draw(model, 1))


def test_what_is_cached_is_known_by_its_content(model: Model, tmp_path: Path) -> None:
    fresh = evaluator().evaluate(model, 0)
    assert evaluator(tmp_path).evaluate(model, 0) == fresh
    assert list(tmp_path.rglob("features-*.pt"))
    assert evaluator(tmp_path).evaluate(model, 0) == fresh
    # The other split has another content: nothing of the first may be taken for it.
    assert evaluator(tmp_path, split="train").evaluate(model, 0) == evaluator(split="train").evaluate(model, 0)
    for path in tmp_path.rglob("features-*.pt"):  # damaged: noticed and computed again
        path.write_bytes(path.read_bytes()[:-20])
    assert evaluator(tmp_path).evaluate(model, 0) == fresh


def test_generated_images_are_extracted_once_for_all_metrics(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made = evaluator()
    made.evaluate(model, 0)
    calls: list[int] = []
    original = made.judge.features
    monkeypatch.setattr(made.judge, "features", lambda images: (calls.append(len(images)), original(images))[1])
    made.evaluate(model, 0)
    assert calls == [200]


def test_samples_that_are_not_finite_are_no_samples(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "sample", lambda n, rng: torch.full((n, 1, 28, 28), float("nan")))
    with pytest.raises(NotFinite):
        evaluator().evaluate(model, 0)


def test_cached_tensors_are_whole_or_absent(tmp_path: Path) -> None:
    images = Images(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), evaluator().extractor, None)
    computed: list[int] = []

    def compute() -> dict[str, torch.Tensor]:
        computed.append(1)
        return {"x": torch.arange(3)}

    for _ in range(2):
        found = cached_tensors(tmp_path, ("kind", "e" * 64, images), compute)
        assert found["x"].tolist() == [0, 1, 2]
    assert len(computed) == 1

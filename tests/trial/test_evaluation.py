"""One evaluation: protocol, floors, cache by content, and nothing disturbed."""

from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from harness.judge.judge import Judge
from harness.metrics import neighbours
from harness.metrics.images import Images
from harness.suite.declaration import Evaluate
from harness.testing import equal, train
from harness.trial.evaluation import Evaluator, NotFinite
from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.models.base import Model

METRICS = ("fid", "inception_score", "kid", "precision_recall", "mode_coverage")


def evaluator(
    cache: Path | None = None, split: str = "test", samples: int = 200, metrics: tuple[str, ...] = METRICS
) -> Evaluator:
    choice = registry.choose("data", "digits")
    data = choice.make()
    config = Evaluate.model_validate(
        {"samples": samples, "features": "mnist", "split": split, "metrics": list(metrics)}
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
    assert list(tmp_path.rglob("features-*"))
    assert evaluator(tmp_path).evaluate(model, 0) == fresh
    # The other split has another content: nothing of the first may be taken for it.
    assert evaluator(tmp_path, split="train").evaluate(model, 0) == evaluator(split="train").evaluate(model, 0)
    for path in tmp_path.rglob("features-*"):  # damaged: noticed and computed again
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


def test_what_is_kept_is_computed_by_one_while_others_wait(tmp_path: Path) -> None:
    computed: list[int] = []
    together = threading.Barrier(3)

    def compute() -> dict[str, torch.Tensor]:
        computed.append(1)
        time.sleep(0.2)  # the others ask while this is not there yet
        return {"x": torch.arange(3), "y": torch.tensor(0.5)}

    def ask(_: int) -> dict[str, torch.Tensor]:
        images = Images(torch.zeros(2, 1, 28, 28, dtype=torch.uint8), evaluated.extractor, None, tmp_path)
        together.wait()
        return images.kept("kind", "e" * 64, compute)

    evaluated = evaluator()
    evaluated.extractor  # noqa: B018 (loaded before the threads ask for it)
    with ThreadPoolExecutor(3) as workers:
        every = list(workers.map(ask, range(3)))
    for found in every:
        assert found["x"].tolist() == [0, 1, 2]
        assert found["y"] == 0.5
    assert len(computed) == 1
    maps = Path("/proc/self/maps")
    if maps.exists():  # mapped from the file, not copied
        assert ".safetensors" in maps.read_text()


def test_two_workers_extract_the_reference_once(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    for name in ("features", "assess", "style"):
        original = getattr(Judge, name)
        monkeypatch.setattr(
            Judge, name, lambda self, images, original=original: (seen.append(len(images)), original(self, images))[1]
        )
    first = evaluator(tmp_path).evaluate(model, 0)
    # The samples and the reference by each network; the floors take their images from the reference.
    assert sorted(seen) == [200] * 3 + [599] * 3
    seen.clear()
    assert evaluator(tmp_path).evaluate(model, 0) == first
    assert seen == [200] * 3


def test_neighbours_are_found_once_for_each_pair_of_sets(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made = evaluator(metrics=("precision_recall", "density_coverage", "fid"))
    made.evaluate(model, 0)
    pairs: list[tuple[int, int]] = []
    original = neighbours._Pair.blocks
    monkeypatch.setattr(
        neighbours._Pair, "blocks", lambda self: (pairs.append((len(self.one), len(self.other))), original(self))[1]
    )
    made.evaluate(model, 1)
    # Those of the reference are known. A few rows that float32 does not decide may be looked at again.
    assert sorted(pair for pair in pairs if min(pair) > 50) == [(200, 200), (200, 599)]


def test_one_number_is_that_of_the_whole_evaluation(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    made = evaluator()
    whole = made.evaluate(model, 3).values
    assert made.value(model, 3, "covered_classes") == whole["covered_classes"]
    extracted: list[int] = []
    monkeypatch.setattr(made.judge, "assess", lambda images: extracted.append(len(images)))
    assert made.value(model, 3, "fid") == whole["fid"]
    assert extracted == []  # what the other metrics need is not computed


def test_a_part_has_what_its_whole_has() -> None:
    reference = evaluator().reference
    rows = torch.tensor([5, 3, 500])
    part, alone = reference.part(rows), Images(reference.pixels[rows], reference.extractor, reference.judge)
    assert torch.equal(part.features, reference.features[rows])
    assert torch.equal(part.labels, reference.labels[rows])
    for name in ("features", "logits", "probabilities", "confidence", "style"):
        assert torch.allclose(getattr(part, name), getattr(alone, name), atol=1e-5)

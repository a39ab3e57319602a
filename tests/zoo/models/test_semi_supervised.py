"""The semi-supervised game: its losses by hand, which labels it may see, and that it learns from few."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from harness.zoo import registry
from harness.zoo.building import build
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.semi_supervised import SemiSupervised, unlabelled_loss
from harness.zoo.models.semi_supervised_networks import Classifier, HalfTanh, Shifted, WeightNormalised


def test_the_unlabelled_loss() -> None:
    # two logits ln 1 and ln 2: Z = 3, D = ¾; on a generated image logits ln ½ twice: Z = 1, D = ½
    real = torch.tensor([[0.0, math.log(2)]])
    fake = torch.tensor([[math.log(0.5), math.log(0.5)]])
    assert float(unlabelled_loss(real, fake)) == pytest.approx(-math.log(0.75) / 2 - math.log(0.5) / 2)


def test_a_weight_normalised_layer() -> None:
    layer = WeightNormalised(2, 1)
    layer.direction.data, layer._scale.data, layer.bias.data = (
        torch.tensor([[3.0, 4.0]]),
        torch.tensor([10.0]),
        torch.ones(1),
    )
    # 10 · (3 · 1 + 4 · 2) / 5 + 1
    assert float(layer(torch.tensor([[1.0, 2.0]]))) == pytest.approx(23)


def test_initialised_by_data_every_unit_starts_with_mean_0_and_variance_1() -> None:
    torch.manual_seed(0)
    layer = WeightNormalised(20, 7)
    outputs = layer.adapt(torch.randn(500, 20) * 3 + 1)
    assert torch.allclose(outputs.mean(0), torch.zeros(7), atol=1e-4)
    assert torch.allclose(outputs.std(0), torch.ones(7), atol=1e-3)


def test_only_the_last_layer_s_scale_is_learned_also_after_a_generator_step() -> None:
    model = build("semi_supervised")
    before = [layer.scale.clone() for layer in (*model.discriminator.hidden, model.discriminator.head)]
    for _ in range(3):
        model.step(Labelled(torch.rand(8, 1, 28, 28), torch.zeros(8).long()))
    after = [layer.scale for layer in (*model.discriminator.hidden, model.discriminator.head)]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True] * 5 + [False]


def test_the_generator_s_batches_are_normalised_and_shifted_never_scaled() -> None:
    layer = Shifted(1)
    layer.shift.data.fill_(5)
    # mean 2, standard deviation (of the batch, divided by n) 1
    assert layer(torch.tensor([[1.0], [3.0]])).flatten().tolist() == pytest.approx([4, 6])
    assert [name for name, _ in layer.named_parameters()] == ["shift"]


def test_the_generator_s_output_is_the_logistic_function_on_minus_1_to_1() -> None:
    assert float(HalfTanh()(torch.tensor(math.log(3)))) == pytest.approx(2 * 0.75 - 1)  # 1 / (1 + e^-ln 3) = 3/4


def test_every_labelled_image_has_its_turn_before_one_comes_again() -> None:
    model = _model(20)
    chosen = model.order.next(50)
    assert sorted(chosen[:20].tolist()) == sorted(chosen[20:40].tolist()) == list(range(20))
    assert chosen[:20].tolist() != chosen[20:40].tolist()
    assert len(set(chosen[40:].tolist())) == 10
    # The next step goes on with the round, also where it was taken up from a state.
    resumed = _model(20)
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    for taken_up in (model, resumed):
        assert sorted([*chosen[40:].tolist(), *taken_up.order.next(10).tolist()]) == list(range(20))


def test_the_players_see_different_images() -> None:
    model, seen = build("semi_supervised"), []
    forward = model.discriminator.forward
    model.discriminator.forward = lambda images: seen.append(images) or forward(images)
    images = torch.rand(8, 1, 28, 28)
    model.step(Labelled(images, torch.zeros(8).long()))
    of_the_discriminator, of_the_generator, _ = seen
    assert torch.equal(of_the_discriminator[4:8], images[:4])  # after the labelled, before the generated ones
    assert torch.equal(of_the_generator, images[4:])


def test_noise_is_added_in_training_only() -> None:
    classifier = Classifier(784, (16, 8), 10)
    images = torch.rand(3, 1, 28, 28)
    noisy, again = classifier(images)[0], classifier(images)[0]
    assert not torch.equal(noisy, again)
    classifier.eval()
    assert torch.equal(classifier(images)[0], classifier(images)[0])


def _model(labels: int, seed: int = 0, training: Labelled | None = None) -> SemiSupervised:
    choice = registry.choose("models", {"name": "semi_supervised", "labels": labels})
    if training is None:
        digits = registry.choose("data", "digits")
        training = digits.make().load("train")
    compute = Compute(torch.device("cpu"), torch.float32)
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    return SemiSupervised(choice.settings, Shape(1, 28, 28, 10), training, 200, [], compute, seed, rng)


def test_as_many_images_of_each_class_keep_their_label_and_the_seed_chooses_which() -> None:
    model = _model(50)
    assert model.labelled.labels.bincount(minlength=10).tolist() == [5] * 10
    assert torch.equal(model.labelled.images, _model(50).labelled.images)
    assert not torch.equal(model.labelled.images, _model(50, seed=1).labelled.images)
    assert sorted(_model(23).labelled.labels.bincount(minlength=10).tolist()) == [2] * 7 + [3] * 3


def test_the_other_labels_are_never_used() -> None:
    digits = registry.choose("data", "digits")
    training = digits.make().load("train")
    weights = []
    for wrong in (0, 5):
        model = _model(20, training=training)
        for start in range(0, 64, 32):
            images = as_floats(training.images[start : start + 32])
            model.step(Labelled(images, (training.labels[start : start + 32] + wrong) % 10))
        weights.append(torch.cat([p.flatten() for p in model.discriminator.parameters()]))
    assert torch.equal(*weights)


def test_too_few_labels_are_refused() -> None:
    choice = registry.choose("models", {"name": "semi_supervised", "labels": 9})
    assert "at least one label of each of the 10 classes" in choice.plugin.refusal(
        choice.settings, Shape(1, 28, 28, 10)
    )


@pytest.mark.slow
def test_it_learns_to_classify_digits_from_a_hundred_labels() -> None:
    model = _model(100)
    digits = registry.choose("data", "digits")
    data = digits.make()
    training, test = data.load("train"), data.load("test")
    for step in range(160):
        chosen = torch.randperm(len(training.labels), generator=torch.Generator().manual_seed(step))[:100]
        model.step(Labelled(as_floats(training.images[chosen]), training.labels[chosen]))
    wrong = (model.classify(as_floats(test.images)).argmax(1) != test.labels).float().mean()
    assert float(wrong) < 0.2  # guessing: .9
    samples = model.sample(64, torch.Generator().manual_seed(0))
    assert float(samples.std(0).mean()) > 0.09  # .02 untrained: what is drawn depends on z


def test_the_learning_rate_falls_over_the_last_third() -> None:
    model = build("semi_supervised")
    batch = Labelled(torch.zeros(4, 1, 28, 28), torch.zeros(4).long())
    for taken, share in ((0, 1.0), (60, 1.0), (85, 0.45)):  # of 100 steps
        model.taken = taken
        model.step(batch)
        assert model.optimisers["discriminator"].param_groups[0]["lr"] == pytest.approx(3e-3 * share)

"""What a CPU can show of graphs: what may be captured, that these steps keep nothing outside of tensors, and that steps
of points that are recorded are the steps.

``benchmarks/gpu.py`` and ``tests/test_gpu.py`` compare the numbers on a GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.suite.declaration import Run, Train
from harness.testing import train
from harness.trial.graph import LONG, WARM_UP, Recorded, obstacle
from harness.trial.loop import Batches, Steps, Trainer
from harness.zoo import registry
from harness.zoo.building import SHAPES, build, random_batch
from harness.zoo.compatibility import refusals
from harness.zoo.data.base import Labelled
from harness.zoo.data.pixels import as_floats
from harness.zoo.models.gan import GAN
from harness.zoo.tricks.ema import ExponentialMovingAverage

GPU = torch.device("cuda")
SMALL = {"name": "gan", "architecture": {"width": 32}}
NO_NORM = {"name": "dcgan", "architecture": {"discriminator_norm": False, "width": 4}}
DATA = Labelled(torch.zeros(50, 1, 28, 28, dtype=torch.uint8), torch.zeros(50, dtype=torch.long))


def capturable(kind: str) -> list[str]:
    """The names of plug-ins that say so."""
    return [name for name in registry.names(kind) if vars(registry.choose(kind, name).plugin).get("capturable")]


def taker(trick: str) -> Any:
    """The first of three models that takes the trick."""
    for model in ("dcgan", NO_NORM, SMALL):
        choice = registry.choose("models", model)
        if not refusals(choice, (registry.choose("tricks", trick),), SHAPES[0]):
            return model if isinstance(model, dict) else {"name": model, "architecture": {"width": 4}}
    raise AssertionError(f"no model takes {trick}")


CASES = [(model, ()) for model in capturable("models")] + [(taker(trick), (trick,)) for trick in capturable("tricks")]


class Reads(TorchDispatchMode):
    """Records the operations that read a value back from the device, or whose shape depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(func).partition(".")[2].partition(".")[0] in ("_local_scalar_dense", "nonzero", "masked_select"):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


def outside_of_tensors(state: Any, place: str = "") -> dict[str, Any]:
    """Place in a state -> value, for all values that are no tensors."""
    if isinstance(state, torch.Tensor):
        return {}
    parts = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else None
    if parts is None:
        return {place: state}
    return {at: value for name, part in parts for at, value in outside_of_tensors(part, f"{place}/{name}").items()}


@pytest.mark.parametrize(("model", "tricks"), CASES, ids=str)
def test_a_capturable_step_reads_nothing_back_and_changes_only_tensors(model: Any, tricks: tuple[str, ...]) -> None:
    made = build(model, tricks=list(tricks))
    train(made, 2)  # in the first steps optimizers make their state
    before = outside_of_tensors(made.state_dict())
    batch = random_batch(SHAPES[0], 16 * made.batches_per_step, torch.Generator().manual_seed(0))
    batch = Labelled(as_floats(batch.images), batch.labels)
    with Reads() as reads:
        made.step(batch)
    assert reads.seen == []
    assert outside_of_tensors(made.state_dict()) == before


def test_most_of_the_zoo_is_capturable() -> None:
    assert set(registry.names("models")) - set(capturable("models")) == {
        *("autoencoder", "cyclegan", "discriminator_only", "recipe", "semi_supervised"),
        *(
            name
            for name in registry.names("models")
            if "capturable" not in vars(registry.choose("models", name).plugin)
        ),
    }
    assert set(capturable("tricks")) == set(registry.names("tricks"))


def test_what_does_not_say_so_itself_is_named() -> None:
    class Mine(GAN):
        name = "mine"

    class Averaging(ExponentialMovingAverage):
        name = "averaging"

    made = build(SMALL, tricks=["ema"])
    assert obstacle(made, torch.device("mps")) == "only a GPU has CUDA graphs"
    assert obstacle(made, GPU) is None
    made.__class__ = Mine
    assert obstacle(made, GPU) == "mine does not say that it is capturable"
    made.__class__ = GAN
    made.tricks[0].__class__ = Averaging
    assert obstacle(made, GPU) == "averaging does not say that it is capturable"


# --- on a CPU: steps of points are recorded -----------------------------------------------------------------

POINTS = SHAPES[-1]
TINY: dict[str, Any] = {"name": "gan", "architecture": {"name": "mlp", "width": 8, "layers": 2}}


def of_points() -> list[tuple[Any, tuple[str, ...]]]:
    """Every capturable trick beside a model of points that takes it, and a model with rates that change."""
    pairs: list[tuple[Any, tuple[str, ...]]] = [(TINY | {"final_rate": 0.1}, ()), (TINY | {"optimiser": "rmsprop"}, ())]
    for trick in capturable("tricks"):
        if not refusals(registry.choose("models", TINY), (registry.choose("tricks", trick),), POINTS):
            pairs.append((TINY, (trick,)))
    return pairs


def of_length(model: Any, tricks: tuple[str, ...], steps: int, graphs: bool = True) -> Steps:
    """The steps of a training of points that has this length."""
    made = build(model, POINTS, list(tricks))
    made.steps = steps
    return Steps(made, Batches(random_batch(POINTS, 100, torch.Generator().manual_seed(1)), 16, 0), graphs)


@pytest.mark.parametrize(("model", "tricks"), of_points(), ids=str)
def test_recorded_steps_are_the_steps_to_the_bit(
    model: Any, tricks: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, recorded = (of_length(model, tricks, LONG, graphs) for graphs in (False, True))
    called: list[None] = []
    step = recorded._model.step
    monkeypatch.setattr(recorded._model, "step", lambda batch: (called.append(None), step(batch))[1])
    for _ in range(2):
        for _ in range(6):
            plain.take()
            recorded.take()
        assert plain.means() == recorded.means()
    assert len(called) == WARM_UP + 1, "the model is asked no more"
    states = [torch.utils._pytree.tree_leaves(steps._model.state_dict()) for steps in (plain, recorded)]
    for one, other in zip(*states, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert torch.equal(plain._model.rng.get_state(), recorded._model.rng.get_state())


def test_what_is_not_worth_recording() -> None:
    assert obstacle(of_length(TINY, (), LONG)._model, torch.device("cpu")) is None
    short = obstacle(of_length(TINY, (), LONG - 1)._model, torch.device("cpu"))
    assert short == "the training is too short to pay for the recording"
    assert obstacle(build(SMALL), torch.device("cpu")) == "on a CPU a step of images is nearly all arithmetic"


def test_what_torch_cannot_write_down_is_run_as_it_is() -> None:
    numbers, rng, calls = torch.zeros(4, dtype=torch.long), torch.Generator().manual_seed(0), []

    def function() -> None:
        calls.append(None)
        numbers.random_(-(2**63), None, generator=rng)  # as Dropout does

    recorded = Recorded(function)
    seen = []
    for _ in range(6):
        recorded()
        seen.append(numbers.tolist())
    assert len(calls) == 6
    rng.manual_seed(0)
    assert seen == [numbers.random_(-(2**63), None, generator=rng).tolist() for _ in range(6)]


def test_a_step_that_changes_its_scalars_is_told() -> None:
    class Changing:
        batches_per_step = 1
        step_number = 0

        def step(self, batch: Labelled) -> dict[str, torch.Tensor]:
            self.step_number += 1
            return {f"loss_{self.step_number}": torch.zeros(())}

    steps = Steps(Changing(), Batches(DATA, 4, 0), graphs=False)  # type: ignore[arg-type]
    steps.take()
    with pytest.raises(ValueError, match=r"returned the scalars \['loss_2'\], an earlier one \['loss_1'\]"):
        steps.take()


def test_an_epoch_is_copied_to_the_device_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a part of it at every step: with a graph the host would do nothing else."""
    trainer = Trainer(build(SMALL), DATA, Train(steps=20, batch_size=10), Run(), 0, tmp_path / "state")
    drawn: list[int] = []
    original = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda n, **words: (drawn.append(n), original(n, **words))[1])
    for _ in range(20):  # four epochs
        trainer.steps.take()
    assert drawn == [50] * 4

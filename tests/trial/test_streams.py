"""One trial end to end, in this process: where its random numbers come from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from harness_cli import Workspace

from harness.base.seeds import Seeds
from harness.suite import read_suite
from harness.suite.plan import make_plan, trial
from harness.testing import equal
from harness.trial import run
from harness.trial.task import Intermediate, Outcome, Task
from harness.zoo.data.base import Labelled
from harness.zoo.models.gan import GAN


class Silent:
    """A recorder that keeps nothing."""

    def points(self, points: list[tuple[str, int, float]]) -> None: ...

    def file(self, path: Path, folder: str = "") -> None: ...

    def progress(self, step: int, point: dict[str, float]) -> None: ...

    def should_stop(self) -> bool:
        return False

    def should_prune(self, step: int, value: float) -> bool:
        return False


def seed_of(text: str) -> int:
    """As harness/base/seeds.py says: the first eight bytes of SHA-256, below 2⁶³."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 2**63


def test_what_is_evaluated_comes_from_a_stream_of_its_own_that_each_seed_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, sampled = list[int](), list[int]()
    original_step, original_sample = GAN.step, GAN.sample

    def step(self: GAN, batch: object) -> dict[str, torch.Tensor]:
        trained.append(self.rng.initial_seed())
        return original_step(self, batch)  # type: ignore[arg-type]

    def sample(self: GAN, n: int, rng: torch.Generator) -> torch.Tensor:
        assert rng is not self.rng
        sampled.append(rng.initial_seed())
        return original_sample(self, n, rng)

    monkeypatch.setattr(GAN, "step", step)
    monkeypatch.setattr(GAN, "sample", sample)
    path = Workspace(tmp_path).suite(train={"steps": 4, "batch_size": 8, "precision": "float32"}, seeds=[3, 4])
    plan = make_plan(read_suite(path))
    values = {}
    for one in plan.trials:
        folder = tmp_path / one.key
        folder.mkdir()
        watched = Intermediate(every=2, samples=50, metric="sharpness")
        task = Task(one, plan.suite.run, folder, tmp_path / "cache", watched)
        trained.clear()
        sampled.clear()
        outcome = run.run(task, Silent(), "cpu")
        assert isinstance(outcome, Outcome)
        assert outcome.state == "done", outcome.reason
        assert set(trained) == {seed_of(f"{one.seed}/latents")}
        # Snapshots, intermediate values, the evaluation and the last grid: all from the same latents.
        assert len(sampled) > 4
        assert set(sampled) == {seed_of(f"{one.seed}/samples")}
        values[one.arm.name, one.seed] = outcome.values["sharpness"]
    assert len(set(values.values())) == 4


def test_each_stream_has_the_seed_that_the_trial_gives_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of one stream changes what comes from it, and the values, and nothing that comes from another."""
    seen: dict[str, object] = {}
    original_step, original_sample = GAN.step, GAN.sample

    def step(self: GAN, batch: Labelled) -> dict[str, torch.Tensor]:
        if "weights" not in seen:
            seen["weights"] = [tensor.clone() for tensor in self.weights().values()]
            seen["order"] = batch.labels.clone()
            seen["latents"] = self.rng.get_state(), torch.get_rng_state()
        return original_step(self, batch)

    def sample(self: GAN, n: int, rng: torch.Generator) -> torch.Tensor:
        seen["samples"] = rng.initial_seed()
        return original_sample(self, n, rng)

    monkeypatch.setattr(GAN, "step", step)
    monkeypatch.setattr(GAN, "sample", sample)
    path = Workspace(tmp_path).suite(train={"steps": 4, "batch_size": 8, "precision": "float32"}, seeds=1)
    plan = make_plan(read_suite(path))
    arm = plan.trials[0].arm

    def outcome(seeds: Seeds) -> tuple[dict[str, object], float]:
        seen.clear()
        one = trial(arm, seeds)
        (tmp_path / one.key).mkdir()
        ended = run.run(Task(one, plan.suite.run, tmp_path / one.key, tmp_path / "cache"), Silent(), "cpu")
        assert ended.state == "done", ended.reason
        told = json.loads((tmp_path / one.key / "config.json").read_text())
        assert (told["seed"], told.get("streams", {})) == (seeds.weights, seeds.own)
        return dict(seen), ended.values["sharpness"]

    ordinary, value = outcome(Seeds.of(0))
    for stream in ("order", "latents", "samples"):
        other, changed = outcome(Seeds.of(0, {stream: 1}))
        assert changed != value
        assert {name for name in ordinary if not equal(ordinary[name], other[name])} == {stream}
    other, changed = outcome(Seeds(weights=1, order=0, latents=0, samples=0))
    assert changed != value
    assert {name for name in ordinary if not equal(ordinary[name], other[name])} == {"weights"}

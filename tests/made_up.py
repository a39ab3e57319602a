"""Made-up results for tests of the report. None of these numbers was measured."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.analysis.results import Results
from harness.base.states import State
from harness.store.record import Record
from harness.suite import read_suite
from harness.suite.plan import Plan, make_plan

SUITE = """\
suite: made_up
question: Which training tricks help a DCGAN on digits, and by how much?
data: digits
train: {steps: 2000, batch_size: 64}
seeds: SEEDS
base: {model: dcgan}
matrix:
  tricks: [[], [feature_matching], [one_sided_label_smoothing], [ema], [ema, feature_matching]]
exclude:
  - where: {tricks: [ema, feature_matching]}
    reason: it takes too long
evaluate: {samples: 2000, metrics: [fid, inception_score, mode_coverage]}
compare: {baseline: {tricks: []}, metric: fid}
"""
EXPECT = """\
expect:
  - {where: {tricks: [feature_matching]}, metric: fid, value: 10, tolerance: 2.5, source: "made up, table 1"}
  - {where: {tricks: []}, metric: fid, at_most: 5, source: "made up, table 2", note: measured by another network}
  - {where: {tricks: [ema]}, metric: refused, at_least: 0.01, at_most: 0.2, source: "made up, table 3"}
  - {order: [{tricks: [feature_matching]}, {tricks: [ema]}, {tricks: []}], metric: fid, source: "made up, figure 4"}
"""
REQUIRING = """\
suite: made_up
question: Which model draws digits best, and which reconstructs them best?
data: digits
train: {steps: 2000, batch_size: 64}
seeds: SEEDS
matrix: {model: [gan, vae, autoencoder]}
evaluate: {samples: 2000, metrics: [fid, reconstruction]}
compare: {baseline: {model: vae}, metric: reconstruction_mse}
"""
"""A suite that compares by what a GAN has not."""
ENCODING = {"gan": (14.0, 0.0), "vae": (20.0, 0.0), "autoencoder": (30.0, 0.0)}
STEPS = range(0, 2001, 20)
# Mean FID of each arm, then the chance of divergence.
ARMS = {
    "dcgan": (14.0, 0.0),
    "dcgan + feature_matching": (10.5, 0.0),
    "dcgan + one_sided_label_smoothing": (14.1, 0.4),
    "dcgan + ema": (12.9, 0.0),
}


def maker(tmp_path: Path) -> Callable[..., Results]:
    """``make(seeds=5, arms={name: (fid, chance of divergence)}, text=…, missing=…)`` makes results."""

    def make(
        seeds: int = 5, arms: dict[str, tuple[float, float]] = ARMS, text: str = SUITE, missing: int = 0
    ) -> Results:
        plan = plan_of(text.replace("SEEDS", str(seeds)), tmp_path / "made_up.yaml")
        # A model whose settings stand in its arm's name is meant by its own name here.
        planned = {cell.name.partition(" (")[0]: cell.name for cell in plan.cells}
        records = [
            record(planned.get(arm, arm), seed, fid, chance, tmp_path / "artifacts" / f"{number}-{seed}")
            for number, (arm, (fid, chance)) in enumerate(arms.items())
            for seed in range(seeds)
        ]
        return Results(plan, tuple(records), missing, "sqlite:///results/mlflow.db", "made_up")

    return make


def plan_of(text: str, path: Path) -> Plan:
    path.write_text(text, encoding="utf-8")
    return make_plan(read_suite(path, ("train.steps=2000",)))


def record(arm: str, seed: int, fid: float, chance: float, folder: Path) -> Record:
    """A trial; the seed's own luck is the same in every arm, as it is where arms are paired."""
    own = np.random.default_rng([seed, len(arm), int(10 * fid)])
    luck = np.random.default_rng(seed).normal(0, 1.2)
    diverged = own.random() < chance
    model, _, tricks = arm.partition(" (")[0].partition(" + ")
    values = {
        "fid": fid + luck + own.normal(0, 0.35),
        "inception_score": 9.2 - fid / 20 + own.normal(0, 0.05),
        "covered_classes": 10.0,
        "effective_classes": 9.6 + own.normal(0, 0.05),
        "kl_to_train": abs(own.normal(0.02, 0.005)),
        "refused": abs(own.normal(0.08, 0.02)),
    }
    if model in ("vae", "autoencoder"):
        values["reconstruction_mse"] = 0.002 * fid + abs(own.normal(0, 0.001))
    artifacts(folder, own, fid, diverged)
    return Record(
        key=f"{seed:08x}{len(arm):08x}",
        arm=arm,
        model=model,
        tricks=tricks,
        data="digits",
        seed=seed,
        state=State.DIVERGED if diverged else State.DONE,
        reason="the generator's loss was NaN at step 1180" if diverged else "",
        seconds_train=101.5 + own.normal(),
        seconds_evaluate=6.25,
        values={} if diverged else values,
        run_id=f"run{seed}{len(arm)}",
        curves=curves(own, 1180 if diverged else 2000),
        artifacts=folder,
        environment={
            "device": "cpu: made up",
            "precision": "float32",
            "threads": "1",
            "torch": "2.15.0",
            "python": "3.12.3",
        },
    )


def curves(rng: np.random.Generator, last: int) -> list[tuple[str, int, float]]:
    noise = rng.normal(0, 0.03, (4, len(STEPS)))
    points = []
    for i, step in enumerate(step for step in STEPS if step <= last):
        fade = np.exp(-step / 400)
        points += [
            ("generator_loss", step, 0.9 + 0.7 * (1 - fade) + noise[0, i]),
            ("discriminator_loss", step, 1.35 - 0.5 * (1 - fade) + noise[1, i]),
            ("d_real", step, 0.5 + 0.2 * (1 - fade) + noise[2, i]),
            ("d_fake", step, 0.5 - 0.2 * (1 - fade) + noise[3, i]),
        ]
        if step in STEPS[20::20]:
            points += [("classes_at_once", step, 9 - 7 * fade), ("classes_visited", step, 10 - 5 * fade)]
    return [(name, step, float(value)) for name, step, value in points]


def artifacts(folder: Path, rng: np.random.Generator, fid: float, diverged: bool) -> None:
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    for step in (0, 400, 800, 1200, 1600):
        (folder / "samples" / f"step-{step:06d}.png").write_bytes(grid(rng, 1 - step / 2000))
    if diverged:
        return
    (folder / "samples" / "final.png").write_bytes(grid(rng, 0.1))
    (folder / "samples" / "real.png").write_bytes(grid(np.random.default_rng(0), 0.0))
    (folder / "pictures").mkdir(exist_ok=True)
    for name in ("latent_walk", "interpolation"):
        (folder / "pictures" / f"{name}.png").write_bytes(grid(rng, 0.05))
    shares = rng.dirichlet(np.full(10, 80.0)) * 0.92
    histogram = {
        "bins": [*map(str, range(10)), "refused"],
        "samples": [*shares, 0.08],
        "reference": [*[0.1] * 10, 0],
    }
    common = {
        "data": "digits",
        "samples": 2000,
        "split": "test",
        "features": "digits",
        "features_hash": "0f3a99c2d1e45b67",
    }
    protocol = {"fid": common, "mode_coverage": common | {"share": 0.005, "confidence": 0.85}}
    floors = {"fid": 1.25, "inception_score": 9.85, "covered_classes": 10.0, "refused": 0.011}
    write(folder / "histograms.json", {"classes": histogram})
    write(folder / "protocol.json", protocol)
    write(folder / "floors.json", floors)


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@functools.cache
def real_digits() -> NDArray[np.float64]:
    """The images of scikit-learn's digits; reading them takes a tenth of a second."""
    from sklearn.datasets import load_digits

    images: NDArray[np.float64] = load_digits().images
    return images


def grid(rng: np.random.Generator, noise: float) -> bytes:
    """8 × 8 real digits of scikit-learn, at 28 × 28, under noise: they stand in for samples."""
    digits = real_digits()[rng.integers(0, 1797, 64)] / 16
    tiles = np.zeros((64, 28, 28))
    tiles[:, 2:26, 2:26] = digits.repeat(3, axis=1).repeat(3, axis=2)
    tiles = (1 - noise) * tiles + noise * rng.random(tiles.shape)
    picture = (255 * tiles).astype(np.uint8).reshape(8, 8, 28, 28).transpose(0, 2, 1, 3).reshape(224, 224)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()

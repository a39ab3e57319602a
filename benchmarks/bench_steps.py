"""Rows: steps of training against the loops of peers.py, what tricks add, sweeps, tiny trials, the quickstart.

The networks of a peer are an architecture here, so that the harness trains the same ones. It is found as that of
another package would be: by an entry point, in a folder that is made for it.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import bench_driver
from bench_kit import ROOT, Row, against, elapsed, harness, processor_seconds

from harness.zoo import registry
from harness.zoo.data.base import Shape
from harness.zoo.networks.base import Architecture

if TYPE_CHECKING:
    from torch import nn

    from harness.trial.loop import Hooks, Trainer
    from harness.zoo.networks.modules import Discriminator

FOLDER = Path(__file__).parent
SHAPES = {"gan": Shape(1, 28, 28, 10), "dcgan": Shape(1, 32, 32, 10), "wgan_gp": Shape(1, 28, 28, 10)}
STEPS = {"gan": 40, "dcgan": 4, "wgan_gp": 12}
"""Steps of a measurement."""
SHARED = {"fakes": "shared"}
"""As the peers do: fakes are drawn once a step."""


class PeerNetworks(Architecture):
    """The networks of a peer."""

    peer: ClassVar[str]

    def generator(self, latent: int) -> nn.Module:
        import peers

        return peers.GENERATORS[self.peer](self.shape.height)

    def discriminator(self, channels: int) -> Discriminator:
        import peers

        from harness.zoo.networks.modules import Discriminator

        return Discriminator(peers.BODIES[self.peer](), peers.FEATURES[self.peer])


class PeerConnected(PeerNetworks):
    name = "peer_connected"
    summary = "the fully connected networks of peers.py"
    paper = "none: the sizes of well-known scripts"
    peer = "gan"

    @classmethod
    def batch_norm(cls, settings: Any) -> frozenset[str]:
        return frozenset({"generator"})


class PeerConvolutional(PeerNetworks):
    name = "peer_convolutional"
    summary = "the convolutional networks of peers.py"
    paper = "none: the sizes of well-known scripts"
    peer = "dcgan"

    @classmethod
    def batch_norm(cls, settings: Any) -> frozenset[str]:
        return frozenset({"generator", "discriminator"})


MODELS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "gan": ({"name": "gan", "architecture": "peer_connected"} | SHARED, []),
    "dcgan": ({"name": "gan", "architecture": "peer_convolutional"} | SHARED, []),
    "wgan_gp": (
        {"name": "gan", "architecture": "peer_connected", "objective": "wasserstein", "discriminator_steps": 5},
        ["gradient_penalty"],
    ),
}
"""Name of a peer -> the same model, and its tricks."""
SALIMANS = [
    *("minibatch_discrimination", "virtual_batch_norm", "feature_matching"),
    *("historical_averaging", "one_sided_label_smoothing"),
]
TRICKS = {
    "minibatch": (["minibatch_discrimination"], 1.5, "minibatch discrimination"),
    "virtual": (["virtual_batch_norm"], 1.6, "virtual batch norm"),
    "three": (
        ["minibatch_discrimination", "virtual_batch_norm", "feature_matching"],
        1.8,
        "these two, feature matching",
    ),
    "five": (SALIMANS, 4.0, "all five of Salimans et al. 2016"),
}
"""Tricks whose cost is measured, on the preset dcgan."""


@functools.cache
def plugins() -> Path:
    """A folder with the entry points of this file's architectures, for PYTHONPATH; this process has it on its path."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    told = folder / "bench_steps-0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-steps\nVersion: 0\n")
    lines = [f"{one.name} = bench_steps:{one.__name__}" for one in (PeerConnected, PeerConvolutional)]
    (told / "entry_points.txt").write_text("\n".join(["[harness.networks]", *lines]) + "\n")
    sys.path.append(str(folder))
    registry.forget()
    return folder


# --- a step ---------------------------------------------------------------------------------------------------


@functools.cache
def trainer(model: str, tricks: tuple[str, ...], dtype: str, shape: Shape, steps: int) -> Callable[[], Trainer]:
    """Trainers of one warm model, each for so many steps, on random images."""
    import torch

    from harness.suite.declaration import Run, Train
    from harness.trial.loop import Trainer
    from harness.zoo.building import build, random_batch

    plugins()
    made = build(json.loads(model), shape, tricks, dtype=getattr(torch, dtype))
    data = random_batch(shape, 2000, torch.Generator().manual_seed(0))
    train = Train(steps=steps, batch_size=64)
    settings, nowhere = Run(snapshots=0, checkpoint_seconds=1e9), plugins() / "no-checkpoint"
    Trainer(made, data, Train(steps=2, batch_size=64), settings, 0, nowhere).run_to_end(quietly())
    return lambda: Trainer(made, data, train, settings, 0, nowhere)


def quietly() -> Hooks:
    """Callbacks of the loop that do nothing."""
    from harness.trial.loop import Hooks

    return Hooks(point=lambda *_: None, snapshot=lambda _: None, should_stop=lambda: False)


def our_step(model: dict[str, Any], tricks: Sequence[str], dtype: str, shape: Shape, steps: int) -> float:
    """Processor seconds of a step of the harness: batches, curves and all, on one thread."""
    one = trainer(json.dumps(model), tuple(tricks), dtype, shape, steps)()
    hooks, began = quietly(), time.process_time()
    one.run_to_end(hooks)
    return (time.process_time() - began) / steps


@functools.cache
def peer_of(name: str, loading: bool) -> Callable[[], None]:
    """The step of a peer, with the loading of its batches or without."""
    import peers

    nothing = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    peer = peers.Peer(name, out=nothing)
    batches = peer.batches() if loading else peers.loaded(peer)()
    peer.step(batches)  # warm it up
    return lambda: peer.step(batches)


def peer_step(name: str, loading: bool) -> float:
    """Processor seconds of a step of a peer, on one thread."""
    step, steps = peer_of(name, loading), STEPS[name]
    began = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - began) / steps


def steps() -> list[Row]:
    """Steps against those of peers."""
    wanted = {"dcgan": (2.7, 1.05), "gan": (3.0, 1.33), "wgan_gp": (3.0, 1.96)}
    called = {"dcgan": "their DCGAN 32×32", "gan": "their fully connected GAN", "wgan_gp": "their WGAN-GP"}
    return [
        Row(
            f"step_{name}_{dtype}_{'loading' if loading else 'loaded'}",
            f"step, {called[name]}, {dtype}, 1 thread, {'with' if loading else 'without'} their loading of data",
            wanted[name][dtype == "float32"],
            functools.partial(our_step, *MODELS[name], dtype, SHAPES[name], STEPS[name]),
            functools.partial(peer_step, name, loading),
        )
        for name in called
        for dtype in ("bfloat16", "float32")
        for loading in (True, False)
    ]


def faster() -> str:
    """The number format that ``precision: auto`` chooses on this processor."""
    from harness.trial.device import faster_on_cpu

    return str(faster_on_cpu()).removeprefix("torch.")


def tricks() -> list[Row]:
    """What tricks add to the step of dcgan, in the format that ``precision: auto`` chooses."""
    plain = functools.partial(our_step, {"name": "dcgan"}, (), faster(), Shape(1, 28, 28, 10), 4)
    return [
        Row(
            f"tricks_{name}",
            f"a step of dcgan with {words}, against the plain step",
            wanted,
            plain,
            functools.partial(our_step, {"name": "dcgan"}, names, faster(), Shape(1, 28, 28, 10), 4),
            "× the plain step",
        )
        for name, (names, wanted, words) in TRICKS.items()
    ]


RING = {"name": "gan", "architecture": {"name": "mlp", "width": 128}}
"""A model of points, of the size that the suites use."""


def training_of_points(steps: int, tricks: Sequence[str] = (), graphs: bool = True) -> float:
    """Processor seconds of a training on the ring: what is done once, such as recording, counts."""
    from harness.suite.declaration import Run, Train
    from harness.trial.loop import Trainer
    from harness.zoo.building import build

    ring = registry.choose("data", "ring").make()
    made = build(RING, ring.shape, tricks)
    made.steps = steps
    run = Run(snapshots=0, checkpoint_seconds=1e9, graphs=graphs)
    one = Trainer(made, ring.load("train"), Train(steps=steps, batch_size=64), run, 0, plugins() / "no-checkpoint")
    began = time.process_time()
    one.run_to_end(quietly())
    return time.process_time() - began


def with_denormals(kept: bool) -> float:
    """The same with minibatch discrimination, for 200 steps; with denormal numbers, or 0 for them."""
    import torch

    torch.set_flush_denormal(not kept)
    try:
        return training_of_points(200, ["minibatch_discrimination"])
    finally:
        torch.set_flush_denormal(False)


def points() -> list[Row]:
    """What makes steps of points quicker."""
    plain = functools.partial(training_of_points, 2000, graphs=False)
    zeros, kept = functools.partial(with_denormals, False), functools.partial(with_denormals, True)
    return [
        Row(
            "points_recorded",
            "2 000 steps on the ring: recorded steps, against steps that are not",
            1.8,
            functools.partial(training_of_points, 2000),
            plain,
        ),
        Row("points_denormal", "200 steps with minibatch discrimination on the ring: no denormals", 1, zeros, kept),
    ]


# --- whole runs -----------------------------------------------------------------------------------------------


Measure = Callable[..., float]
"""What a command costs: of bench_kit, `processor_seconds` or `elapsed`."""


def run(suite: dict[str, Any], code: Path = ROOT, cost: Measure = processor_seconds) -> float:
    """The cost of `harness run` with two workers, on an empty store."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "suite.json"  # JSON is YAML
        path.write_text(json.dumps({"suite": "bench", "question": "How long does it take?"} | suite))
        words = harness("run", path, "--results", Path(folder) / "results", "--workers", "2", "--device", "cpu")
        return cost(words, code, PYTHONPATH=os.pathsep.join([str(plugins()), str(FOLDER)]))


SEEDS, SHORT = 2, 10
LONG = {"gan": 300, "dcgan": 40, "wgan_gp": 100}
"""Steps of a trial of a sweep. It is measured by the difference to a short one, so that the start does not count."""


def our_sweep(name: str) -> float:
    """Seconds of a sweep's steps in the harness, by the clock: two workers share the cores of the machine."""
    model, tricks = MODELS[name]
    suite: dict[str, Any] = {
        "data": "digits",
        "seeds": SEEDS,
        "base": {"model": model, "tricks": tricks},
        "matrix": {"model.beta2": [0.999]},
        "evaluate": {"samples": 500, "metrics": ["sharpness"]},
        "run": {"snapshots": 2},
    }
    long, short = (run(suite | {"train": {"steps": steps}}, cost=elapsed) for steps in (LONG[name], SHORT))
    return long - short


def peer_sweep(name: str) -> float:
    """Seconds of the same steps in the peer's script, one run after another, with as many threads as torch takes."""
    return SEEDS * (_script(name, LONG[name]) - _script(name, SHORT))


def _script(name: str, steps: int) -> float:
    return elapsed([sys.executable, FOLDER / "peers.py", name, "--steps", str(steps), "--size", "28"])


TINY = {
    "data": "ring",
    "train": {"steps": 20, "batch_size": 64},
    "base": {"model": {"name": "gan", "architecture": {"name": "mlp", "width": 64}}},
    "matrix": {"tricks": [[]]},
    "evaluate": {"samples": 500, "metrics": ["high_quality_modes"]},
}
FEW, MANY = 4, 64


def tiny_trials(code: Path = ROOT) -> float:
    """Trials a minute on two cores, by the processor time of all processes; the start does not count."""
    seconds = run(TINY | {"seeds": MANY}, code) - run(TINY | {"seeds": FEW}, code)
    return 2 * 60 * (MANY - FEW) / seconds


def quickstart_idle() -> float:
    """The share (%) of the time of two slots, from the first trial's beginning to the last one's end, without work."""
    from mlflow import MlflowClient

    from harness.store.runs import SECONDS, Store

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        results = Path(folder) / "results"
        processor_seconds(harness("run", ROOT / "suites/quickstart.yaml", "--results", results, "--workers", "2"))
        store = Store(results)
        client = MlflowClient(store.address)  # it knows when a run ended
        runs = [client.get_run(one.info.run_id) for one in store.runs()]
        span = max(one.info.end_time for one in runs) - min(one.info.start_time for one in runs)
        busy: float = sum(one.data.metrics[name] for one in runs for name in SECONDS)
    return float(100 * (1 - busy / (2 * span / 1000)))


def whole() -> list[Row]:
    """Rows of whole runs."""
    earlier = against()
    called = {"dcgan": (3.3, "DCGAN 28×28"), "gan": (5.0, "fully connected GAN"), "wgan_gp": (5.0, "WGAN-GP")}
    sweeps = [
        Row(
            f"sweep_{name}",
            f"a sweep of {SEEDS} seeds, {words}: `harness run` with two workers of one thread against the script, "
            "by the clock",
            wanted,
            functools.partial(our_sweep, name),
            functools.partial(peer_sweep, name),
        )
        for name, (wanted, words) in called.items()
    ]
    return [
        *sweeps,
        Row(
            "tiny",
            "tiny trials (20 steps on the ring) on two cores",
            600,
            tiny_trials,
            functools.partial(tiny_trials, earlier) if earlier else None,
            "trials a minute",
        ),
        Row(
            "driver",
            "the driver's processor time a trial",
            0.03,
            bench_driver.seconds,
            functools.partial(bench_driver.seconds, earlier) if earlier else None,
            "CPU-s",
        ),
        Row(
            "quickstart",
            "quickstart: time of the slots that is neither training nor evaluation",
            5,
            quickstart_idle,
            unit="%",
        ),
    ]


plugins()  # before anything looks for them
ROWS = [*steps(), *tricks(), *points(), *whole()]

"""One trial end to end: data → model → training → evaluation → what is to be recorded."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import platform
import shutil
import subprocess
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harness import __version__
from harness.base.errors import HarnessError
from harness.base.files import write_bytes, write_json
from harness.metrics.images import as_floats
from harness.trial.evaluation import Evaluation, Evaluator, NotFinite
from harness.trial.loop import Diverged, Hooks, Progress, Stopped, TimedOut, Trainer
from harness.trial.pictures import save_points, save_tiles
from harness.trial.task import Outcome, RecordingError
from harness.zoo.data.base import Labelled, Shape
from harness.zoo.models.base import Compute, Model

if TYPE_CHECKING:
    from harness.suite.plan import Arm
    from harness.trial.task import Recorder, Task
    from harness.zoo.data.base import DataSet

GRID = 8
"""Rows and columns of a grid of samples."""
POINTS = 2500
"""Points in a picture of samples, where the data are points."""


class Pruned(Exception):
    """The pruner ended the trial."""


def run(task: Task, recorder: Recorder) -> Outcome:
    """Run a trial, or go on with it where its checkpoint left off. Every outcome of the trial is returned.

    Raises:
        RecordingError: what it does cannot be written down; its last checkpoint stands.
    """
    course = _Course()
    try:
        values = _run(task, recorder, course)
        return Outcome("done", "", values, course.seconds_train, course.seconds_evaluate)
    except Stopped:
        return Outcome("stopped")
    except RecordingError:
        raise
    except OSError as error:  # the disk is full, the folder is gone
        raise RecordingError(str(error)) from error
    except Exception as error:
        state, reason = explain(error)
        if not isinstance(error, Diverged | Pruned | TimedOut):  # these say it themselves
            reason += f", {course.place}"
        return Outcome(state, reason, {}, course.seconds_train, course.seconds_evaluate)


@dataclass
class _Course:
    """How far a trial has come."""

    progress: Progress | None = None
    evaluating: bool = False
    seconds_evaluate: float = 0.0

    @property
    def seconds_train(self) -> float:
        return self.progress.seconds if self.progress else 0.0

    @property
    def place(self) -> str:
        """Where it is, in words."""
        if self.progress is None:
            return "before step 1"
        if self.evaluating:
            return f"in the evaluation after step {self.progress.step}"
        return f"at step {self.progress.step + 1}"


def explain(error: Exception) -> tuple[str, str]:
    """The state that an exception puts a trial in, and the reason to record."""
    states: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
        ((Diverged, NotFinite), "diverged"),
        (Pruned, "pruned"),
        (TimedOut, "timed-out"),
        ((torch.OutOfMemoryError, MemoryError), "out-of-memory"),
        (HarnessError, "failed"),
    ]
    for kind, state in states:
        if isinstance(error, kind):
            return state, str(error) or type(error).__name__
    # torch reports a lack of memory on the CPU, and CUDA's libraries theirs, as a plain RuntimeError
    signs = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs):
        return "out-of-memory", str(error)
    if isinstance(error, RuntimeError) and "torch.use_deterministic_algorithms" in str(error):
        operation = str(error).partition(",")[0]  # the rest of torch's message is advice to programmers
        return "failed", f"{operation}: set train.deterministic to false, leave out what needs it, or use the CPU"
    where = traceback.extract_tb(error.__traceback__)[-1]
    return "failed", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"


def _run(task: Task, recorder: Recorder, course: _Course) -> dict[str, float]:
    arm, seed = task.trial.arm, task.trial.seed
    device = torch.device(task.device)
    with computing(arm, device):
        data = arm.data.plugin(arm.data.settings)
        training = on_device(data.load("train"), device)
        model = build(arm, seed, device, data.shape, training)
        trainer = Trainer(model, training, arm.train, task.run, seed, task.folder / "checkpoint.pt")
        evaluator = Evaluator(arm.evaluate, data, training, device, task.cache)
        files = Files(task, model, recorder, data)
        if trainer.resume():
            print(f"{task.trial.key}: resumed at step {trainer.progress.step}", flush=True)
            recorder.points(trainer.progress.curves)
            files.snapshots_until(trainer.progress.step)
        course.progress = trainer.progress
        recorder.progress(trainer.progress.step, {})
        trainer.run_to_end(_hooks(task, trainer, recorder, files, evaluator, course))
        course.evaluating = True
        _check_weights(model, trainer.progress.step)
        started = time.monotonic()
        evaluation = evaluator.evaluate(model, sampling_seed(seed))
        course.seconds_evaluate = time.monotonic() - started
        files.final(evaluation)
        return evaluation.values


def _check_weights(model: Model, step: int) -> None:
    """Weights that no sample shows, and no loss, are published all the same."""
    bad = [name for name, weight in model.weights().items() if not weight.isfinite().all()]
    if bad:
        raise Diverged(f"weights not finite by step {step}: {', '.join(bad)}")


def _hooks(
    task: Task, trainer: Trainer, recorder: Recorder, files: Files, evaluator: Evaluator, course: _Course
) -> Hooks:
    def point(progress: Progress, values: dict[str, float]) -> None:
        recorder.points([(name, progress.step, value) for name, value in values.items()])
        recorder.progress(progress.step, values)

    intermediate = task.intermediate
    if intermediate is None:
        return Hooks(point, files.snapshot, recorder.should_stop)
    shorter = evaluator.shortened(intermediate.samples)

    def evaluate(step: int) -> None:
        course.evaluating = True
        value = shorter.evaluate(trainer.model, sampling_seed(task.trial.seed)).values[intermediate.metric]
        course.evaluating = False
        point = (f"intermediate_{intermediate.metric}", step, value)
        trainer.progress.curves.append(point)  # so that a checkpoint holds it
        recorder.points([point])
        if recorder.should_prune(step, value):
            raise Pruned(f"{intermediate.metric} was {value:.4g} at step {step}")

    return Hooks(point, files.snapshot, recorder.should_stop, evaluate, intermediate.every)


class Files:
    """The files of a running trial: written to its folder, and handed to the recorder one by one."""

    def __init__(self, task: Task, model: Model, recorder: Recorder, data: DataSet) -> None:
        self.folder = task.folder
        self.task = task
        self.model = model
        self.recorder = recorder
        self.data = data
        self._json("config.json", task.trial.arm.config() | {"seed": task.trial.seed})

    def snapshot(self, step: int) -> None:
        """A grid of samples from the latents that stay the same through training."""
        self._keep(self._grid(f"step-{step:06d}.png"), "samples")

    def snapshots_until(self, step: int) -> None:
        """Hand over again what was made up to a checkpoint: of a trial that was given up, another record has it."""
        for path in sorted(self.folder.glob("step-*.png")):
            if int(path.stem.removeprefix("step-")) <= step:
                self._keep(path, "samples")

    def final(self, evaluation: Evaluation) -> None:
        """What is known once the trial is done."""
        from safetensors.torch import save

        self._keep(self._grid("final.png"), "samples")
        self._pictures()
        self._json("histograms.json", evaluation.histograms)
        compute = self.model.compute
        trained = {"trained_on": compute.device.type, "trained_in": str(compute.dtype).removeprefix("torch.")}
        self._json("protocol.json", {metric: fields | trained for metric, fields in evaluation.protocol.items()})
        self._json("floors.json", evaluation.floors)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.weights().items()}
        write_bytes(self.folder / "generator.safetensors", save(weights))
        self._keep(self.folder / "generator.safetensors")

    def _grid(self, name: str) -> Path:
        path = self.folder / name
        if self.data.points:
            save_points(self.model.sample(POINTS, self._rng()), path)
        else:
            images = self.model.sample(GRID * GRID, self._rng())
            save_tiles(images.reshape(GRID, GRID, *images.shape[1:]), path)
        return path

    def _rng(self) -> torch.Generator:
        return torch.Generator(self.model.compute.device).manual_seed(sampling_seed(self.task.trial.seed))

    def _pictures(self) -> None:
        """What the model has to show beside samples: interpolations, reconstructions, traversals of its codes."""
        if self.data.points:
            return
        real = as_floats(self.data.load("test").images[: GRID * GRID].to(self.model.compute.device))
        for name, tiles in self.model.pictures(real, self._rng()).items():
            path = self.folder / f"{name}.png"
            save_tiles(tiles, path)
            self._keep(path, "pictures")

    def _json(self, name: str, value: Any) -> None:
        write_json(self.folder / name, value)
        self._keep(self.folder / name)

    def _keep(self, path: Path, folder: str = "") -> None:
        self.recorder.file(path, folder)


def build(arm: Arm, seed: int, device: torch.device, shape: Shape, training: Labelled) -> Model:
    """The model of an arm, before its first step."""
    tricks = [choice.plugin(choice.settings) for choice in arm.tricks]
    compute = Compute(device, precision(arm, device))
    rng = torch.Generator(device).manual_seed(derived(seed, "latents"))
    torch.manual_seed(derived(seed, "global"))
    steps = arm.train.steps
    model: Model = arm.model.plugin(arm.model.settings, shape, training, steps, tricks, compute, seed, rng)
    return model


def precision(arm: Arm, device: torch.device) -> torch.dtype:
    """The number format of forward passes; ``auto`` is bfloat16 where the device has units for it.

    Points are the exception: a coordinate near 1 has steps of 2⁻⁸ in bfloat16, half the width of a mode of the grid.
    """
    if arm.train.precision != "auto":
        return torch.bfloat16 if arm.train.precision == "bfloat16" else torch.float32
    if arm.data.plugin(arm.data.settings).points:
        return torch.float32
    if device.type == "cuda":
        quick = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        quick = "avx512_bf16" in cpu_facts().get("flags", "").split()
    return torch.bfloat16 if quick else torch.float32


@functools.cache
def cpu_facts() -> dict[str, str]:
    """What Linux says of the first processor (``model name``, ``flags``, …); empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def derived(seed: int, role: str) -> int:
    """A seed for one purpose: different roles give unrelated streams."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{role}".encode()).digest()[:8]) % 2**63


def sampling_seed(seed: int) -> int:
    """The seed of the latents that are evaluated, the same for every arm."""
    return derived(seed, "samples")


def on_device(data: Labelled, device: torch.device) -> Labelled:
    """The data set as it lies on the device for the whole training."""
    return Labelled(data.images.to(device), data.labels.to(device))


@contextlib.contextmanager
def computing(arm: Arm, device: torch.device) -> Iterator[None]:
    """Torch set up for a trial: threads on the CPU; on a GPU the quickest kernels, but float32 that is float32.

    With ``train.deterministic`` they are kernels that add up in the same order every time; torch raises, naming the
    operation, where it has none. On a CPU with a given number of threads there are no others.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(arm.train.threads)
    deterministic = arm.train.deterministic and device.type == "cuda"
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False  # torch's default for convolutions would change the judges' features
    torch.backends.cudnn.benchmark = not deterministic  # it chooses the kernels by their speed at the moment
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


def release() -> None:
    """Give back what a trial held on the device, so that the trials beside it can have it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def environment(arm: Arm, device: str) -> dict[str, str]:
    """What a run's numbers may depend on besides its key: device, versions, commit, precision."""
    where = torch.device(device)
    return {
        "device": f"{where.type}: {torch.cuda.get_device_name(where) if where.type == 'cuda' else processor()}",
        "precision": str(precision(arm, where)).removeprefix("torch."),
        "threads": str(arm.train.threads),
        "git_commit": commit(),
        "harness": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name.replace("-", "_"): version(name) for name in ("torch-fidelity", "optuna", "mlflow")},
        "platform": platform.platform(),
    }


def processor() -> str:
    """The processor, and the instructions that torch makes use of there: another one rounds in another order."""
    name = cpu_facts().get("model name") or platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


@functools.cache
def commit() -> str:
    """The git commit of the harness, with ``-dirty`` where tracked files differ from it; "unknown" outside git."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*words: str) -> str:
        done = subprocess.run(
            [git, "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    head = ask("rev-parse", "HEAD")
    return (head + ("-dirty" if ask("status", "--porcelain", "-uno") else "")) if head else "unknown"

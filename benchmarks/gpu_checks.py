"""The checks of ``benchmarks/gpu.py``: that the same code trains, samples, measures and resumes on a GPU.

``tests/test_gpu.py`` runs the same functions. Each returns a remark or numbers, and raises where it fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from gpu_kit import Found, Items, Place, Row, Skip, arm, data, quiet, refused, trainer, trial

from harness import judge
from harness.execution import devices
from harness.judge.inception import FILE, Inception
from harness.judge.points import Points
from harness.judge.stacked import StackedJudge
from harness.metrics.images import Extractor, Images, Reference
from harness.suite.plan import Arm
from harness.testing import equal
from harness.trial.device import computing, on_device, precision, release
from harness.trial.graph import obstacle
from harness.trial.loop import Stopped, Trainer
from harness.zoo import registry
from harness.zoo.compatibility import with_own
from harness.zoo.compute import Compute
from harness.zoo.data.base import Labelled
from harness.zoo.models.base import Model

HANDFUL = ("ema", "feature_matching", "packing", "spectral_norm", "diff_augment")
"""The tricks that every model is tried with: one for each way of changing the game (the sampler, the generator's loss,
the discriminator's input and its width, the networks' layers, the images)."""
LISTED = ("numpy", "scipy", "pandas", "scikit-learn", "safetensors", "pydantic", "torchvision", "torch-fidelity")
WHOLE_COMMAND = ("mlflow", "optuna")
"""What only the whole command line needs."""

# --- what is there -------------------------------------------------------------------------------------------------


def machine(place: Place) -> Items:
    """The device, the versions, and what of the packages is missing."""
    return {
        "device": partial(device, place),
        "software": software,
        "command line": whole_command,
        "float formats": formats,
        "the harness finds it": partial(found_by_harness, place),
        "start of a process": partial(start, place),
    }


def device(place: Place) -> Found:
    """The device's name and size."""
    if not place.cuda:
        return Found(said=f"CPU ({platform.machine()}), {torch.get_num_threads()} thread")
    seen = torch.cuda.get_device_properties(place.device)
    rows = [Row("memory", seen.total_memory / 2**30, "GiB"), Row("multiprocessors", seen.multi_processor_count)]
    return Found(rows, f"{seen.name}, compute capability {seen.major}.{seen.minor}, CUDA {torch.version.cuda}")


def software() -> Found:
    """The versions of what everything needs."""
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", *LISTED)]
    return Found(said=f"Python {platform.python_version()}, {', '.join(versions)}, {platform.platform()}")


def whole_command() -> Found:
    """Whether MLflow and Optuna are there too."""
    if missing := missing_packages():
        raise Skip(f"{' and '.join(missing)} not carried: `harness run` is not tried")
    return Found(said=", ".join(f"{name} {metadata.version(name)}" for name in WHOLE_COMMAND))


def missing_packages() -> list[str]:
    """Those of ``WHOLE_COMMAND`` that are not installed."""
    return [name for name in WHOLE_COMMAND if importlib.util.find_spec(name) is None]


def formats() -> Found:
    """What ``precision: auto`` comes to."""
    if not torch.cuda.is_available():
        return Found(said="no GPU")
    return Found(said=f"bfloat16 in hardware: {torch.cuda.is_bf16_supported(including_emulation=False)}")


def found_by_harness(place: Place) -> Found:
    """`--device auto` comes to this device; the harness looks for a driver before it asks torch."""
    assert devices.gpus() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    auto = devices.resolve("auto")
    assert auto.partition(":")[0] == place.device.type or not place.cuda, f"`--device auto` comes to {auto}"
    return Found(said=f"`--device auto` is {auto}; {devices.gpus()} GPU(s)")


def start(place: Place) -> Found:
    """What a process that trains takes before its second step: every worker of the harness does."""
    return Found([Row(what, took, "s") for what, took in place.start.items()])


# --- training ------------------------------------------------------------------------------------------------------


def training(place: Place) -> Items:
    """Every model in both formats; every trick on the first model that takes it; a handful of tricks on every model."""
    items: Items = {}
    for dtype in ("bfloat16", "float32"):
        for model in registry.names("models"):
            items[f"{model}, {dtype}"] = partial(trains, place, model, (), dtype)
    for trick in registry.names("tricks"):
        items[f"{trick}"] = partial(trains_somewhere, place, trick)
    for model in registry.names("models"):
        for trick in HANDFUL:
            if not refused(model, (trick,), place):
                items[f"{model} + {trick}"] = partial(trains, place, model, (trick,), "auto")
    return items


TAKERS: dict[str, Any] = {
    "dcgan": "dcgan",
    "a dcgan without normalisation in D": {"name": "dcgan", "architecture": {"discriminator_norm": False}},
    "gan": "gan",
}
"""The models that a trick is tried on, the first that takes it."""


def trains_somewhere(place: Place, trick: str) -> Found:
    """A trick trains."""
    reasons: list[str] = []
    for name, model in TAKERS.items():
        reasons = refused(model, (trick,), place)
        if not reasons:
            trains(place, model, (trick,), "auto")
            return Found() if name == "dcgan" else Found(said=f"on {name}: a plain one does not take it")
    raise Skip("; ".join(reasons))


def trains(place: Place, model: Any, tricks: tuple[Any, ...], dtype: str = "auto") -> Found | None:
    """A few steps: losses, weights and samples are finite, and the samples are images on the device."""
    made = arm(place, model, tricks, precision=dtype)
    with computing(made, place.device):
        course = trainer(place, made, place.new_folder())
        course.run_to_end(quiet())  # raises where a scalar is not finite
        assert course.progress.curves, "no scalar was recorded"
        images = course.model.sample(8, torch.Generator(place.device).manual_seed(0))
    assert images.device.type == place.device.type
    assert images.isfinite().all(), "samples are not finite"
    assert images.abs().max() <= 1, "samples leave [-1, 1]"
    bad = [name for name, weight in course.model.weights().items() if not weight.isfinite().all()]
    assert not bad, f"weights not finite: {bad}"
    return None


# --- equal values --------------------------------------------------------------------------------------------------

TOLERANCE = (1e-3, 1e-3)
"""How far a value may lie from the CPU's: a share of it, and an amount; either is enough. Features of float32 networks
agree to some 1e-5, and values are sums and ratios of them."""
TOLERANCES = {
    # Shares of 600 images: two may fall to the other side of a threshold.
    **dict.fromkeys(
        (
            "precision",
            "recall",
            "density",
            "coverage",
            "refused",
            "other_style",
            "class_recall",
            "code_error",
            "test_error",
        ),
        (0, 4e-3),
    ),
    **dict.fromkeys(("conditional_accuracy", "class_preserved", "memorisation"), (0, 4e-3)),
    # A classifier is trained on the features, for 100 epochs: its accuracy on 360 images moves by whole images.
    "two_sample_accuracy": (0, 2e-2),
    # Follows from the accuracy, and falls by powers of ten.
    "two_sample_p": (0, 1),
    "data_copying": (1e-2, 5e-2),
    # 1 800 classes of noisy digits, three to a mode: two may change.
    "stacked_modes": (0, 2),
    "stacked_kl": (0, 1e-2),
}
JUDGED = 1e-3
"""How far a judge's features, logits and probabilities may lie from the CPU's."""
SAMPLES = 600


def _difference(name: str, value: float, allowed: float) -> Row:
    return Row(f"{name}: largest difference", value, f"of {allowed:.2g}")


def equality(place: Place) -> Items:
    """The judge's networks, and every metric."""
    items: Items = {f"judge {name}": partial(same_judge, place, name) for name in judge.names()}
    items["inception"] = partial(same_inception, place)
    return items | {name: partial(same_values, place, name) for name in registry.names("metrics")}


def same_judge(place: Place, name: str) -> Found:
    """A judge's features, logits and probabilities are those of the CPU, and its classes too."""
    channels, height, width = judge.image_shape(name)
    images = place.digits.load("test").images
    if (channels, height, width) != tuple(images.shape[1:]):
        raise Skip(f"it is for images of {channels}×{height}×{width}")
    here, there = judge.load(name, "cpu"), judge.load(name, place.device)
    with _as_trials(place):
        pairs = [*zip(here.features(images), there.features(images), strict=True)]
        pairs += zip(here.assess(images), there.assess(images), strict=True)
    names = ("features", "logits", "probabilities", "scores")
    far = [float((one - other.cpu()).abs().max()) for one, other in pairs]
    rows = [_difference(name, value, JUDGED) for name, value in zip(names, far, strict=True)]
    assert max(far) < JUDGED, f"they differ by up to {max(far):.2g}: {dict(zip(names, far, strict=True))}"
    agreed = float((pairs[2][0].argmax(1) == pairs[2][1].argmax(1).cpu()).float().mean())
    assert agreed > 0.999, f"only {agreed:.4f} of the classes agree"
    return Found(rows)


def same_inception(place: Place) -> Found:
    """Inception's features of some digits, where its weights are: 91 MB are too many to carry."""
    given = os.environ.get("HARNESS_INCEPTION")
    if not (Path(given) if given else Path(torch.hub.get_dir()) / "checkpoints" / FILE).is_file():
        raise Skip("Inception's weights are not on this machine: set HARNESS_INCEPTION")
    images = place.digits.load("test").images[:16]
    with _as_trials(place):
        here, there = (Inception(where).features(images) for where in (torch.device("cpu"), place.device))
    far = [float((one - other).abs().max() / one.abs().max()) for one, other in zip(here, there, strict=True)]
    assert max(far) < JUDGED, f"features and logits differ by up to {max(far):.2g} of the largest"
    return Found([_difference(name, value, JUDGED) for name, value in zip(("features", "logits"), far, strict=True)])


def same_values(place: Place, name: str) -> Found:
    """A metric's values from the same samples, on the CPU and on the device."""
    recorded: list[Any] = []
    cpu = torch.device("cpu")
    with _as_trials(place):
        here = _values(place, name, cpu, lambda model: _recording(model, recorded))
        there = _values(place, name, place.device, lambda model: _replaying(model, recorded, place.device))
    assert here.keys() == there.keys()
    wrong, rows = [], []
    for column, value in here.items():
        relative, absolute = TOLERANCES.get(column, TOLERANCE)
        allowed, far = max(relative * abs(value), absolute), abs(value - there[column])
        rows += [Row(column, there[column]), _difference(column, far, allowed)]
        if not far <= allowed:
            wrong.append(f"{column} is {value:.6g} on the CPU and {there[column]:.6g} on the device")
    assert not wrong, "; ".join(wrong)
    return Found(rows)


@contextlib.contextmanager
def _as_trials(place: Place) -> Iterator[None]:
    """Torch set up as for a trial, and its random states put back."""
    with computing(arm(place, "gan"), place.device), torch.random.fork_rng():
        yield


def _values(place: Place, name: str, where: torch.device, asked: Callable[[Model], Any]) -> dict[str, float]:
    choice = registry.choose("metrics", name)
    metric, known = choice.make(), _measurable(place, choice)
    training, test = on_device(known.load("train"), where), on_device(known.load("test"), where)
    arbiter: Any = None if known.points else judge.load("mnist", where)
    extractor: Extractor = Points() if known.points else arbiter
    pixels = disturbed(training.images[:SAMPLES])
    if name == "stacked_modes":  # stacked MNIST is not on every machine, but three digits are
        pixels, arbiter = torch.cat([pixels, pixels.roll(1, 0), pixels.roll(2, 0)], 1), StackedJudge(arbiter)
    model = asked(_offering(choice.plugin.requires, training, known, where)) if choice.plugin.requires else None
    samples = Images(pixels, extractor, arbiter, model=model)
    reference = Reference(test.images, extractor, arbiter, test.labels, training, known)
    found: dict[str, float] = metric.compute(samples, reference)
    return found


def _measurable(place: Place, choice: Any) -> Any:
    """The data that a metric is tried on: the digits, or points where it is made for those."""
    reasons = []
    for known in (place.digits, data("ring")):
        reason = choice.plugin.refusal(choice.settings, known)
        if reason is None or choice.name == "stacked_modes":
            return known
        reasons.append(reason)
    raise Skip("; ".join(reasons))


def disturbed(images: torch.Tensor) -> torch.Tensor:
    """Images of which every second is noisy, the same on every device: no value is then at the end of its scale."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=rng).to(images.device)
    noise[::2] = 0
    if images.dtype != torch.uint8:
        return (images + 0.05 * noise).clamp(-1, 1)
    return (images.float() + 60 * noise).clamp(0, 255).round().to(torch.uint8)


def _offering(requires: frozenset[str], training: Labelled, known: Any, where: torch.device) -> Model:
    """The first model that offers this, untrained, with the weights that it has on the CPU: data-dependent ones are set
    with noise, which differs from device to device."""
    for name in registry.names("models"):
        choice = registry.choose("models", name)
        if not requires <= choice.plugin.capabilities(choice.settings):
            continue
        if known.points:
            choice = registry.choose("models", {"name": name, "architecture": "mlp"})
        if choice.plugin.refusal(choice.settings, known.shape) is None:
            tricks = [trick.make() for trick in with_own(choice, ())]
            compute, rng = Compute(where, torch.float32), torch.Generator(where).manual_seed(0)
            torch.manual_seed(0)
            made: Model = choice.make(known.shape, training, 10, tricks, compute, 0, rng)
            if where.type != "cpu":
                on_cpu = Labelled(training.images.cpu(), training.labels.cpu())
                _copy_weights(_offering(requires, on_cpu, known, torch.device("cpu")), made)
            return made
    raise Skip(f"no model offers {', '.join(sorted(requires))} on this data")


def _copy_weights(one: Model, other: Model) -> None:
    """Give the networks of a model the weights of another one's."""
    for name, value in vars(one).items():
        if isinstance(value, torch.nn.Module):
            getattr(other, name).load_state_dict(value.state_dict())


RANDOM = ("sample_classes", "translate")
"""What a metric asks a model that draws random numbers, which differ from device to device."""


def _recording(model: Model, recorded: list[Any]) -> Any:
    """The model, whose random answers are kept."""

    def answer(name: str, *words: Any) -> Any:
        recorded.append(getattr(model, name)(*words))
        return recorded[-1]

    return _asked(model, answer)


def _replaying(model: Model, recorded: list[Any], where: torch.device) -> Any:
    """The model, whose random answers are those that were kept."""

    def answer(name: str, *words: Any) -> Any:
        kept = recorded.pop(0)
        return kept.to(where) if isinstance(kept, torch.Tensor) else type(kept)(*(part.to(where) for part in kept))

    return _asked(model, answer)


def _asked(model: Model, answer: Callable[..., Any]) -> Any:
    others = ("codes", "classify", "reconstruct", "probability")
    plain = {name: getattr(model, name) for name in others if hasattr(model, name)}
    return SimpleNamespace(compute=model.compute, **plain, **{name: partial(answer, name) for name in RANDOM})


# --- stopping and going on -----------------------------------------------------------------------------------------


def checkpoints(place: Place) -> Items:
    """Every model, and a model with state in its tricks."""
    items: Items = {model: partial(goes_on, place, model) for model in registry.names("models")}
    return items | {
        "dcgan + ema, historical_averaging": partial(goes_on, place, "dcgan", ("ema", "historical_averaging"))
    }


def goes_on(place: Place, model: str, tricks: tuple[str, ...] = ()) -> Found | None:
    """Stopped after some steps, saved, and taken up by new objects: the same random states and, where the device can
    compute the same twice, the same end to the last bit."""
    steps = 2 * (place.steps // 2)
    made = arm(place, model, tricks, steps=steps, deterministic=True, precision="float32")
    with computing(made, place.device):
        try:
            whole = trainer(place, made, place.new_folder())
            whole.run_to_end(quiet())
        except RuntimeError as error:
            if "deterministic" not in str(error):
                raise
            whole, operation = None, str(error).partition(",")[0]
    if whole is None:
        made = arm(place, model, tricks, steps=steps, precision="float32")
    with computing(made, place.device):
        again = _stopped_and_resumed(place, made, steps // 2)
        again.run_to_end(quiet())
    assert again.progress.step == steps
    if whole is None:
        return Found(said=f"the end is not compared: {operation}")
    assert equal(whole.progress.curves, again.progress.curves), "the curves differ"
    assert equal(whole.model.state_dict(), again.model.state_dict()), "the states at the end differ"
    return None


def _stopped_and_resumed(place: Place, made: Arm, at: int) -> Trainer:
    folder = place.new_folder()
    first = trainer(place, made, folder)
    try:
        first.run_to_end(quiet(lambda: first.progress.step == at))
        raise AssertionError("it did not stop")
    except Stopped:
        states = _random_states(place, first)
    torch.manual_seed(1)  # the GPU's too
    again = trainer(place, made, folder)
    assert again.resume(), "the checkpoint was not taken up"
    assert again.progress.step == at
    assert equal(states, _random_states(place, again)), "random states differ"
    assert equal(first.model.state_dict(), again.model.state_dict()), "states differ"
    return again


def _random_states(place: Place, course: Trainer) -> list[torch.Tensor]:
    states = [course.model.rng.get_state(), torch.get_rng_state()]
    return states + ([torch.cuda.get_rng_state(place.device)] if place.cuda else [])


# --- the same twice ------------------------------------------------------------------------------------------------


def determinism(place: Place) -> Items:
    """Every model, from its data to its values."""
    return {model: partial(same_twice, place, model) for model in registry.names("models")}


def same_twice(place: Place, model: str) -> Found | None:
    """With ``deterministic: true`` two trials give the same numbers, or both name the operation that cannot."""
    made = arm(place, model, deterministic=True)
    (one, curves), (other, again) = trial(place, made), trial(place, made)
    assert one.state == other.state, f"{one.state} ({one.reason}), then {other.state} ({other.reason})"
    if "does not have a deterministic implementation" in one.reason:
        return Found(said=one.reason)
    assert one.state == "done", one.reason
    assert curves.curves == again.curves, "the curves differ"
    assert one.values == other.values, f"{one.values} and {other.values}"
    return None


# --- CUDA graphs -------------------------------------------------------------------------------------------------


def graphs(place: Place) -> Items:
    """Every model, every trick on the first model that takes it, and a handful of tricks on every model."""
    items: Items = {model: partial(same_as_graph, place, model) for model in registry.names("models")}
    for trick in registry.names("tricks"):
        items[trick] = partial(trick_as_graph, place, trick)
    for model in registry.names("models"):
        for trick in HANDFUL:
            if not refused(model, (trick,), place):
                items[f"{model} + {trick}"] = partial(same_as_graph, place, model, (trick,))
    return items


SCHEDULED: dict[str, Any] = {"r1": {"name": "r1", "final": 0.5}, "r2": {"name": "r2", "final": 0.5}}
"""Tricks with the settings by which they change over the training: a graph must see the change."""


def trick_as_graph(place: Place, trick: str) -> Found | None:
    """A trick, on the first model that takes it."""
    reasons: list[str] = []
    for model in TAKERS.values():
        reasons = refused(model, (trick,), place)
        if not reasons:
            own = {"name": model} if isinstance(model, str) else dict(model)
            return same_as_graph(place, own | {"final_rate": 0.1}, (SCHEDULED.get(trick, trick),))
    raise Skip("; ".join(reasons))


def same_as_graph(place: Place, model: Any, tricks: tuple[Any, ...] = ()) -> Found | None:
    """The same curves and the same state to the last bit, whether the steps are a graph or not."""
    steps = 12 if place.cuda else 2
    made = arm(place, model, tricks, steps=steps, precision="float32", deterministic=True)
    with computing(made, place.device):
        alike = [trainer(place, made, place.new_folder(), graphs=graphs) for graphs in (False, True)]
        if place.cuda and (reason := obstacle(alike[1].model, place.device)):
            raise Skip(reason)
        for course in alike:
            torch.manual_seed(1)  # the generators that the models do not own
            try:
                course.run_to_end(quiet())
            except RuntimeError as error:
                if "deterministic implementation" in str(error):
                    raise Skip(str(error).partition(",")[0]) from error
                raise
    one, other = alike
    assert one.progress.curves == other.progress.curves, "the curves differ"
    assert equal(one.model.state_dict(), other.model.state_dict()), "the states at the end differ"
    return None


# --- memory --------------------------------------------------------------------------------------------------------


def memory(place: Place) -> Items:
    """A trial that finds too little; then what each model takes."""
    items: Items = {"too little memory": partial(too_little, place)}
    return items | {model: partial(peak, place, model) for model in registry.names("models")}


def too_little(place: Place) -> Found:
    """A trial that needs more memory than there is says so, gives back what it had, and the next one trains."""
    fine = arm(place, "gan")
    outcome, _ = trial(place, fine)
    assert outcome.state == "done", outcome.reason
    release()
    before = torch.cuda.memory_allocated(place.device) if place.cuda else 0
    with little_memory(place):
        outcome, _ = trial(place, arm(place, "dcgan", batch_size=65_536, precision="float32"))
    assert outcome.state == "out-of-memory", f"{outcome.state}: {outcome.reason}"
    said = outcome.reason
    release()
    if place.cuda:
        kept = (torch.cuda.memory_allocated(place.device) - before) / 2**20
        assert kept < 64, f"{kept:.0f} MiB were not given back"
    outcome, _ = trial(place, fine)
    assert outcome.state == "done", f"afterwards a small trial is {outcome.state}: {outcome.reason}"
    return Found(said=f"told as: {said}")


@contextlib.contextmanager
def little_memory(place: Place) -> Iterator[None]:
    """For a while this process has half a gigabyte more than it has now."""
    more = 2**29
    if place.cuda:
        whole = torch.cuda.get_device_properties(place.device).total_memory
        share = (torch.cuda.memory_reserved(place.device) + more) / whole
        torch.cuda.set_per_process_memory_fraction(share, place.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, place.device)
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (int(_status("VmSize") * 2**20) + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def peak(place: Place, model: str) -> Found:
    """The most memory that a training takes at once."""
    batch = 64 if place.cuda else 8
    made = arm(place, model, steps=3 if place.cuda else 1, batch_size=batch)
    before = _reset_peak(place)
    with computing(made, place.device):
        trainer(place, made, place.new_folder()).run_to_end(quiet())
    how = f"batch {batch}, {str(precision(made, place.device)).removeprefix('torch.')}"
    if not place.cuda:
        return Found([Row(f"the process grew by ({how})", _status("VmHWM") - before, "MiB")])
    return Found(
        [
            Row(f"allocated at most ({how})", torch.cuda.max_memory_allocated(place.device) / 2**20, "MiB"),
            Row("of which the data and what else stays", before, "MiB"),
            Row("reserved at most", torch.cuda.max_memory_reserved(place.device) / 2**20, "MiB"),
        ]
    )


def _reset_peak(place: Place) -> float:
    """Begin to count anew; what is taken now, in MiB."""
    release()
    if place.cuda:
        torch.cuda.reset_peak_memory_stats(place.device)
        return torch.cuda.memory_allocated(place.device) / 2**20
    with contextlib.suppress(OSError):  # Linux alone
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> float:
    """A field of this process's state, in MiB."""
    if sys.platform != "linux":
        raise Skip("only Linux says how much memory a process takes")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


PARTS: dict[str, Callable[[Place], Items]] = {
    "machine": machine,
    "trains": training,
    "metrics": equality,
    "checkpoint": checkpoints,
    "deterministic": determinism,
    "graphs": graphs,
    "memory": memory,
}

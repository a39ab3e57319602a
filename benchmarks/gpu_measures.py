"""The measurements of ``benchmarks/gpu.py``: steps, kernels, evaluation, trials side by side, and the machine itself.

Device work is asynchronous: every time is read after the device was waited for, and after a warm-up. A step's time is
the median of several rounds of many steps.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from gpu_checks import missing_packages
from gpu_events import end_with_parent
from gpu_kit import Found, Items, Place, Row, Skip, arm, data, trainer, trial

from harness.base.seeds import Seeds
from harness.metrics.images import Images
from harness.suite import read_suite
from harness.suite.plan import make_plan, smoke_plan
from harness.trial.device import computing, on_device
from harness.trial.evaluation import Evaluator
from harness.trial.run import build
from harness.zoo import registry
from harness.zoo.models.base import Model

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "suites" / "quickstart.yaml"
MODELS = ("gan", "dcgan", "wgan_gp", "r3gan", "infogan")
FORMATS = ("bfloat16", "float32")


def seconds(place: Place, work: Callable[[], Any], budget: float, warm: int = 3) -> list[float]:
    """Seconds of one call, in several rounds that take this long together; a round is of many calls."""
    for _ in range(warm):
        work()
    once = _timed(place, work, 1)
    calls = max(1, int(budget / 8 / max(once, 1e-7)))
    rounds: list[float] = []
    until = time.perf_counter() + budget
    while len(rounds) < 3 or (time.perf_counter() < until and len(rounds) < 15):
        rounds.append(_timed(place, work, calls))
    return rounds


def _timed(place: Place, work: Callable[[], Any], calls: int) -> float:
    place.synchronise()
    began = time.perf_counter()
    for _ in range(calls):
        work()
    place.synchronise()
    return (time.perf_counter() - began) / calls


def median(place: Place, work: Callable[[], Any], budget: float, warm: int = 3) -> float:
    """The median of the rounds."""
    return statistics.median(seconds(place, work, budget, warm))


# --- the machine's own figures -------------------------------------------------------------------------------------


def figures(place: Place) -> Items:
    """What the device can do at best: the figures that a step's time is to be held against."""
    return {
        "matrix product, bfloat16": partial(matrix, place, torch.bfloat16),
        "matrix product, float32": partial(matrix, place, torch.float32),
        "matrix product, TF32": partial(matrix, place, torch.float32, True),
        "copy": partial(copying, place),
        "launch": partial(launching, place),
        "launch from a CUDA graph": partial(replaying, place),
        "reading a number back": partial(reading, place),
    }


def matrix(place: Place, dtype: torch.dtype, tf32: bool = False) -> Found:
    """The rate of a large product of random matrices (zeros would be quicker)."""
    if tf32 and not place.cuda:
        raise Skip("a CPU has no TF32")
    n = 8192 if place.cuda else 256
    one, other = (torch.randn(n, n, device=place.device).to(dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        took = median(place, lambda: one @ other, 1.0 if place.cuda else 0.05)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return Found([Row("rate", 2 * n**3 / took / 1e12, "TFLOP/s")], f"{n}×{n}×{n}, random numbers")


def copying(place: Place) -> Found:
    """Memory bandwidth by a copy within the device's memory, bytes read and written."""
    size = 2**26
    if place.cuda:  # far more than its caches hold
        size = min(2**32, torch.cuda.get_device_properties(place.device).total_memory // 8)
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=place.device)
    target = torch.empty_like(source)
    took = median(place, lambda: target.copy_(source), 0.5 if place.cuda else 0.05)
    return Found([Row("bandwidth", 2 * size / took / 1e9, "GB/s")], f"{size // 2**20} MiB, read and written")


def launching(place: Place) -> Found:
    """What it costs to launch a kernel that has nothing to do, from Python, many in a row."""
    one = torch.zeros(1, device=place.device)

    def many() -> None:
        for _ in range(500):
            one.add_(1)

    return Found([Row("each", median(place, many, 0.3 if place.cuda else 0.02) / 500 * 1e6, "µs")])


def replaying(place: Place) -> Found:
    """The same kernels, recorded once and replayed as one CUDA graph."""
    if not place.cuda:
        raise Skip("a CPU has no graphs")
    one = torch.zeros(1, device=place.device)
    one.add_(1)
    place.synchronise()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(500):
            one.add_(1)
    return Found([Row("each", median(place, graph.replay, 0.3) / 500 * 1e6, "µs")])


def reading(place: Place) -> Found:
    """How long the host waits for one number."""
    one = torch.zeros(1, device=place.device)
    return Found([Row("each", median(place, lambda: one.add_(1).item(), 0.2 if place.cuda else 0.02) * 1e6, "µs")])


# --- steps ---------------------------------------------------------------------------------------------------------


def batches(place: Place) -> tuple[int, int]:
    """The two sizes of mini-batch."""
    return (64, 512) if place.cuda else (8, 16)


def combinations(place: Place) -> Iterator[tuple[str, int, str]]:
    """Model, batch, format: what suites use most comes first."""
    for batch in batches(place):
        for dtype in FORMATS:
            for model in MODELS:
                yield model, batch, dtype


def steps(place: Place) -> Items:
    """The time of a whole training step, as a CUDA graph and launch by launch: batch, model, sums of scalars."""
    return {f"{m}, batch {b}, {d}": partial(step, place, m, b, d) for m, b, d in combinations(place)}


@contextlib.contextmanager
def stepping(
    place: Place, model: str, batch: int, dtype: str, graphs: bool = True
) -> Iterator[tuple[Callable[[], None], int]]:
    """What makes one step as the loop does, and how many real images that takes."""
    made = arm(place, model, steps=100_000, batch_size=batch, precision=dtype)
    with computing(made, place.device):
        course = trainer(place, made, place.new_folder(), graphs)
        yield course.steps.take, batch * course.model.batches_per_step


def step(place: Place, model: str, batch: int, dtype: str) -> Found:
    """Milliseconds of a step."""
    rounds: dict[bool, list[float]] = {}
    for graphs in (True, False):
        with stepping(place, model, batch, dtype, graphs) as (once, images):
            rounds[graphs] = seconds(place, once, 0.7 if place.cuda else 0.05, warm=20 if place.cuda else 1)
    took, eager = (statistics.median(rounds[graphs]) for graphs in (True, False))
    return Found(
        [
            Row("step", 1000 * took, "ms"),
            Row("from", 1000 * min(rounds[True]), "ms"),
            Row("to", 1000 * max(rounds[True]), "ms"),
            Row("launch by launch", 1000 * eager, "ms"),
            Row("against it", eager / took, "×"),
            Row("real images", images / took, "1/s"),
        ]
    )


# --- several trainings in one process ----------------------------------------------------------------------------


def fused(place: Place) -> Items:
    """Trainings of several seeds in one process, as the lanes of a worker have them, with a stream of its own each."""
    numbers = (1, 4, 8, 16, 32) if place.cuda else (1, 2)
    return {f"{m}, {n} seeds": partial(together, place, m, n) for m in ("dcgan", "gan", "wgan_gp") for n in numbers}


def together(place: Place, model: str, n: int) -> Found:
    """Milliseconds of a step of each of n seeds, their steps launched in turn."""
    made = arm(place, model, steps=100_000, batch_size=batches(place)[0], precision="bfloat16")
    with computing(made, place.device):
        courses = [trainer(place, made, place.new_folder(), seed=seed) for seed in range(n)]
        streams = [torch.cuda.Stream(place.device) if place.cuda else None for _ in courses]  # type: ignore[no-untyped-call]

        def round_of_steps() -> None:
            for course, stream in zip(courses, streams, strict=True):
                with torch.cuda.stream(stream):
                    course.steps.take()

        took = median(place, round_of_steps, 1.0 if place.cuda else 0.05, warm=8 if place.cuda else 1)
    return Found([Row("step of a seed", 1000 * took / n, "ms"), Row("all seeds together", n / took, "steps/s")])


# --- kernels -------------------------------------------------------------------------------------------------------


def kernels(place: Place) -> Items:
    """What the profiler sees of a step."""
    return {f"{m}, batch {b}, {d}": partial(profiled, place, m, b, d) for m, b, d in combinations(place)}


def profiled(place: Place, model: str, batch: int, dtype: str) -> Found:
    """Kernels a step, how long they take, and for how much of an unprofiled step none runs."""
    count = 10 if place.cuda else 1
    with stepping(place, model, batch, dtype) as (once, _):
        took = median(place, once, 0.4 if place.cuda else 0.02, warm=20 if place.cuda else 1)
        events = _trace(place, once, count)
    if not place.cuda:
        operators = sum(event.get("cat") == "cpu_op" for event in events)
        return Found([Row("operators", operators / count, "a step"), Row("step", 1000 * took, "ms")])
    return accounted(events, count, took)


def accounted(events: list[dict[str, Any]], count: int, took: float) -> Found:
    """What the events of so many steps come to, where one takes this long without the profiler."""
    work = [event for event in events if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    launched = [event for event in work if event["cat"] == "kernel"]
    busy = covered([(event["ts"], event["ts"] + event["dur"]) for event in work]) / count / 1000
    waits = sum("Synchronize" in event["name"] for event in events if event.get("cat") == "cuda_runtime")
    longest = Counter[str]()
    for event in launched:
        longest[event["name"][:60]] += event["dur"]
    whole = sum(longest.values()) or 1
    return Found(
        [
            Row("kernels", len(launched) / count, "a step"),
            Row("copies and fills", (len(work) - len(launched)) / count, "a step"),
            Row("host waits", max(0, waits - 1) / count, "a step"),  # one is that at the end
            Row("device busy", busy, "ms"),
            Row("step without the profiler", 1000 * took, "ms"),
            Row("idle", 100 * max(0.0, 1 - busy / (1000 * took)), "%"),
        ],
        "; ".join(f"{100 * spent / whole:.0f} % {name}" for name, spent in longest.most_common(3)),
    )


def _trace(place: Place, once: Callable[[], None], count: int) -> list[dict[str, Any]]:
    """The events of some steps, as the profiler writes them."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if place.cuda else [])
    for _ in range(2 if place.cuda else 1):  # the first profile of a process is slow to begin, and may miss kernels
        with profile(activities=activities) as profiler:
            for _ in range(count):
                once()
            place.synchronise()
    path = place.new_folder() / "trace.json"
    profiler.export_chrome_trace(str(path))
    events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
    path.unlink()
    return [event for event in events if event.get("ph") == "X"]


def covered(intervals: list[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


# --- evaluation ----------------------------------------------------------------------------------------------------


def evaluation(place: Place) -> Items:
    """What an evaluation takes, on the digits and, where its files are, on MNIST."""
    found: Items = {}
    for name in ("digits", "mnist"):
        bench = Measured(place, name)
        found[f"{name}: whole evaluation"] = bench.whole
        found[f"{name}: samples and features"] = bench.samples
        for metric in registry.names("metrics"):
            if not registry.choose("metrics", metric).plugin.requires:
                found[f"{name}: {metric}"] = partial(bench.metric, metric)
    return found


class Measured:
    """An untrained DCGAN and its samples: what they look like does not change what measuring them takes."""

    def __init__(self, place: Place, name: str) -> None:
        self.place, self.name = place, name
        self.count = 10_000 if place.cuda else 100

    @cached_property
    def data(self) -> Any:
        """The data set."""
        found = data(self.name)
        if not found.present():
            raise Skip(f"{self.name} is not on this machine: set HARNESS_DATA")
        return found

    @cached_property
    def evaluator(self) -> Evaluator:
        """As the quickstart has it, with another number of samples."""
        return self._evaluator(make_plan(read_suite(QUICKSTART)).cells[0].arm.evaluate)

    def _evaluator(self, config: Any) -> Evaluator:
        training = on_device(self.data.load("train"), self.place.device)
        config = config.model_copy(update={"samples": self.count})
        return Evaluator(config, self.data, training, self.place.device, None)

    @cached_property
    def model(self) -> Model:
        """What is measured."""
        shown = arm(self.place, "dcgan")
        return build(shown, Seeds.of(0), self.place.device, self.data.shape, self.evaluator.training)

    @cached_property
    def images(self) -> Images:
        """Its samples, with features."""
        drawn = Images(self.evaluator.draw(self.model, 0), self.evaluator.extractor, self.evaluator.judge)
        for images in (drawn, self.evaluator.reference):
            assert len(images.features) == len(images)
            assert len(images.probabilities) == len(images)
        return drawn

    def whole(self) -> Found:
        """All that the quickstart measures, the first time and again."""
        with computing(arm(self.place, "dcgan"), self.place.device):
            rows = []
            for which in ("first", "again"):  # the first loads the judges, and measures the real images too
                took = _timed(self.place, lambda: self.evaluator.evaluate(self.model, 0), 1)
                rows.append(Row(which, took, "s"))
        metrics = ", ".join(metric.name for metric in self.evaluator.metrics)
        return Found(rows, f"{self.count} samples, {len(self.evaluator.reference)} references: {metrics}")

    def samples(self) -> Found:
        """The passes over the device."""
        with computing(arm(self.place, "dcgan"), self.place.device):
            pixels = self.evaluator.draw(self.model, 0)
            work = {
                "drawing": lambda: self.evaluator.draw(self.model, 0),
                "features": lambda: [part.cpu() for part in self.evaluator.extractor.features(pixels)],
                "classes": lambda: [part.cpu() for part in self.evaluator.judge.assess(pixels)],
            }
            return Found([Row(name, median(self.place, each, 0.3, 1), "s") for name, each in work.items()])

    def metric(self, name: str) -> Found:
        """One metric, its features at hand: it computes on the CPU."""
        choice = registry.choose("metrics", name)
        if reason := choice.plugin.refusal(choice.settings, self.data):
            raise Skip(reason)
        with computing(arm(self.place, "dcgan"), self.place.device):
            images, reference = self.images, self.evaluator.reference
            metric = choice.make()
            rows = [
                Row(which, _timed(self.place, lambda: metric.compute(images, reference), 1), "s")
                for which in ("first", "again")
            ]
        return Found(rows)


# --- side by side --------------------------------------------------------------------------------------------------


def beside(place: Place) -> Items:
    """One training in each of several processes, as workers of the harness have it."""
    group = Group(place, (1, 2, 4, 8) if place.cuda else (1, 2))
    return {f"{n} process{'es' if n > 1 else ''}": partial(group.measure, n) for n in group.numbers}


class Group:
    """Processes that train when they are told to. All are started at once: that takes long."""

    def __init__(self, place: Place, numbers: tuple[int, ...]) -> None:
        self.place, self.numbers = place, numbers
        self.seconds = 4.0 if place.cuda else 0.5
        self.alone: float | None = None
        self._processes: list[subprocess.Popen[str]] = []

    def measure(self, n: int) -> Found:
        """Steps a second of n processes together."""
        if not self._processes:
            self._start()
        for process in self._processes[:n]:
            assert process.stdin is not None
            process.stdin.write(f"{self.seconds}\n")
            process.stdin.flush()
        rates = [self._answer(process) for process in self._processes[:n]]
        if n == 1:
            self.alone = sum(rates)
        if n == self.numbers[-1]:
            for process in self._processes:
                process.kill()
        rows = [Row("together", sum(rates), "steps/s"), Row("slowest", min(rates), "steps/s")]
        return Found(rows + ([Row("against one", sum(rates) / self.alone, "×")] if self.alone else []))

    def _start(self) -> None:
        words = [sys.executable, __file__, "--device", str(self.place.device), "--folder"]
        self._processes = [
            subprocess.Popen(
                [*words, str(self.place.new_folder())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(max(self.numbers))
        ]
        for process in self._processes:
            self._answer(process)

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> float:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with exit code {process.wait()}: worker.log says why")
        return float(line)


def train_when_told(place: Place) -> None:
    """The life of one of them: warm up, then train for so many seconds a line, and answer with the steps a second."""
    batch = batches(place)[0]
    with stepping(place, "dcgan", batch, "auto") as (once, _):
        _timed(place, once, 20 if place.cuda else 1)
        print(0.0, flush=True)
        for line in sys.stdin:
            count, began = 0, time.perf_counter()
            while time.perf_counter() - began < float(line):
                took = _timed(place, once, 20 if place.cuda else 1)
                count += 20 if place.cuda else 1
            assert took > 0
            print(count / (time.perf_counter() - began), flush=True)


# --- the quickstart ------------------------------------------------------------------------------------------------


def quickstart(place: Place) -> Items:
    """Its trials without a store, then the command itself, then the command again, when nothing is left to do."""
    results = place.new_folder() / "results"
    return {
        "its trials one after another, in one process": partial(trials, place),
        f"`harness run`, {'two workers' if place.cuda else 'two steps an arm'}": partial(command, place, results),
        "`harness run` again, all done": partial(command, place, results),
    }


def trials(place: Place) -> Found:
    """Every trial, as a worker runs it."""
    suite = read_suite(QUICKSTART)
    plan = make_plan(suite) if place.cuda else smoke_plan(suite)
    began, training, measuring = time.perf_counter(), 0.0, 0.0
    for each in plan.trials:
        outcome, _ = trial(place, each.arm, each.seed)
        assert outcome.state == "done", f"{each.arm.name}, seed {each.seed}: {outcome.state}: {outcome.reason}"
        training += outcome.seconds_train
        measuring += outcome.seconds_evaluate
    rows = [Row("whole", time.perf_counter() - began, "s"), Row("training", training, "s")]
    return Found([*rows, Row("evaluation", measuring, "s")], f"{len(plan.trials)} trials")


def command(place: Place, results: Path) -> Found:
    """The whole command line, stores and report included."""
    if missing := missing_packages():
        raise Skip(f"{' and '.join(missing)} not carried")
    words = [sys.executable, "-m", "harness", "run", str(QUICKSTART), "--results", str(results)]
    words += ["--device", place.device.type, *(["--workers", "2"] if place.cuda else ["--workers", "1", "--smoke"])]
    began = time.perf_counter()
    done = subprocess.run(words, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    # MLflow has a copy among its artifacts.
    [path] = (path for path in results.rglob("trials.csv") if "artifacts" not in path.relative_to(results).parts)
    with path.open(encoding="utf-8") as file:
        states = Counter(row["state"] for row in csv.DictReader(file))
    assert set(states) == {"done"}, f"{dict(states)}: {done.stdout[-2000:]}"
    return Found([Row("whole", took, "s")], f"{states['done']} trials done")


PARTS: dict[str, Callable[[Place], Items]] = {
    "figures": figures,
    "steps": steps,
    "fused": fused,
    "kernels": kernels,
    "beside": beside,
    "evaluation": evaluation,
    "quickstart": quickstart,
}


if __name__ == "__main__":
    end_with_parent()
    parser = argparse.ArgumentParser(description="One of the processes that train side by side.")
    parser.add_argument("--device", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    chosen = parser.parse_args()
    train_when_told(Place(torch.device(chosen.device), chosen.folder))

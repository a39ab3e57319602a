"""Where the processor time goes: the kernels of a step, of an evaluation, and the packages of the driver's code.

    python benchmarks/profiles.py [NAME ...] [--steps 20] [--samples 10000] [--out results/benchmarks/profiles.md]

These are the rows of docs/speed.md that are furthest from what was wanted, and those that gained most, on one thread.
A kernel's time is its own, without that of the kernels that it calls. What no kernel accounts for is Python's.
"""

from __future__ import annotations

import argparse
import collections
import cProfile
import functools
import json
import pstats
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bench_driver
import bench_steps
import torch
from bench import machine

from harness.base.version import commit
from harness.zoo.data.base import Shape

KINDS = {
    "convolutions": r"conv|col2im|im2col",
    "matrix products": r"\bmm$|addmm|bmm|linear|matmul",
    "random numbers": r"random|normal_|uniform_|bernoulli|randperm|randint",
    "normalisation": r"norm",
    "nearest neighbours": r"topk|kthvalue|sort|cdist",
    "optimizer": r"_foreach|_fused|adam",
    "activations": r"relu|sigmoid|tanh|softplus|dropout|threshold|silu",
    "copies, casts and zeros": r"copy_|_to_copy|clone|zero_|fill_|contiguous|empty|\bto$|cat$|index|resize",
    "sums and means": r"sum|mean|var",
    "arithmetic of elements": r"mul|add|div|sub|neg|abs|exp|log|pow|sqrt|where|lerp|clamp|minimum|maximum",
}
"""A word for kernels -> their names in torch. The first that matches counts."""
Shares = dict[str, float]


def kind(kernel: str) -> str:
    """The word for a kernel."""
    name = kernel.removeprefix("aten::").removeprefix("autograd::engine::evaluate_function: ").lower()
    return next((word for word, pattern in KINDS.items() if re.search(pattern, name)), "other kernels")


def of_kernels(work: Callable[[], object]) -> Shares:
    """Percent of the processor time that each kind of kernel takes, and Python."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        began = time.process_time()
        work()
        whole = time.process_time() - began
    spent: collections.Counter[str] = collections.Counter()
    for event in profile.key_averages():
        spent[kind(event.key)] += event.self_cpu_time_total / 1e6
    spent["Python, and torch around its kernels"] = max(0.0, whole - spent.total())
    return {word: 100 * seconds / spent.total() for word, seconds in spent.most_common()}


def of_packages(work: Callable[[], object]) -> Shares:
    """Percent of the time that the functions of each package take, built-in ones with those that call them."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(work)
    functions: Mapping[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    spent: collections.Counter[str] = collections.Counter()
    for place, (_, _, own, _, callers) in functions.items():
        if place[0] != "~":
            spent[package(place[0])] += own
        for caller, (_, _, own_of_caller, _) in callers.items():
            if place[0] == "~":
                spent[package(caller[0])] += own_of_caller
    return {word: 100 * seconds / spent.total() for word, seconds in spent.most_common()}


def package(path: str) -> str:
    """The package that a file belongs to."""
    found = re.search(r"site-packages/(\w+)|(harness)/|lib/python[\d.]+/(?!site-packages)(\w+)", path)
    return next(filter(None, found.groups())) if found else "other code"


def step(model: dict[str, Any], tricks: list[str], dtype: str, shape: Shape, steps: int, samples: int) -> Shares:
    """Of so many steps."""
    one = bench_steps.trainer(json.dumps(model), tuple(tricks), dtype, shape, steps)()
    return of_kernels(lambda: one.run_to_end(bench_steps.quietly()))


def evaluation(steps: int, samples: int) -> Shares:
    """Of an evaluation whose reference is in the cache."""
    import bench_evaluation

    scene = bench_evaluation.Scene(samples)
    scene.ours()
    return of_kernels(scene.ours)


def driver(steps: int, samples: int) -> Shares:
    """Of the driver, for as many trials as steps are asked for."""
    bench_driver.of(bench_driver.FEW)
    return of_packages(lambda: bench_driver.of(steps))


def profiled() -> dict[str, Callable[[int, int], Shares]]:
    """What is looked at -> its shares, given steps and samples."""
    shapes, models = bench_steps.SHAPES, bench_steps.MODELS
    made: dict[str, Callable[[int, int], Shares]] = {
        f"step_{name}_{dtype}": functools.partial(step, *models[name], dtype, shapes[name])
        for name in models
        for dtype in ("float32", "bfloat16")
    }
    for name, tricks in {"tricks_none": [], **{f"tricks_{k}": v[0] for k, v in bench_steps.TRICKS.items()}}.items():
        made[name] = functools.partial(step, {"name": "dcgan"}, tricks, "float32", Shape(1, 28, 28, 10))
    return made | {"evaluation": evaluation, "driver": driver}


def page(found: Mapping[str, Shares]) -> str:
    """The shares as a page. What takes less than 1 % is left out."""
    lines = ["# Profiles", "", f"{machine()}, commit {commit()[:10]}; `python benchmarks/profiles.py`.", ""]
    lines += ["| row | percent of the processor time |", "|---|---|"]
    for name, shares in found.items():
        lines.append(f"| {name} | {', '.join(f'{word} {share:.0f}' for word, share in shares.items() if share >= 1)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    parser.add_argument("--steps", type=int, default=20, help="steps of a training; trials of the driver")
    parser.add_argument("--samples", type=int, default=10_000, help="samples of the evaluation")
    parser.add_argument("--out", type=Path, help="the page")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    looked = profiled()
    found = {name: looked[name](chosen.steps, chosen.samples) for name in chosen.names or looked}
    text = page(found)
    print(text)
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""`harness doctor`: what is there, what is missing, and how to fix it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

from rich.table import Table
from rich.text import Text

from harness.base.errors import HarnessError
from harness.base.messages import discreet, visible
from harness.base.states import State
from harness.base.terminal import console
from harness.base.version import __version__
from harness.execution.devices import cores
from harness.store.health import Finding, of_queues, of_results
from harness.store.studies import Studies
from harness.zoo import registry


def examine(results: Path) -> bool:
    """Run all checks and print them. Returns: whether everything that is needed is there."""
    findings = [*_device(), *_cluster(), *_versions(), *_plugins(), *_judges(), *_data()]
    findings += [*_store(results), *_queues(results)]
    table = Table("", "what", "found")
    for finding in findings:
        mark = "ok" if not finding.missing else "missing" if finding.needed else "note"
        table.add_row(mark, Text(visible(finding.what)), Text(visible(finding.missing or finding.found)))
    console().print(table)
    return not any(finding.missing and finding.needed for finding in findings)


def _device() -> Iterator[Finding]:
    yield Finding("processor", f"{cores()} cores, {platform.machine()}")
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", "", f"cannot be imported ({error}): `pip install torch torchvision`", needed=True)
        return
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(i)
            yield Finding(f"cuda:{i}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    else:
        yield Finding("GPU", "torch finds none: everything runs on the CPU")


def _cluster() -> Iterator[Finding]:
    """SLURM, where it is installed."""
    if shutil.which("sinfo") is None:
        return
    found = [_said("sinfo", "--version"), _said("sinfo", "--noheader", "--format=%R %D")]
    if not all(found):
        yield Finding("SLURM", "", "sinfo gets no answer from SLURM: --engine slurm cannot be used here")
        return
    partitions = [" in ".join(reversed(line.rsplit(" ", 1))) for line in found[1].splitlines()]
    lacking = "" if util.find_spec("submitit") else "--engine slurm needs submitit: pip install 'gan-harness[slurm]'"
    yield Finding("SLURM", f"{found[0].strip()}; nodes: {', '.join(partitions)}", lacking)


def _said(*words: str) -> str:
    """What a command prints; empty if it fails."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _versions() -> Iterator[Finding]:
    yield Finding("harness", f"{__version__}, Python {platform.python_version()}")
    for name in ("torch", "torchvision", "torch-fidelity", "optuna", "mlflow", "pandas"):
        try:
            yield Finding(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "", f"not installed: `pip install {name}`", needed=True)


def _plugins() -> Iterator[Finding]:
    for kind in registry.KINDS:
        broken = [entry for entry in registry.entries(kind) if entry.broken]
        yield Finding(kind, f"{len(registry.names(kind))} known")
        for entry in broken:
            yield Finding(f"{kind}: {entry.name}", "", entry.broken or "")


def _judges() -> Iterator[Finding]:
    from harness import judge

    for name in judge.names():
        try:
            judge.load(name, "cpu")
            yield Finding(f"judge {name}", f"weights {judge.digest(name)[:16]}")
        except HarnessError as error:
            yield Finding(f"judge {name}", "", str(error), needed=True)


def _data() -> Iterator[Finding]:
    told = os.environ.get("HARNESS_DATA", "")
    absent = f"{told} is not a folder: correct HARNESS_DATA" if told and not Path(told).is_dir() else ""
    yield Finding("HARNESS_DATA", told or "not set", absent)
    for name in registry.names("data"):
        choice = registry.choose("data", name)
        data = choice.make()
        if data.present():
            try:
                yield Finding(f"data {name}", f"content {data.digest()[:16]}")
            except HarnessError as error:  # the files exist but are damaged
                yield Finding(f"data {name}", "", str(error))
        elif "path" in type(data).Settings.model_fields:  # it reads images of the user's own
            yield Finding(f"data {name}", f"named in a suite: `data: {{name: {name}, path: …}}`")
        else:
            yield Finding(f"data {name}", "", f"not on this machine: `harness data fetch {name}`, or set HARNESS_DATA")


def _store(results: Path) -> Iterator[Finding]:
    from harness.store.runs import Store, state

    store = Store(results)
    if not store.exists:
        yield Finding("store", f"none in {results} yet; the first `harness run` creates it")
        return
    yield from of_results(store)
    try:
        runs = list(store.runs())
    except Exception as error:  # report any error of the database, do not end on it
        yield Finding("store", "", f"{store.shown} cannot be read: {discreet(str(error))}", needed=True)
        return
    counts = Counter(state(run) for run in runs)
    text = f"{store.shown}: {len(runs)} trials, {counts[State.DONE]} done"
    if altered := counts[State.ALTERED]:
        text += (
            f", {altered} changed after they ended (`harness plan SUITE` names them, `harness run SUITE` trains them)"
        )
    yield Finding("store", text)


def _queues(results: Path) -> Iterator[Finding]:
    from harness.store import sqlite

    studies = Studies(results)
    if studies.file is None:
        yield from of_queues(studies)
    elif studies.exists:
        try:
            sqlite.check(studies.file, sqlite.OPTUNA)
        except HarnessError as error:
            yield Finding("queue", "", str(error), needed=True)

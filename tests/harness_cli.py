"""The real command line on throw-away suites, for the tests."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forked_cli
from forked_cli import Command

HARNESS = [sys.executable, "-m", "harness"]

AT_THE_BEGINNING = ("PYTHON", "LC_", "LD_", "OMP_")
"""How names of variables begin that have their effect when an interpreter or a library starts."""

# Small enough for a trial to take about a second, on real digits with the real judges. After so few steps every
# value but sharpness is the same for all models and seeds: no sample shows a digit. Sharpness is in every suite whose
# numbers are compared (see `numbers`).
SUITE: dict[str, Any] = {
    "suite": "tiny",
    "question": "Does it work?",
    "data": "digits",
    "train": {"steps": 20, "batch_size": 16, "precision": "float32"},
    "seeds": 2,
    "base": {"model": {"name": "gan", "architecture": {"name": "fully_connected", "width": 32}}},
    "matrix": {"tricks": [[], ["ema"]]},
    "evaluate": {"samples": 100, "metrics": ["fid", "mode_coverage", "sharpness"]},
    "run": {"snapshots": 2, "curve_points": 10},
    "compare": {"baseline": {"tricks": []}, "metric": "sharpness"},
}


# A search of three configurations in place of a matrix of arms.
SEARCH: dict[str, Any] = {
    "matrix": {"tricks": [[]]},
    "search": {
        "sampler": "random",
        "n_trials": 3,
        "space": {
            "model.generator_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            "model.latent": {"type": "int", "low": 8, "high": 64},
            "model.objective": {"type": "categorical", "choices": ["minimax", "non_saturating"]},
        },
    },
}


@dataclass
class Workspace:
    """A folder with suites and a results folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def suite(self, name: str = "tiny", **changes: Any) -> Path:
        """Write a suite: the small one with other sections."""
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(SUITE | {"suite": name} | changes, indent=1))  # JSON is YAML
        return path

    def start(self, *words: str | Path, output: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        environment = os.environ | {"HARNESS_RESULTS": str(self.results)} | self.environment
        return subprocess.Popen(
            [*HARNESS, *map(str, words)],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *words: str | Path, code: int | tuple[int, ...] = 0) -> str:
        """Run a command to its end, and return what it printed.

        It is forked from a process that has imported everything, and so are its workers, or it is a fresh interpreter
        where the environment holds what an interpreter reads as it begins; ``start`` always starts one. Where the
        number of workers is not said it is one: it trains all that a tiny suite has in seconds.
        """
        if words[0] in ("run", "check") and "--workers" not in words:
            words = (*words, "--workers", "1")
        sites = [Path(site) for site in self.environment.get("PYTHONPATH", "").split(os.pathsep) if site]
        early = [name for name in self.environment if name.startswith(AT_THE_BEGINNING) and name != "PYTHONPATH"]
        if early or any((site / "sitecustomize.py").exists() for site in sites):
            process = self.start(*words)
            output, _ = process.communicate(timeout=300)
            ended = process.returncode
        else:
            environment = {"HARNESS_RESULTS": str(self.results), **self.environment}
            command = Command([*map(str, words)], str(self.folder), environment, [*map(str, sites)])
            came = forked_cli.warm().run(command)
            output, ended = came.output, came.code
        assert ended in (code if isinstance(code, tuple) else (code,)), output
        assert "Traceback" not in output, output
        return output

    def copy(self, folder: Path) -> Workspace:
        """A workspace with the same files in another folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Workspace(folder, dict(self.environment))

    def table(self, suite: str = "tiny", name: str = "trials", results: Path | None = None) -> list[dict[str, str]]:
        """A CSV of the suite's folder, a dict a row."""
        with ((results or self.results) / suite / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))

    def plan(self, suite: Path, *words: str) -> dict[str, Any]:
        """What `harness plan --json` says."""
        value: dict[str, Any] = json.loads(self.run("plan", suite, "--json", *words))
        return value


def python_that(folder: Path, *does: str) -> dict[str, str]:
    """The environment of Pythons that begin with this."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text("".join(does), "utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def package(site: Path, name: str, source: str, points: dict[str, str]) -> None:
    """Lay down an installed package, of one module, with its entry points: group -> its lines."""
    information = site / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (site / f"{name}.py").write_text(source)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
    groups = [f"[{group}]\n{lines}\n" for group, lines in points.items()]
    (information / "entry_points.txt").write_text("\n".join(groups))


def numbers(rows: list[dict[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """(arm, seed) -> the columns that must come out the same whenever a trial is trained.

    Sharpness must be among them, and differ from trial to trial: a comparison of constants would always pass.
    """
    moving = [row["sharpness"] for row in rows if row["state"] == "done"]
    assert "" not in moving
    assert len(set(moving)) == len(moving), "different trials have the same sharpness"
    varying = {"seconds_train", "seconds_evaluate", "mlflow_run_id"}
    return {(r["arm"], r["seed"]): {k: v for k, v in r.items() if k not in varying} for r in rows}

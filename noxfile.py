"""The checks of this project: `nox --list` shows them; .ci/run runs those that must pass.

Sessions use the interpreter that runs nox; `nox -s tests --force-python 3.12` uses another.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox
from nox.virtualenv import PassthroughEnv

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"  # uv, if installed, installs torch much faster
nox.options.sessions = ["lint", "types", "tests"]


def install(session: nox.Session, *extras: str) -> None:
    """Install this checkout of the harness. Installs nothing under --no-venv: that interpreter must have everything."""
    if not isinstance(session.virtualenv, PassthroughEnv):
        session.install("-e", f".[{','.join(extras)}]" if extras else ".", "-c", "constraints.txt")


def get_missing(session: nox.Session, programs: dict[str, str]) -> None:
    """Install what is missing of these programs (name -> package) as root on Debian.

    Elsewhere the tests that lack one are skipped by name.
    """
    folders = [*os.get_exec_path(), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    missing = [package for name, package in programs.items() if not shutil.which(name, path=os.pathsep.join(folders))]
    if missing and os.getuid() == 0 and shutil.which("apt-get"):
        words = ("apt-get", "install", "-y", "--no-install-recommends", *missing)
        session.run(*words, external=True, success_codes=range(256), env={"DEBIAN_FRONTEND": "noninteractive"})


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite; tests that need MNIST run only if HARNESS_DATA is set. Arguments go to pytest."""
    install(session, "test")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """The tests that take minutes: real runs that are killed, starved and repeated, and searches."""
    install(session, "test")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", "-m", "slow and not chaos", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """The tests that need a CUDA device. With --no-venv they use an interpreter that has torch already."""
    install(session, "test")
    session.run("python", "-m", "pytest", "-m", "gpu", *session.posargs, env={"HARNESS_REQUIRE_GPU": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Style, common mistakes, and the direction of imports."""
    session.install("ruff>=0.8", "import-linter>=2.6", "-c", "constraints.txt")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Type checks of the whole package, strict."""
    install(session, "types", "test")  # harness.testing needs pytest
    session.run("mypy")
    # Tests run little of these scripts: check at least their types.
    scripts = sorted(str(path) for kind in ("gpu", "bench", "peers") for path in Path("benchmarks").glob(f"{kind}*.py"))
    session.run("mypy", *scripts, env={"MYPYPATH": "benchmarks"})


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into build/site. A broken link is an error; nothing on it comes from elsewhere."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", "--quiet")
    session.run("python", "-m", "pytest", "tests/test_site.py", *session.posargs)


@nox.session
def smoke(session: nox.Session) -> None:
    """Two steps of every arm of every suite whose data is on this machine."""
    install(session)
    folder = session.create_tmp()
    for suite in sorted(Path("suites").glob("*.yaml")):
        if suite.stem == "one_class_cifar10":
            session.log(f"{suite} needs CIFAR-10 and a judge of it: see the comment at its top")
            continue
        if "data: digits" not in suite.read_text() and "HARNESS_DATA" not in os.environ:
            session.log(f"{suite} needs MNIST: set HARNESS_DATA to include it")
            continue
        session.run("harness", "run", str(suite), "--smoke", "--results", folder, success_codes=[0])


@nox.session
def evidence(session: nox.Session) -> None:
    """Run a suite and publish it below results/: `-- collapse`. It says the cost first, and goes on after a stop."""
    install(session)
    if not session.posargs:
        session.error("name a suite: nox -s evidence -- collapse")
    session.run("harness", "plan", *session.posargs, "--measure")
    session.run("harness", "run", *session.posargs)
    session.run("harness", "publish", *session.posargs, "--out", "results")


@nox.session
def regression(session: nox.Session) -> None:
    """Train suites/regression.yaml and compare it with the committed baseline; `-- --update` measures a new one."""
    install(session)
    folder = Path(session.create_tmp()).resolve()
    session.run(
        *("harness", "check", "suites/regression.yaml", "--baseline", "results/baselines/regression.json"),
        *("--results", str(folder / "results")),
        *("--junit", str(folder / "regression.xml"), "--markdown", str(folder / "regression.md")),
        *session.posargs,
    )


@nox.session
def sabotage(session: nox.Session) -> None:
    """Long. Faults in copies of this code must turn the check or a test red; clean copies must stay green."""
    install(session, "test")
    session.run("python", "benchmarks/sabotage.py", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Long. One place of the code is changed at a time: tests must notice. `-- --only zoo/penalties` tries a module."""
    install(session, "test")
    session.run("python", "benchmarks/mutants.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Long. The rows of docs/speed.md, in processor time; nothing else may run: `-- --rows step_dcgan --pairs 5`."""
    install(session, "test")
    session.run("python", "benchmarks/bench.py", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Opens the report and MLflow's interface in a headless Chromium; keeps screenshots in results/browser."""
    install(session, "test", "browser")
    get_missing(session, {"chromium": "chromium"})  # playwright's own Chromium would be another download
    session.run("python", "-m", "pytest", "-m", "browser", "--screenshots", "results/browser", *session.posargs)


@nox.session
def cluster(session: nox.Session) -> None:
    """Long. SLURM, Ray, PostgreSQL and an MLflow server, all on loopback, with real trials, and what may fail there."""
    install(session, "test", "slurm", "ray", "postgresql")
    get_missing(session, {"slurmctld": "slurm-wlm", "munged": "munge", "initdb": "postgresql", "ip": "iproute2"})
    session.run("python", "-m", "pytest", "-m", "cluster", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """The fault tests for some minutes: `-- --minutes 30 --seed 0`. Writes its summary to results/chaos."""
    install(session, "test")
    session.run("python", "benchmarks/chaos.py", *session.posargs)

"""Runs of the harness that are killed again and again, and everything that must be the same afterwards.

The model that they train writes a line for every step, so that it can be seen what was trained, by which process and
from where on. Before anything is killed all processes of the run are stopped: what is then on the disk says which
phase the kill hits.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
from harness_cli import SEARCH, Workspace, numbers
from mlflow import MlflowClient
from mlflow.entities import Run

from harness.base.files import load_state
from harness.store.journal import NAME, read
from harness.store.seals import SEAL, USAGE_PREFIX

STEPS = 120
PHASES = ("queueing", "training", "checkpointing", "evaluation", "recording", "reporting")
FARTHEST = {"queueing": 4.0, "training": 0.8, "checkpointing": 0.0, "evaluation": 0.3, "recording": 0.3, "reporting": 1}
"""Seconds from the beginning of a phase within which the kill comes."""

COUNTED = '''
"""A GAN that writes a line for every step that it is trained."""

import os
import time

from harness.zoo.models.gan import GAN


class Counted(GAN):
    name = "counted"
    summary = "a GAN that keeps a journal"

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.count = self.here = 0
        self.called = f"{'+'.join(trick.name for trick in self.tricks)}/{self.seed}/{self.settings.generator_rate}"

    def note(self, kind):
        line = f"{os.getpid()} {self.called} {kind} {self.count}\\n"
        handle = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, line.encode())
        os.close(handle)

    def step(self, batch):
        if self.here == 5 and "DAWDLE" in os.environ:
            time.sleep(1000)
        time.sleep(float(os.environ.get("PACE", 0)))
        scalars = super().step(batch)
        self.count += 1
        self.here += 1
        self.note("step")
        return scalars

    def state_dict(self):
        return super().state_dict() | {"count": self.count}

    def load_state_dict(self, state):
        self.count = state.pop("count")
        super().load_state_dict(state)
        self.note("resumed")
'''


@dataclass(frozen=True)
class Line:
    """A line of the journal: who, which trial, ``step`` or ``resumed``, and the steps of that trial so far."""

    pid: int
    trial: str
    kind: str
    count: int


@dataclass(frozen=True)
class Kill:
    """What is known just after a kill."""

    lines: int
    """Lines of the journal."""
    finished: frozenset[str]
    """Trials that are recorded as finished."""
    saved: dict[str, int]
    """Steps in the checkpoint of every trial that has one."""


CONFIRMED = SEARCH | {"search": SEARCH["search"] | {"confirm": {"seeds": 2}}}


@dataclass
class Life:
    """One store, from the first start of the harness to a run that comes to its end."""

    folder: Path
    keys: dict[str, str] = field(default_factory=dict)
    """Trial (as the journal calls it) -> key, from an uninterrupted run."""
    run: dict[str, Any] = field(default_factory=dict)
    """Changes to the section ``run`` of the suite."""
    searching: bool = False
    """Whether the suite is a search of as many configurations as it has arms otherwise, with its winner confirmed."""
    kills: list[Kill] = field(default_factory=list)
    driver: subprocess.Popen[str] | None = None
    _since: float = 0.0
    _journal: tuple[int, list[Line]] = (-1, [])

    def __post_init__(self) -> None:
        site = self.folder / "site"
        information = site / "counted_model-1.0.dist-info"
        information.mkdir(parents=True)
        (site / "counted_model.py").write_text(COUNTED)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: counted-model\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text("[harness.models]\ncounted = counted_model:Counted\n")
        # Not in the folder of a test: its name is too long for the socket of the process that forks the workers.
        self.temporary = Path(tempfile.mkdtemp(prefix="life-", dir="/tmp"))
        atexit.register(shutil.rmtree, self.temporary, ignore_errors=True)
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        surroundings = {"PYTHONPATH": path, "JOURNAL": str(self.journal), "TMPDIR": str(self.temporary)}
        self.workspace = Workspace(self.folder, surroundings)
        self.suite = self.write_suite("tiny")

    def write_suite(self, name: str) -> Path:
        """Write the suite, which is the same under every name."""
        return self.workspace.suite(
            name,
            base={"model": {"name": "counted", "architecture": {"name": "fully_connected", "width": 32}}},
            **(CONFIRMED if self.searching else {"matrix": {"tricks": [[], ["ema"], ["one_sided_label_smoothing"]]}}),
            seeds=1,
            train={"steps": STEPS, "batch_size": 16, "precision": "float32"},
            run={"snapshots": 3, "curve_points": 30, "checkpoint_seconds": 0.001} | self.run,
        )

    @property
    def journal(self) -> Path:
        """The file that the model writes to."""
        return self.folder / "journal"

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.workspace.results

    def lines(self) -> list[Line]:
        """What was trained so far."""
        size = self.journal.stat().st_size if self.journal.exists() else 0
        if size > self._journal[0]:
            text = self.journal.read_text() if size else ""
            parts = [line.split() for line in text.split("\n")[:-1]]  # what has no end is just being written
            self._journal = size, [Line(int(pid), trial, kind, int(count)) for pid, trial, kind, count in parts]
        return self._journal[1]

    def start(self, workers: int = 1) -> subprocess.Popen[str]:
        """Start the harness, unless it runs."""
        if self.driver is None:
            self._since = time.time()
            self.driver = self.workspace.start("run", self.suite, "--workers", str(workers))
        return self.driver

    def finish(self) -> str:
        """Let the harness come to its end; begin it first if need be. What it printed."""
        while True:
            if self.driver is None:
                return self.workspace.run("run", self.suite)
            driver = self.driver
            output, _ = driver.communicate(timeout=500)
            self.driver = None
            assert "Traceback" not in output, output
            if driver.returncode == 0:
                return output
            assert driver.returncode == 1, output
            assert "(3 times)" in output, "only where one trial's worker was killed as often may it have failed"

    def kill(self, victim: str, aim: str | None, rng: random.Random) -> str | None:
        """Kill ``driver``, ``worker`` or ``both`` in a phase (or at any time); the phase that was hit.

        None where the harness came to its end before that.
        """
        driver = self.start()
        if not self.come_to(aim, rng):
            return None
        if victim == "worker" and not waited(lambda: workers(driver.pid), driver):
            return None
        with stopped(driver.pid):
            if driver.poll() is not None:
                return None
            # Until it holds the store the harness does nothing that could be lost.
            hit = self.phase() if self.holds() else "starting"
            victims = workers(driver.pid) if victim != "driver" else []
            for pid in [*victims, *([driver.pid] if victim != "worker" else [])]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if victim == "worker":  # before the driver starts another
                assert waited(lambda: not any(pid in session(driver.pid) for pid in victims), seconds=60)
                self.interrupted()
                return hit
        driver.communicate(timeout=60)
        assert waited(lambda: not session(driver.pid), seconds=60), "the run left processes behind"
        self.driver = None
        self.interrupted()
        return hit

    def interrupt(self, aim: str | None, rng: random.Random, gap: float | None = None) -> str | None:
        """Press Ctrl-C in a phase (or at any time), and again after ``gap`` seconds; the phase that was hit.

        None where the harness came to its end before that.
        """
        driver = self.start()
        # Before that there is nothing to save, and perhaps no harness yet but only Python.
        if not waited(self.holds, driver) or not self.come_to(aim, rng):
            return None
        hit = self.phase()
        os.killpg(driver.pid, signal.SIGINT)
        if gap is not None:
            time.sleep(gap)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGINT)
        output, _ = driver.communicate(timeout=300)
        assert "Traceback" not in output, output
        assert waited(lambda: not session(driver.pid), seconds=60), "the run left processes behind"
        self.driver = None
        if driver.returncode == 0:  # it was about to end
            return None
        assert driver.returncode == 130, output
        assert "continue with: harness run" in output
        self.interrupted()
        return hit

    def holds(self) -> bool:
        """Whether the harness has come to hold the store; who was killed may have left a note of holding it."""
        assert self.driver is not None
        with contextlib.suppress(FileNotFoundError):
            holder = (self.results / ".lock.holder").read_text(encoding="utf-8")
            return f"(process {self.driver.pid} " in holder
        return False

    def come_to(self, aim: str | None, rng: random.Random) -> bool:
        """Wait for a phase and some time more; False where the run ended before it came to that."""
        if aim and not waited(lambda: self.phase() == aim, self.driver):
            return False
        time.sleep(rng.uniform(0, FARTHEST[aim] if aim else 15))
        return self.driver is not None and self.driver.poll() is None

    def interrupted(self) -> None:
        """Keep in mind how things stand."""
        self._since = time.time()
        self.kills.append(Kill(len(self.lines()), frozenset(self.finished()), self.saved()))

    def phase(self) -> str:
        """What the run is doing, from the files that it has written since it was started or last killed."""
        seen = {line.trial: line.count for line in self.lines()[self.kills[-1].lines if self.kills else 0 :]}
        # What has ended waits to be delivered.
        open_ones = [path for path in self.results.glob("work/*/") if not _ended(path)]
        found = {self._phase(path, seen) for path in open_ones}
        if not found and (self.results / "work").is_dir() and len(self.finished()) == len(self.keys):
            return "reporting"
        return max(found, key=PHASES.index, default="queueing")

    def _phase(self, folder: Path, seen: dict[str, int]) -> str:
        names = set()
        for path in folder.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime >= self._since:
                    names.add(path.name)
        if any(name.startswith(".harness-") for name in names):  # it is written under a temporary name
            return "checkpointing"
        if names & {"final.png", "histograms.json"}:
            return "recording"
        count = max((seen[trial] for trial in seen if self.keys.get(trial) == folder.name), default=None)
        if count is None or "config.json" not in names:
            return "queueing"
        return "evaluation" if count == STEPS else "training"

    def finished(self) -> set[str]:
        """The trials that are recorded as finished, in MLflow or on the way to it."""
        found = {trial for trial, status in self._runs() if status == "FINISHED"}
        for trial, key in self.keys.items():
            path = self.results / "work" / key / NAME
            if any(entry["kind"] == "end" and not entry["keep"] for entry, _ in read(path)):
                found.add(trial)
        return found

    def _runs(self) -> list[tuple[str, str]]:
        path = self.results / "mlflow.db"
        if not path.exists():
            return []
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.2)) as store:
                rows = store.execute(
                    "select tricks.value, seed.value, rate.value, runs.status from runs"
                    " join tags tricks on tricks.run_uuid = runs.run_uuid and tricks.key = 'tricks'"
                    " join tags seed on seed.run_uuid = runs.run_uuid and seed.key = 'seed'"
                    " join params rate on rate.run_uuid = runs.run_uuid and rate.key = 'model.generator_rate'"
                ).fetchall()
        except sqlite3.OperationalError:  # the store is just being made
            return []
        return [(f"{tricks}/{seed}/{rate}", status) for tricks, seed, rate, status in rows]

    def saved(self) -> dict[str, int]:
        """The steps in every checkpoint that is whole."""
        found = {}
        for trial, key in self.keys.items():
            state = load_state(self.results / "work" / key / "checkpoint.pt", "")
            if state is not None:
                found[trial] = state["progress"]["step"]
        return found

    def check_what_was_trained(self) -> None:
        """Nothing that was finished was trained again, and everything else went on from its checkpoint."""
        lines = self.lines()
        bounds = [kill.lines for kill in self.kills[1:]] + [len(lines)]
        for kill, end in zip(self.kills, bounds, strict=True):
            first: dict[str, Line] = {}
            for line in lines[kill.lines : end]:
                first.setdefault(line.trial, line)
            assert not kill.finished & first.keys(), "a finished trial was trained again"
            for trial, line in first.items():
                if line.pid in {other.pid for other in lines[: kill.lines] if other.trial == trial}:
                    continue  # its worker was not the one that was killed
                step = kill.saved.get(trial)
                expected = ("step", 1) if step is None else ("resumed", step)
                assert (line.kind, line.count) == expected, f"{trial} did not go on from its checkpoint at {step}"
        for trial in {line.trial for line in lines}:
            own = [line for line in lines if line.trial == trial]
            for before, after in pairwise(own):
                if after.kind == "step":
                    assert after.count == before.count + 1 or (after.count == 1 and before.pid != after.pid)
            assert own[-1].count == STEPS

    def check_against(self, whole: Life) -> None:
        """Everything that is kept is as the uninterrupted run left it."""
        self.check_what_was_trained()
        for name in ("trials", "confirmed")[: 1 + self.searching]:
            assert numbers(self.workspace.table(name=name)) == numbers(whole.workspace.table(name=name))
        ours, theirs = self.runs(), whole.runs()
        assert ours.keys() == theirs.keys()
        for trial, run in ours.items():
            kept, expected = content(self, run), content(whole, theirs[trial])
            for name in kept:
                assert kept[name] == expected[name], f"{name} of {trial}"
        assert self.studies() == whole.studies()
        assert self.files() == whole.files()
        # torch makes an empty folder there
        # A killed driver cannot take away the folder of a socket.
        left = {path.name for path in self.temporary.iterdir() if not path.name.startswith("pymp-")}
        assert left <= {"torchinductor_root"}

    def client(self) -> MlflowClient:
        """MLflow's client on the store."""
        return MlflowClient(f"sqlite:///{self.results / 'mlflow.db'}")

    def runs(self) -> dict[str, Run]:
        """Trial, or ``suite`` -> its one run."""
        runs = self.kept()[0]
        found = {run.data.tags["key"] if run.data.tags["role"] == "trial" else "suite": run for run in runs}
        assert len(found) == len(runs), "a trial has two runs"
        return found

    def trials(self) -> dict[str, str]:
        """Trial (as the journal calls it) -> key."""
        called = {}
        for key, run in self.runs().items():
            if key != "suite":
                tags = run.data.tags
                called[f"{tags['tricks']}/{tags['seed']}/{run.data.params['model.generator_rate']}"] = key
        assert called.keys() == {line.trial for line in self.lines()}
        return called

    def kept(self) -> tuple[list[Run], set[str]]:
        """The runs, but for those of attempts that were given up after three crashes, and the ids of these."""
        client = self.client()
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        given_up = {run.info.run_id for run in runs if run.info.status == "FAILED"}
        assert all("(3 times)" in run.data.tags["reason"] for run in runs if run.info.run_id in given_up)
        return [run for run in runs if run.info.run_id not in given_up], given_up

    def studies(self) -> dict[str, list[Any]]:
        """Study -> (key, or what a search chose, and value) of its complete trials. None is running or waiting."""
        url = f"sqlite:///{self.results / 'optuna.db'}"
        found = {}
        for name in optuna.get_all_study_names(url):
            trials = optuna.load_study(study_name=name, storage=url).trials
            assert not {"RUNNING", "WAITING"} & {trial.state.name for trial in trials}
            complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
            found[name] = sorted((t.user_attrs.get("key", str(t.params)), t.value) for t in complete)
        return found

    def files(self) -> set[str]:
        """The files below the results folder, with trials' keys in place of run ids."""
        names = {run.info.run_id: key for key, run in self.runs().items()}
        given_up, found = self.kept()[1], set()
        for path in self.results.rglob("*"):
            parts = path.relative_to(self.results).parts
            # SQLite's own, which its next reader takes away; one log for every worker there has been.
            if given_up.isdisjoint(parts) and not path.name.endswith(("-wal", "-shm")) and parts[-1][:7] != "worker-":
                found.add("/".join(names.get(part, part) for part in parts))
        return found


def content(life: Life, run: Run) -> dict[str, Any]:
    """What a run holds but for times."""
    client, varying = life.client(), ("seconds_train", "seconds_evaluate")
    # The seal is over the seconds, too; the model's tag has the run's id; somebody may commit while the tests run.
    own = {"mlflow.parentRunId", "token", "results_folder", "suite_file", "git_commit", SEAL}
    own |= {"mlflow.log-model.history"}
    # What the machine gave to it is another each time.
    once = [name for name in run.data.metrics if name not in varying and not name.startswith(USAGE_PREFIX)]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if run.data.tags["role"] == "suite":  # its counts are written at the end of every run, its file holds ``life.run``
        once, files = [], {}
    return {
        "status": run.info.status,
        "params": run.data.params,
        "tags": {k: v for k, v in run.data.tags.items() if k not in own},
        "curves": {m: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, m)] for m in once},
        "seconds": {len(client.get_metric_history(run.info.run_id, name)) for name in varying},
        "files": files,
    }


def _ended(folder: Path) -> bool:
    """Whether the journal of a trial has its end."""
    return any(entry["kind"] == "end" for entry, _ in read(folder / NAME))


def session(leader: int) -> list[int]:
    """The live processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, sid, *_ = path.read_text().rpartition(")")[2].split()
            if int(sid) == leader and state != "Z":
                found.append(int(path.parent.name))
    return found


def workers(driver: int) -> list[int]:
    """The worker processes of a driver: the children of its process that forks them."""
    found = []
    for pid in session(driver):
        with contextlib.suppress(OSError):
            parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) != driver and b"forkserver" in Path(f"/proc/{parent}/cmdline").read_bytes():
                found.append(pid)
    return found


@contextlib.contextmanager
def stopped(leader: int) -> Iterator[None]:
    """All processes of a session stand still."""
    pids = session(leader)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def waited(condition: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 500) -> bool:
    """Wait for a condition; False where the process ended before it held."""
    end = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            return False
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.003)
    return True

"""The SLURM engine: a trial is a job. For clusters whose machines share a folder.

submitit writes the scripts and submits them: what comes together, as one array. A job runs ``work``, which does with
its trial what every worker does; its pipe to the driver is a few files (``harness.execution.spool``) below ``work/``
in the results folder.

A job needs no driver. The name of a job and its place in the array are on the disk before it is submitted, so that the
next driver finds it, whenever this one was killed. A job whose driver never comes back ends by itself, and its journal
waits.

SLURM takes a machine back with a signal: SIGTERM when it queues the job again (preemption, ``scontrol requeue``), and
one that ``sbatch --signal`` chooses before the time limit. The trial then saves itself at the next point of its curves,
and goes on from there when the job starts again. submitit's own handler would save in the middle of a step.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from harness.base.errors import HarnessError
from harness.base.messages import note
from harness.base.states import State
from harness.execution import devices
from harness.execution.engine import Died, Ended, Engine, Event, Site, Waiting
from harness.execution.spool import LEFT, LOOK, Post, Spool, resumed
from harness.execution.worker import STOP, Answer, Dropped, perform
from harness.store.journal import Journal
from harness.suite import Resources
from harness.trial.task import Outcome, Task
from harness.zoo.registry import Settings

ASK = 5.0
"""Seconds between two calls of squeue, for all jobs together."""
AGAIN = 30.0
"""Seconds after which sbatch is tried again, if SLURM took no job."""
ARRAY = 500
"""The most jobs of an array: MaxArraySize is 1001 where nobody has changed it."""
WARNING = 120
"""Seconds before the time limit when the trial is told to save itself, or half of the time limit."""
SHORTEST = 180.0
"""Seconds that a job must last at least. SLURM may warn it up to a minute too early, while it still imports."""
GONE = 60.0
"""Seconds for which a job that was cancelled may take to end. After that it may not write any more."""
LEAVE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""By these SLURM, or submitit, says that the machine is wanted back."""
COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun")
BUSY = ("Unable to contact", "timed out", "emporar", "try again", "ubmit limit", "SubmitJob", "MaxJobCount", "backup")
"""In what sbatch says if it may work later: the controller is away, or the user has too many jobs."""
OWN = {
    **dict.fromkeys(("cpus-per-task", "ntasks", "nodes"), "resources.cpus of the suite says it"),
    **dict.fromkeys(("mem", "mem-per-cpu"), "resources.memory of the suite says it"),
    "time": "resources.time of the suite says it",
    **dict.fromkeys(("array", "job-name", "no-requeue", "requeue", "signal"), "the engine sets it"),
    **dict.fromkeys(("error", "input", "open-mode", "output", "wait", "wrap"), "the engine sets it"),
}
"""Options of sbatch that users may not give, and why."""


def _options(options: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """Options of sbatch by their long names; an empty value is a flag."""
    named = {key.replace("_", "-"): value for key, value in options.items()}
    for key, value in named.items():
        if key in OWN:
            raise ValueError(f"{key} cannot be given: {OWN[key]}")
        if len(key) < 2 or not key.replace("-", "").isalnum():
            raise ValueError(f"{key!r} is no long name of an option of sbatch, for example partition")
        if not str(value).isprintable():
            raise ValueError(f"the value of {key} has characters that no option has")
    return {key: True if value == "" else value for key, value in named.items()}


class SlurmSettings(Settings):
    """How trials become jobs."""

    jobs: int = Field(100, ge=1, le=100_000, description="the most jobs that wait or run at a time")
    shards: int | None = Field(
        None, ge=1, description="the shards of a GPU on this cluster (gres.conf), for a part of a GPU; null: none"
    )
    slurm: Annotated[dict[str, str | int | bool], AfterValidator(_options)] = Field(
        default_factory=dict, description="options of sbatch by their long names, for example {partition: gpu}"
    )


@dataclass
class _Job:
    """A trial that SLURM has."""

    task: Task
    spool: Spool
    place: tuple[str, int]
    """The name of its job, and its place in the array."""
    number: str
    """SLURM's number, for example 12_3."""
    pending: list[tuple[int, Any]] = field(default_factory=list)
    """What a driver that takes the trial over must know: (start, event)."""
    start: int = 0
    """The start that the last event came from."""
    stopped: bool = False
    """Whether the driver has asked for a stop."""
    running: bool = False
    """Whether a machine has it."""
    missing: int = 0
    """How often in succession SLURM did not know the job."""

    def __post_init__(self) -> None:
        self.events = self.spool.events


class SlurmEngine(Engine):
    """Runs every trial as a job of SLURM."""

    name = "slurm"
    summary = "jobs of SLURM, on machines that share the results folder"
    queues = True
    outlives = True
    isolates = True
    Settings = SlurmSettings
    settings: SlurmSettings

    def __init__(self, settings: SlurmSettings, site: Site) -> None:
        super().__init__(settings, site)
        if missing := [name for name in COMMANDS if shutil.which(name) is None]:
            raise HarnessError(
                f"--engine slurm: {', '.join(missing)} not found: run this where you submit jobs (a login node), or "
                "use --engine local"
            )
        asked = requested(site, settings)
        self._folder = site.logs / "slurm"
        self._logs = self._folder / "jobs"
        self._executor = _executor(self._logs, asked)
        self._jobs: dict[str, _Job] = {}
        self._fresh: list[Task] = []
        """Trials that go to SLURM with the next call of ``wait``."""
        self._ended: list[Event] = []
        """Events of trials that no job has any more."""
        self._asked = 0.0
        self._not_before = 0.0
        self._silent = False
        """Whether SLURM has not answered."""
        self._refusal = ""
        """Why SLURM takes no jobs at present."""
        self._accepted = False
        """Whether SLURM has taken a job of this engine."""
        self._found = self._of_earlier_drivers()

    def running(self) -> Set[str]:
        return self._found.keys()

    @property
    def free(self) -> int:
        return (self.site.workers or self.settings.jobs) - len(self._jobs) - len(self._fresh)

    def submit(self, task: Task) -> None:
        found = self._found.get(task.key)
        if found is None:
            self._fresh.append(task)
            return
        spool, place, number = found
        job = self._jobs[task.key] = _Job(task, spool, place, number)
        job.pending = resumed(job.events.new(), spool.orders.new())

    def wait(self, seconds: float) -> list[Event]:
        until = time.monotonic() + seconds
        while True:
            self._submit_fresh()
            self._ask()
            events, self._ended = self._ended, []
            for job in list(self._jobs.values()):
                events += self._events_of(job)
            left = until - time.monotonic()
            if events or left <= 0:
                return events
            time.sleep(min(LOOK, left))

    def answer(self, key: str, prune: bool) -> None:
        if (job := self._jobs.get(key)) is not None:
            job.spool.orders.append(job.start, Answer(key, prune))

    def kill(self, key: str) -> None:
        self._fresh = [task for task in self._fresh if task.key != key]
        self._ended = [event for event in self._ended if event.key != key]
        if key in self._jobs:
            self._end([self._jobs[key]])
        elif key in self._found:  # an earlier driver's, and another one has the trial now
            spool, place, number = self._found.pop(key)
            _give_up([(spool, place, number)])
            spool.remove()

    def stop(self) -> None:
        self._ended += [Ended(task.key, Outcome(State.INTERRUPTED)) for task in self._fresh]
        self._fresh = []
        asked = [job for job in self._jobs.values() if not job.stopped]
        for job in asked:
            job.stopped = True
            job.spool.orders.append(0, STOP)
        _cancel([job.number for job in asked], "--state=PENDING")

    def close(self) -> None:
        self._fresh = []
        self._end(list(self._jobs.values()))
        if not self._found:  # no job will read it; submitit may have written after the end of a trial
            for path in self._logs.glob("*.pkl"):
                path.unlink(missing_ok=True)

    def _of_earlier_drivers(self) -> dict[str, tuple[Spool, tuple[str, int], str]]:
        """The trials that earlier drivers left with SLURM, of any suite of this results folder, by their keys."""
        spools = [Spool(path.parent) for path in self._folder.glob("*/job")]
        known = queued()
        if known is None:
            raise HarnessError("--engine slurm: squeue gets no answer from SLURM: try it by hand, and then this again")
        found = {}
        for spool in spools:
            place = spool.job
            if place in known and not spool.ended:
                found[spool.key] = spool, place, known[place][0]
            else:  # what there is to know of the trial is in its journal
                spool.remove()
        return found

    def _submit_fresh(self) -> None:
        """Submit what has come, as an array. If SLURM is busy, try it again later.

        Raises:
            HarnessError: SLURM refuses such jobs.
        """
        if time.monotonic() < self._not_before:
            return
        while self._fresh:
            tasks, name = self._fresh[:ARRAY], f"harness-{uuid.uuid4().hex[:12]}"
            spools = [Spool(self._folder / task.key) for task in tasks]
            for index, spool in enumerate(spools):
                spool.begin(name, index)
            numbers = self._numbers(name, spools, tasks)
            if not numbers:
                self._not_before = time.monotonic() + AGAIN
                return
            del self._fresh[: len(tasks)]
            self._accepted, self._refusal = True, ""
            for index, (task, spool, number) in enumerate(zip(tasks, spools, numbers, strict=True)):
                self._jobs[task.key] = _Job(task, spool, (name, index), number)

    def _numbers(self, name: str, spools: list[Spool], tasks: list[Task]) -> list[str]:
        """The numbers of the new jobs; none if SLURM takes no jobs now."""
        from submitit.core.utils import FailedJobError

        self._executor.update_parameters(job_name=name)
        try:
            with self._executor.batch():
                jobs = [
                    self._executor.submit(work, spool.folder, (name, index), task, self._device)
                    for index, (spool, task) in enumerate(zip(spools, tasks, strict=True))
                ]
        except FailedJobError as error:
            # The controller may have taken the jobs, though its answer was lost.
            known = queued() or {}
            array = {number.partition("_")[0] for (its, _), (number, _) in known.items() if its == name}
            if not array:
                self._refused(error)
            return [f"{first}_{index}" if tasks[1:] else first for first in array for index in range(len(tasks))]
        for script in [*self._logs.glob("*.sh"), *self._logs.glob(".submission*")]:  # sbatch has read it
            script.unlink(missing_ok=True)
        return [job.job_id for job in jobs]

    def _refused(self, error: Exception) -> None:
        """Say why SLURM takes no jobs.

        Raises:
            HarnessError: it will not take them later, either.
        """
        said = " ".join(line for line in str(error).splitlines() if "sbatch" in line) or str(error)
        if not self._accepted and not any(word in said for word in BUSY):
            raise HarnessError(
                f"SLURM refuses the jobs: {said.strip()} (--slurm KEY=VALUE gives options of sbatch; `resources` of "
                "the suite says what a trial needs)"
            ) from error
        if said != self._refusal:
            self._refusal = said
            note(f"SLURM takes no jobs now, they are submitted again every {AGAIN:.0f} s: {said.strip()}")

    @property
    def _device(self) -> str:
        """What a job makes of ``--device``: a trial that asked for a GPU must not train without."""
        needed = self.site.resources.gpus
        if needed == 0:
            return "cpu"
        return "cuda" if needed and self.site.device == "auto" else self.site.device

    def _ask(self) -> None:
        """Ask SLURM for its jobs, if it is time to."""
        if not self._jobs or time.monotonic() - self._asked < ASK:
            return
        known = queued()
        self._asked = time.monotonic()
        if (known is None) != self._silent:
            self._silent = known is None
            note("SLURM does not answer: trials that run go on" if self._silent else "SLURM answers again")
        if known is None:
            return
        for job in self._jobs.values():
            state = known.get(job.place, ("", ""))[1]
            job.missing = 0 if state else job.missing + 1
            if state == "PENDING" and job.running:
                job.running = False
                self._ended.append(Waiting(job.task.key))

    def _events_of(self, job: _Job) -> Iterator[Event]:
        """The new events of a trial, and its end if its job is gone without one."""
        news, job.pending = [*job.pending, *job.events.new()], []
        for start, event in news:
            if start < job.start or event == LEFT or isinstance(event, Dropped):
                continue  # an earlier start says nothing more
            job.start, job.running = start, True
            if isinstance(event, Ended | Died):
                self._forget(job, keep_log=isinstance(event, Died))
                if isinstance(event, Ended) and event.outcome.state is State.INTERRUPTED and not job.stopped:
                    self._fresh.append(job.task)  # its machine was taken, and SLURM did not queue it again
                    yield Waiting(job.task.key)
                    return
            yield event
            if isinstance(event, Ended | Died):
                return
        if job.missing > 1:  # twice: what it wrote last may come later than what squeue says
            self._forget(job, keep_log=True)
            if job.stopped:
                yield Ended(job.task.key, Outcome(State.INTERRUPTED))
            else:
                where = f"{self._logs.relative_to(self.site.results)}/{job.number}_0_log.err"
                why = f"job {job.number} ended without a word ({_end_of(job.number)})"
                yield Died(job.task.key, f"{why}; see {where} in the results folder")

    def _forget(self, job: _Job, keep_log: bool) -> None:
        """Remove what is left of a job that has ended."""
        del self._jobs[job.task.key]
        self._found.pop(job.task.key, None)
        job.spool.remove()
        for path in self._logs.glob(f"{job.number}_*"):
            if not (keep_log and path.suffix in (".err", ".out")):
                path.unlink(missing_ok=True)

    def _end(self, jobs: list[_Job]) -> None:
        """End these jobs at once; when the call returns they write nothing."""
        _give_up([(job.spool, job.place, job.number) for job in jobs])
        for job in jobs:
            self._forget(job, keep_log=True)


def _give_up(jobs: Collection[tuple[Spool, tuple[str, int], str]]) -> None:
    """Cancel jobs, each with its spool, its place and its number, and wait until they are gone."""
    for spool, _, _ in jobs:
        spool.give_up()
    _cancel([number for _, _, number in jobs])
    until, places = time.monotonic() + GONE, {place for _, place, _ in jobs}
    while places & (queued() or {}).keys() and time.monotonic() < until:
        time.sleep(LOOK)


def requested(site: Site, settings: SlurmSettings) -> dict[str, Any]:
    """The options of sbatch for a trial, by their long names.

    Raises:
        HarnessError: SLURM cannot be asked for what the trial needs.
    """
    needed, options = site.resources, dict[str, Any](settings.slurm)
    devices.refuse_one_gpu(site.device, "SLURM")
    if site.device == "cpu":
        devices.refuse_gpus(needed.gpus)
    options["cpus-per-task"] = needed.cpus or site.threads
    if needed.megabytes is not None:
        options["mem"] = f"{needed.megabytes}M"
    if needed.time is not None:
        if float(needed.time) < SHORTEST:
            raise HarnessError(
                f"resources.time is {needed.time} s: a job needs time to begin and to save itself: at least 3min"
            )
        options["time"] = math.ceil(float(needed.time) / 60)  # in minutes
    if gpu := _gpu(needed, site.device, settings.shards):
        given = [key for key in options if key.startswith("gpus") or key == "gres"]
        if given:
            raise HarnessError(
                f"--slurm {given[0]}=…: resources.gpus of the suite says it already: leave one of them out"
            )
        options["gres"] = gpu
    return options


def _gpu(needed: Resources, device: str, shards: int | None) -> str | None:
    """What a trial needs of a GPU, as a generic resource of SLURM; None if it needs none."""
    part = needed.gpus if needed.gpus is not None else 1 if device == "cuda" else 0
    if not part:
        return None
    if part == 1:
        return "gpu:1"
    if shards is None:
        raise HarnessError(
            f"resources.gpus is {part:g}: SLURM gives parts of a GPU as shards, where its administrators made some: "
            "say how many a GPU has, --engine '{name: slurm, shards: 4}', or set resources.gpus to 1"
        )
    return f"shard:{math.ceil(part * shards)}"


def _executor(folder: Path, options: Mapping[str, Any]) -> Any:
    """What submits jobs with these options of sbatch.

    Raises:
        HarnessError: submitit is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise HarnessError("--engine slurm needs submitit: pip install 'gan-harness[slurm]'") from error
    minutes = options.get("time")
    executor = submitit.SlurmExecutor(folder)
    executor.update_parameters(
        time=None,  # as the cluster sets it, unless the options say it
        wckey=None,
        array_parallelism=ARRAY,
        signal_delay_s=min(WARNING, minutes * 30) if minutes else WARNING,
        # A step does not inherit it from its job.
        srun_args=[f"--cpus-per-task={options['cpus-per-task']}"],
        additional_parameters={"requeue": True, **options},
    )
    return executor


def queued() -> dict[tuple[str, int], tuple[str, str]] | None:
    """The jobs of this user that wait or run: (name, place in its array) -> (number, state); None without an answer."""
    said = _asked("squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format=%j %i %T")
    if said is None:
        return None
    jobs = {}
    for line in said.splitlines():
        name, number, state = line.rsplit(" ", 2)
        index = number.partition("_")[2]
        jobs[name.strip(), int(index) if index.isdigit() else 0] = number, state
    return jobs


def _cancel(numbers: Collection[str], *options: str) -> None:
    if numbers:
        _asked("scancel", *options, *numbers)


def _end_of(number: str) -> str:
    """How a job ended, as SLURM says it for some minutes."""
    words = (_asked("scontrol", "--oneliner", "show", "job", number) or "").split()
    said = dict(word.split("=", 1) for word in words if "=" in word)
    known = [f"{name} {said[name]}" for name in ("Reason", "ExitCode", "NodeList") if name in said]
    return ", ".join([said["JobState"], *known]) if "JobState" in said else "SLURM knows no more of it"


def _asked(*words: str) -> str | None:
    """What a command of SLURM prints; None if it fails."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout if done.returncode == 0 else None
    return None


def work(folder: Path, place: tuple[str, int], task: Task, device: str) -> None:
    """The main function of a job."""
    # torch requires it for train.deterministic; cuBLAS reads it once, before the first trial.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    spool = Spool(folder)
    if spool.job != place or spool.ended:
        return  # SLURM has started it again after its end, or the trial has another job
    pipe = Post(spool)
    for number in LEAVE:
        signal.signal(number, pipe.leave)
    pipe.settle()
    last: Event | str = _last(task, device, pipe)
    interrupted = pipe.dropped or (isinstance(last, Ended) and last.outcome.state is State.INTERRUPTED)
    if pipe.leaving and interrupted and not pipe.stopped and _again():
        last = LEFT
    pipe.close(last)


def _last(task: Task, device: str, pipe: Post) -> Event:
    """Run the trial; its last event."""
    if not Journal(task.folder).begun:
        return Died(task.key, "its journal is gone")  # it ended, and all is delivered
    try:
        return perform(task, devices.resolve(device), pipe)
    except HarnessError as error:
        return Died(task.key, str(error))


def _again() -> bool:
    """See to it that SLURM starts this job again; False if it will not."""
    job = os.environ["SLURM_JOB_ID"]
    state = _asked("squeue", "--noheader", "--jobs", job, "--format=%T")
    if state is not None and state.strip() != "RUNNING":
        return True  # SLURM has decided: it queues the job again, or somebody has cancelled it
    return _asked("scontrol", "requeue", job) is not None

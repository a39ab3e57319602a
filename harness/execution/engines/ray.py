"""The Ray engine: trials on the machines of a Ray cluster, which need not share a disk.

A worker is an actor of Ray Core (``harness.execution.outpost``): a process that Ray starts on a machine with room for
what a trial needs. It trains one trial after another. The driver asks it for its news, and Ray's object store carries
the answer: events, and with them the journal and the files of the trial. Nothing is retried by Ray: an actor that is
gone is a trial that died, and the driver tries it again. When the driver is gone, Ray ends its actors at once.

The code travels too (``harness.execution.shipping``). So all workers run the driver's code, whatever is installed
beside Python, Ray and torch on their machines.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import re
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from harness.base.diagnosis import storage_error
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.execution import devices, shipping, travel
from harness.execution.engine import Died, Ended, Engine, Event, Site
from harness.execution.outpost import Order, Outpost, Supplies, Up
from harness.execution.travel import Checkpoints, Luggage, Parcel
from harness.execution.worker import STOP, Answer
from harness.store.journal import Journal
from harness.trial.task import Outcome, Task
from harness.zoo.registry import Settings

if TYPE_CHECKING:
    from harness.zoo.data.base import DataSet

SECONDS_TO_ANSWER = 5
"""How long the head of a cluster may take to answer."""
LOOK = 2.0
"""Seconds between two looks at what the cluster consists of."""
SETTINGS_FRAME = b"\0\0\0\4\0\0\0\0\0"
"""With what either side of HTTP/2 begins (RFC 9113, sections 3.4 and 6.5); here without settings."""
MEGABYTE = 1_000_000
ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""What workers have in their environment: torch requires it for train.deterministic."""


class RaySettings(Settings):
    """Which cluster, and where checkpoints go."""

    address: str = Field(
        "", max_length=300, description="HOST:PORT of the head of the cluster, as `ray start --head` prints it; needed"
    )
    artifacts: str | None = Field(
        None,
        max_length=2000,
        description="where checkpoints go: an address of fsspec (s3://…, gs://…, file://…); null: to the driver",
    )

    @field_validator("address")
    @classmethod
    def _given(cls, address: str) -> str:
        if address and not re.fullmatch(r"[^\s/:]+:\d{1,5}", address):
            raise ValueError("expected HOST:PORT, for example 10.0.0.1:6379 (no cluster is looked for)")
        return address


class RayEngine(Engine):
    """Runs trials in actors on a Ray cluster."""

    name = "ray"
    summary = "the machines of a Ray cluster, which need not share a disk"
    Settings = RaySettings
    queues = True

    def __init__(self, settings: RaySettings, site: Site) -> None:
        super().__init__(settings, site)
        self._checkpoints = Checkpoints(settings.artifacts)
        self._checkpoints.check()
        self._ray = joined(settings.address)
        self._needs = needs(site, self._ray.nodes())
        self.isolates = not 0 < self._needs["GPU"] < 1
        self._workers: list[_Worker] = []
        self._queued: list[Task] = []
        """Trials for the next worker that has none. None belongs to a worker that may never find a machine."""
        self._pending: list[Event] = []
        """Events of trials that no worker has."""
        self._supplies: dict[str, Supplies] = {}
        self._looked, self._capacity = -math.inf, 0
        if site.workers is None and self.capacity == 0:
            raise HarnessError(
                f"--engine ray: no machine of the cluster at {settings.address} has what a trial needs: "
                f"{_shown(self._needs)}. The whole cluster has {_shown(self._ray.cluster_resources())}. Let machines "
                "join, or change the suite's `resources`; with --workers N, N trials wait for machines that join later"
            )

    @property
    def capacity(self) -> int:
        """How many trials the machines carry that are in the cluster now: they join and leave."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self._capacity = sum(carried(node, self._needs) for node in self._ray.nodes())
        return self._capacity

    @property
    def free(self) -> int:
        busy = sum(worker.task is not None for worker in self._workers)
        return max(0, (self.site.workers or self.capacity) - busy - len(self._queued))

    def submit(self, task: Task) -> None:
        self._queued.append(task)
        self._share_out()

    def _share_out(self) -> None:
        """Give queued trials to workers without one, and let there be as many workers as trials."""
        self._workers = [worker for worker in self._workers if not worker.gone]
        for worker in self._workers:
            if self._queued and worker.up is not None and worker.task is None:
                task = self._queued.pop(0)
                data = task.trial.arm.data.make()
                worker.begin(task, data.digest(), self._supplied(data))
        starting = sum(worker.up is None for worker in self._workers)
        for _ in range(len(self._queued) - starting):
            self._workers.append(_Worker(self._ray, self._needs, self._checkpoints))

    def _supplied(self, data: DataSet) -> Supplies:
        """The files of the data: once in Ray's object store, from where a machine that lacks them fetches them."""
        digest = data.digest()
        if digest not in self._supplies:
            files = {name: path.read_bytes() for name, path in data.sources().items()}
            self._supplies[digest] = InObjectStore(self._ray.put(files)) if files else Supplies({})
        return self._supplies[digest]

    def wait(self, seconds: float) -> list[Event]:
        self._read(0 if self._pending else seconds)
        events = self._pending + [event for worker in self._workers for event in worker.taken()]
        self._pending = []
        for refusal in filter(None, (worker.refusal for worker in self._workers)):
            if self._queued:  # no worker can begin, so none will take it
                events.append(Died(self._queued.pop(0).key, refusal, refusal))
        self._share_out()
        return events

    def _read(self, seconds: float) -> None:
        """Read what the workers have answered. Waits up to this time for one."""
        awaited = {one: worker for worker in self._workers for one in worker.awaited}
        if not awaited:
            time.sleep(seconds)
            return
        ready, _ = self._ray.wait(list(awaited), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        for one in ready:
            awaited[one].read(one)

    def answer(self, key: str, prune: bool) -> None:
        for worker in self._workers_of(key):
            worker.tell(Answer(key, prune))

    def kill(self, key: str) -> None:
        self._queued = [task for task in self._queued if task.key != key]
        for worker in self._workers_of(key):
            worker.end()
            self._workers.remove(worker)
            self._checkpoints.remove(key)

    def stop(self) -> None:
        for task in self._queued:
            Journal(task.folder).interrupt()
            self._pending.append(Ended(task.key, Outcome(State.INTERRUPTED)))
        self._queued = []
        for worker in self._workers:
            if worker.task is not None:
                worker.tell(STOP)

    def close(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers, self._queued = [], []

    def _workers_of(self, key: str) -> list[_Worker]:
        """The worker of this trial; empty if there is none."""
        return [worker for worker in self._workers if worker.task is not None and worker.task.key == key]


class InObjectStore(Supplies):
    """Files in Ray's object store."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def files(self) -> Mapping[str, bytes]:
        import ray

        files: dict[str, bytes] = ray.get(self._reference)
        return files


class _Worker:
    """The driver's side of a worker: an actor, which may still wait for a machine, and its trial."""

    def __init__(self, ray: Any, needed: Mapping[str, float], checkpoints: Checkpoints) -> None:
        self._ray = ray
        # Messages to it keep their order, and none waits for news from it.
        kind = ray.remote(concurrency_groups={"in": 1, "out": 1})(RayOutpost)
        self._actor = kind.options(
            num_cpus=needed["CPU"],
            num_gpus=needed["GPU"],
            memory=needed["memory"] or None,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        ).remote("cuda:0" if needed["GPU"] else "cpu", checkpoints)
        self.task: Task | None = None
        self.up: Up | None = None
        self.pending: list[Event] = []
        """Events that the driver has not had yet."""
        self.gone = False
        self.refusal: str | None = None
        """Why it could not begin, if the next would fail in the same way."""
        self.awaited: list[Any] = []
        """Answers of the actor that have not come: its news, and whether it could take its last trial."""
        self._listen()

    def _listen(self) -> None:
        self.awaited.append(self._actor.hear.options(concurrency_group="out").remote())

    def begin(self, task: Task, digest: str, supplies: Supplies) -> None:
        self.task = task
        self.awaited.append(self.tell(Order(task, Luggage.of(task.folder), digest, supplies)))

    def tell(self, message: Any) -> Any:
        return self._actor.tell.options(concurrency_group="in").remote(message)

    def taken(self) -> list[Event]:
        """The events that have come. From now on they are the driver's."""
        events, self.pending = self.pending, []
        return events

    def read(self, answer: Any) -> None:
        """Read one of the awaited answers, or find out that the worker is gone."""
        if self.gone:
            return
        self.awaited.remove(answer)
        try:
            news = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._died(explained(error, self.up))
            return
        if news is None:  # it has taken a trial
            return
        self._listen()
        for one in news:
            if isinstance(one, Up):
                self.up = one
            elif self.task is not None and one.key == self.task.key:
                self._heard(self.task, one)

    def _heard(self, task: Task, parcel: Parcel) -> None:
        try:
            travel.receive(task.folder, parcel)
        except OSError as error:  # of the driver's disk
            refused = storage_error(error, task.folder)
            self._died(Died(task.key, f"{type(error).__name__}: {error}", str(refused) if refused else None))
            return
        event = parcel.event
        if event is not None:
            self.pending.append(event)
        if isinstance(event, Ended | Died):
            self.task = None
            # After an error of the device, the next trial in the same process would fail too.
            if isinstance(event, Died) or event.outcome.state in (State.FAILED, State.OUT_OF_MEMORY):
                self.end()

    def _died(self, death: Died) -> None:
        if self.task is not None:
            self.pending.append(dataclasses.replace(death, key=self.task.key))
        else:
            self.refusal = death.refusal
        self.end()

    def end(self) -> None:
        """End the process, or its waiting for a machine."""
        self.task, self.gone = None, True
        self._ray.kill(self._actor)


class RayOutpost(Outpost):
    """An outpost in an actor, on the machine that Ray has chosen."""

    def __init__(self, device: str, checkpoints: Checkpoints) -> None:
        import ray

        machine: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call, unused-ignore]
        super().__init__(machine, device, checkpoints)


def explained(error: Exception, up: Up | None) -> Died:
    """Why an actor is gone, as the death of a trial whose key is not filled in.

    Args:
        error: what Ray says.
        up: where it ran; None if it never began.
    """
    text = str(error)
    why = text.strip().splitlines()[-1].strip()
    if type(error).__name__.startswith(("RaySystemError", "RayTaskError")):  # the process lives
        advice = "What plug-ins import besides the harness must be installed on every machine"
        return Died("", why, f"--engine ray: a worker cannot take the trial: {why}. {advice}")
    killed = "low on memory" in text or "OutOfMemory" in type(error).__name__
    if up is not None:
        why = "Ray ended it, because the machine had no memory left" if killed else _first_line(text)
        logs = f"logs/worker-*-{up.process}.err in the folder of Ray's session there"
        return Died("", f"the worker on {up.machine} is gone ({why}); see {logs}", killed=killed)
    # A worker that cannot begin fails in the same way for every trial; a machine that went away does not.
    if "creation task" in text or "RuntimeEnv" in type(error).__name__:
        return Died("", why, f"--engine ray: a worker cannot begin on a machine of the cluster: {why}")
    return Died("", f"the worker was lost before it began ({_first_line(text)})", killed=killed)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason is known")


def needs(site: Site, nodes: list[dict[str, Any]]) -> dict[str, float]:
    """What a trial reserves of a machine, in Ray's words: ``CPU``, ``GPU``, ``memory`` in bytes (0: not stated).

    Raises:
        HarnessError: ``--device`` and the suite's ``resources`` do not go together here.
    """
    wanted = site.resources
    devices.refuse_one_gpu(site.device, "Ray")
    there = any(node["Alive"] and node["Resources"].get("GPU") for node in nodes)
    gpus = wanted.gpus
    if gpus is None:
        gpus = 1.0 if site.device == "cuda" or (site.device == "auto" and there) else 0.0
    if site.device == "cpu":
        devices.refuse_gpus(gpus)
    if site.device == "cuda" and not gpus:
        raise HarnessError("resources.gpus is 0, but the trials are to run on a GPU: change it, or use --device cpu")
    return {"CPU": wanted.cpus or site.threads, "GPU": gpus, "memory": (wanted.megabytes or 0) * MEGABYTE}


def carried(node: Mapping[str, Any], needed: Mapping[str, float]) -> int:
    """How many trials a machine of the cluster carries if it has nothing else to do."""
    if not node["Alive"]:
        return 0
    has = node["Resources"]
    rounding = 1e-9  # 0.1 of a GPU fits ten times
    each = [int(has.get(name, 0) / amount + rounding) for name, amount in needed.items() if amount]
    return min(each)


def _shown(resources: Mapping[str, float]) -> str:
    """Resources as text for the user."""
    words = {"CPU": "cores", "GPU": "GPUs"}
    shown = [f"{resources[name]:g} {word}" for name, word in words.items() if resources.get(name)]
    if memory := resources.get("memory"):
        shown.append(f"{memory / MEGABYTE:.0f} MB of memory")
    return ", ".join(shown) or "nothing"


def joined(address: str) -> Any:
    """The library, connected to the cluster with this address. A process stays in the cluster that it has joined.

    Raises:
        HarnessError: there is no library, no address, or no cluster there.
    """
    if not address:
        raise HarnessError(
            "--engine ray: say which cluster, with --address HOST:PORT (`ray start --head` prints it). None is ever "
            "looked for, and RAY_ADDRESS is not read"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray reads it when it is imported
    try:
        import ray
    except ImportError as error:
        raise HarnessError(f"--engine ray needs Ray ({error}): pip install 'gan-harness[ray]'") from error
    if not ray.is_initialized():
        _join(ray, address)
    elif ray.get_runtime_context().gcs_address != address:
        raise HarnessError(f"--engine ray: this process is in the cluster at {ray.get_runtime_context().gcs_address}")
    return ray


def _join(ray: Any, address: str) -> None:
    try:
        _ask(address)
        with tempfile.TemporaryDirectory(prefix="harness-code-") as code, _signals_kept():
            shipping.pack(Path(code))
            ray.init(
                address=address,
                runtime_env={"working_dir": code, "env_vars": ENVIRONMENT},
                log_to_driver=False,
                logging_level="ERROR",
            )
    except HarnessError:
        raise
    except Exception as error:
        raise HarnessError(
            f"--engine ray: the cluster at {address} cannot be joined ({_first_line(str(error))}). It must run "
            f"(`ray start --head`), and this machine must be one of it (`ray start --address {address} --num-cpus 0`)"
        ) from error


def _ask(address: str) -> None:
    """Find out whether gRPC, which Ray speaks, is spoken there. Ray itself would try for minutes.

    Raises:
        OSError: it is not, or nobody answers.
    """
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), SECONDS_TO_ANSWER) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS_FRAME)
        if connection.recv(len(SETTINGS_FRAME))[3:4] != SETTINGS_FRAME[3:4]:
            raise OSError("what answers there is not Ray")


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray sets a handler of SIGTERM; the driver has its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

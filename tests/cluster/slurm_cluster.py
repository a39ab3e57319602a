"""A real SLURM on this machine alone: munged, slurmctld and slurmd of two nodes, in a temporary folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from servers import free_port, wait_for

NODES = ("one", "two")
CPUS = 4
"""Cores of a node, stated and not counted: jobs only wait for each other where a test wants it."""
CONFIGURATION = """
ClusterName=harness
SlurmctldHost={host}({address})
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SlurmdParameters=config_overrides
GresTypes=gpu,shard
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,bf_interval=1,requeue_delay=0
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
SlurmdTimeout=15
InactiveLimit=0
OverTimeLimit=0
MinJobAge=7200
ReturnToService=2
SwitchType=switch/none
{nodes}
PartitionName=work Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
"""


class Cluster:
    """The daemons, and commands to look at them and break them."""

    addresses = dict.fromkeys(("", *NODES), "127.0.0.1")
    """Node -> its address; of the controller under an empty name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all daemons, and wait until both nodes are idle."""
        self._configure()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        words = [f"--{option}={self.folder}/munge.{ending}" for option, ending in places.items()]
        self._daemon("munged", "--foreground", "--force", *words)
        wait_for((self.folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D", "-i", "-f", str(self.folder / "slurm.conf"))
        for node in NODES:
            self.start_node(node)
        wait_for(lambda: self.asked("sinfo", "-h", "-N", "-p", "work", "-o", "%T").split() == ["idle"] * len(NODES))

    def start_node(self, node: str) -> None:
        self._daemon(node, "-D", "-N", node, "-f", str(self.folder / "slurm.conf"), program="slurmd")

    def within(self, node: str) -> list[str]:
        """The words that start a command where the daemon of a node runs."""
        return []

    def _configure(self) -> None:
        (self.folder / "state").mkdir()
        lines = []
        for node in NODES:
            (self.folder / f"spool-{node}").mkdir()
            where = f"NodeHostname=localhost NodeAddr={self.addresses[node]} Port={free_port()}"
            lines.append(f"NodeName={node} {where} CPUs={CPUS} RealMemory=4000 Gres=gpu:1,shard:4 State=UNKNOWN")
        values = {"host": socket.gethostname().partition(".")[0], "port": free_port(), "user": getpass.getuser()}
        values["address"] = self.addresses[""]
        text = CONFIGURATION.format(folder=self.folder, nodes="\n".join(lines), **values)
        (self.folder / "slurm.conf").write_text(text)
        # No job uses this file: it stands for a GPU, so that SLURM has something to count.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=shard Count=4\n")

    def _daemon(self, name: str, *words: str, program: str = "") -> None:
        # Were the tests killed, no daemon would stay.
        found = ["setpriv", "--pdeathsig", "TERM", *self.within(name), str(program_of(program or name))]
        with (self.folder / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [*found, *words], stdout=log, stderr=log, env=self.environment, start_new_session=True
            )

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def asked(self, *words: str) -> str:
        """What a command of SLURM prints; empty if it fails."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False).stdout

    def jobs(self, form: str = "%T", *words: str) -> list[str]:
        """A line for every job that waits or runs."""
        return self.asked("squeue", "-h", "-r", "-o", form, *words).split("\n")[:-1]

    def job(self, number: str) -> dict[str, str]:
        """What ``scontrol show job`` says of a job."""
        return dict(
            pair.split("=", 1) for pair in self.asked("scontrol", "-o", "show", "job", number).split() if "=" in pair
        )

    def all_jobs(self) -> list[str]:
        """A line of ``scontrol show job`` for every job, those that have ended included."""
        return [line for line in self.asked("scontrol", "-o", "show", "job").splitlines() if "JobId=" in line]

    def soon(self, number: str) -> None:
        """Start a job that is queued again without the two minutes for which SLURM holds it."""
        self.asked("scontrol", "update", f"JobId={number}", "StartTime=now")

    def processes(self, number: str = "") -> list[int]:
        """The processes on this machine that belong to a job, by its raw number, or to any job of this cluster."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
                said = dict(word.split(b"=", 1) for word in words if b"=" in word)
                job, own = said.get(b"SLURM_JOB_ID"), f"{self.folder}/slurm.conf".encode()
                if said.get(b"SLURM_CONF") == own and job is not None and number in ("", job.decode()):
                    found.append(int(entry.name))
        return found

    def workers(self, number: str) -> list[int]:
        """The Python processes of a job that train."""
        found = []
        for pid in self.processes(number):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"submitit.core._submit" in words and not words[0].endswith((b"srun", b"bash")):
                    found.append(pid)
        return found

    def take(self, node: str) -> None:
        """Ask for a whole node, in the partition that takes machines away from the other."""
        self.asked("sbatch", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")

    def kill_node(self, node: str, with_jobs: bool = True) -> None:
        """Kill the daemons of a node and all that they have started, as when its power fails.

        Without its jobs, they run on, and SLURM knows nothing of them: the node is cut off.
        """
        pids = [self.daemons[node].pid, *_below(self.daemons[node].pid), *self.step_daemons(node)]
        text = self.asked("squeue", "-h", "-r", "-w", node, "-o", "%A")
        jobs = [pid for number in text.split() for pid in self.processes(number)]
        pids = [*pids, *jobs] if with_jobs else [pid for pid in pids if pid not in jobs]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons.pop(node).wait()

    def step_daemons(self, node: str) -> list[int]:
        """slurmstepd leaves the process group of slurmd, and keeps its folder open."""
        return [pid for pid in _all_named("slurmstepd") if self._of_this(pid, node)]

    def _of_this(self, pid: int, node: str) -> bool:
        with contextlib.suppress(OSError):
            return any(
                f"{self.folder}/slurmd-{node}.log" == os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()
            )
        return False

    def cancel_all(self) -> None:
        """End all jobs."""
        with contextlib.suppress(AssertionError):
            while self.jobs():
                self.asked("scancel", "--user", str(os.getuid()))
                wait_for(lambda: not self.jobs(), 30)

    def stop(self) -> None:
        """End all jobs and daemons."""
        self.cancel_all()
        for pid in [*self.processes(), *(pid for node in NODES for pid in self.step_daemons(node))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
        for daemon in self.daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def program_of(name: str) -> str | None:
    """Where a program is. Daemons are often not on the path of users."""
    return shutil.which(name, path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin", "/sbin"]))


def _all_named(name: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "comm").read_text().strip() == name:
                found.append(int(entry.name))
    return found


def _below(parent: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found += [int(entry.name), *_below(int(entry.name))]
    return found


Made = TypeVar("Made", bound=Cluster)


@contextlib.contextmanager
def cluster(kind: type[Made] = Cluster) -> Iterator[Made]:  # type: ignore[assignment]
    """A cluster of two nodes; skips the test where a program is missing."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch", "setpriv") if program_of(name) is None]
    if missing:
        pytest.skip(f"needs SLURM: this machine has no {', '.join(missing)} (Debian: slurm-wlm, munge)")
    # Sockets have short paths, and munge refuses folders that others may write to.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        made = kind(Path(name))
        Path(name).chmod(0o755)
        try:
            made.start()
            yield made
        finally:
            made.stop()

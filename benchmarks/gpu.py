"""Everything that is worth knowing about this project on a GPU, in ten minutes: checks first, then measurements.

    python benchmarks/gpu.py --minutes 9 --out DIR [--device cuda] [--only PART …] [--items WORD …]

It runs from a plain copy of the tree, with the machine's own Python; docs/gpu.md says what that needs. DIR gets
gpu.md (a page), gpu.csv (every number), failures.txt, gpu.json (all of it) and worker.log, and they are written anew
after every item: a run that is cut off leaves what it has. ``--device cpu`` runs the same code, with smaller sizes.

This process imports the standard library alone, so that nothing that it tries can end it. A worker process
(gpu_worker.py) runs the items and tells of each; one that dies, hangs or loses its device is replaced, and the item
that it was at has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_page import device_of, write_all
from gpu_parts import MINUTES, PARTS, Course, Part, Result, State, allowances

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
EVENTS = "HARNESS_GPU_EVENTS"
"""The variable with the number of the pipe that a child writes its events to."""
STARTING = 120.0
"""Seconds that a child may take to start and to list its items: on a fresh machine torch comes from a cold disk."""
DEATHS = 8
"""Children that a part may lose before the rest of it is given up; one that did nothing is its last."""
PYTEST = {"tests": "not test_every", "cross": "with_every_trick"}
"""The parts that pytest runs, and which tests they are (``-k``)."""


class Child:
    """A process that runs items and tells of them, a line of JSON each, in a session of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        reading, writing = os.pipe()
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=os.environ | environment | {EVENTS: str(writing)},
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                pass_fds=[writing],
                start_new_session=True,
            )
        os.close(writing)
        self.log, self.began = log, log.stat().st_size
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, args=(reading,), daemon=True).start()

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                with contextlib.suppress(ValueError):  # the last line of a process that was killed
                    self._events.put(json.loads(line))
        self._events.put(None)

    def ask(self, request: dict[str, Any]) -> None:
        """Ask for the items of a part."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # it is gone, and its pipe will say so
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()

    def next(self, until: float) -> dict[str, Any] | None:
        """The next event; None where the process has ended.

        Raises:
            TimeoutError: nothing came until then.
        """
        try:
            return self._events.get(timeout=max(0.01, until - time.monotonic()))
        except queue.Empty:
            raise TimeoutError from None

    @property
    def silent(self) -> bool:
        """Whether no event is waiting: writing hundreds of pages for hundreds of events would take long."""
        return self._events.empty()

    def end(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def printed(self) -> str:
        """The end of what it printed."""
        return self.log.read_bytes()[self.began :][-4000:].decode("utf-8", "replace")

    def fate(self) -> str:
        """How it ended, in words."""
        code = self.process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with exit code {code}"


class Session:
    """One run of the script."""

    def __init__(
        self, device: str, minutes: float, out: Path, only: list[str], words: list[str], source: str = ""
    ) -> None:
        self.device, self.minutes, self.out, self.words = device, minutes, out, words
        allowed = allowances(only, minutes)
        self.courses = [Course(part, allowed[part.name]) for part in PARTS if part.name in allowed]
        self.began = time.monotonic()
        self.deadline = self.began + 60 * minutes
        self.facts: dict[str, Any] = {
            "command": shlex.join(["python", "benchmarks/gpu.py", *sys.argv[1:]]),
            "commit": source or commit(),
            "began": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
            "minutes": minutes,
            "over": False,
            "note": "" if device != "cpu" else CPU_NOTE,
        }
        self._scratch = tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True)
        self._server: Child | None = None
        self._current: tuple[Course, float] | None = None

    def run(self) -> None:
        """Every part in turn, then what they left over, for as long as there is time."""
        self.write()
        try:
            end = self.began
            for course in self.courses:
                end += course.allowed
                self.part(course, end if course.allowed else self.deadline)
            for course in self.courses:
                if course.not_reached:
                    self.part(course, self.deadline)
        finally:
            if self._server:
                self._server.end()
            self.facts["over"] = True
            self.write()
            self._scratch.cleanup()

    def part(self, course: Course, until: float) -> None:
        """The items of a part that have no result yet. The first is begun even if its time is over by now."""
        self._current = course, time.monotonic() - course.took
        for _ in range(DEATHS):
            if time.monotonic() >= self.deadline or (course.begun and time.monotonic() >= until):
                break
            before = len(course.results)
            if self._attempt(course, until) or len(course.results) == before:
                break
        self.write()
        self._current = None

    def _attempt(self, course: Course, until: float) -> bool:
        """Go through the items with one child; whether the part needs no other."""
        child, item, since = self._child(course, until), "", time.monotonic()
        while True:
            limit = course.part.limit if item else STARTING
            try:
                event = child.next(min(since + limit, self.deadline))
            except TimeoutError:
                over = time.monotonic() >= self.deadline
                why = "the time of the run was over" if over else f"it took longer than {limit:g} s, and was ended"
                self._lose(course, child, item, why, over)
                return over
            if event is None:
                self._lose(course, child, item, child.fate())
                return False
            if "items" in event:
                course.items += [name for name in event["items"] if name not in course.items]
            elif "begin" in event:
                item, since = event["begin"], time.monotonic()
            elif "end" in event:
                course.results[event["end"]] = Result(**event["result"])
                item, since = "", time.monotonic()
                if child.silent:
                    self.write()
            elif "over" in event:
                if not course.items:
                    course.results["(before its first item)"] = Result("failed", "it has no items", child.printed())
                if child is not self._server:
                    child.end()
                return True

    def _lose(self, course: Course, child: Child, item: str, why: str, over: bool = False) -> None:
        """A child came to no good end: note what it was at, and be rid of it."""
        printed = child.printed()
        child.end()
        if child is self._server:
            self._server = None
        # A worker that ends itself between two items has said of the last one why; one that has listed no item yet
        # when the run is over has begun nothing.
        if item or not (course.begun or over):
            state: State = "cut off" if over else "failed"
            course.results[item or "(before its first item)"] = Result(state, why, "" if over else printed)
        self.write()

    def _child(self, course: Course, until: float) -> Child:
        """A child that has been asked for what is left of a part."""
        places = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")]
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, places)), "OMP_NUM_THREADS": "1"}
        # Times of the two processes are compared by the clock of the wall.
        wall = time.time() + until - time.monotonic()
        request = {"part": course.part.name, "words": self.words, "done": list(course.results), "until": wall}
        if course.part.name in PYTEST:
            return self._pytest(course.part, request, environment)
        if self._server is None or self._server.process.poll() is not None:
            words = [str(HERE / "gpu_worker.py"), "--device", self.device, "--folder", self._scratch.name]
            self._server = Child(words, environment, self.out / "worker.log")
        self._server.ask(request)
        return self._server

    def _pytest(self, part: Part, request: dict[str, Any], environment: dict[str, str]) -> Child:
        words = ["-m", "pytest", "-m", "gpu", "-k", PYTEST[part.name], "-p", "gpu_pytest", "-p", "no:cacheprovider"]
        words += ["--basetemp", str(Path(self._scratch.name) / "pytest"), "tests/test_gpu.py"]
        words += ["--collect-only"] if self.device == "cpu" else []
        require = {} if self.device == "cpu" else {"HARNESS_REQUIRE_GPU": "1"}
        asked = {"HARNESS_GPU_REQUEST": json.dumps(request)}
        return Child(words, environment | asked | require, self.out / "worker.log")

    def write(self) -> None:
        """Write the files as things stand."""
        if self._current:
            course, began = self._current
            course.took = time.monotonic() - began
        self.facts["device"] = device_of(self.courses) or f"The device {self.device}"
        self.facts["seconds"] = round(time.monotonic() - self.began, 1)
        write_all(self.out, self.courses, self.facts)


CPU_NOTE = (
    "This is a run on a CPU. It shows that the script works, and says nothing of a GPU: sizes are far smaller "
    "(batches of 8 and 16 in place of 64 and 512, a step or two), the tests marked gpu are collected and not run, and "
    "the profiler counts operators in place of kernels."
)


def commit() -> str:
    """The commit of the tree, where git and its folder are there."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    words = [git, "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end the run as an exception does: with the page written."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long all of it may take")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the page and the tables")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:i, or cpu to try the script itself")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these parts alone")
    parser.add_argument("--items", nargs="+", default=[], metavar="WORD", help="items with one of these in their names")
    parser.add_argument("--commit", default="", help="the commit of a copy that has no git folder, for the page")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with ended_by_signals():
        session = Session(chosen.device, chosen.minutes, chosen.out.resolve(), chosen.only, chosen.items, chosen.commit)
        session.run()
    failed = sum(course.count("failed") for course in session.courses)
    missing = sum(len(course.not_reached) or not course.begun for course in session.courses)
    print(f"{chosen.out / 'gpu.md'}: {failed} failed, {missing} not reached, {session.facts['seconds']:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

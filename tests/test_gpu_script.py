"""benchmarks/gpu.py by its real command line, on the CPU: nothing that it tries ends it, and it says what it left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gpu
import gpu_measures
import gpu_page
import gpu_parts
import pytest
from harness_cli import package

ROOT = Path(__file__).parents[1]
NAMES = [part.name for part in gpu_parts.PARTS]

BROKEN = """
import os
from harness.zoo.tricks.base import Trick

class Raises(Trick):
    name = "sabotage_1_raises"
    summary, paper = "a check of it fails", "none"
    def after_step(self, game):
        raise ValueError("this trick is | sabotaged")

class Ends(Trick):
    name = "sabotage_2_ends"
    summary, paper = "takes its process along", "none"
    def after_step(self, game):
        os.abort()
"""
POINTS = """sabotage_1_raises = saboteur:Raises
sabotage_2_ends = saboteur:Ends
"""

# A worker whose first item never ends, and whose second does.
HANGING = """
import json, sys, time
from gpu_events import end_with_parent, tell

end_with_parent()
for line in sys.stdin:
    tell({"items": ["hangs", "passes"]})
    for name in ("hangs", "passes"):
        if name not in json.loads(line)["done"]:
            tell({"begin": name})
            time.sleep(1000 if name == "hangs" else 0)
            tell({"end": name, "result": {"state": "passed"}})
    tell({"over": "trains"})
"""


def start(out: Path, *words: str) -> subprocess.Popen[str]:
    """Start the script; its files lie below the folder of ``out``."""
    environment = os.environ | {"TMPDIR": str(out.parent)}
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--out", str(out), *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def read(out: Path) -> dict[str, dict[str, Any]]:
    """Part -> what gpu.json says of it."""
    return {part["name"]: part for part in json.loads((out / "gpu.json").read_text())["parts"]}


def summary(page: str) -> dict[str, list[str]]:
    """Part -> its row in the page's first table."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    return {row[0]: row for row in cells if row[0] in NAMES and len(row) == 8}


def check_whole(out: Path, names: list[str]) -> None:
    """Every file is there, and says the same of every part: what was tried, and that the rest was not reached."""
    parts, page = read(out), (out / "gpu.md").read_text()
    rows = summary(page)
    assert list(parts) == list(rows) == names
    for name, part in parts.items():
        assert part["begun"] == (f"## {part['title']}" in page)
        assert rows[name][-1] == ("all" if not part["begun"] else str(len(part["not_reached"]) or ""))
        assert all(item["seconds"] < 60 for item in part["items"].values())
    assert (out / "gpu.csv").read_text().startswith("part,item,quantity,value,unit\n")
    assert (out / "failures.txt").read_text() == "No check and no measurement failed.\n"


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait for something that must come."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)


def left_behind(folder: Path) -> list[str]:
    """Processes whose command names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def test_a_run_that_is_too_short_says_what_it_did_not_reach(tmp_path: Path) -> None:
    began = time.monotonic()
    process = start(tmp_path / "out", "--minutes", "0.15")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert time.monotonic() - began < 9 + 10
    check_whole(tmp_path / "out", NAMES)
    assert not read(tmp_path / "out")["cross"]["begun"]
    assert "not reached" in output


ONE_EACH = (
    *("software", "test_auto_precision", "lsgan, bfloat16", "judge mnist-check", "lsgan", "copy"),
    *("r3gan, batch 8, bfloat16", "dcgan, 1 seed", "digits: fid", "two steps an arm", "1 process", "ttur-lsgan"),
)
"""Words that choose an item or a few of every part: they end long before the time is over, on a slow machine too."""


@pytest.mark.slow
def test_a_run_with_time_for_its_items_tries_every_part(tmp_path: Path) -> None:
    process = start(tmp_path / "out", "--minutes", "9", "--items", *ONE_EACH)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, (tmp_path / "out" / "failures.txt").read_text()
    check_whole(tmp_path / "out", NAMES)
    assert all(part["begun"] and not part["not_reached"] for part in read(tmp_path / "out").values()), output


@pytest.mark.slow
def test_models_with_every_trick_are_tried_where_time_is_left(tmp_path: Path) -> None:
    process = start(tmp_path / "out", "--minutes", "1", "--only", "cross")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, (tmp_path / "out" / "failures.txt").read_text()
    assert read(tmp_path / "out")["cross"]["begun"], output


@pytest.mark.slow
def test_sabotaged_checks_are_named_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One raises, one takes its process along; the check after them is made all the same."""
    package(tmp_path / "site", "saboteur", BROKEN, {"harness.tricks": POINTS})
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    gpu.Session("cpu", 3, tmp_path, ["trains"], ["sabotage", "ttur"]).run()
    items = read(tmp_path)["trains"]["items"]
    assert {name: item["state"] for name, item in items.items()} == {
        "sabotage_1_raises": "failed",
        "sabotage_2_ends": "failed",
        "ttur": "passed",
    }
    assert items["sabotage_1_raises"]["message"] == "ValueError: this trick is | sabotaged"
    assert items["sabotage_2_ends"]["message"] == "the process was ended by SIGABRT"
    page, told = (tmp_path / "gpu.md").read_text(), (tmp_path / "failures.txt").read_text()
    assert "| trains | sabotage_1_raises | ValueError: this trick is \\| sabotaged |" in page
    assert "in after_step" in told  # the traceback
    assert "trains: sabotage_2_ends" in told


def test_a_check_that_hangs_is_ended_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpu_worker.py").write_text(HANGING)
    monkeypatch.setattr(gpu, "HERE", tmp_path)
    monkeypatch.setattr(gpu, "PARTS", [replace(part, limit=1) for part in gpu.PARTS])
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))
    gpu.Session("cpu", 1, tmp_path, ["trains"], []).run()
    items = read(tmp_path)["trains"]["items"]
    assert {name: item["state"] for name, item in items.items()} == {"hangs": "failed", "passes": "passed"}
    assert items["hangs"]["message"] == "it took longer than 1 s, and was ended"
    assert not left_behind(tmp_path)


def test_a_part_whose_process_cannot_begin_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch today')")
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    session = gpu.Session("cpu", 1, tmp_path, ["machine", "tests"], [])
    session.run()
    for name, part in read(tmp_path).items():
        assert part["items"]["(before its first item)"]["state"] == "failed", name
    assert "no torch today" in (tmp_path / "failures.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_what_it_has(tmp_path: Path, number: signal.Signals) -> None:
    out, names = tmp_path / "out", ["machine", "trains"]
    process = start(out, "--minutes", "3", "--only", *names)
    wait_until(lambda: (out / "gpu.json").is_file() and bool(read(out)["trains"]["items"]), 90)
    process.send_signal(number)
    process.communicate(timeout=30)
    if number == signal.SIGTERM:
        check_whole(out, names)
    else:  # it may have come between two files, each of which is whole
        assert list(read(out)) == list(summary((out / "gpu.md").read_text())) == names
        assert (out / "gpu.md").read_text().endswith("\n")
    assert ("the run is not over" in (out / "gpu.md").read_text()) == (number == signal.SIGKILL)
    wait_until(lambda: not left_behind(tmp_path), 15)  # far less than the items that are left take


def test_a_worker_in_the_middle_of_an_item_ends_with_its_parent(tmp_path: Path) -> None:
    """With all that it has started, as `harness run` and the processes side by side."""
    sleeps = f"import time; time.sleep(100)  # {tmp_path}"
    child = f"""
import subprocess, sys, time
from gpu_events import end_with_parent
end_with_parent()
subprocess.Popen([sys.executable, "-c", {sleeps!r}])
open({str(tmp_path / "begun")!r}, "w").close()
time.sleep(100)
"""
    parent = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {child!r}], start_new_session=True).wait()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks")}
    process = subprocess.Popen([sys.executable, "-c", parent], env=environment)
    wait_until((tmp_path / "begun").is_file, 30)
    assert left_behind(tmp_path)
    process.kill()
    process.wait()
    wait_until(lambda: not left_behind(tmp_path), 15)


def test_the_profiler_s_events_are_counted() -> None:
    """What only a GPU gives, made up: two steps of one kernel each, one copy beside the second."""
    events = [
        {"cat": "kernel", "name": "gemm", "ts": 0.0, "dur": 400.0},
        {"cat": "kernel", "name": "gemm", "ts": 1000.0, "dur": 400.0},
        {"cat": "gpu_memcpy", "name": "Memcpy DtoH", "ts": 1300.0, "dur": 200.0},
        {"cat": "cuda_runtime", "name": "cudaStreamSynchronize", "ts": 1500.0, "dur": 9.0},
        {"cat": "cuda_runtime", "name": "cudaDeviceSynchronize", "ts": 1600.0, "dur": 9.0},
        {"cat": "cpu_op", "name": "aten::mm", "ts": 0.0, "dur": 5.0},
    ]
    found = gpu_measures.accounted(events, 2, took=0.001)
    values = {row.quantity: row.value for row in found.rows}
    assert values == pytest.approx(
        {
            "kernels": 1,
            "copies and fills": 0.5,
            "host waits": 0.5,
            "device busy": 0.45,
            "step without the profiler": 1,
            "idle": 55,
        }
    )
    assert found.said == "100 % gemm"


def test_a_page_keeps_tables_whole() -> None:
    assert gpu_page._cell("a | b\nc") == "a \\| b c"
    assert gpu_page._digits(12345.6) == "12 346"
    assert [gpu_page._digits(value) for value in (0, 0.123456, 5e-7)] == ["0", "0.123", "5.0e-07"]


def test_the_documentation_states_what_every_part_is_allowed() -> None:
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| `(\w+)` \| (\d+|what is left) \|", text, re.M))
    assert stated == {part.name: f"{part.seconds:g}" if part.seconds else "what is left" for part in gpu_parts.PARTS}
    allowed = gpu_parts.allowances(NAMES, gpu_parts.MINUTES)
    assert sum(allowed.values()) + gpu_parts.RESERVE == pytest.approx(60 * gpu_parts.MINUTES)
    assert allowed == pytest.approx({part.name: part.seconds for part in gpu_parts.PARTS})


def test_the_wheels_are_of_the_versions_that_the_checks_run_with() -> None:
    def pins(path: Path) -> dict[str, str]:
        lines = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(encoding="utf-8"), re.M)
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in lines}

    carried, used = pins(ROOT / "benchmarks" / "gpu-wheels.txt"), pins(ROOT / "constraints.txt")
    assert len(carried) > 20
    assert {name: version for name, version in carried.items() if used.get(name, version) != version} == {}

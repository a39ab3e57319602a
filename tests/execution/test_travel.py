"""A trial's folder on its way between machines, without a cluster."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness_cli import package

from harness import testing
from harness.base.errors import HarnessError
from harness.base.states import State
from harness.execution import shipping, travel
from harness.execution.engine import Ended, Noted, Site
from harness.execution.engines import ray
from harness.execution.travel import Away, Checkpoints, Luggage
from harness.store.journal import NAME, Journal, read
from harness.suite import Resources, Run
from harness.trial.task import Outcome, snapshot
from harness.zoo import registry


def away(home: Path, there: Path) -> Away:
    return Away(there, Luggage.of(home))


def test_the_journal_arrives_before_the_event_and_files_before_the_lines_that_name_them(tmp_path: Path) -> None:
    task = testing._task(tmp_path, 0)
    there = away(task.folder, tmp_path / "there")
    records = Journal(there.folder)
    records.points([("loss", 1, 0.5)])
    (there.folder / "final.png").write_bytes(b"picture")
    records.file(there.folder / "final.png", "samples")
    parcel = there.pack(Noted(task.key, "half"))
    assert parcel.files == {"final.png": b"picture"}
    travel.receive(task.folder, parcel)
    assert (task.folder / NAME).read_bytes() == (there.folder / NAME).read_bytes()
    assert (task.folder / "final.png").read_bytes() == b"picture"
    assert there.pack(Noted(task.key, "again")).lines == b"", "each line travels once"

    records.end(Outcome(State.DONE))
    travel.receive(task.folder, there.pack(Ended(task.key, Outcome(State.DONE))))
    assert [entry["kind"] for entry, _ in read(task.folder / NAME)] == ["begin", "points", "file", "end"]


def test_a_checkpoint_travels_when_it_is_new_and_when_another_worker_goes_on(tmp_path: Path) -> None:
    task = testing._task(tmp_path, 0)
    (task.folder / travel.CHECKPOINT).write_bytes(b"first")
    there = away(task.folder, tmp_path / "there")
    assert (there.folder / travel.CHECKPOINT).read_bytes() == b"first"
    assert there.checkpoint() is None, "the driver has it"
    travel.write_bytes(there.folder / travel.CHECKPOINT, b"second")
    assert there.checkpoint() == b"second"
    assert there.checkpoint() is None
    for state, kept in ((State.INTERRUPTED, True), (State.OUT_OF_MEMORY, True), (State.DONE, False)):
        parcel = there.pack(Ended(task.key, Outcome(state)))
        assert (travel.CHECKPOINT in parcel.files) == kept


def test_the_snapshots_of_earlier_attempts_travel_so_that_curves_go_on_from_them(tmp_path: Path) -> None:
    task = testing._task(tmp_path, 0)
    (task.folder / snapshot(5)).write_bytes(b"grid")
    (task.folder / "final.png").write_bytes(b"another picture")
    there = away(task.folder, tmp_path / "there")
    assert {path.name: path.read_bytes() for path in there.folder.glob("*.png")} == {snapshot(5): b"grid"}


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    task = testing._task(tmp_path, 0)
    travel.receive(task.folder, travel.Parcel(task.key, files={"../../evil": b"x"}))
    assert not (tmp_path / "evil").exists()
    assert (task.folder / "evil").exists()


def test_checkpoints_at_an_address(tmp_path: Path) -> None:
    stored = Checkpoints(f"file://{tmp_path}/stored")
    stored.check()
    assert stored.load("key") is None
    stored.save("key", b"one")
    stored.save("key", b"two")
    assert stored.load("key") == b"two"
    stored.remove("key")
    assert stored.load("key") is None
    assert list((tmp_path / "stored").iterdir()) == []
    Checkpoints(None).check()
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="cannot be written to"):
        Checkpoints(f"file://{tmp_path}/file/below").check()
    with pytest.raises(HarnessError, match="--artifacts nothing://"):
        Checkpoints("nothing://there").check()


def test_the_code_of_plugins_travels_with_that_of_the_harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from harness.zoo.models.gan import GAN\n\n\nclass Mine(GAN):\n    name = 'mine'\n    summary = 'mine'\n"
    package(tmp_path / "site", "my_model", source, {"harness.models": "mine = my_model:Mine"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    code = tmp_path / "code"
    code.mkdir()
    shipping.pack(code)
    shutil.rmtree(tmp_path / "site")
    asked = (
        "import harness; from harness.zoo import registry; print(harness.__file__, 'mine' in registry.names('models'))"
    )
    words = [sys.executable, "-c", asked]
    told = subprocess.run(words, cwd=code, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(code)})
    assert told.stdout.split() == [str(code / "harness" / "__init__.py"), "True"]


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["mnist", "stacked_mnist"])
def test_the_sources_of_data_make_them_present_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = registry.choose("data", name).make()
    sources = data.sources()
    assert len(sources) == 4
    monkeypatch.delenv("HARNESS_DATA")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert not data.present()
    for place, path in sources.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / place)
    assert data.present()


def test_a_folder_of_images_travels_unless_its_place_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    for label in ("a", "b"):
        (tmp_path / "here" / "mine" / label).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), number).save(tmp_path / "here" / "mine" / label / f"{number}.png")
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "here"))
    data = registry.choose("data", {"name": "folder", "path": "mine", "size": 8, "channels": 1}).make()
    digest, sources = data.digest(), data.sources()
    assert len(sources) == 20
    fixed = registry.choose("data", {"name": "folder", "path": str(tmp_path / "here" / "mine")}).make()
    assert fixed.present()
    assert fixed.sources() == {}
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "there"))
    assert not data.present()
    for place, path in sources.items():
        (tmp_path / "there" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "there" / place)
    assert data.present()
    assert data.digest() == digest


def test_what_does_not_answer_as_ray_does_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "SECONDS_TO_ANSWER", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(TimeoutError):  # it accepts, and says nothing
            ray._ask(address)
    with pytest.raises(ConnectionRefusedError):
        ray._ask(address)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as web:
        threading.Thread(target=web.handle_request, daemon=True).start()
        with pytest.raises(OSError, match="not Ray"):
            ray._ask(f"127.0.0.1:{web.server_address[1]}")


NODES: list[dict[str, Any]] = [
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 16e9}},
    {"Alive": True, "Resources": {"CPU": 3.0, "memory": 4e9}},
    {"Alive": False, "Resources": {"CPU": 64.0}},
]


@pytest.mark.parametrize(
    ("device", "wanted", "needed", "places"),
    [
        ("cpu", {}, {"CPU": 2, "GPU": 0.0, "memory": 0}, [4, 1, 0]),
        ("auto", {}, {"CPU": 2, "GPU": 1.0, "memory": 0}, [2, 0, 0]),
        ("auto", {"gpus": 0}, {"CPU": 2, "GPU": 0, "memory": 0}, [4, 1, 0]),
        ("cuda", {"gpus": 0.1, "cpus": 1}, {"CPU": 1, "GPU": 0.1, "memory": 0}, [8, 0, 0]),
        ("cpu", {"cpus": 1, "memory": "2GB"}, {"CPU": 1, "GPU": 0.0, "memory": 2_000_000_000}, [8, 2, 0]),
    ],
)
def test_what_a_trial_needs_of_ray_and_how_many_a_machine_carries(
    device: str, wanted: dict[str, Any], needed: dict[str, float], places: list[int], tmp_path: Path
) -> None:
    site = Site(tmp_path, Run(), Resources(**wanted), threads=2, device=device)
    assert ray.needs(site, NODES) == needed
    assert [ray.carried(node, needed) for node in NODES] == places


@pytest.mark.parametrize(("device", "gpus"), [("cuda:1", 1), ("cpu", 1), ("cuda", 0)])
def test_a_device_that_does_not_fit_what_a_trial_needs_is_refused(device: str, gpus: float, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=f"--device {device}|resources.gpus"):
        ray.needs(Site(tmp_path, Run(), Resources(gpus=gpus), device=device), NODES)

"""Bits that flip and files that are cut short: named and made anew, or refused; never numbers that nobody measured."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import logging
import os
import random
import re
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from chaos import Chaos
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from optuna.trial import TrialState

from harness import judge
from harness.analysis import loading, regression
from harness.analysis.regression import ArmBaseline, Baseline, Distribution
from harness.base.digests import seal
from harness.base.errors import HarnessError
from harness.base.files import COMPUTED_ANEW, load_state, read_sealed, save_state, write_sealed
from harness.base.states import State
from harness.execution import study
from harness.judge import catalogue
from harness.judge.points import Points
from harness.metrics.images import Images
from harness.store import journal, sqlite
from harness.store.delivery import Delivery
from harness.store.journal import Journal
from harness.store.record import Record
from harness.store.runs import Store
from harness.suite import read_suite
from harness.suite.plan import make_plan
from harness.trial.task import Outcome
from harness.zoo import registry
from harness.zoo.data import digests, downloads, fashion_mnist
from harness.zoo.data.downloads import RemoteFile

NOTED = "made anew, and named"
REFUSED = "refused"
UNHARMED = "read as it was written"


@dataclass
class Victim:
    """A kind of file: the file, how it is read, what of it is compared, and what must be said of the damage."""

    path: Path
    read: Callable[[], Any]
    names: tuple[str, ...] = ()

    def outcome(self, damaged: bytes, caplog: pytest.LogCaptureFixture) -> str:
        """What comes of reading the file with other content; the right one is put back."""
        content, stat = self.path.read_bytes(), self.path.stat()
        right = self.read()
        caplog.clear()
        self.path.write_bytes(damaged)
        refused, found = None, None
        try:
            found = self.read()
        except HarnessError as error:
            refused = str(error)
        finally:
            self.path.write_bytes(content)
            os.utime(self.path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
        if refused is not None:
            assert any(name in refused for name in (self.path.name, *self.names)), refused
            return REFUSED
        if found is None or caplog.messages:
            assert any(self.path.name in text for text in caplog.messages), caplog.messages
            assert found in (None, right)
            return NOTED
        assert found == right
        return UNHARMED


def flipped(content: bytes, rng: random.Random) -> bytes:
    """One bit the other way; half of them outside the zeros, which in a database are room that nobody reads."""
    place = rng.randrange(len(content))
    if rng.random() < 0.5:
        place = rng.choice([at for at, byte in enumerate(content) if byte])
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def cut(content: bytes, rng: random.Random) -> bytes:
    """The beginning of it."""
    return content[: rng.randrange(len(content))]


# --- the kinds of files ----------------------------------------------------------------------------------


def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    path = tmp_path / "checkpoint.pt"
    save_state(path, {"weights": torch.arange(50.0), "step": 7, "curves": [("loss", 1, 0.5)]})

    def read() -> str | None:
        state = load_state(path, "the training begins anew")
        return None if state is None else repr(state)

    return Victim(path, read)


def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    def read() -> list[float]:
        images = Images(torch.zeros(2, 1, 1, 1), Points(), None, tmp_path)
        return images.kept("numbers", "f" * 64, lambda: {"numbers": torch.arange(20.0)})["numbers"].tolist()

    read()
    [path] = tmp_path.glob("numbers-*")
    return Victim(path, read)


def floors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    path = tmp_path / "floors.sealed"
    write_sealed(path, json.dumps({"fid": 0.0712}).encode())
    return Victim(path, lambda: read_sealed(path, COMPUTED_ANEW))


def weights(role: str) -> Callable[[Path, pytest.MonkeyPatch], Victim]:
    def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
        folder = tmp_path / "weights"
        shutil.copytree(catalogue.SHIPPED, folder)
        monkeypatch.setattr(catalogue, "SHIPPED", folder)

        def read() -> str:
            judge.digest.cache_clear()
            return judge.digest("mnist")

        path = folder / ("mnist.sha256" if role == "sums" else f"mnist-{role}.safetensors")
        return Victim(path, read, ("mnist.sha256",))

    return made


def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    path = tmp_path / "baseline.json"
    arm = ArmBaseline(
        declared={"model": "gan"},
        trials=3,
        failures={},
        protocol={"fid": {"samples": 64}},
        columns={"fid": Distribution.of({0: 10.25, 1: 11.5, 2: 9.125})},
    )
    regression.write(Baseline(format=1, suite="toy", environment={"torch": "2"}, arms={"arm": arm}), path)
    return Victim(path, lambda: regression.read(path).model_dump())


IDX = bytes((0, 0, 8, 1, 0, 0, 0, 60)) + bytes(range(60))


def idx(zipped: bool) -> Callable[[Path, pytest.MonkeyPatch], Victim]:
    def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
        file = RemoteFile("numbers-idx1-ubyte", hashlib.sha256(IDX).hexdigest())
        path = tmp_path / (file.name + ".gz" * zipped)
        path.write_bytes(gzip.compress(IDX, mtime=0) if zipped else IDX)

        def read() -> list[int]:
            downloads._content.cache_clear()
            numbers: list[int] = downloads.read_idx(downloads.content(path, file), 1).tolist()
            return numbers

        return Victim(path, read)

    return made


def published_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    """Files without a published digest: known by the one that was worked out when they were first seen."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "COUNTS", {"train": 4, "test": 2})
    folder = tmp_path / "fashion_mnist"
    folder.mkdir()
    for split, n in fashion_mnist.COUNTS.items():
        images, labels = fashion_mnist.FILES[split]
        (folder / images).write_bytes(bytes((0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 28, 0, 0, 0, 28)) + bytes(784 * n))
        (folder / labels).write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, n)) + bytes(n))
    choice = registry.choose("data", "fashion_mnist")
    choice.plugin(choice.settings).digest()
    path = folder / "train-images-idx3-ubyte"
    stamp = path.stat().st_mtime_ns

    def read() -> list[Any]:
        os.utime(path, ns=(stamp, stamp))  # what rots on a disk does not tell
        for known in (fashion_mnist._digest, digests._known):
            getattr(known, "cache_clear", getattr(known, "clear", None))()
        data = choice.plugin(choice.settings)
        return [data.digest(), data.load("train").images.tolist()]

    return Victim(path, read, ("fashion_mnist",))


def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))

    def read() -> str:
        digests._known.clear()
        return digests.remembered("things", ["a", 1], lambda: "5" * 64)

    read()
    [path] = tmp_path.glob("things/*.json")
    return Victim(path, read)


def optuna_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    opened = study.storage(tmp_path)
    made = optuna.create_study(storage=opened, study_name="a search", direction="minimize")
    for number in range(8):
        trial = made.ask()
        value = trial.suggest_float("rate", 1e-4, 1e-1, log=True) + number
        trial.report(value, 1)
        trial.set_user_attr("keys", ["0123456789abcdef"])
        trial.set_user_attr(study.KEYS_SEAL, seal([number, ["0123456789abcdef"]]))
        trial.set_user_attr(study.PARAMETERS_SEAL, seal(trial.params))
        [frozen] = [f for f in made.get_trials() if f.number == trial.number]
        frozen.state, frozen.value = TrialState.COMPLETE, value
        trial.set_user_attr(study.SEAL, study._seal(frozen))
        made.tell(trial, value)
    opened.engine.dispose()  # type: ignore[attr-defined]
    sqlite.stamp(tmp_path)
    path = tmp_path / "optuna.db"

    def read() -> list[Any]:
        again = study.storage(tmp_path)
        try:
            with sqlite.reading(path, sqlite.OPTUNA):
                found = optuna.load_study(study_name="a search", storage=again)
            trials = study._trials(found)
            return [(f.number, f.params, f.value, f.intermediate_values, f.user_attrs["keys"]) for f in trials]
        finally:
            again.engine.dispose()  # type: ignore[attr-defined]

    return Victim(path, read)


def recorded(folder: Path) -> tuple[Path, str]:
    """A results folder in which a made-up trial is recorded and not yet delivered; its key."""
    suite = folder / "tiny.yaml"
    suite.write_text("suite: tiny\ndata: digits\nbase: {model: gan}\nseeds: 1\nevaluate: {metrics: [fid]}\n")
    [trial] = make_plan(read_suite(suite)).trials
    kept = Journal(folder / "work" / trial.key)
    kept.begin("tiny", trial)
    kept.environment({"device": "cpu", "threads": "1"})
    kept.points([(name, step, 0.1 * step) for step in range(1, 40) for name in ("one", "other")])
    (kept.path.parent / "protocol.json").write_text(json.dumps({"fid": {"samples": 64}}))
    kept.file(kept.path.parent / "protocol.json", "")
    kept.end(Outcome(State.DONE, "", {"fid": 12.345678901, "covered_classes": 7}, 1.5, 0.25))
    return kept.path, trial.key


def mlflow_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    recorded(tmp_path)
    store = Store(tmp_path)
    store.create()
    Delivery(store, tmp_path / "work", print).deliver()
    sqlite.stamp(tmp_path)
    path = tmp_path / "mlflow.db"
    _closed(store, path)

    def read() -> Record | None:
        # Like a process of its own, which has nothing open and nothing remembered.
        try:
            found = loading.load(make_plan(read_suite(tmp_path / "tiny.yaml")), tmp_path)
        finally:
            _closed(Store(tmp_path), path)
        if found.altered:  # one row, which says so
            assert (found.records, found.missing) == ((), 1)
            raise HarnessError(found.altered[0].reason)
        [record] = found.records
        return record if record.artifacts is not None and record.artifacts.is_dir() else None

    return Victim(path, read, (" after the run ended: `harness run` trains it again",))


@pytest.mark.parametrize("lost", ["deleted", "scheme", "place"])
def test_files_that_are_not_where_the_store_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    victim = mlflow_file(tmp_path, monkeypatch)
    victim.read()
    assert not caplog.messages
    if lost == "deleted":
        shutil.rmtree(tmp_path / "artifacts")
    else:
        change = "'s3://' || artifact_uri" if lost == "scheme" else "replace(artifact_uri, '/tiny/', '/ti~y/')"
        with contextlib.closing(sqlite3.connect(victim.path)) as connection, connection:
            connection.execute(f"update runs set artifact_uri = {change}")
    victim.read()
    [said] = caplog.messages
    assert re.search(r"the files of 1 of 1 trials are not where sqlite:///.*mlflow\.db says \(the first: .+\)", said)


def _closed(store: Store, path: Path) -> None:
    """Let go of the file, so that the next to open it reads it anew."""
    SqlAlchemyStore._get_or_create_engine(store.address).dispose()
    with contextlib.suppress(Exception), contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Victim:
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({"fid": {"samples": 64}}))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    record = Record(
        key="", arm="", model="", tricks="", data="", seed=0, state=State.DONE, reason="", seconds_train=0,
        seconds_evaluate=0, values={}, run_id="", curves=[], artifacts=tmp_path, environment={}, files=files,
    )  # fmt: skip
    return Victim(path, lambda: record.read(path.name))


KINDS: dict[str, Callable[[Path, pytest.MonkeyPatch], Victim]] = {
    "checkpoint": checkpoint,
    "cache": cache,
    "floors": floors,
    "features weights": weights("features"),
    "shape weights": weights("shape"),
    "style weights": weights("style"),
    "weights' sums": weights("sums"),
    "baseline": baseline,
    "IDX": idx(zipped=False),
    "gzip": idx(zipped=True),
    "IDX without a published digest": published_raw,
    "remembered digest": note,
    "optuna.db": optuna_file,
    "mlflow.db": mlflow_file,
    "file of a trial": artifact,
}
FEW = {"optuna.db": 6, "mlflow.db": 4}
"""How often in the default run, where not thirty times."""


@pytest.fixture
def victim(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Victim]:
    yield KINDS[kind](tmp_path, monkeypatch)
    judge.digest.cache_clear()
    digests._known.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_never_used(kind: str, victim: Victim, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "harness")
    rng, content = random.Random(kind), victim.path.read_bytes()
    outcomes = [victim.outcome(flipped(content, rng), caplog) for _ in range(FEW.get(kind, 30))]
    outcomes += [victim.outcome(cut(content, rng), caplog) for _ in range(FEW.get(kind, 30) // 3)]
    assert victim.outcome(content, caplog) == UNHARMED
    assert {NOTED, REFUSED} & set(outcomes)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", KINDS)
def test_many_damaged_files(kind: str, victim: Victim, caplog: pytest.LogCaptureFixture, chaos: Chaos) -> None:
    caplog.set_level(logging.WARNING, "harness")
    content = victim.path.read_bytes()
    for _ in range(200):
        spoil = chaos.rng.choice([flipped, flipped, cut])
        came = victim.outcome(spoil(content, chaos.rng), caplog)
        chaos.tried(f"{'bits flipped' if spoil is flipped else 'files cut short'}: {kind}", came)


def last_bit_flipped(path: Path, number: float) -> None:
    """What SQLite's own check cannot see."""
    content, value = path.read_bytes(), struct.pack(">d", number)
    assert value in content
    path.write_bytes(content.replace(value, value[:-1] + bytes([value[-1] ^ 1])))
    sqlite.check(path, sqlite.MLFLOW)


@pytest.mark.parametrize(("number", "named"), [(12.345678901, "fid"), (0.1 * 39, "train/one")])
def test_a_value_in_a_database_that_is_whole_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: float, named: str
) -> None:
    """Of the outcome, and the last of a curve."""
    victim = mlflow_file(tmp_path, monkeypatch)
    last_bit_flipped(victim.path, number)
    with pytest.raises(
        HarnessError, match=f"metric '{named}' was edited or damaged.* after the run ended: `harness run` trains"
    ):
        victim.read()


def test_a_point_in_the_middle_of_a_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    victim = mlflow_file(tmp_path, monkeypatch)
    right = victim.read()
    last_bit_flipped(victim.path, 0.1 * 7)
    found = victim.read()
    assert (found.curves, found.values) == ([], right.values)
    assert len(right.curves) == 78
    [said] = caplog.messages
    assert re.search(
        r"a point of its curves was edited or damaged after the run ended .*: its curves are left out", said
    )


def test_a_run_that_no_longer_says_that_it_is_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = mlflow_file(tmp_path, monkeypatch)
    with contextlib.closing(sqlite3.connect(victim.path)) as connection:
        changed = connection.execute("UPDATE tags SET value = 'trjal' WHERE key = 'role' AND value = 'trial'")
        assert changed.rowcount == 1
        connection.commit()
    with pytest.raises(HarnessError, match=r"^tag 'role' was edited or damaged after the run ended"):
        victim.read()


@pytest.mark.parametrize("steps", ["2O", "0", "-4000", "9" * 5000])
def test_a_guess_of_the_time_passes_over_a_damaged_number_of_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    victim = mlflow_file(tmp_path, monkeypatch)
    plan = make_plan(read_suite(tmp_path / "tiny.yaml"))
    assert loading.seconds_per_trial(plan, tmp_path)(plan.trials[0]) == 1.75
    with contextlib.closing(sqlite3.connect(victim.path)) as connection:
        connection.execute("UPDATE params SET value = ? WHERE key = 'train.steps'", [steps])
        connection.commit()
    assert loading.seconds_per_trial(plan, tmp_path)(plan.trials[0]) is None


def test_a_number_that_a_search_learns_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = optuna_file(tmp_path, monkeypatch)
    _, parameters, value, _, _ = victim.read()[3]
    content = victim.path.read_bytes()
    for number in (value, parameters["rate"]):
        right = struct.pack(">d", number)
        assert right in content
        victim.path.write_bytes(content.replace(right, right[:-1] + bytes([right[-1] ^ 1])))
        sqlite.check(victim.path, sqlite.OPTUNA)
        with pytest.raises(HarnessError, match=r"optuna\.db is damaged.*trial 3 is not as it was written"):
            victim.read()


def test_damaged_records_end_where_the_damage_begins(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path)
    content, rng = path.read_bytes(), random.Random(0)
    right = [entry for entry, _ in journal.read(path)]
    for spoil in (flipped, cut) * 50:
        path.write_bytes(spoil(content, rng))
        found = [entry for entry, _ in journal.read(path)]
        assert found == right[: len(found)]
        assert len(found) < len(right)


def test_the_committed_baseline_and_the_shipped_judges_are_as_they_were_written() -> None:
    root = Path(__file__).parent.parent
    for path in (root / "results" / "baselines").glob("*.json"):
        regression.read(path)
    for name in judge.names():
        judge.digest(name)


def test_a_baseline_that_was_edited_on_purpose_says_how_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = baseline(tmp_path, monkeypatch).path
    path.write_text(path.read_text().replace('"samples": 64', '"samples": 65'))
    with pytest.raises(HarnessError, match=r"digest differs.*--update"):
        regression.read(path)

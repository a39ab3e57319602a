"""What is wrong outside of the suite: overrides, the environment, baselines, data. One message, exit code 2."""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from forked_cli import Came, Command, commands
from harness_cli import SUITE, Workspace
from PIL import Image

from harness.base import diagnosis
from harness.base.errors import HarnessError
from harness.zoo import registry
from harness.zoo.data import downloads, folder


def wrong(came: Came, words: str) -> str:
    """What is wrong with how bad input was refused; nothing if all is right."""
    faults = {
        f"exit code {came.code}": came.code != 2,
        "a traceback": "Traceback" in came.output,
        f"{words!r} is not said": words not in came.output,
        "too long": len(came.output) > 4000,
        f"{came.kilobytes} KiB": came.kilobytes > 500 * 1024,
        "characters that a terminal obeys": not all(c.isprintable() or c == "\n" for c in came.output),
    }
    return "; ".join(fault for fault, there in faults.items() if there)


def assert_refused(wanted: dict[str, tuple[Command, str]]) -> None:
    found = commands({name: command for name, (command, _) in wanted.items()})
    faults = {name: wrong(found[name], words) for name, (_, words) in wanted.items()}
    assert {name: f"{why}: {found[name].output[-600:]}" for name, why in faults.items() if why} == {}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(SUITE))
    return path


OVERRIDES = {
    "": "expected PATH=VALUE",
    "=": "expected PATH=VALUE",
    "train": "expected PATH=VALUE",
    "train.steps": "expected PATH=VALUE",
    ".=1": "expected PATH=VALUE",
    "..=1": "expected PATH=VALUE",
    "train.=1": "expected PATH=VALUE",
    "train.steps=": "expected a value",
    "train.steps=x": "expected a whole number",
    "train.steps=-1": "must be at least 1",
    "train.steps=.nan": "expected a finite number",
    "train.steps=.NaN": "expected a finite number",
    "train.steps=1e999": "expected a finite number",
    "train.steps=" + "9" * 5000: "is too large",
    "train.steps=!!python/object/apply:os.system ['id']": "the tag",
    "train.steps=*a": "no anchor",
    "train.steps=[": "not YAML",
    "train.steps=" + "[" * 5000: "nested more than 32 levels",
    "train.steps.deeper=1": "cannot be set inside 20",
    "trian.steps=1": "did you mean 'train'?",
    "Train.steps=1": "did you mean 'train'?",
    "suite=../../x": "is no valid name",
    "suite=con": "is reserved",
    "suite=" + "x" * 100_000: "is no valid name",
    "seeds.0=1": "cannot be set inside 2",
    "seeds=" + "1" * 20: "is too large",
    "matrix.tricks.0=1": "expected a list, got 1",
    "matrix.tricks=[[nosuch]]": "unknown name 'nosuch'",
    "exclude." + "9" * 5000 + ".where.x=1": "expected a list",
    "a" + ".a" * 40_000 + "=1": "more than 32 steps",
    "question=\x1b[2J": "U+001B is not allowed",
    'question="\\e[2J"': "U+001B is not allowed",
    "question\n=1": "expected text, got 1",
    "data={name: folder, path: /nowhere}": "there is no folder /nowhere",
    "data=../../etc/passwd": "unknown name",
    "base.model=os.system": "unknown name",
    "evaluate.features=../x": "unknown features",
}


def test_overrides(tmp_path: Path, suite: Path) -> None:
    assert_refused(
        {
            override[:60]: (Command(["run", "tiny.yaml", "--set", override], str(tmp_path)), words)
            for override, words in OVERRIDES.items()
        }
    )
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--set", "data=mnist"], {"HARNESS_DATA": "file"}, "MNIST is not on this machine"),
        (["--set", "data=mnist"], {"HARNESS_DATA": "x" * 5000, "HARNESS_CACHE": "file"}, "could not be downloaded"),
        ([], {"HARNESS_RESULTS": "file"}, "is a file"),
        ([], {"HARNESS_RESULTS": "file/x"}, "cannot be created"),
        ([], {"MLFLOW_TRACKING_URI": "sqlite:////nowhere/at/all.db"}, "MLFLOW_TRACKING_URI is"),
    ],
)
def test_the_environment(tmp_path: Path, suite: Path, words: list[str], environment: dict[str, str], said: str) -> None:
    (tmp_path / "file").write_text("no folder")
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "HARNESS_CACHE": str(tmp_path / "cache")}
    output = Workspace(tmp_path, offline | environment).run("run", suite, *words, code=2)
    assert said in output
    assert not list(tmp_path.rglob("*.db"))
    assert not Path("/nowhere").exists()


@pytest.mark.parametrize(
    "address",
    [
        *("nonsense", "ftp://x", "http://", "https:///x", "sqlite://", "sqlite:///:memory:/x/y", "databricks", "://"),
        *(
            "sqlite:////nowhere/at/all.db",
            "file:///tmp",
            "http://[::1",
            "x" * 5000,
            "postgresql://",
            "\udcff",
            "\x1b[2J",
        ),
    ],
)
def test_addresses_of_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    from harness.store.runs import Store

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(HarnessError, match=r"MLFLOW_TRACKING_URI is .* which is not a store: expected") as raised:
        Store(tmp_path)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500


BASELINES: dict[str, bytes] = {
    "empty": b"",
    "blank": b"  \n",
    "no JSON": b"suite: tiny\n",
    "cut short": b'{"format": 1, "suite": "ti',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "nothing in it": b"{}",
    "newer": b'{"format": 99}',
    "format of text": b'{"format": "1"}',
    "format beyond all": b'{"format": 1e999}',
    "endless number": b'{"format": ' + b"9" * 5000 + b"}",
    "too deep": b"[" * 100_000,
    "without arms": b'{"format": 1, "suite": "tiny", "environment": {}}',
    "arms of nothing": b'{"format": 1, "suite": "tiny", "environment": {}, "arms": {"gan": null}}',
    "NaN": b'{"format": 1, "suite": "tiny", "environment": {}, "arms": {}, "x": NaN}',
    "wrong digest": b'{"format": 1, "suite": "tiny", "environment": {}, "arms": {}, "digest": "x"}',
    "digest of a number": b'{"format": 1, "suite": "tiny", "environment": {}, "arms": {}, "digest": 1}',
    "no digest": b'{"format": 1, "suite": "tiny", "environment": {}, "arms": {}}',
    "half a pair": b'{"format": 1, "suite": "\\ud800", "environment": {}, "arms": {}, "digest": ""}',
    "escapes": b'{"\\u001b[2J": 1}',
    "not UTF-8": b'{"format": "\xff"}',
    "UTF-16": '{"format": 1}'.encode("utf-16"),
    "null bytes": bytes(1000),
    "a pickle": b"\x80\x04\x95cos\nsystem\n(S'id'\ntR.",
    "many keys": json.dumps({f"k{i}": 0 for i in range(20_000)}).encode(),
}


def test_baselines(tmp_path: Path) -> None:
    from harness.analysis import regression

    for content in BASELINES.values():
        (tmp_path / "b.json").write_bytes(content)
        with pytest.raises(
            HarnessError, match=r"the baseline .* (is damaged|has format|was edited or damaged)"
        ) as raised:
            regression.read(tmp_path / "b.json")
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 1000
    for path in (tmp_path, tmp_path / "nowhere", Path("/dev/zero")):
        with pytest.raises(HarnessError, match="does not exist"):
            regression.read(path)


def test_a_baseline_that_is_none_ends_the_check_before_it_begins(tmp_path: Path, suite: Path) -> None:
    (tmp_path / "b.json").write_bytes(b"[")
    output = Workspace(tmp_path).run("check", suite, "--baseline", tmp_path / "b.json", code=2)
    assert "is damaged" in output
    assert {path.name for path in tmp_path.iterdir()} == {"b.json", "tiny.yaml"}


def idx(*sizes: int, magic: bytes = b"\0\0\x08", values: int | None = None) -> bytes:
    head = magic + bytes([len(sizes)]) + b"".join(size.to_bytes(4, "big") for size in sizes)
    return head + bytes(values if values is not None else 24)


@pytest.mark.parametrize(
    "content",
    [
        idx(2, 3, 4)[:3],
        idx(2, 3, 4)[:15],
        idx(2, 3, 4, values=23),
        idx(2, 3, 4, values=25),
        idx(2, 12),
        idx(24),
        idx(2, 3, 2, 2),
        idx(2, 3, 4, magic=b"\0\0\x0d"),
        idx(2, 3, 4, magic=b"\0\x01\x08"),
        idx(2**32 - 1, 2**32 - 1, 2**32 - 1),  # nothing is allocated for what is only announced
        idx(0, 3, 4),
        bytes(1000),
        b"\x1f\x8b" + bytes(100),
    ],
)
def test_idx_files(content: bytes) -> None:
    with pytest.raises(HarnessError, match="IDX"):
        downloads.read_idx(content, 3)


def test_a_file_that_decompresses_without_end_is_refused(tmp_path: Path) -> None:
    file = downloads.RemoteFile("images", "0" * 64)
    with gzip.open(tmp_path / "images.gz", "wb", compresslevel=1) as packed:
        for _ in range(100):
            packed.write(bytes(1 << 20))
    with pytest.raises(HarnessError, match="not the file it should be"):
        downloads.content(tmp_path / "images.gz", file)
    with (tmp_path / "images").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(HarnessError, match="not the file it should be"):
        downloads.content(tmp_path / "images", file)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


IMAGES: dict[str, bytes] = {
    "bomb": bomb(60_000, 60_000),
    "bomb below Pillow's limit": bomb(12_000, 12_000),
    "endless strip": bomb(1, 2**31 - 1),
    "no pixels": bomb(0, 5),
    "cut short": bomb(8, 8)[:40],
    "empty": b"",
    "text": b"no image",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "lone head": b"\x89PNG\r\n\x1a\n",
}


def test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    classes = tmp_path / "images" / "one"
    classes.mkdir(parents=True)
    for name, content in IMAGES.items():
        (classes / f"{name}.png").write_bytes(content)
    choice = registry.choose("data", {"name": "folder", "path": str(tmp_path / "images")})
    with pytest.raises(HarnessError) as raised:
        choice.plugin(choice.settings).load("train")
    said = str(raised.value)
    assert f"{len(IMAGES)} files in " in said
    assert "cannot be read as an image" in said
    assert all(f"one/{name}.png: " in said for name in IMAGES)
    assert not (tmp_path / "cache" / "folder").exists()


def test_an_image_of_the_size_that_is_said_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_PIXELS", 64)
    assert folder._pixels(bomb(8, 8), folder.Form(4, 1))[0].shape == (1, 4, 4)
    with pytest.raises(ValueError, match="9 × 8 pixels, more than 64"):
        folder._pixels(bomb(9, 8), folder.Form(4, 1))


def test_inception_s_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.judge import inception

    (tmp_path / "wrong.pth").write_bytes(b"wrong")
    cases: dict[Any, str] = {
        "/nowhere": "which is not a file",
        tmp_path: "which is not a file",
        tmp_path / "wrong.pth": "not the",
    }
    for given, words in cases.items():
        monkeypatch.setenv("HARNESS_INCEPTION", str(given))
        with pytest.raises(HarnessError, match=words):
            inception.weights_file()


def test_inception_s_weights_that_are_wrong_stop_a_run_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "wrong.pth").write_bytes(b"wrong")
    workspace = Workspace(tmp_path, {"HARNESS_INCEPTION": str(tmp_path / "wrong.pth")})
    evaluate = {"samples": 64, "features": "inception", "metrics": ["fid"]}
    suite = workspace.suite(evaluate=evaluate, compare={"metric": "fid"})
    assert "not the Inception weights" in workspace.run("run", suite, code=2)
    assert not list(workspace.results.glob("*.db"))


def own_images(folder: Path) -> dict[str, Any]:
    """A folder of images without a judge, as the data of a suite."""
    for place in range(5):
        path = folder / "images" / "cat" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28, 28), 50 * place).save(path)
    return {"name": "folder", "path": str(folder / "images"), "size": 28, "channels": 1}


@pytest.mark.parametrize("evaluate", ["{features: mnist, metrics: [fid]}", "{metrics: [mode_coverage]}"])
def test_images_that_cannot_be_read_are_reported_at_the_data(tmp_path: Path, evaluate: str) -> None:
    from harness.suite import SuiteError, read_suite

    data = own_images(tmp_path)
    (tmp_path / "images" / "cat" / "t.jpg").write_bytes(b"cut")
    (tmp_path / "s.yaml").write_text(
        f"suite: s\nbase: {{model: gan}}\nevaluate: {evaluate}\ndata: {json.dumps(data)}\n"
    )
    with pytest.raises(SuiteError) as caught:
        read_suite(tmp_path / "s.yaml")
    [problem] = caught.value.problems
    assert problem == (
        f"{tmp_path}/s.yaml:4:7: data: 1 file in {tmp_path}/images cannot be read as an image; repair or remove: "
        "cat/t.jpg: not an image format that Pillow knows"
    )


def test_the_features_of_another_judge_are_refused_with_advice_that_fits(tmp_path: Path) -> None:
    from harness.suite import SuiteError, read_suite

    data, evaluate = own_images(tmp_path), {"features": "mnist", "metrics": ["fid"]}
    with pytest.raises(SuiteError) as caught:
        read_suite(Workspace(tmp_path).suite(data=data, evaluate=evaluate, compare={}))
    [problem] = caught.value.problems
    assert "the judge 'mnist' is not for these data: use auto or inception (no judge knows the data 'folder'" in problem


def test_without_a_metric_that_uses_features_nobody_asks_for_inception(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"HARNESS_INCEPTION": "/nowhere", "HARNESS_CACHE": str(tmp_path / "cache")})
    train, one = {"steps": 1, "batch_size": 4}, {"seeds": 1, "matrix": {}, "compare": {}}
    for features in ("auto", "inception"):
        evaluate = {"samples": 16, "metrics": ["sharpness"], "features": features}
        workspace.run("run", workspace.suite(data=own_images(tmp_path), train=train, evaluate=evaluate, **one))
    assert [row["state"] for row in workspace.table()] == ["done"]
    evaluate = {"samples": 16, "metrics": ["sharpness", "fid"]}
    suite = workspace.suite(data=own_images(tmp_path), train=train, evaluate=evaluate, **one)
    assert "HARNESS_INCEPTION names /nowhere" in workspace.run("run", suite, code=2)


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        ("digits", "or use the judge of these data: leave out `features`"),
        ({"name": "folder"}, "or use a judge of these data (no judge knows the data 'folder': train one with `harness"),
    ],
)
def test_the_advice_for_inception_s_weights_fits_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: Any, advice: str
) -> None:
    from harness.cli.running import fetch_all
    from harness.cli.telling import Silence
    from harness.judge import inception
    from harness.suite import read_suite
    from harness.suite.plan import make_plan

    def unreachable(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inception, "bring", unreachable)
    evaluate = {"samples": 16, "metrics": ["fid"], "features": "inception"}
    given = data if data == "digits" else own_images(tmp_path)
    suite = Workspace(tmp_path).suite(data=given, evaluate=evaluate, matrix={}, compare={})
    with pytest.raises(HarnessError) as caught:
        fetch_all(make_plan(read_suite(suite)), Silence())
    assert advice in str(caught.value)


def test_too_few_open_files_are_refused_before_a_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"now": (24, 24)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.update(now=new))
    with pytest.raises(HarnessError) as caught:
        diagnosis.refuse_few_files(2)
    assert str(caught.value) == (
        "at most 24 files may be open at once (`ulimit -n`), but a run with 2 workers needs 56: raise the limit, or "
        "use fewer --workers"
    )
    limits["now"] = (24, 4096)  # it may be raised without asking anybody
    diagnosis.refuse_few_files(2)
    assert limits["now"] == (56, 4096)
    limits["now"] = (64, 64)
    diagnosis.refuse_few_files(1)
    assert limits["now"] == (64, 64)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EMFILE, "too many files are open at once; raise the limit (`ulimit -n`)"),
        (errno.ENFILE, "the whole machine has too many files open"),
        (errno.ENOMEM, "the machine has no memory left"),
        (errno.EAGAIN, "no more processes can be started; raise the limit (`ulimit -u`)"),
        (errno.EIO, "the disk fails"),
        (errno.ESTALE, "the network drive"),
    ],
)
def test_limits_of_the_machine_are_named(number: int, words: str) -> None:
    assert words in str(diagnosis.storage_error(OSError(number, os.strerror(number))))


def test_a_store_that_cannot_be_opened_for_want_of_files_says_so() -> None:
    program = (
        "import os, resource, sqlite3\nfrom harness.base.diagnosis import storage_error\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))\n"
        "try:\n    while True: os.dup(0)\nexcept OSError: pass\n"
        "try:\n    sqlite3.connect('x.db').execute('create table t (c)')\n"
        "except sqlite3.Error as error:\n    print(storage_error(error))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/tmp")
    assert said.stdout.startswith("too many files are open at once; raise the limit (`ulimit -n`)")


@pytest.mark.slow
def test_the_command_refuses_too_few_open_files(tmp_path: Path, suite: Path) -> None:
    command = f"ulimit -n 24; exec {sys.executable} -m harness run {suite} --workers 1 --results r"
    ended = subprocess.run(["bash", "-c", command], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: at most 24 files may be open at once")
    assert not (tmp_path / "r").exists()


def test_a_quota_that_is_used_up_is_named() -> None:
    from harness.base.diagnosis import (
        storage_error,  # quotas need a disk that has them: here it is what the system would say
    )

    error = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "results/mlflow.db")
    assert "results/mlflow.db: the quota of the disk is used up; free some space" in str(storage_error(error))

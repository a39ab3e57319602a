"""What must never be done with what others wrote: unpickled, run by a shell, taken for markup, sent away, told."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import html.parser
import io
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from harness_cli import Workspace
from lives import session, waited

from harness import judge
from harness.base.errors import HarnessError
from harness.base.files import load_state
from harness.judge import catalogue
from harness.judge.points import Points
from harness.metrics.images import Images

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "harness").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py"), ROOT / "noxfile.py"]

# --- what the code itself may not do ------------------------------------------------------------------------------

UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
KNOWN = {
    "cifar10.py: import pickle",  # _Inert, which runs nothing that a pickle names
    "cifar10.py: pickle.Unpickler",
    "testing.py: import pickle",  # a contract compares random states by their bytes
    "testing.py: pickle.dumps",
    "files.py: import pickle",  # the name of an error
    "importing.py: importlib.util.spec_from_file_location",  # a plug-in file that the user names
    "mutants.py: compile",  # runs changed copies of this project's own files
    "mutants.py: exec",
}
NEVER = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execvp", "os.execv", "os.spawnv"}
NEVER |= {"subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp", "yaml.load", "yaml.unsafe_load"}
NEVER |= {"pandas.read_pickle", "torch.jit.load", "torch.hub.load"}
NEVER |= {
    "torch.package.PackageImporter",
    "torch.hub.load_state_dict_from_url",
    "importlib.util.spec_from_file_location",
}

CHECKED = ("torch.load", "numpy.load", ".YAML", ".Environment", ".extractall")
"""What may be called, or never, by what it is called with."""

UNSAFE = re.compile(r"^(http|ftp)://(?!127\.0\.0\.1|www\.w3\.org/)\S+$")


def meanings(tree: ast.Module) -> dict[str, str]:
    """What the names that a source imports stand for, in full."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def full_name(node: ast.expr, known: dict[str, str]) -> str:
    first, dot, rest = ast.unparse(node).partition(".")
    return (known.get(first, first) + dot + rest).removeprefix("builtins.")


def misdeeds(source: str, file: str) -> Iterator[str]:
    """What a source does that it must not."""
    tree = ast.parse(source)
    known = meanings(tree)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.names[0].name == "*":
                yield f"{file}: all of {node.module}"
        yield from (f"{file}: import {name}" for name in names if name.partition(".")[0] in UNPICKLERS)
        if isinstance(node, ast.Name | ast.Attribute):
            name = full_name(node, known)
            unpickles = isinstance(node, ast.Attribute) and name.partition(".")[0] in UNPICKLERS
            aside = id(node) not in called and name.endswith(CHECKED)  # handed on, to be called with who knows what
            if unpickles or name in NEVER or aside:
                yield f"{file}: {name}"
        if isinstance(node, ast.Call):
            yield from _calls(node, full_name(node.func, known), file)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and UNSAFE.search(node.value):
            yield f"{file}: {node.value}"


def _calls(node: ast.Call, called: str, file: str) -> Iterator[str]:
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if called.endswith((".extractall", ".extract")):
        yield f"{file}: {called}"
    if called == "torch.load" and given.get("weights_only") != "True":
        yield f"{file}: torch.load without weights_only"
    if given.get("shell", "False") != "False" or (None in given and called.startswith("subprocess.")):
        yield f"{file}: {called} by a shell"
    if given.get("allow_pickle", "False" if called != "numpy.load" else "left out") != "False":
        yield f"{file}: {called} with pickles allowed"
    if called.rpartition(".")[2] == "YAML" and given.get("typ") != "'safe'":
        yield f"{file}: YAML that builds objects"
    if called.rpartition(".")[2] == "Environment" and given.get("autoescape") != "True":
        yield f"{file}: a template without escaping"


def test_the_code_unpickles_evaluates_and_extracts_nothing() -> None:
    found = {deed for path in SOURCES for deed in misdeeds(path.read_text(encoding="utf-8"), path.name)}
    assert found == KNOWN
    for template in (ROOT / "harness").rglob("*.j2"):
        text = template.read_text(encoding="utf-8")
        assert "safe" not in text.replace("safe_", "") or "|safe" not in text.replace(" ", "")
        assert "autoescape" not in text


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from os import *",
        "import ruamel.yaml as r; Y = r.YAML",
        "map(tar.extractall, folders)",
        "subprocess.run(x, **options)",
        "from joblib import load",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "import numpy as np; np.load(f)",
        "from numpy import load as read; read(f)",
        "from torch import load; load(f)",
        "map(torch.load, files)",
        "from os import system; system(x)",
        "import builtins; builtins.eval(x)",
        "run = eval",
        "from ruamel.yaml import YAML as Y; Y()",
        "read(f, allow_pickle=True)",
        "numpy.load(f)",
        "yaml.load(f)",
        "YAML()",
        "eval(x)",
        "exec(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "subprocess.run(x, shell=wanted)",
        "tar.extractall(folder)",
        "Environment(loader=x)",
        "MIRROR = 'http://example.org/data'",
    ],
)
def test_the_scan_finds_what_it_looks_for(source: str) -> None:
    assert list(misdeeds(source, "x.py"))


# --- pickles, through every door ----------------------------------------------------------------------------------


class Malicious:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, reached: Path) -> None:
        self.reached = reached

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.reached),)


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[Path]:
    """The folder that a pickle would make; that it could is seen at the end."""
    folder = tmp_path / "reached"
    yield folder
    assert not folder.exists()
    pickle.loads(pickle.dumps(Malicious(folder)))
    assert folder.exists()


def by_torch(payload: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(payload, buffer)
    return buffer.getvalue()


def sealed(content: bytes) -> bytes:
    """With the digest that the harness itself would give it: whoever writes the file can work it out."""
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


@pytest.mark.parametrize("write", [by_torch, pickle.dumps], ids=["torch", "pickle"])
def test_a_checkpoint_runs_nothing(tmp_path: Path, reached: Path, write: Callable[[object], bytes]) -> None:
    path = tmp_path / "checkpoint.pt"
    for payload in (
        Malicious(reached),
        {"model": Malicious(reached)},
        {"weights": torch.ones(1), "x": Malicious(reached)},
    ):
        path.write_bytes(sealed(write(payload)))
        assert load_state(path, "it is not used") is None


@pytest.mark.parametrize("write", [by_torch, pickle.dumps], ids=["torch", "pickle"])
def test_a_cache_runs_nothing_and_is_made_anew(tmp_path: Path, reached: Path, write: Callable[[object], bytes]) -> None:
    def kept() -> torch.Tensor:
        images = Images(torch.zeros(2, 1, 1, 1), Points(), None, tmp_path)
        return images.kept("ones", "0" * 64, lambda: {"x": torch.ones(3)})["x"]

    made = kept()
    [path] = tmp_path.glob("ones-*")
    for content in (write(Malicious(reached)), sealed(write(Malicious(reached)))):
        path.write_bytes(content)
        assert torch.equal(made, kept())


@pytest.mark.parametrize("write", [by_torch, pickle.dumps], ids=["torch", "pickle"])
def test_a_judge_runs_nothing(
    tmp_path: Path, reached: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[object], bytes]
) -> None:
    monkeypatch.setattr(catalogue, "SHIPPED", tmp_path)
    for role in catalogue.ROLES:
        (tmp_path / f"mnist-{role}.safetensors").write_bytes(write({"head.bias": Malicious(reached)}))
    judge.digest.cache_clear()
    try:
        with pytest.raises(HarnessError, match="safetensors"):
            judge.load("mnist", "cpu")
    finally:
        judge.digest.cache_clear()


def test_inception_s_weights_run_nothing(tmp_path: Path, reached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.judge import inception

    path = tmp_path / inception.FILE
    path.write_bytes(by_torch({"fc.weight": Malicious(reached)}))
    monkeypatch.setenv("HARNESS_INCEPTION", str(path))
    with pytest.raises(HarnessError, match="not the Inception weights"):
        inception.Inception(torch.device("cpu"))
    monkeypatch.setattr(inception, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        inception.Inception(torch.device("cpu"))


def test_a_folder_of_images_runs_nothing(tmp_path: Path, reached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.zoo import registry

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for name in "abcde":
        (tmp_path / "images" / "one").mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / "one" / f"{name}.png").write_bytes(pickle.dumps(Malicious(reached)))
    choice = registry.choose("data", {"name": "folder", "path": str(tmp_path / "images")})
    with pytest.raises(HarnessError, match="cannot be read as an image"):
        choice.plugin(choice.settings).load("train")


def test_no_column_of_the_stores_holds_pickles() -> None:
    """What Optuna and MLflow keep in their databases are numbers, texts and JSON."""
    from mlflow.store.tracking.dbmodels.models import Base
    from optuna.storages._rdb.models import BaseModel
    from sqlalchemy import PickleType

    for metadata in (Base.metadata, BaseModel.metadata):
        assert metadata.tables
        for table in metadata.tables.values():
            assert not [column.name for column in table.columns if isinstance(column.type, PickleType)], table.name


# --- downloads ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://example.org/x.gz", "ftp://example.org/x.gz", "gopher://example.org/", "x"])
def test_only_https_is_downloaded(tmp_path: Path, url: str) -> None:
    from harness.zoo.data.downloads import bring

    with pytest.raises(OSError, match="only HTTPS is allowed"):
        bring(url, tmp_path / "x.gz", lambda part: None)
    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_plain_http_is_refused_and_a_wrong_file_is_not_kept(tmp_path: Path) -> None:
    import http.server
    import threading

    from harness.zoo.data.downloads import bring

    class Mirror(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", "http://example.org/x")
            self.end_headers()
            self.wfile.write(b"wrong")

        def log_message(self, *arguments: object) -> None:
            pass

    def refuse(part: Path) -> None:
        assert part.read_bytes() == b"wrong"
        raise HarnessError("not the file")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        for name, age in ((".part-of-x-left", 3600), (".part-of-x-coming", 0)):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (time.time() - age,) * 2)
        with pytest.raises(OSError, match="only HTTPS is allowed"):
            bring(f"{here}/away", tmp_path / "x", lambda part: None)
        # What a killed process left is gone; what may be coming now is not.
        assert [path.name for path in tmp_path.iterdir()] == [".part-of-x-coming"]
        (tmp_path / ".part-of-x-coming").unlink()
        with pytest.raises(HarnessError, match="not the file"):
            bring(f"{here}/x", tmp_path / "x", refuse)
        server.shutdown()
    assert list(tmp_path.iterdir()) == []


def test_an_archive_writes_nowhere(tmp_path: Path) -> None:
    """The one archive that is read, CIFAR-10's, is read in memory: names that lead elsewhere lead nowhere."""
    import tarfile

    from harness.zoo.data import cifar10

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("../../escaped", str(tmp_path / "escaped"), "wanted"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert cifar10._members(packed.getvalue(), ["wanted", "link"]) == {"wanted": b"x"}
    assert list(tmp_path.iterdir()) == []


# --- a whole run with hostile texts, watched ----------------------------------------------------------------------

CANARY = "canary-0f3b9d"
SECRETS = {
    name: f"{CANARY}-{number}"
    for number, name in enumerate(
        (
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "GITHUB_TOKEN",
            "HF_TOKEN",
            "MLFLOW_TRACKING_TOKEN",
            "DB_PASSWORD",
        )
    )
}
PWNED = '<img src=x onerror="document.documentElement.dataset.pwned=1"><script>document.documentElement.dataset.pwned=1'
PWNED += "</script>'\"</title></style></textarea><svg/onload=pwned()>{{ 7 * 7 }}"
PLUGIN = f'''
from harness.zoo.tricks.base import Trick

class Hostile(Trick):
    """{PWNED.replace('"', "'")}"""
    name = "hostile"
    summary = {PWNED!r}
    paper = {PWNED!r}
    requires = frozenset({{"discriminator"}})

    def discriminator_input(self, images, game):
        raise RuntimeError({PWNED!r})
'''
WATCH = """
import os, sys
def _seen(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname"):
        text = repr(arguments[1:] if event.startswith("socket.connect") else arguments)
        here = getattr(arguments[0], "family", None) == 1  # a socket of this machine alone, with the name of a file
        if not (here or event == "socket.connect" and isinstance(arguments[1], (str, bytes))):
            _tell(f"{event} {text} {sys.argv[:2]}")
def _tell(line):
    handle = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (line + chr(10)).encode()); os.close(handle)
sys.addaudithook(_seen)
_tell(f"watching {os.getpid()} {' '.join(sys.orig_argv)[:300]}")
"""
"""Put into every process of Python as sitecustomize: says which connections were tried."""


def plugin(folder: Path, name: str, source: str, entry: str) -> None:
    """Install a package of one plug-in."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(source)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A run with two workers in which one arm fails, all texts are hostile, and every process is watched."""
    folder = tmp_path_factory.mktemp("hostile")
    site, watch = folder / "site", folder / "watch"
    watch.mkdir()
    plugin(site, "hostile_plugin", PLUGIN, "[harness.tricks]\nhostile = hostile_plugin:Hostile\n")
    plugin(site, "broken_plugin", "raise ValueError('not today')", "[harness.tricks]\nbroken = broken_plugin:No\n")
    (watch / "sitecustomize.py").write_text(WATCH)
    paths = [str(watch), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    workspace = Workspace(folder, {"PYTHONPATH": os.pathsep.join(paths), "WATCHED": str(folder / "watched"), **SECRETS})
    suite = workspace.suite(
        question=PWNED,
        seeds=1,
        matrix={"tricks": [[], ["hostile"], ["ema"]]},
        exclude=[{"where": {"tricks": ["ema"]}, "reason": PWNED}],
        expect=[{"where": {"tricks": []}, "metric": "fid", "at_most": 1, "source": PWNED, "note": PWNED}],
    )
    output = workspace.run("run", suite, "--workers", "2", "--set", f"question={PWNED} again", code=1)
    return workspace, output


def unwatched(hostile: tuple[Workspace, str]) -> Workspace:
    """The same folder, plug-ins and secrets, for commands that need no interpreter of their own."""
    environment = hostile[0].environment
    path = environment["PYTHONPATH"].partition(os.pathsep)[2]
    return Workspace(hostile[0].folder, environment | {"PYTHONPATH": path})


class Page(html.parser.HTMLParser):
    """Where a word stands in a page: in its text, or where it would do something."""

    def __init__(self, text: str, word: str) -> None:
        super().__init__()
        self.word = word
        self.shown, self.alive = 0, list[str]()
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag if tag in ("script", "style") else self.inside
        alive = [
            name for name, value in attributes if self.word in name or (name[:2] == "on" and self.word in (value or ""))
        ]
        self.alive += [f"<{tag} {name}>" for name in alive] + ([f"<{tag}>"] if self.word in tag else [])

    def handle_endtag(self, tag: str) -> None:
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data: str) -> None:
        if self.word in data and self.inside:
            self.alive.append(f"in {self.inside}: {data[:100]}")
        self.shown += self.word in data


def test_hostile_texts_are_text_on_the_page(hostile: tuple[Workspace, str]) -> None:
    page = Page((hostile[0].results / "tiny" / "report.html").read_text(encoding="utf-8"), "pwned")
    assert page.alive == []
    assert page.shown >= 5  # question, reasons of exclusion and failure, source, note, what the trick is
    assert Page(f"<p>{PWNED}</p>", "pwned").alive  # as markup it would be found
    figures = list((hostile[0].results / "tiny").rglob("*.svg"))
    assert figures
    assert not any(Page(figure.read_text(encoding="utf-8"), "pwned").alive for figure in figures)


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_a_browser_runs_none_of_it(hostile: tuple[Workspace, str], tmp_path: Path) -> None:
    def document(page: Path) -> str:
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=2000",
            f"--user-data-dir={tmp_path}",
        ]
        return subprocess.run(
            [str(BROWSER), *words, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=120
        ).stdout

    bare = tmp_path / "bare.html"
    bare.write_text(f"<!DOCTYPE html><p>{PWNED}</p>")
    assert "<html data-pwned" in document(bare)  # it would run
    shown = document(hostile[0].results / "tiny" / "report.html")
    assert "dataset.pwned=1" in shown
    assert "<html" in shown
    assert "data-pwned=" not in shown


def test_no_process_of_a_run_tries_to_connect(hostile: tuple[Workspace, str]) -> None:
    seen = (hostile[0].folder / "watched").read_text().splitlines()
    watching = [line for line in seen if line.startswith("watching")]
    assert sum("forkserver" in line for line in watching) == 1, watching  # the process that forks the workers too
    assert [line for line in seen if not line.startswith("watching")] == []


def test_an_attempt_to_connect_would_be_seen(hostile: tuple[Workspace, str], tmp_path: Path) -> None:
    code = "import socket; s = socket.socket(); s.settimeout(0.1); s.connect_ex(('127.0.0.1', 9))"
    environment = os.environ | hostile[0].environment | {"WATCHED": str(tmp_path / "watched")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert "socket.connect (('127.0.0.1', 9),)" in (tmp_path / "watched").read_text()


def _unshared() -> bool:
    words = shutil.which("unshare")
    return (
        words is not None and subprocess.run([words, "-rn", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.skipif(not _unshared(), reason="needs unshare -rn")
def test_a_run_needs_no_network_at_all(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite(seeds=1, matrix={"tricks": [[]]})
    words = ["unshare", "-rn", sys.executable, "-m", "harness", "run", str(suite), "--results", str(workspace.results)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["state"] for row in workspace.table()] == ["done"]


def test_secrets_of_the_environment_are_nowhere(hostile: tuple[Workspace, str]) -> None:
    workspace, output = unwatched(hostile), hostile[1]
    told = output + "".join(workspace.run(*words) for words in (["plan", "tiny.yaml"], ["doctor"], ["list", "tricks"]))
    assert CANARY not in told
    files = [path for path in workspace.results.rglob("*") if path.is_file()]
    assert {"mlflow.db", "optuna.db", "report.html", "config.json"} <= {path.name for path in files}
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", **SECRETS})
    workspace.suite()
    for address in (f"http://user:{CANARY}@127.0.0.1:9", f"postgresql://user:{CANARY}@127.0.0.1:9/x"):
        workspace.environment["MLFLOW_TRACKING_URI"] = address
        output = workspace.run("report", "tiny.yaml", code=2)
        assert CANARY not in output + workspace.run("plan", "tiny.yaml", code=0 if "http" in address else 2)
        assert "MLflow store" in output or "the driver of the database" in output


def test_a_plug_in_that_cannot_be_imported_is_listed_with_the_reason(hostile: tuple[Workspace, str]) -> None:
    workspace = unwatched(hostile)
    workspace.environment["COLUMNS"] = "200"
    for words in (["list", "tricks"], ["doctor"]):
        output = workspace.run(*words)
        assert "ValueError: not today" in output
        assert "ema" in output if words[0] == "list" else "tricks" in output
    said = workspace.run("plan", "tiny.yaml", "--set", "base.tricks=[broken]", code=2)
    assert "'broken' in tricks cannot be imported: ValueError: not today" in said


# --- the UI -------------------------------------------------------------------------------------------------------


def test_the_ui_listens_on_this_machine_alone_and_says_so(hostile: tuple[Workspace, str]) -> None:
    from unittest import mock

    from click.testing import CliRunner

    from harness.cli.commands import main
    from harness.store import ui

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with mock.patch.object(ui.subprocess, "Popen") as started:
        words = ["ui", "--results", str(hostile[0].results), "--port", str(port)]
        plain = CliRunner().invoke(main, words)
        more = CliRunner().invoke(main, [*words, "--host", "0.0.0.0"])
    assert (plain.exit_code, more.exit_code) == (0, 0), plain.output + more.output
    assert "warning" not in plain.output
    assert "--host 0.0.0.0 is ignored" in more.output
    assert "links in reports lead to port 5000" in plain.output
    assert started.call_count == 2
    for call in started.call_args_list:
        command = call.args[0]
        assert command[command.index("--host") + 1] == "127.0.0.1"
        assert call.kwargs["env"]["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="needs /proc")
@pytest.mark.parametrize("end", ["ctrl-c", "sigterm", "ctrl-c twice, stuck"])
def test_the_real_ui_listens_on_this_machine_alone_and_ends(hostile: tuple[Workspace, str], end: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = hostile[0].start("ui", "--port", str(port))
    try:
        assert waited(lambda: answers(port), process, seconds=120)
        assert listening(session(process.pid)) == {("127.0.0.1", port)}
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).close()
        if end.endswith("stuck"):
            for pid in set(session(process.pid)) - {process.pid}:
                os.kill(pid, signal.SIGSTOP)
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(1)
            assert process.poll() is None
        if end == "sigterm":
            process.terminate()
        else:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all that it has in the foreground
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in output
        assert f": http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning (Ctrl-C ends it)" in output
        assert "GET /" not in output  # no line for a request
        assert waited(lambda: not session(process.pid), seconds=60)
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def listening(pids: list[int]) -> set[tuple[str, int]]:
    """The addresses and ports at which these processes listen, by what the kernel says."""
    links = [link for pid in pids for link in Path(f"/proc/{pid}/fd").glob("*")]
    held = set()
    for link in links:
        with contextlib.suppress(OSError):  # closed meanwhile
            held.add(os.readlink(link))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = Path("/proc/net", table)
        for line in path.read_text().splitlines()[1:] if path.is_file() else ():
            columns = line.split()
            local, state = columns[1], columns[3]
            if state == "0A" and f"socket:[{columns[9]}]" in held:
                address, _, number = local.partition(":")
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(number, 16)))
    return found

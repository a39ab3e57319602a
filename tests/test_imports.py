"""Importing the package changes nothing of the process that imports it, and needs nothing that only tests need."""

from __future__ import annotations

import json
import logging
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness_cli import Workspace

import harness
from harness.base import surroundings

MODULES = ["harness", *(found.name for found in pkgutil.walk_packages(harness.__path__, "harness."))]
FOR_TESTS = {"pytest", "_pytest", "hypothesis"}

LOADED = """
import importlib, json, os, sys

before = dict(os.environ)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
loaded, same = list(sys.modules), dict(os.environ) == before
from mlflow.telemetry import get_telemetry_client
print(json.dumps([loaded, same, get_telemetry_client() is None]))
"""

STATE = '''
import atexit, gc, importlib, json, locale, logging, multiprocessing, os, random, signal, socket, sys, threading
import warnings


def state():
    """What of a process is common to all that runs in it."""
    import matplotlib, numpy, pandas, torch
    from sqlalchemy import event
    from sqlalchemy.dialects import plugins

    loggers = {"root": logging.root} | {
        name: logger for name, logger in logging.root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
    }
    levels = {name: (one.level, one.propagate, one.disabled, str(one.handlers), str(one.filters))
              for name, one in loggers.items()}
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    return {
        "environment": dict(os.environ),
        "loggers": {name: set_ for name, set_ in levels.items() if set_ != (0, True, False, "[]", "[]")},
        "logging": (logging.getLoggerClass(), logging.root.manager.disable),
        "warnings": (list(map(str, warnings.filters)), warnings.showwarning),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "SQLAlchemy's listeners": set(event.registry._key_to_collection),
        "SQLAlchemy's plug-ins": dict(plugins.impls),
        "torch": (torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads(),
                  torch.get_num_interop_threads(), torch.is_grad_enabled(), torch.get_float32_matmul_precision(),
                  torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32,
                  matmul.allow_tf32, torch.multiprocessing.get_sharing_strategy(), torch.hub.get_dir()),
        "random states": (torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state())),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook, sys.gettrace()),
        "imports": (list(sys.path), list(map(str, sys.meta_path)), list(map(str, sys.path_hooks))),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval(), gc.get_threshold(), gc.isenabled(),
                   sys.get_int_max_str_digits(), socket.getdefaulttimeout()),
        "locale": locale.setlocale(locale.LC_ALL),
        "process": (os.getcwd(), multiprocessing.get_start_method(allow_none=True), atexit._ncallbacks(),
                    threading.active_count(), sys.stdout, sys.stderr),
        "NumPy": (numpy.get_printoptions(), numpy.geterr()),
        "pandas": str(pandas.describe_option(_print_desc=False)),
        "matplotlib": dict(dict.items(matplotlib.rcParams)),
    }
'''

COMPARED = (
    STATE
    + """
own, others = json.loads(sys.argv[1]), json.loads(sys.stdin.read())
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # it would put its session's number into the environment
for name in others:
    try:
        importlib.import_module(name)
    except Exception:  # a part of a library that only that imports
        pass
del os.environ["MLFLOW_DISABLE_TELEMETRY"]
before, changed = state(), {}
for name in own:
    importlib.import_module(name)
    now = state()
    for what in now:
        if now[what] != before[what]:
            changed[name] = changed.get(name, []) + [what]
    before = now
print(json.dumps(changed))
"""
)


def ours(**more: str) -> dict[str, str]:
    """The environment of a process that nothing was set for."""
    set_ = {*surroundings.ENVIRONMENT, *surroundings.CREDENTIALS, "_MLFLOW_TELEMETRY_SESSION_ID"}
    return {name: value for name, value in os.environ.items() if name not in set_} | more


def fresh(script: str, *words: str, given: str = "", **more: str) -> str:
    """What a fresh Python prints that runs this."""
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, env=ours(**more))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], bool, bool]:
    """What a plain install imports with all modules but the contracts; of the process: see the test of telemetry."""
    own = [name for name in MODULES if name != "harness.testing"]
    said = fresh(LOADED, json.dumps(own), **without_tests(tmp_path_factory.mktemp("plain")))
    loaded, same, silent = json.loads(said.splitlines()[-1])
    return loaded, same, silent


@pytest.fixture(scope="module")
def others(plain: tuple[list[str], bool, bool]) -> list[str]:
    """All that the package's modules import of other packages."""
    found = [name for name in plain[0] if name.partition(".")[0] != "harness"]
    assert {"torch", "mlflow", "optuna", "sqlalchemy", "pandas"} <= set(found)
    return [*found, *sorted(FOR_TESTS)]


def changed(modules: list[str], others: list[str], **more: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(
        fresh(COMPARED, json.dumps(modules), given=json.dumps(others), **more).splitlines()[-1]
    )
    return found


def test_no_module_changes_the_process_that_imports_it(others: list[str]) -> None:
    assert changed(MODULES, others) == {}


def test_changes_would_be_seen(tmp_path: Path, others: list[str]) -> None:
    does = {
        "environment": "import os; os.environ['SET_BY_AN_IMPORT'] = '1'",
        "loggers": "import logging; logging.getLogger('mlflow').setLevel(logging.ERROR)",
        "warnings": "import warnings; warnings.filterwarnings('ignore', message='this')",
        "SQLAlchemy's listeners": "from sqlalchemy import Engine, event; "
        "event.listen(Engine, 'handle_error', lambda context: None)",
        "torch": "import torch; torch.set_num_threads(3)",
        "signals": "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "matplotlib": "import matplotlib; matplotlib.use('svg')",
        "hooks": "import sys; sys.excepthook = print",
    }
    for number, line in enumerate(does.values()):
        (tmp_path / f"module_{number}.py").write_text(line)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found = changed([f"module_{number}" for number in range(len(does))], others, PYTHONPATH=path)
    assert found == {f"module_{number}": [what] for number, what in enumerate(does)}


def test_an_import_begins_no_telemetry_and_leaves_the_environment(plain: tuple[list[str], bool, bool]) -> None:
    assert plain[1:] == (True, True)


def test_reading_results_leaves_a_notebook_as_it_was(tiny_store: Workspace) -> None:
    script = (
        STATE
        + """
import mlflow, optuna, pandas, sqlalchemy, torch, matplotlib
own = sqlalchemy.create_engine("sqlite://")
import harness
from harness import analysis
import harness.analysis.comparison
levels = {name: logging.getLogger(name).level for name in ("", "mlflow", "mlflow.store.db.utils", "alembic", "optuna")}
before = state()
found = harness.load("tiny.yaml", "results")
assert len(found.trials) == 4 and not found.trials["fid"].isna().any()
with own.connect() as connection:
    connection.exec_driver_sql("PRAGMA busy_timeout = 1234")
    assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1234
assert levels == {name: logging.getLogger(name).level for name in levels}
now = state()
print(json.dumps([what for what in now if now[what] != before[what]]))
"""
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ours(), cwd=tiny_store.folder)
    assert done.returncode == 0, done.stderr
    left = set(json.loads(done.stdout.splitlines()[-1]))
    # The engine of the store lives on, with listeners of its own; MLflow's migrations have made loggers of theirs.
    assert left <= {"SQLAlchemy's listeners", "SQLAlchemy's plug-ins", "loggers"}, left


def test_blocks_within_each_other_and_libraries_that_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "LEVELS", {"a library": logging.WARNING})
    monkeypatch.setattr(surroundings, "_blocks", 0)
    monkeypatch.setattr(surroundings, "_levels", {})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    logger = logging.getLogger("a library")
    surroundings.imported()
    assert logger.level == logging.NOTSET  # nothing is asked for
    with surroundings.quiet():
        with surroundings.quiet():
            assert logger.level == logging.WARNING
        assert (logger.level, os.environ["DO_NOT_TRACK"]) == (logging.WARNING, "true")
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"  # the user's
        logger.setLevel(logging.INFO)  # as a library does while it is imported
        surroundings.imported()
        assert logger.level == logging.WARNING
    assert logger.level == logging.INFO
    assert "DO_NOT_TRACK" not in os.environ
    logger.setLevel(logging.NOTSET)


WITHOUT = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec
PathFinder.find_spec = lambda name, *more: None if name.partition(".")[0] in {blocked!r} else found(name, *more)
"""


def without_tests(folder: Path) -> dict[str, str]:
    """The environment of Pythons in which what only tests need is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(WITHOUT.format(blocked=FOR_TESTS))
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def test_a_plain_install_imports_all_but_the_contracts(tmp_path: Path, plain: tuple[list[str], bool, bool]) -> None:
    assert {*MODULES} - {*plain[0]} == {"harness.testing"}
    assert not FOR_TESTS & {name.partition(".")[0] for name in plain[0]}
    with pytest.raises(AssertionError, match="No module named 'pytest'"):
        fresh("import harness.testing", **without_tests(tmp_path))


@pytest.mark.slow
def test_a_plain_install_trains_and_measures_a_judge(tmp_path: Path) -> None:
    """Of a data set of the user's, and a few steps of it."""
    workspace = Workspace(tmp_path, without_tests(tmp_path / "site") | {"HARNESS_CACHE": str(tmp_path / "cache")})
    workspace.run("judge", "train", "--data", "digits", "--steps", "5", "--device", "cpu")
    [name] = [path.name.rpartition("-")[0] for path in (tmp_path / "cache" / "judges").glob("*-features.safetensors")]
    assert "accuracy" in workspace.run("judge", "evaluate", name, "--device", "cpu")


def test_all_modules_are_looked_at() -> None:
    files = Path(harness.__file__).parent.rglob("*.py")
    assert len(MODULES) == len([path for path in files if "__pycache__" not in path.parts])

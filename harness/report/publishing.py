"""`harness publish`: a folder that carries the result of a suite with all that made it.

It has the suite's text, the command, the commits, the code, the machines, the versions, the protocol, the cost, the
verdicts in words, the tables, the page, and every trial (``store.published``). So the tables can be computed again from
the trials beside them (``proof``), and `harness merge` takes the trials into another store.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.analysis import looks, protocol
from harness.analysis.merging import PUBLISHED
from harness.base.errors import HarnessError
from harness.base.files import temporary_folder, write_bytes
from harness.base.version import __version__, commit
from harness.report import animation, page, words
from harness.report.artifacts import grids
from harness.store import identity, published

if TYPE_CHECKING:
    from harness.analysis.results import Results
    from harness.store.record import Record
    from harness.store.runs import Store
    from harness.suite import Suite

MADE, SUITE, PAGE, README = "made.json", "suite.yaml", "report.html", "README.md"
FORMAT = 1
LEFT_OUT = "curves.csv"
"""The table that is not published: the curves are with the trials."""
VERSIONS = ("harness", "python", "torch", "torch_fidelity", "optuna", "mlflow")


class Made(BaseModel):
    """What made a published folder, and what it says: the content of ``made.json``.

    Attributes:
        format: of this file.
        suite: the name of the suite.
        question: its question.
        answer: the answer in a sentence.
        verdicts: the verdicts in words.
        expectations: how many figures of the literature are consistent, contradicted, …; empty without any.
        date: when it was published, as YYYY-MM-DD.
        command: the command that trains it, in the folder of the suite file.
        sets: the overrides of the suite (``--set``).
        commits: the commits of the harness that trained its trials.
        published_by: the commit that wrote the folder.
        code: the digests of the code of its trials.
        machines: the devices and systems that trained its trials.
        versions: library -> its versions.
        protocol: metric -> field -> value, of the first trial.
        differing: the fields in which the protocols of its trials differ.
        trials: the trials with an outcome.
        failed: those of them without values.
        missing: the trials of the suite without an outcome.
        core_hours: processor time of training and evaluation on CPUs: seconds times threads.
        gpu_hours: the same on GPUs: seconds of each trial, also where several shared a device.
        pictures: arm -> the folder of its pictures.
    """

    model_config = ConfigDict(extra="forbid")

    format: int
    suite: str
    question: str
    answer: str
    verdicts: list[str]
    expectations: str
    date: str
    command: str
    sets: list[str]
    commits: list[str]
    published_by: str
    code: list[str]
    machines: list[str]
    versions: dict[str, list[str]]
    protocol: dict[str, dict[str, object]]
    differing: list[str]
    trials: int
    failed: int
    missing: int
    core_hours: float
    gpu_hours: float
    pictures: dict[str, str]

    @property
    def cost(self) -> str:
        """Its cost as text."""
        hours = {"core-hours": self.core_hours, "GPU-hours": self.gpu_hours}
        return " and ".join(f"{_rounded(spent)} {unit}" for unit, spent in hours.items() if spent) or "nothing"


def publish(results: Results, store: Store, looked: Path, folder: Path) -> Made:
    """Write the results of a suite into a folder, in place of what was published there before.

    Args:
        results: the results, as a look.
        store: the store that has them.
        looked: the results folder with the looks.
        folder: the published folder.

    Raises:
        HarnessError: they cannot be published as they are, or the folder has other files.
    """
    _refuse(results, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.parent) as room:
        new = room / results.plan.suite.name
        pictured = [record for arm in results.arms if (record := _pictured(results.of(arm))) is not None]
        runs = {run.info.run_id: run for run in store.runs()}
        published.write(new, ((runs[record.run_id], record) for record in results.records), pictured)
        looks.bring(looked, new, results.plan.suite.name)
        _write_suite(results.plan.suite, new)
        made = _made(results, [runs[record.run_id].data.tags for record in results.records], pictured)
        write_bytes(new / MADE, f"{made.model_dump_json(indent=1)}\n".encode())
        written = page.write(results, room / "page" / results.plan.suite.name, again=made.command)
        texts = page.texts(results)
        for name, text in _published(texts).items():
            write_bytes(new / name, text.encode())
        shutil.copyfile(written, new / PAGE)
        moving = written.parent / "figures" / animation.NAME
        if moving.is_file():
            (new / "figures").mkdir()
            shutil.copyfile(moving, new / "figures" / animation.NAME)
        write_bytes(new / README, _readme(made, texts).encode())
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return made


def tables(results: Results) -> dict[str, str]:
    """File -> content, of the tables that are published."""
    return _published(page.texts(results))


def _published(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if name.endswith(".csv") and name != LEFT_OUT}


def read(folder: Path) -> Made | None:
    """What made a published folder; None for a folder of tables of older code.

    Raises:
        HarnessError: the file is damaged.
    """
    path = folder / MADE
    try:
        return Made.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise HarnessError(f"{path} is damaged ({where}: {first['msg']}): publish the suite again") from error


def _refuse(results: Results, folder: Path) -> None:
    suite = results.plan.suite
    if suite.search is not None:
        raise HarnessError(
            f"{suite.path} has a search, whose trials a published folder cannot carry: publish a suite of the "
            "configurations that it chose, on new seeds"
        )
    if results.altered:
        raise HarnessError(
            f"{words.count(len(results.altered), 'trial')} of {suite.path} were edited or damaged after they ended "
            "(`harness plan` lists them): `harness run` trains them again"
        )
    own = (MADE, *(path.name for path in folder.glob("*.csv")))
    if folder.exists() and not (folder / MADE).exists() and {path.name for path in folder.iterdir()} - set(own):
        raise HarnessError(f"{folder} has files that `harness publish` did not write: move them away, or change --out")


def _pictured(records: Sequence[Record]) -> Record | None:
    """The trial of an arm whose pictures are published: the first that has samples."""
    return next((record for record in records if record.done and grids(record)), None)


def _write_suite(suite: Suite, folder: Path) -> None:
    """Write the suite as it is, and the files of its plug-ins beside it.

    Raises:
        HarnessError: a plug-in is not beside or below the suite file.
    """
    write_bytes(folder / SUITE, suite.text.encode())
    for name in suite.plugins:
        if Path(name).is_absolute() or ".." in Path(name).parts or name.startswith("~"):
            raise HarnessError(
                f"{suite.path}: the plug-in {name} lies outside the folder of the suite, and would not be published: "
                "put it beside the suite"
            )
        write_bytes(folder / name, (suite.path.parent / name).read_bytes())


def _made(results: Results, tags: Sequence[Mapping[str, str]], pictured: Iterable[Record]) -> Made:
    suite, records, judged = results.plan.suite, results.records, results.verdicts()
    findings = results.expectations()
    fields = [record.environment for record in records]
    gpu = [record.environment.get("device", "").startswith("cuda") for record in records]
    seconds = [record.seconds_train + record.seconds_evaluate for record in records]
    threads = [int(own.get("threads", "1")) for own in fields]
    return Made(
        format=FORMAT,
        suite=suite.name,
        question=suite.question,
        answer=words.headline(results),
        verdicts=[words.sentence(verdict, results) for verdict in judged],
        expectations=words.tally(findings) if findings else "",
        date=time.strftime("%Y-%m-%d"),
        command=shlex.join(["harness", "run", SUITE, *(word for text in suite.sets for word in ("--set", text))]),
        sets=list(suite.sets),
        commits=words.unique(record.commit for record in records),
        published_by=commit(),
        code=words.unique(own.get(identity.CODE, identity.UNKNOWN) for own in tags),
        machines=words.unique(", ".join(_machine(own)) for own in fields),
        versions={name: words.unique(own[name] for own in fields if name in own) for name in VERSIONS},
        protocol={metric: dict(of) for metric, of in next(filter(None, map(protocol.of, records)), {}).items()},
        differing=protocol.told(protocol.among(records)),
        trials=len(records),
        failed=sum(not record.done for record in records),
        missing=results.missing,
        core_hours=sum(s * n for s, n, on in zip(seconds, threads, gpu, strict=True) if not on) / 3600,
        gpu_hours=sum(s for s, on in zip(seconds, gpu, strict=True) if on) / 3600,
        pictures={record.arm: f"{published.PICTURES}/{record.key}/samples" for record in pictured},
    )


def _machine(environment: Mapping[str, str]) -> Iterable[str]:
    return (environment[name] for name in ("device", "platform") if name in environment)


def _readme(made: Made, texts: Mapping[str, str]) -> str:
    """The page of a published folder for readers of the repository, as Markdown."""
    state = f"{made.trials} with an outcome" + (f", {made.failed} of them failed" if made.failed else "")
    rows = {
        "command": f"`{made.command}`",
        "trials": state + (f"; {made.missing} still to do" if made.missing else ""),
        "cost": made.cost,
        "published": f"{made.date}, by harness {__version__} at commit {made.published_by}",
        "trained by commit": ", ".join(made.commits),
        "digest of the code": ", ".join(f"`{code[:16]}`" for code in made.code),
        "machine": "; ".join(made.machines),
        "versions": ", ".join(f"{name} {'/'.join(found)}" for name, found in made.versions.items() if found),
    }
    parts = [f"# {made.suite}", made.question.strip(), f"**{made.answer}**"]
    parts += ["\n".join(f"- {text}" for text in made.verdicts)] if made.verdicts else []
    parts += [" ".join(_picture(arm, folder) for arm, folder in made.pictures.items())] if made.pictures else []
    parts += [f"[The page]({PAGE}) has all figures.", "## How it was made"]
    parts.append("\n".join(["| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in rows.items())]))
    if made.differing:
        parts.append(f"The protocols of its trials differ: {'; '.join(made.differing)}.")
    for title, name in (
        ("Leaderboard", "leaderboard.md"),
        ("Verdicts", "verdicts.md"),
        ("Figures of the literature", "expectations.md"),
    ):
        parts += [f"## {title}", texts[name].strip()] if name in texts else []
    parts += ["## What is here", _FILES]
    return "\n\n".join(parts) + "\n"


_FILES = f"""- `{SUITE}`: the suite. `{MADE}`: all of the above, with the protocol of every metric.
- `{published.TRIALS}`: every trial, with its key, values, protocol, settings and curves, a line each.
- The tables (CSV), which are computed from these trials: `harness publish --check` on this folder computes them again.
- `harness merge` on this folder takes the trials into a store, so that a run trains only what is missing.
- `harness verify` on this folder, with `#` and the name of an arm, trains new seeds of it and compares."""


def _picture(arm: str, folder: str) -> str:
    return f'<img src="{folder}/final.png" alt="samples of {_cell(arm)}" title="{_cell(arm)}" width="200">'


def _cell(text: str) -> str:
    """A text for a cell of a Markdown table or an attribute."""
    return " ".join(text.replace("|", "\\|").replace('"', "&quot;").replace("<", "&lt;").split())


def _rounded(hours: float) -> str:
    """A number of hours with two digits that count."""
    return f"{hours:.2g}" if hours < 10 else f"{hours:.0f}"


def folders(site: Path) -> list[Path]:
    """The published folders of a site, those of older code among them."""
    found = (path.parent for pattern in (MADE, "*.csv") for path in (site / PUBLISHED).glob(f"*/{pattern}"))
    return sorted(set(found))

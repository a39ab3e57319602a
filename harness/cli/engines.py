"""The options that say where trials run, the same for all commands that train."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.base.diagnosis import refuse_few_files
from harness.base.errors import HarnessError

if TYPE_CHECKING:
    from harness.execution.engine import Engine
    from harness.suite.plan import Plan
    from harness.zoo.registry import Choice

Command = TypeVar("Command", bound=Callable[..., Any])
SHORTCUTS = ("slurm", "address", "artifacts")
"""Settings of engines that have an option of their own."""

device_option = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:i", help="Where to compute."
)
_OPTIONS = (
    click.option(
        "--engine",
        default="local",
        envvar="HARNESS_ENGINE",
        show_default=True,
        show_envvar=True,
        metavar="NAME",
        help="Where trials run (`harness list engines`): NAME, or {name: NAME, setting: value}.",
    ),
    click.option(
        "--workers",
        type=click.IntRange(1, 100_000),
        help="How many trials may run at a time [default: by cores or GPUs; on a cluster, the engine's].",
    ),
    device_option,
    click.option(
        "--slurm", multiple=True, metavar="KEY=VALUE", help="With --engine slurm: an option of sbatch (repeatable)."
    ),
    click.option("--address", help="With --engine ray: the address of the cluster. No other is ever joined."),
    click.option("--artifacts", metavar="URL", help="With --engine ray: where checkpoints go (any address of fsspec: "
                 "s3://…, gs://…, file://…) [default: to the driver]."),
)  # fmt: skip


@dataclass(frozen=True)
class Where:
    """Where trials run: the engine with its settings, and how many at a time on which device."""

    engine: Choice[Engine]
    workers: int | None
    device: str

    def make(self, plan: Plan, results: Path) -> Engine:
        """The engine for the trials of a plan.

        Raises:
            HarnessError: it cannot be used here.
        """
        from harness.execution.engine import Site

        arms = [cell.arm for cell in plan.cells if cell.excluded is None]
        threads = max((arm.train.threads for arm in arms), default=1)
        suite = plan.suite
        site = Site(results.resolve(), suite.run, suite.resources, threads, self.device, self.workers)
        engine = self.engine.make(site)
        refuse_few_files(engine.processes)
        return engine


def engine_options(command: Command) -> Command:
    """Add the options to a command, which gets them as ``where``."""

    @functools.wraps(command)
    def with_where(
        *args: Any, engine: str, workers: int | None, device: str, slurm: tuple[str, ...], **others: Any
    ) -> Any:
        given = {name: others.pop(name) for name in SHORTCUTS if name in others} | {"slurm": _pairs(slurm)}
        where = Where(_chosen(engine, {name: value for name, value in given.items() if value}), workers, device)
        if where.engine.name == "local":
            refuse_few_files(workers or 1)
        return command(*args, where=where, **others)

    for option in reversed(_OPTIONS):
        with_where = option(with_where)
    return with_where  # type: ignore[return-value]


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping."""
    from harness.base.validation import shown

    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip("-"):
            raise HarnessError(f"--slurm {shown(text)}: expected KEY=VALUE, for example partition=gpu")
        pairs[key.strip().lstrip("-")] = value
    return pairs


def _chosen(text: str, more: Mapping[str, Any]) -> Choice[Engine]:
    """The engine that ``--engine`` names, with the settings of the other options.

    Raises:
        HarnessError: there is no such engine, or it has no such setting.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from harness.base.validation import shown
    from harness.zoo.registry import ChoiceError, choose

    try:
        value = YAML(typ="safe", pure=True).load(StringIO(text))
    except YAMLError:
        value = text
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping):
        raise HarnessError(f"--engine {shown(text)}: expected a name, or {{name: …, setting: value}}")
    try:
        return choose("engines", {**value, **more})
    except ChoiceError as error:
        lines = [_line(path, why, value.get("name"), more) for path, why, _ in error.problems]
        raise HarnessError(*lines) from error


def _line(path: tuple[int | str, ...], why: str, name: object, more: Mapping[str, Any]) -> str:
    """A line for a problem of the choice of an engine, by the option that is to blame."""
    from harness.base.validation import shown

    option = str(path[0]) if path else ""
    if option not in more:
        return f"--engine: {'.'.join(map(str, path)) + ': ' if path else ''}{why}"
    if f"unknown key '{option}'" in why:
        return f"--{option} is for engines that have such a setting (`harness docs cluster`); {shown(name)} has none"
    return f"--{option}: {why}"

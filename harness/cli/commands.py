"""The commands of ``harness``, one thin function each. A command imports heavy modules only when it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.base import interrupts, surroundings, terminal
from harness.base.errors import HarnessError
from harness.base.files import expanded
from harness.base.messages import visible
from harness.base.terminal import echo
from harness.base.version import __version__
from harness.cli import completion, running
from harness.cli.engines import device_option, engine_options
from harness.store import views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from harness.analysis.results import Results
    from harness.cli.engines import Where
    from harness.cli.telling import Telling
    from harness.store.garbage import Kind
    from harness.suite import Suite
    from harness.suite.plan import Plan
    from harness.zoo.data.base import DataSet
    from harness.zoo.registry import Choice

    Command = Callable[..., Any]

FAILED, MISTAKE = 1, 2


class Harness(click.Group):
    """The group of commands. A user's mistake ends a command with one message and exit code 2."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        with _safe_usage():
            return super().make_context(*args, **settings)

    def invoke(self, context: click.Context) -> Any:
        with terminal.guarded():
            try:
                return self._invoke(context)
            except terminal.Unread as error:
                if not error.reader_gone:  # `> /dev/full`; with `| head` all is well
                    echo(f"error: standard output cannot be written to: {error}", err=True)
                context.exit(0 if error.reader_gone else MISTAKE)

    def _invoke(self, context: click.Context) -> Any:
        try:
            _refuse_no_folder()
            with surroundings.quiet(), warnings.catch_warnings(), _safe_usage():
                if not sys.warnoptions:  # a library's warning names a line of its own code, and not what to do
                    warnings.simplefilter("ignore")
                return super().invoke(context)
        except terminal.Unread:
            raise
        except HarnessError as error:
            # The problems of a suite begin with their places.
            echo(str(error) if error.placed else f"error: {error}", err=True)
            context.exit(MISTAKE)
        except KeyboardInterrupt:
            _keep_the_exit_code()
            echo(interrupts.interrupted_message(), err=True)
            context.exit(interrupts.EXIT_CODE)
        except SystemExit:
            _keep_the_exit_code()
            raise
        except Exception as error:
            from harness.base.diagnosis import storage_error

            if (message := storage_error(error)) is None:  # a bug in the harness: show the whole traceback
                raise
            echo(f"error: {message}", err=True)
            context.exit(MISTAKE)


@contextlib.contextmanager
def _safe_usage() -> Iterator[None]:
    """What click says about wrong words on the command line repeats them: make it safe to print."""
    try:
        yield
    except click.UsageError as error:
        said = error.format_message()
        if isinstance(error, click.exceptions.NoArgsIsHelpError) or visible(said) == said:
            raise
        raise click.UsageError(visible(said), error.ctx) from None


def _refuse_no_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError:
        raise HarnessError("the current folder is gone, it was removed or replaced: change to another one") from None


class Place(click.Path):
    """A path; a leading ``~`` is the home folder, also where no shell expands it (``--results="~/x"``)."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        return super().convert(expanded(value), parameter, context)


_results_option = click.option(
    "--results",
    type=Place(file_okay=False, path_type=Path),
    envvar="HARNESS_RESULTS",
    default=Path("results"),
    show_default=True,
    show_envvar=True,
    help="Folder of the stores, tables and reports.",
)


def _keep_storage(context: click.Context, option: click.Parameter, address: str | None) -> None:
    """Where the stores are opened, they ask the environment: it is the only way for MLflow's."""
    if address:
        os.environ["HARNESS_STORAGE"] = address


_storage_option = click.option(
    "--storage",
    metavar="URL",
    envvar="HARNESS_STORAGE",
    show_envvar=True,
    expose_value=False,
    callback=_keep_storage,
    help="A PostgreSQL database for the queues, which drivers share: postgresql://USER@HOST/NAME. With a password, set "
    "the variable instead: other users can see command lines.",
)


def results_option(command: Command) -> Command:
    """The options that say where the stores are: the results folder, and the database of the queues."""
    return _results_option(_storage_option(command))


_set_option = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the suite, for example train.steps=100 (repeatable).",
)


def _add_plugins(context: click.Context, option: click.Parameter, paths: tuple[Path, ...]) -> None:
    """Names of the files are known from here on: suites are read later."""
    if paths:
        from harness.zoo import registry

        registry.add_files(paths)


plugin_option = click.option(
    "--plugin",
    type=Place(path_type=Path),
    multiple=True,
    metavar="FILE.py",
    expose_value=False,
    callback=_add_plugins,
    help="A file with tricks, models, networks, metrics or data of your own (repeatable): `harness docs plugins`.",
)


def set_option(command: Command) -> Command:
    """The options that change what a suite says: values, and plug-ins of one's own."""
    return _set_option(plugin_option(command))


smoke_option = click.option(
    "--smoke", is_flag=True, help="Two steps of every arm and a tiny evaluation, in a store of its own."
)


only_option = click.option(
    "--only",
    multiple=True,
    metavar="ARM",
    shell_complete=completion.arms,
    help="Take this arm, and what it is compared with, instead of all (repeatable): its name, or a pattern such as "
    "'dcgan*'. The page goes to SUITE.only/.",
)


def _planning(results: Path, smoke: bool, only: Sequence[str]) -> tuple[Callable[[Suite], Plan], Path]:
    """How suites are planned, and the results folder.

    ``--smoke`` has a folder of its own: its numbers mean nothing, and must not mix with real results.
    """
    from harness.store import addresses
    from harness.suite.choosing import chosen
    from harness.suite.plan import make_plan, smoke_plan

    if smoke:
        addresses.forget()
    made = smoke_plan if smoke else make_plan
    return lambda suite: chosen(made(suite), only), results / "smoke" if smoke else results


def suite_argument(command: Command) -> Command:
    """The suite file or its name. click does not check that it exists: ``read_suite`` gives a better message."""
    return click.argument("suite", type=Place(path_type=Path), shell_complete=completion.suites)(command)


@click.group(cls=Harness, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="harness")
def main() -> None:
    """Benchmark GAN variants and training tricks: from a suite file to a verdict."""


@main.command()
@click.argument(
    "suites",
    nargs=-1,
    required=True,
    type=Place(path_type=Path),
    metavar="SUITE...",
    shell_complete=completion.suites,
)
@set_option
@results_option
@engine_options
@click.option(
    "--accept-change",
    "accepted",
    multiple=True,
    metavar="CHANGE",
    help="Keep results of other code. You state that this change of the code (`harness run` names it) changes no "
    "number.",
)
@click.option(
    "--until-settled",
    is_flag=True,
    help="Add seeds, round by round, to the arms whose verdicts are open: up to 20, at the suite's error rate. A suite "
    "states its own rounds with seeds: {start, most, error, budget}.",
)
@only_option
@smoke_option
@click.option("--quiet", is_flag=True, help="Print only the path of the page, and what goes wrong.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for every event, for programs.")
@interrupts.ending_at_once()
def run(
    suites: tuple[Path, ...],
    sets: tuple[str, ...],
    only: tuple[str, ...],
    results: Path,
    where: Where,
    accepted: tuple[str, ...],
    until_settled: bool,
    smoke: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train the trials that are not done yet, then write and print the report.

    Exit code 0 when every trial reached an outcome, 1 when some failed, 2 on a mistake in the suite or the
    environment, 130 when interrupted.
    """
    from harness.cli.telling import Lines, Printed, Silence
    from harness.suite import read_suite

    if quiet and as_json:
        raise HarnessError("--quiet and --json exclude each other")
    telling = Lines() if as_json else Silence() if quiet else Printed()
    planned, results = _planning(results, smoke, only)
    terminal.keep_going(results / terminal.LOG, interrupts.command_line())
    read = [read_suite(path, sets) for path in suites]
    plans = [planned(running.with_rounds(suite) if until_settled else suite) for suite in read]
    _refuse_one_name(plans)
    codes = [0]
    for plan in (plan for suite, plan in zip(read, plans, strict=True) if until_settled and suite.rounds is None):
        from harness.analysis import looks

        looks.keep_rounds(plan.suite, results)
    for plan in plans:
        codes.append(_ran(plan, results, where, accepted, telling))
        if codes[-1] == interrupts.EXIT_CODE:
            break
    sys.exit(max(codes))


def _refuse_one_name(plans: Sequence[Plan]) -> None:
    """Refuse two suite files of one name: the report of one would replace that of the other."""
    seen: dict[str, Path] = {}
    for suite in (plan.suite for plan in plans):
        other = seen.setdefault(suite.name, suite.path)
        if other.resolve() != suite.path.resolve():
            raise HarnessError(
                f"{other} and {suite.path} are both called {suite.name!r} (`suite:`), so the report and the tables of "
                "one would replace those of the other: give one of them another name, or run them with different "
                "--results"
            )


def _ran(plan: Plan, results: Path, where: Where, accepted: tuple[str, ...], telling: Telling) -> int:
    """Run a plan and tell its results; returns the exit code."""
    if (ended := running.run(plan, results, where, telling, accepted)) is None:
        return interrupts.EXIT_CODE
    telling.report(*ended)
    outcome, _ = ended
    return FAILED if outcome.missing or any(not record.state.own for record in outcome.failures) else 0


def _keep_the_exit_code() -> None:
    """Ignore Ctrl-C from now on: during Python's shutdown it would replace the exit code by that of the signal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@main.command()
@suite_argument
@click.option(
    "--baseline",
    "baseline_path",
    required=True,
    type=Place(dir_okay=False, path_type=Path),
    help="The committed baseline (JSON).",
)
@click.option("--update", is_flag=True, help="Write a new baseline and show the changes.")
@click.option(
    "--even-if-constant",
    is_flag=True,
    help="With --update: also write a baseline in which the compared value of an arm is constant, or at a limit.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="The largest chance of a false alarm, over all tests of the check.",
)
@click.option("--junit", type=Place(dir_okay=False, path_type=Path), help="Write JUnit XML here, for a CI.")
@click.option("--markdown", type=Place(dir_okay=False, path_type=Path), help="Write a Markdown summary here.")
@only_option
@set_option
@results_option
@engine_options
@interrupts.ending_at_once()
def check(
    suite: Path,
    baseline_path: Path,
    update: bool,
    even_if_constant: bool,
    alpha: float,
    junit: Path | None,
    markdown: Path | None,
    only: tuple[str, ...],
    sets: tuple[str, ...],
    results: Path,
    where: Where,
) -> None:
    """Train a suite and fail if it is worse than its baseline.

    Exit code 0 when nothing is worse beyond noise, 1 when something is, 2 on a mistake or when the baseline is not
    comparable, 130 when interrupted.
    """
    from harness.analysis import loading, regression
    from harness.cli.telling import Printed
    from harness.report import regression as tables
    from harness.store import folders
    from harness.suite import read_suite
    from harness.suite.choosing import chosen
    from harness.suite.plan import make_plan

    if update and only:
        raise HarnessError("--update writes a baseline of the whole suite: leave out --only")
    if even_if_constant and not update:
        raise HarnessError("--even-if-constant is for --update")
    terminal.keep_going(results / terminal.LOG, interrupts.command_line())
    tables.forget(junit, markdown)
    plan = chosen(make_plan(read_suite(suite, sets)), only)
    if not update:
        baseline = regression.read(baseline_path)
        regression.refuse_other(baseline, plan)
    console = terminal.console()
    with folders.exclusive(results, interrupts.command_line()):
        if running.train(plan, results, where, Printed()) is None:
            sys.exit(interrupts.EXIT_CODE)
        found = loading.load(plan, results)
    if update:
        measured = regression.measured(found)
        if not even_if_constant:
            regression.refuse_vacuous(found)
        tables.update(measured, baseline_path, console)
        return
    outcome = regression.check(found, baseline, alpha)
    tables.show(outcome, console)
    tables.save(outcome, junit, markdown)
    sys.exit(FAILED if outcome.red else 0)


@main.command()
@suite_argument
@only_option
@set_option
@results_option
@smoke_option
@click.option("--measure", is_flag=True, help="Time a few steps and an evaluation of each arm that the store lacks.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def plan(
    suite: Path,
    only: tuple[str, ...],
    sets: tuple[str, ...],
    results: Path,
    smoke: bool,
    measure: bool,
    device: str,
    as_json: bool,
) -> None:
    """Show every cell and trial with its key and state, and what they cost. Trains nothing.

    The cost comes from the trials in the store. With --measure, arms that it does not know are timed on this machine:
    seconds for each. Nothing of it is stored.
    """
    from harness.cli import overview, planning
    from harness.suite import read_suite

    planned, results = _planning(results, smoke, only)
    found = planning.outlook(planning.with_progress(read_suite(suite, sets), results, planned), results)
    if measure:
        found = planning.measured(found, device)
    if as_json:
        echo(overview.as_json(found))
        for text in found.remarks if found.states is None else ():
            echo(text, err=True)
    else:
        overview.show(found)


@main.command()
@results_option
@interrupts.ending_at_once()
def upgrade(results: Path) -> None:
    """Copy a store of an older harness, then bring it up to date.

    Its results are shown again, as results of other code.
    """
    from harness.store import folders
    from harness.store.runs import Store
    from harness.store.upgrade import copied
    from harness.store.upgrade import upgrade as upgraded

    store = Store(results)
    if not store.exists:
        raise HarnessError(f"there is no store in {results}")
    with folders.exclusive(results, interrupts.command_line()):
        if (copy := copied(store)) is not None:
            echo(f"copied the database to {copy}")
        brought, left = upgraded(store)
    echo(f"{brought} run{'s' * (brought != 1)} brought up to date")
    for reason, runs in left.items():
        echo(f"{len(runs)} left unchanged, the first {runs[0]}: {reason}")


@main.command()
@suite_argument
@only_option
@set_option
@results_option
@smoke_option
@click.option(
    "--out",
    type=Place(file_okay=False, path_type=Path),
    help="Folder of the page and the tables [default: the suite's folder in the results folder].",
)
def report(
    suite: Path, only: tuple[str, ...], sets: tuple[str, ...], results: Path, smoke: bool, out: Path | None
) -> None:
    """Rebuild the tables and the page of a suite from the store."""
    from harness import report as reporting
    from harness.analysis import loading, looks
    from harness.report import unfinished
    from harness.store.folders import Folders
    from harness.store.runs import Store
    from harness.suite import read_suite

    planned, results = _planning(results, smoke, only)
    outcome = _so_far(planned(looks.with_rounds(read_suite(suite, sets), results)), results)
    plan = outcome.plan
    if not (outcome.records or outcome.altered or unfinished.trials(outcome, results)):
        loading.of_other_code(plan, results)  # says whether an older harness wrote the store
        raise _nothing_finished(suite, results, smoke)
    if (other := Store(results).other_file(plan.suite)) is not None:
        echo(other, err=True)
    own = Folders(results).report(plan.suite.name, bool(plan.only))
    page = reporting.write(outcome, out or _report_folder(own), results)
    reporting.console(outcome, page, terminal.console())


def _so_far(plan: Plan, results: Path) -> Results:
    """The results of a suite so far, with the look that they are."""
    from harness.analysis import loading, looks

    outcome = loading.load(looks.progress(plan, results).seen, results)
    return looks.take(outcome, results) if outcome.records else outcome


def _nothing_finished(suite: Path, results: Path, smoke: bool = False) -> HarnessError:
    command = f"harness run {suite}{' --smoke' * smoke}"
    return HarnessError(f"the store in {results} holds no finished trial of {suite}: run `{command}` first")


def _report_folder(folder: Path) -> Path:
    """This folder in the results folder; a folder here if that cannot be written to (a read-only mount)."""
    if os.access(next(path for path in (folder, *folder.absolute().parents) if path.exists()), os.W_OK):
        return folder
    here = Path(f"{folder.name}-report")
    echo(f"{folder.parent} cannot be written to: the page and the tables go to {here.absolute()} (see --out)", err=True)
    return here


@main.command()
@click.argument("one")
@click.argument("other")
@click.option(
    "--suite",
    type=Place(path_type=Path),
    shell_complete=completion.suites,
    help="The suite that ONE and OTHER are arms of.",
)
@set_option
@results_option
@click.option("--metric", metavar="COLUMN", help="The value to compare [default: all; for suites: compare.metric].")
@click.option("--markdown", is_flag=True, help="Print Markdown tables.")
def compare(
    one: str,
    other: str,
    suite: Path | None,
    sets: tuple[str, ...],
    results: Path,
    metric: str | None,
    markdown: bool,
) -> None:
    """Compare two arms of a suite, two runs, or two suites.

    With --suite, ONE and OTHER are arms. Two suite files are compared arm by arm. Otherwise they are runs: the
    beginning of an MLflow run id or of a trial's key. The difference is ONE − OTHER. Exit code 2 when the
    values were measured by different protocols.
    """
    from harness.analysis import comparison
    from harness.report import terminal as shown

    one, other = (str(expanded(text)) if text.startswith("~") else text for text in (one, other))
    found = comparison.compare(one, other, suite, sets, results, metric)
    if markdown:
        echo(shown.compared_markdown(found).removesuffix("\n"))
    else:
        shown.compared(found, terminal.console())


@main.command()
@suite_argument
@click.option(
    "--arms",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.arms,
    help="An arm to look at (repeatable) [default: all].",
)
@click.option(
    "--metric", "metrics", multiple=True, metavar="COLUMN", help="A value to split (repeatable) [default: all]."
)
@click.option(
    "--seeds",
    type=click.IntRange(3, 32),
    default=5,
    show_default=True,
    help="Seeds of each random stream: an arm has the square of it in trials.",
)
@click.option(
    "--evaluations",
    type=click.IntRange(2, 1000),
    default=3,
    show_default=True,
    help="How often each trained model is evaluated.",
)
@set_option
@results_option
@engine_options
@interrupts.ending_at_once()
def noise(
    suite: Path,
    arms: tuple[str, ...],
    metrics: tuple[str, ...],
    seeds: int,
    evaluations: int,
    sets: tuple[str, ...],
    results: Path,
    where: Where,
) -> None:
    """Find out where the noise comes from: initialisation, order of the data, training latents, or evaluation.

    Trains each arm with all random streams crossed, and splits the variance of its values. Exit code 0 when every
    trial has values, 1 when some are left out, 2 on a mistake, 130 when interrupted.
    """
    from harness.analysis import crossing
    from harness.cli.telling import Printed
    from harness.execution.devices import resolve
    from harness.report import noise as shown
    from harness.report import words
    from harness.store import folders
    from harness.suite import read_suite
    from harness.suite.plan import make_plan

    terminal.keep_going(results / terminal.LOG, interrupts.command_line())
    plan = make_plan(read_suite(suite, sets))
    columns = crossing.chosen_columns(plan, metrics)
    crossed = crossing.crossed(plan, arms, seeds)
    with folders.exclusive(results, interrupts.command_line()):
        trials = f"{words.count(len(crossed.trials), 'arm')} × {seeds}² trials = {len(crossed.plan.trials)}"
        more = words.count(evaluations - 1, "more evaluation")
        echo(f"{trials}, of which {crossed.todo(results)} are to be trained; then {more} of each trained model")
        if running.train(crossed.plan, results, where, Printed()) is None:
            sys.exit(interrupts.EXIT_CODE)
        found = crossing.sources(crossed, results, resolve(where.device), evaluations, columns, echo)
        path = shown.write(found, results / plan.suite.name)
    shown.console(found, path)
    sys.exit(FAILED if found.left_out else 0)


@main.command("list")
@click.argument(
    "kind", type=click.Choice(["models", "networks", "tricks", "classifiers", "metrics", "data", "engines", "suites"])
)
@plugin_option
def list_(kind: str) -> None:
    """List what a suite can name, one line each, with the paper."""
    from harness.cli import overview

    for line in overview.suites() if kind == "suites" else overview.plugins(kind):
        echo(line)


@main.command()
@click.argument("name", shell_complete=completion.plugins)
@plugin_option
def explain(name: str) -> None:
    """Explain a model, trick, metric or any other name of a suite: equation, paper, settings with their ranges."""
    from harness.cli import explain as explanation

    for line in explanation.explain(name):
        echo(line)


@main.command()
@click.argument("page", required=False, shell_complete=completion.pages)
def docs(page: str | None) -> None:
    """Show a page of the documentation; without a name, list the pages."""
    from harness.cli import pages

    if page is not None:
        pages.show(page)
        return
    for line in pages.titles():
        echo(line)


@main.command()
@click.argument("what", type=click.Choice(["trick", "model", "network", "metric", "data"]))
@click.argument("name")
@plugin_option
def new(what: str, name: str) -> None:
    """Write NAME.py: a commented start of a trick, model, network, metric or data set of your own."""
    from harness.cli import new as starts

    for line in starts.new(what, name, Path()):
        echo(line)


@main.command("test")
@click.argument("file", type=Place(path_type=Path))
def test_(file: Path) -> None:
    """Test the plug-ins of FILE.py: does each do what the harness relies on?

    Exit code 0 when all is well, 1 when something is not, with what to do; 2 when the file cannot be used.
    """
    from harness.cli import contracts

    good = True
    for well, line in contracts.check(file):
        good &= well
        echo(line)
    sys.exit(0 if good else FAILED)


@main.command()
@results_option
def doctor(results: Path) -> None:
    """Check this machine and the store: what is there, what is missing, and how to fix it."""
    from harness.cli import doctor as examination

    if not examination.examine(results):
        sys.exit(FAILED)


@main.command()
@results_option
@click.option("--port", type=click.IntRange(1, 65535), default=views.PORT, show_default=True, help="Port on 127.0.0.1.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Only 127.0.0.1 is allowed; see the warning.")
def ui(results: Path, port: int, host: str) -> None:
    """Start the MLflow UI on this store, on 127.0.0.1."""
    from harness.store.runs import Store
    from harness.store.ui import serve

    store = Store(results)
    if not store.exists:
        raise HarnessError(f"there is no store in {results} yet: `harness run suites/quickstart.yaml` creates one")
    if host not in ("127.0.0.1", "localhost"):
        echo(
            f"warning: --host {host} is ignored; the UI stays on 127.0.0.1. It asks for no password: anybody who can "
            "reach it can read, change and delete all runs. From another machine, use: "
            f"ssh -L {port}:127.0.0.1:{port} and this machine's name",
            err=True,
        )
    serve(store, port)


@main.command()
def schema() -> None:
    """Print the JSON schema of suite files, for editors."""
    import json

    from harness.suite import suite_schema

    echo(json.dumps(suite_schema(), indent=2))


fonts_option = click.option(
    "--fonts",
    type=Place(file_okay=False, exists=True, path_type=Path),
    help="A folder of fonts, whose characters are further examples.",
)


@main.group()
def judge() -> None:
    """The pretrained classifiers that judge samples."""


@judge.command("train")
@click.option("--data", default="mnist", show_default=True, help="The data set, as in a suite: NAME or {name: …}.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting of the data set (repeatable).")
@plugin_option
@click.option("--out", type=Place(file_okay=False, path_type=Path), help="Folder [default: the cache folder].")
@click.option("--steps", type=click.IntRange(min=1), help="Optimizer steps of the feature and shape network [2000].")
@click.option("--factor", type=click.IntRange(1, 16), help="Multiplies the width of the networks [default: 1].")
@click.option("--mirror", is_flag=True, help="Mirrored images keep their class (photographs): train on them too.")
@click.option("--second", is_flag=True, help="With --out, for mnist: train the second judge, mnist-check.")
@fonts_option
@device_option
@click.option("--seed", type=int, default=0, show_default=True)
def judge_train(
    data: str,
    sets: tuple[str, ...],
    out: Path | None,
    steps: int | None,
    factor: int | None,
    mirror: bool,
    second: bool,
    fonts: Path | None,
    device: str,
    seed: int,
) -> None:
    """Train a judge for a labelled data set and measure it.

    The judge is stored in the cache folder; metrics that need a judge of this data find it there. The judges of
    mnist come with the harness: --out FOLDER trains them again with their own settings.
    """
    from harness.execution.devices import resolve
    from harness.judge import labelled, training

    choice = _chosen_data(data, sets)
    own: dict[str, Any] = {"all_steps": steps, "factor": factor, "mirror": mirror or None}
    own = {key: value for key, value in own.items() if value is not None}
    if choice == _chosen_data("mnist", ()) and not own:
        if out is None:
            raise HarnessError("the judge of mnist comes with the harness; --out FOLDER trains it again into FOLDER")
        name = training.CHECK if second else training.NAME
        training.train(out, name, resolve(device), seed, fonts=fonts, report=echo)
        return
    if second or fonts:
        raise HarnessError("--second and --fonts are for the judges of mnist, without --steps, --factor and --mirror")
    made = choice.make()
    missing = not made.present()
    where = made.fetch()
    if missing:
        echo(where)
    recipe = labelled.LabelledSettings(**own)
    labelled.train(made, choice.canonical(), out, resolve(device), seed, recipe, echo)
    if made.judge:
        echo(f"note: metrics use the judge {made.judge}, which comes with the harness, for this data")


def _chosen_data(text: str, sets: tuple[str, ...]) -> Choice[DataSet]:
    """The data set that ``--data`` and ``--set`` describe in the syntax of a suite."""
    from harness.suite.document import NoSuchPath, put
    from harness.zoo import registry

    given = _value(f"--data {text}", text)
    given = {"name": given} if isinstance(given, str) else given
    for assignment in sets:
        key, _, value = (part.strip() for part in assignment.partition("="))
        if not (key and value):
            raise HarnessError(f"--set {assignment}: expected KEY=VALUE, for example classes=[0, 1]")
        try:
            given, _ = put(given, key.split("."), _value(f"--set {assignment}", value))
        except NoSuchPath as error:
            raise HarnessError(f"--set {assignment}: {error}") from error
    try:
        return registry.choose("data", given)
    except registry.ChoiceError as error:
        problems = [(".".join(map(str, ("data", *path))), message) for path, message, _ in error.problems]
        raise HarnessError(*(f"{path}: {message}" for path, message in problems)) from error


def _value(source: str, text: str) -> Any:
    from harness.suite.document import NotYaml, read

    try:
        document = read(text.encode("utf-8", "surrogatepass"))
    except NotYaml as error:
        raise HarnessError(f"{source}: {error.message}") from error
    if document.problems:
        raise HarnessError(f"{source}: {document.problems[0].message}")
    return document.value


@judge.command("evaluate")
@click.argument("name", default="mnist")
@fonts_option
@device_option
def judge_evaluate(name: str, fonts: Path | None, device: str) -> None:
    """Measure a judge: accuracy, acceptance of real images, rejection of images that belong to no class."""
    from harness.execution.devices import resolve
    from harness.judge import labelled, training

    if name in training.RECIPES:
        rows = training.evaluate(resolve(device), name, fonts)
    else:
        rows = [(what, value, "") for what, value in labelled.evaluate(name, resolve(device)).items()]
    for what, value, target in rows:
        echo(f"{what:<60} {value:8.4f}   {target}".rstrip())


@judge.command("agree")
@suite_argument
@click.option("--judge", "other", default="mnist-check", show_default=True, help="The other judge.")
@click.option("--samples", type=click.IntRange(min=2), help="Samples of each trial [default: as in the suite].")
@set_option
@results_option
@device_option
def judge_agree(
    suite: Path, other: str, samples: int | None, sets: tuple[str, ...], results: Path, device: str
) -> None:
    """Do the rankings survive another judge? Judges the samples of all finished trials again, by both.

    Trains nothing. The samples are drawn with the weights that each trial has kept.
    """
    from harness.analysis import agreement, loading
    from harness.execution.devices import resolve
    from harness.report import terminal as shown
    from harness.suite import read_suite
    from harness.suite.plan import make_plan

    plan = make_plan(read_suite(suite, sets))
    found = loading.load(plan, results, with_curves=False)
    shown.judges(agreement.agreement(found, other, resolve(device), samples, echo))


@main.group()
def data() -> None:
    """Data sets."""


@data.command("fetch")
@click.argument("name")
@plugin_option
def data_fetch(name: str) -> None:
    """Download a data set and check its digest."""
    from harness.zoo import registry

    try:
        choice = registry.choose("data", name)
    except registry.ChoiceError as error:
        raise HarnessError(str(error)) from error
    echo(choice.make().fetch())


@main.command()
@click.argument("word", metavar="KEY|ARM", shell_complete=completion.stored)
@results_option
def show(word: str, results: Path) -> None:
    """Show a trial, or all trials of an arm: settings, state, values, protocol, machine, images, traceback.

    A trial is named by the beginning of its key (`harness plan` lists them) or of its MLflow id.
    """
    from harness.cli import show as shown
    from harness.store.runs import Store

    for line in shown.show(Store(results), word):
        echo(line)


@main.command()
@click.argument("word", metavar="KEY|ARM", shell_complete=completion.stored)
@click.option("--n", "n", type=click.IntRange(min=1), default=64, show_default=True, help="How many images.")
@click.option("--out", type=Place(file_okay=False, path_type=Path), required=True, help="A new folder for them.")
@click.option("--seed", type=int, help="The trial of the arm with this seed [default: the first that is done].")
@click.option("--by-class", is_flag=True, help="As many images of each class, in a folder each (conditional models).")
@click.option("--walk", is_flag=True, help="Also pictures of paths through the latent space.")
@plugin_option
@results_option
@device_option
def sample(
    word: str, n: int, out: Path, seed: int | None, by_class: bool, walk: bool, results: Path, device: str
) -> None:
    """Draw images with the generator of a finished trial: PNG files that programs for FID read, and a grid.

    A trial is named by its arm, or by the beginning of its key or of its MLflow id.
    """
    from harness.cli import sample as drawing
    from harness.execution.devices import resolve
    from harness.store.runs import Store

    echo(drawing.sample(Store(results), word, seed, n, out, resolve(device), by_class, walk))


@main.command()
@suite_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "latex", "markdown"]),
    default="csv",
    show_default=True,
    help="csv and parquet have all digits; latex and markdown are what a paper prints.",
)
@click.option(
    "--table",
    type=click.Choice(["leaderboard", "verdicts", "trials", "curves"]),
    default="leaderboard",
    show_default=True,
    help="Which table; all but the leaderboard as csv or parquet.",
)
@click.option("--out", type=Place(dir_okay=False, path_type=Path), help="A file [default: print it].")
@only_option
@set_option
@results_option
def export(
    suite: Path, form: str, table: str, out: Path | None, only: tuple[str, ...], sets: tuple[str, ...], results: Path
) -> None:
    """Print or write a table of a suite: for a paper (mean with interval, best in bold), or for other programs."""
    from harness.analysis import looks
    from harness.base.files import write_bytes
    from harness.report import export as exporting
    from harness.suite import read_suite

    if form == "parquet" and out is None:
        raise HarnessError("--format parquet is not text: name a file with --out")
    planned, results = _planning(results, False, only)
    found = _so_far(planned(looks.with_rounds(read_suite(suite, sets), results)), results)
    if not found.records:
        raise _nothing_finished(suite, results)
    content = exporting.export(found, form, table)
    if out is None:
        echo(content.decode().removesuffix("\n"))
    else:
        write_bytes(out, content)
        echo(str(out))


@main.command()
@click.argument("suites", nargs=-1, type=Place(path_type=Path), metavar="[SUITE...]", shell_complete=completion.suites)
@click.option(
    "--out",
    type=Place(file_okay=False, path_type=Path),
    default=Path("site"),
    show_default=True,
    help="Folder of the site: published/SUITE/ for each suite, and the index of all that is published there.",
)
@click.option(
    "--check",
    "checked",
    type=Place(path_type=Path),
    metavar="FOLDER",
    help="Publish nothing. Compute the tables of a published folder, or of a site, again from its trials.",
)
@_set_option
@results_option
def publish(suites: tuple[Path, ...], out: Path, checked: Path | None, sets: tuple[str, ...], results: Path) -> None:
    """Write the results of suites into folders that carry what made them, and an index of these.

    Exit code of --check: 1 if a table differs from its trials.
    """
    if checked is not None:
        if suites or sets:
            raise HarnessError("--check publishes nothing: leave out the suites and --set")
        _prove(checked)
        return
    if not suites:
        raise HarnessError("name a suite to publish, or --check FOLDER")
    from harness.analysis import looks
    from harness.analysis.merging import PUBLISHED
    from harness.report import publishing, site
    from harness.store.runs import Store
    from harness.suite import read_suite

    planned, results = _planning(results, False, ())
    for path in suites:
        found = _so_far(planned(looks.with_rounds(read_suite(path, sets), results)), results)
        if not found.records:
            raise _nothing_finished(path, results)
        folder = out / PUBLISHED / found.plan.suite.name
        made = publishing.publish(found, Store(results), results, folder)
        echo(f"{folder}: {made.answer}")
    echo(f"Index    {site.write(out)}")


def _prove(place: Path) -> None:
    """Compute the tables of a published folder, or of all of a site, again."""
    from harness.report import proof, publishing

    folders = publishing.folders(place) or [place]
    if not folders[0].is_dir():
        raise HarnessError(f"there is no folder {place}")
    proofs = [proof.prove(folder) for folder in folders]
    for each in proofs:
        echo(each.sentence)
        for line in each.differences:
            echo(f"  {line}")
    sys.exit(FAILED if any(each.differences for each in proofs) else 0)


@main.command()
@click.argument("what", metavar="FOLDER#ARM")
@click.option(
    "--seeds",
    type=click.IntRange(2, 100),
    default=3,
    show_default=True,
    help="Fresh seeds of each arm that is needed.",
)
@results_option
@engine_options
@interrupts.ending_at_once()
def verify(what: str, seeds: int, results: Path, where: Where) -> None:
    """Train fresh seeds of a published arm here: reproduced, contradicted, or cannot tell?

    Exit code 1 when the published result is contradicted. The fresh trials are stored apart, in RESULTS/verify.
    """
    from harness.analysis import loading, verification
    from harness.cli import verify as telling
    from harness.cli.telling import Printed
    from harness.report import proof
    from harness.store import folders
    from harness.suite.choosing import chosen

    folder, arm = telling.named(what)
    place = results / telling.FOLDER
    with proof.replayed(folder) as published:
        fresh = verification.fresh_seeds(published, arm, seeds)
        plan = chosen(published.plan, [arm]).with_seeds(fresh)
        with folders.exclusive(place, interrupts.command_line()):
            if running.train(plan, place, where, Printed()) is None:
                sys.exit(interrupts.EXIT_CODE)
            found = verification.verify(published, loading.load(plan, place, with_curves=False), arm)
        for line in telling.told(found, published):
            echo(line)
    sys.exit(FAILED if found.answer == "contradicted" else 0)


@main.command()
@click.argument("sources", nargs=-1, required=True, type=Place(path_type=Path), metavar="STORE...")
@results_option
@interrupts.ending_at_once()
def merge(sources: tuple[Path, ...], results: Path) -> None:
    """Take the trials of other results folders, or of published folders, into --results.

    No trial is there twice, and the trials of an arm keep one protocol. `harness run` then trains only what is
    missing. Interrupted, the same command goes on.
    """
    from harness.analysis import merging
    from harness.cli import merge as telling
    from harness.store import folders

    with folders.exclusive(results, interrupts.command_line()):
        for merged in merging.merge(sources, results, echo):
            for line in telling.told(merged, results):
                echo(line)


@main.command()
@click.argument(
    "what", nargs=-1, type=click.Choice(["checkpoints", "work", "artifacts", "cache", "smoke"]), metavar="[WHAT]..."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@results_option
def gc(what: tuple[Kind, ...], yes: bool, results: Path) -> None:
    """Say what can be deleted in a results folder, with sizes, and delete it if you agree. No result is lost.

    WHAT: checkpoints (of trials that are done), work (of trials that the store does not know), artifacts (of runs
    that were deleted in MLflow), cache, smoke [default: all].
    """
    from harness.cli import gc as collection
    from harness.store import folders

    if not results.is_dir():
        raise HarnessError(f"there is no results folder {results}")
    with folders.exclusive(results, interrupts.command_line()):
        collection.collect(results, what, yes)


@main.command()
@click.argument("file", type=Place(path_type=Path), default=Path("my_suite.yaml"))
def init(file: Path) -> None:
    """Write a short suite with comments into FILE [default: my_suite.yaml]. It runs in a minute or two."""
    from harness.cli import init as first

    first.write(file)
    echo(f"{file} is written; `harness run {file}` trains it")

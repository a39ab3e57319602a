"""The harness from Python, in a notebook or a script: docs/notebook.md shows it.

A thin layer: the command line's own functions read, plan, train and report. Objects show themselves in a notebook.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.base import interrupts, surroundings
from harness.base.errors import HarnessError
from harness.base.files import expanded
from harness.base.messages import visible
from harness.suite import read_suite, suite_of
from harness.zoo import importing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    from harness.analysis.results import Results
    from harness.cli.planning import Outlook
    from harness.report.figures import Drawing
    from harness.store.record import Record
    from harness.zoo.models.base import Model

Folder = str | Path | None
"""A results folder; None is the folder that HARNESS_RESULTS names, else ``results``."""


class Suite:
    """A suite, from a file or built here.

    ``harness.Suite(suite="mine", data="digits", base={"model": "dcgan"}, …)`` has the keys of a suite file
    (docs/suite-format.md) as arguments and plain values. ``harness.Suite.from_yaml("quickstart")`` reads a file.

    Raises:
        SuiteError: the suite has errors; all of them.
    """

    def __init__(self, **keys: Any) -> None:
        with surroundings.quiet():
            self.declared = suite_of(keys)

    @classmethod
    def from_yaml(cls, suite: str | Path, sets: Sequence[str] = ()) -> Suite:
        """Read a suite file, or the suite of a name.

        Args:
            suite: a file, or the name of a suite in the folder ``suites`` here or of one that comes with the harness.
            sets: overrides, as in ``--set``: ``["train.steps=100"]``.

        Raises:
            SuiteError: there is no such suite, or it has errors.
        """
        made = cls.__new__(cls)
        with surroundings.quiet():
            made.declared = read_suite(expanded(suite), sets)
        return made

    @property
    def name(self) -> str:
        """The name of the suite."""
        return self.declared.name

    def to_yaml(self, path: str | Path | None = None) -> Path:
        """Write a suite that was built here into a file that ``harness run`` reads. Plug-ins are relative to the file.

        Args:
            path: the file; None for ``NAME.yaml`` in this folder.

        Raises:
            HarnessError: the file is there already.
        """
        path = self.declared.path if path is None else expanded(path)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(self.declared.text + "\n" * (not self.declared.text.endswith("\n")))
        except FileExistsError:
            raise HarnessError(f"{path} is there already: name another file") from None
        except OSError as error:
            raise HarnessError(f"{path} cannot be written ({error}): name another file") from error
        return path

    def plan(self, results: Folder = None, only: Sequence[str] = (), measure: bool = False) -> Planned:
        """Every trial with its key and state, and what they cost. Trains nothing.

        Args:
            results: the results folder.
            only: names of arms, or patterns: these, and what they are compared with.
            measure: time a few steps of each arm that the store knows nothing of.

        Raises:
            HarnessError: a name fits no arm, or data cannot be read.
        """
        from harness.cli import planning
        from harness.suite.choosing import chosen
        from harness.suite.plan import make_plan

        with _calm("suite.plan()"):
            place = _folder(results)
            plan = planning.with_progress(self.declared, place, lambda suite: chosen(make_plan(suite), only))
            found = planning.outlook(plan, place)
            return Planned(planning.measured(found, "auto") if measure else found)

    def run(
        self,
        results: Folder = None,
        *,
        only: Sequence[str] = (),
        workers: int | None = None,
        device: str = "auto",
        engine: str | dict[str, Any] = "local",
        until_settled: bool = False,
        accept: Sequence[str] = (),
    ) -> Loaded:
        """Train the trials that are not done yet, and write the report, as ``harness run`` does.

        Interrupting the cell saves the running trials, and the same call continues them.

        Args:
            results: the results folder.
            only: names of arms, or patterns: these, and what they are compared with.
            workers: how many trials run at a time; None: as many as the cores or GPUs allow.
            device: auto, cpu, cuda or cuda:i.
            engine: where trials run: a name, or ``{"name": …, setting: value}``.
            until_settled: add seeds, round by round, until every verdict is settled, at most 20.
            accept: changes of the code that change no number, as in ``--accept-change``.

        Returns: the results so far. Failed trials are among them.

        Raises:
            KeyboardInterrupt: it was interrupted; everything is saved.
            HarnessError: the suite cannot be run here, or another run uses the results folder.
        """
        from harness.analysis import looks
        from harness.cli import running
        from harness.cli.engines import Where
        from harness.cli.telling import Printed
        from harness.suite.choosing import chosen
        from harness.suite.plan import make_plan
        from harness.zoo.registry import ChoiceError, choose

        with _calm("suite.run()"):
            place, suite = _folder(results), self.declared
            try:
                where = Where(choose("engines", engine), workers, device)
            except ChoiceError as error:
                raise HarnessError(f"engine: {error}") from error
            if until_settled and suite.rounds is None:
                suite = running.with_rounds(suite)
                looks.keep_rounds(suite, place)
            ended = running.run(chosen(make_plan(suite), only), place, where, Printed(), accept)
        if ended is None:
            raise KeyboardInterrupt("interrupted; everything is saved, and the same call continues")
        return Loaded(*ended)

    def __repr__(self) -> str:
        own = self.declared
        arms = sum(cell.excluded is None for cell in own.combinations)
        return visible(f"Suite {own.name}: {arms} arms, {len(own.seeds)} seeds, metric {own.metric}")

    def _repr_html_(self) -> str:
        question = f"<br><i>{_html(self.declared.question)}</i>" if self.declared.question else ""
        return f"<p>{_html(repr(self))}{question}</p>"


@dataclass(frozen=True, repr=False)
class Planned:
    """The plan of a suite, with what the store has of it.

    Attributes:
        outlook: the plan, the states of its trials, and estimates of their time.
    """

    outlook: Outlook

    @functools.cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial: arm, seed, key, state, seconds (an estimate for one worker; NaN if nothing is known)."""
        import pandas as pd

        found = self.outlook
        rows = [(t.arm.name, t.seed, t.key, found.state(t), found.seconds(t)) for t in found.plan.trials]
        table = pd.DataFrame(rows, columns=["arm", "seed", "key", "state", "seconds"])
        return table.astype({"state": str, "seconds": float})

    def __repr__(self) -> str:
        return "\n".join(map(visible, [*self.outlook.summary(), *self.outlook.remarks]))

    def _repr_html_(self) -> str:
        found = self.outlook
        states = {(trial.arm.name, trial.seed): found.state(trial) for trial in found.plan.trials}
        seeds = sorted({seed for _, seed in states})
        rows = []
        for arm in dict.fromkeys(arm for arm, _ in states):
            cells = "".join(f"<td>{_html(states.get((arm, seed), ''))}</td>" for seed in seeds)
            rows.append(f"<tr><td>{_html(arm)}</td>{cells}</tr>")
        heads = "".join(f"<th>seed {seed}</th>" for seed in seeds)
        text = "<br>".join(map(_html, repr(self).splitlines()))
        table = f"<table><thead><tr><th>arm</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return f"{table}<p>{text}</p>"


@dataclass(frozen=True, repr=False)
class Loaded:
    """A suite's results.

    Attributes:
        results: everything that the store has of the suite.
        page: the report, as ``harness run`` and ``harness report`` write it.
    """

    results: Results
    page: Path

    @functools.cached_property
    def trials(self) -> pd.DataFrame:
        """One row per trial; see ``Results.trials``."""
        return self.results.trials()

    @functools.cached_property
    def curves(self) -> pd.DataFrame:
        """One row per point of a training curve; see ``Results.curves``."""
        return self.results.curves()

    @functools.cached_property
    def arms(self) -> pd.DataFrame:
        """One row per arm, best first; see ``Results.leaderboard``."""
        return self.results.leaderboard()

    @functools.cached_property
    def verdicts(self) -> pd.DataFrame:
        """One row per arm that is compared with the baseline; see ``ArmVerdict``."""
        import pandas as pd

        from harness.analysis.statistics import Verdict

        columns = ["arm", "metric", *Verdict.__dataclass_fields__]
        return pd.DataFrame([vars(verdict) for verdict in self.results.verdicts()], columns=columns)

    @property
    def plot(self) -> Plots:
        """Figures of matplotlib."""
        return Plots(self.results)

    def compare(self, one: str, other: str, metric: str | None = None) -> pd.DataFrame:
        """Two arms, one row per value; see ``Comparison.table``."""
        from harness.analysis import comparison

        return comparison.arms(self.results, one, other, metric).table()

    def samples(self, arm: str, seed: int | None = None) -> Image:
        """The final samples of a trial, as the report shows them.

        Args:
            arm: an arm.
            seed: of the trial; None for the first that is done.

        Raises:
            HarnessError: there is no such arm or trial, or its images are not at hand.
        """
        from PIL import Image

        from harness.report import artifacts

        record = self._record(arm, seed)
        found = artifacts.grids(record)
        if not found:
            raise HarnessError(f"{arm}, seed {record.seed}: its images are not at hand")
        with Image.open(found[-1].path) as image:
            return image.copy()

    def generator(self, arm: str, seed: int | None = None, device: str = "auto") -> Generator:
        """What draws new images with the weights of a finished trial.

        Args:
            arm: an arm.
            seed: of the trial; None for the first that is done.
            device: where to compute.

        Raises:
            HarnessError: there is no such arm or trial, or its weights are not at hand.
        """
        import torch

        from harness.analysis import sampling
        from harness.execution.devices import resolve

        record = self._record(arm, seed)
        where = torch.device(resolve(device))
        return Generator(record, sampling.generator(record, where), where)

    def _record(self, arm: str, seed: int | None) -> Record:
        """The trial of an arm that is meant: of a seed, else the first that is done."""
        from harness.analysis.comparison import refuse_unknown

        refuse_unknown(self.results, arm)
        records = self.results.of(arm)
        fitting = [record for record in records if record.done and seed in (None, record.seed)]
        if not fitting:
            states = ", ".join(f"seed {record.seed} {record.state}" for record in records)
            asked = "" if seed is None else f" with the seed {seed}"
            raise HarnessError(f"{arm} has no trial{asked} that is done (it has: {states})")
        return fitting[0]

    def __repr__(self) -> str:
        from harness.report import words

        n = words.count(len(self.results.records), "trial")
        return visible(f"{self.results.plan.suite.name}, {n}: {words.headline(self.results)}")

    def _repr_html_(self) -> str:
        from harness.report import export, words

        results = self.results
        judged = results.judged
        question = f"<i>{_html(results.plan.suite.question)}</i><br>" if results.plan.suite.question else ""
        told = [words.sentence(verdict, judged) for verdict in judged.verdicts()] if judged else []
        told += [f"{words.count(results.missing, 'trial')} still to do"] if results.missing else []
        sentences = "".join(f"<li>{_html(text)}</li>" for text in told)
        return f"<p>{question}<b>{_html(words.headline(results))}</b></p>{export.html(results)}<ul>{sentences}</ul>"


@dataclass(frozen=True, repr=False)
class Plots:
    """The figures of the report, one at a time."""

    results: Results

    def forest(self) -> Figure:
        """The effect of each arm that is compared, with its interval.

        Raises:
            HarnessError: nothing is compared yet.
        """
        return self._one("", "forest", None, "no comparison of this suite has an effect yet")

    def training(self, arm: str, what: str | None = None) -> Figure:
        """Curves of an arm over training: mean over its seeds, in a band from lowest to highest.

        Args:
            arm: an arm.
            what: the title of the figure in the report, for example ``Generator loss``; None for the first.

        Raises:
            HarnessError: there is no such arm or figure.
        """
        return self._one(arm, "training", what, f"{arm} has no training curves")

    def histogram(self, arm: str, what: str | None = None) -> Figure:
        """A histogram of an arm's samples, for example over the classes.

        Args:
            arm: an arm.
            what: the title of the figure in the report; None for the first.

        Raises:
            HarnessError: there is no such arm or figure.
        """
        return self._one(arm, "histogram", what, f"{arm} has no histogram: no metric of the suite gives one")

    def _one(self, arm: str, kind: str, what: str | None, lacking: str) -> Figure:
        """The figure of an arm that a function of ``plots`` draws, and whose title begins so."""
        from harness.analysis.comparison import refuse_unknown
        from harness.report import figures, plots

        if arm:
            refuse_unknown(self.results, arm)
        drawn = getattr(plots, kind)
        found = [each for each in figures.draw(self.results, [arm] if arm else []) if each.plot is drawn]
        fitting = [each for each in found if what is None or each.caption.lower().startswith(what.lower())]
        if not fitting:
            titles = f"there are: {', '.join(each.caption for each in found)}" if found else lacking
            raise HarnessError(f"no figure {what!r}: {titles}" if found else lacking)
        return _shown(fitting[0])


def _shown(drawing: Drawing) -> Figure:
    """The figure of a drawing, which a notebook shows without a backend of matplotlib."""
    from harness.report import plots

    figure = drawing.figure
    figure._repr_png_ = lambda: plots.png(figure)  # type: ignore[attr-defined]
    return figure


@dataclass(frozen=True, repr=False)
class Generator:
    """Draws images with the weights of a finished trial.

    Attributes:
        record: the trial.
        model: its model, on the device, as far as sampling needs it.
        device: where it computes.
    """

    record: Record
    model: Model
    device: torch.device

    def __call__(self, n: int = 64, label: int | None = None, part: int = 0) -> NDArray[np.generic]:
        """Draw images.

        Args:
            n: how many.
            label: of this class, if the model is conditional.
            part: 0 for the images of the trial's evaluation (as many as it had are the same ones); any other whole
                number for other images.

        Returns: uint8 (n, height, width) in grey, or (n, height, width, 3) in colour; of points float32 (n, 2) in
            [-1, 1].

        Raises:
            HarnessError: the model draws no images of a given class.
        """
        from harness.zoo.data.pixels import to_uint8

        samples = self._drawn(n, label, part)
        if self._points:
            return samples.flatten(1).float().numpy()
        pixels = to_uint8(samples).permute(0, 2, 3, 1).numpy()
        return pixels if pixels.shape[-1] == 3 else pixels[..., 0]

    def grid(self, n: int = 64, label: int | None = None, part: int = 0) -> Image:
        """The same images in one picture, in rows of eight; of points a scatter plot."""
        from harness.trial.artifacts import GRID
        from harness.trial.pictures import in_rows, scattered, tiled

        samples = self._drawn(n, label, part)
        return scattered(samples) if self._points else tiled(in_rows(samples, GRID))

    @property
    def _points(self) -> bool:
        from harness.analysis import sampling

        return sampling.arm_of(self.record).data.make().points

    def _drawn(self, n: int, label: int | None, part: int) -> Tensor:
        from harness.analysis import sampling

        if n < 1:
            raise HarnessError(f"n must be at least 1, got {n}")
        return sampling.draw(self.model, self.record, n, self.device, label, part)

    def __repr__(self) -> str:
        return visible(f"Generator of {self.record.arm}, seed {self.record.seed}, on {self.device}")


def load(suite: str | Path | Suite, results: Folder = None, sets: Sequence[str] = ()) -> Loaded:
    """The results that the store of a results folder has of a suite.

    Args:
        suite: a suite file, the name of a suite (``Suite.from_yaml``), or a suite that was built here.
        results: the results folder.
        sets: overrides, as in ``--set``.

    Raises:
        HarnessError: there is no such suite, it has errors, or the store has none of its trials.
    """
    from harness.analysis import loading, looks
    from harness.store.folders import Folders
    from harness.suite.plan import make_plan

    with surroundings.quiet():
        place = _folder(results)
        declared = suite.declared if isinstance(suite, Suite) else read_suite(expanded(suite), sets)
        plan = make_plan(looks.with_rounds(declared, place))
        found = loading.load(looks.progress(plan, place).seen, place)
        if not found.records:
            named = suite.name if isinstance(suite, Suite) else suite
            raise HarnessError(
                f"the store in {place.absolute()} has no trial of {named}: run `harness run {named}` first"
            )
        return Loaded(looks.take(found, place), Folders(place).report(declared.name) / "report.html")


def _folder(results: Folder) -> Path:
    return expanded(results or os.environ.get("HARNESS_RESULTS") or "results")


@contextlib.contextmanager
def _calm(call: str) -> Iterator[None]:
    """The process as the command line has it, for the time of a call. Plug-in files must be as they were imported."""
    with surroundings.quiet(), interrupts.called(call), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importing.refuse_changed()
        yield


def _html(text: str) -> str:
    return escape(visible(text))

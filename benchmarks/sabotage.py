"""Tests the regression check: puts faults into scratch copies of this code, one at a time; each must turn a check red.

    python benchmarks/sabotage.py [--only NAME …] [--repeats 10] [--tests-only] [--markdown FILE]

A sabotage is an exact replacement of text. If a file no longer has the text, the script stops, because the fault would
prove nothing. Each copy runs `harness check` on suites/regression.yaml; if that is green, it runs the tests that name
the fault, which must pass in a clean copy first. Clean copies with other seeds must stay green. `nox -s sabotage` calls
it. Finished rows are stored beside the Markdown file and not run again. All copies share one store: arms that a fault
does not affect are not trained again, because their keys have a digest of the code that they run. With `--tests-only`
nothing is trained: only the tests must see the faults.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("harness", "suites", "tests", "results/baselines", "pyproject.toml")
CHECK = ("-m", "harness", "check", "suites/regression.yaml", "--baseline", "results/baselines/regression.json")


@dataclass(frozen=True)
class Sabotage:
    """A fault put in on purpose.

    Attributes:
        name: a description of the fault.
        file: the file, relative to the root.
        old: the text to replace; it occurs in the file once.
        new: the replacement.
        tests: the tests that must fail if the check is green.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ("tests/test_contracts.py",)


SABOTAGES = (
    Sabotage(
        "feature matching compares single samples",
        "harness/zoo/tricks/feature_matching.py",
        "(real.float().mean(0) - fake.float().mean(0)).square().sum()",
        "(real.float() - fake.float()).square().sum(1).mean()",
        ("tests/zoo/tricks",),
    ),
    Sabotage(
        "the averaged generator lags fifty times as far behind",
        "harness/zoo/tricks/ema.py",
        "least.clamp(min=1 - self.settings.decay)",
        "least * 0 + (1 - self.settings.decay) / 50",
        ("tests/zoo/tricks",),
    ),
    Sabotage(
        "labels are smoothed on both sides",
        "harness/zoo/tricks/one_sided_label_smoothing.py",
        "targets._replace(real=self.settings.target)",
        "targets._replace(real=self.settings.target, fake=1 - self.settings.target)",
        ("tests/zoo/tricks",),
    ),
    Sabotage(
        "learning rates ten times too high",
        "harness/zoo/models/gan.py",
        "if changing else rate",
        "if changing else 10 * rate",
        ("tests/zoo/models",),
    ),
    Sabotage(
        "the generator ignores half of its latent",
        "harness/zoo/models/gan.py",
        "        return torch.randn(n, columns, device=self.compute.device, generator=rng)\n",
        "        noise = torch.randn(n, columns, device=self.compute.device, generator=rng)\n"
        "        noise[:, : columns // 2] = 0\n"
        "        return noise\n",
        ("tests/zoo/models",),
    ),
    Sabotage(
        "batch normalisation in training mode when sampling",
        "harness/zoo/models/gan.py",
        "        with torch.no_grad(), evaluating(network):\n            images: Tensor = network(latents)",
        "        with torch.no_grad():\n            images: Tensor = network(latents)",
    ),
    Sabotage(
        "Fréchet distance on unclipped images",
        "harness/zoo/data/pixels.py",
        "((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)",
        "((images.float() * 1.1 + 1) * 127.5).round().to(torch.int16).to(torch.uint8)",
        ("tests/metrics",),
    ),
    Sabotage(
        "a judge with permuted classes",
        "harness/judge/judge.py",
        "return logits[:, :-1].softmax(1), logits.softmax(1)[:, :-1].amax(1)",
        "return logits[:, :-1].softmax(1).roll(1, 1), logits.softmax(1)[:, :-1].amax(1)",
        ("tests/judge",),
    ),
    Sabotage(
        "data without shuffling",
        "harness/zoo/data/order.py",
        "epoch = torch.randperm(self._size, device=self._rng.device, generator=self._rng)",
        "epoch = torch.arange(self._size, device=self._rng.device)",
        ("tests/trial/test_loop.py",),
    ),
    Sabotage(
        "every second discriminator step skipped",
        "harness/zoo/models/gan.py",
        "        self.discriminator_optimiser.step()\n",
        "        if self.taken % 2 == 0:\n            self.discriminator_optimiser.step()\n",
        ("tests/zoo/models",),
    ),
)


@dataclass(frozen=True)
class Row:
    """The result of one copy."""

    name: str
    check: str
    """green, red (with the arms and values that are worse), or the message of a check that ended in an error."""
    tests: str
    """green or red; – if the check was red already."""

    @property
    def caught(self) -> bool:
        return self.check.startswith("red") or self.tests.startswith("red")

    @property
    def as_it_should_be(self) -> bool:
        """A clean copy is green, a sabotaged one is caught; a check that ended in an error proves neither."""
        return self.check.startswith("green") if self.name.startswith("clean") else self.caught


def run(sabotage: Sabotage | None, name: str, seeds: str | None, store: Path) -> Row:
    """Check a scratch copy, sabotaged or clean; a clean copy gets its own seeds."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as scratch:
        copy = Path(scratch)
        copied(copy)
        if sabotage is not None:
            apply(sabotage, copy)
        more = ["--set", f"seeds={seeds}"] if seeds else []
        done = python(copy, *CHECK, *more, "--results", str(store), "--markdown", str(copy / "summary.md"))
        check = described(done, copy / "summary.md")
        tests = "–"
        if sabotage is not None and not check.startswith("red"):
            tests = tested(copy, *sabotage.tests)
        return Row(name, check, tests)


def run_tests(sabotage: Sabotage) -> Row:
    """Run the tests in a sabotaged copy, without the check."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as scratch:
        copied(Path(scratch))
        apply(sabotage, Path(scratch))
        return Row(sabotage.name, "–", tested(Path(scratch), *sabotage.tests))


def tested(copy: Path, *tests: str) -> str:
    """The result of the tests in a copy. Only a test that ran and failed is red: others prove nothing."""
    found = python(copy, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    failed = [line.split(" - ")[0] for line in found.stdout.splitlines() if line.startswith("FAILED")]
    if found.returncode == 1 and failed:
        return f"red: {', '.join(failed)}"
    return "green" if found.returncode == 0 else f"pytest's exit code {found.returncode}"


def control(wanted: list[Sabotage]) -> None:
    """Run the tests that must find the faults in a clean copy; exit if they do not pass."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as scratch:
        copied(Path(scratch))
        outcome = tested(Path(scratch), *dict.fromkeys(test for sabotage in wanted for test in sabotage.tests))
        if outcome != "green":
            sys.exit(f"the tests do not pass in a clean copy, so they prove nothing: {outcome}")


def copied(copy: Path) -> None:
    """Copy the files that a scratch copy needs."""
    for part in COPIED:
        source, target = ROOT / part, copy / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)


def apply(sabotage: Sabotage, copy: Path) -> None:
    """Put the fault into the copy; exit if its text does not occur exactly once."""
    path = copy / sabotage.file
    text = path.read_text(encoding="utf-8")
    if text.count(sabotage.old) != 1:
        sys.exit(f"{sabotage.file}: the text that {sabotage.name!r} replaces occurs {text.count(sabotage.old)} times")
    path.write_text(text.replace(sabotage.old, sabotage.new), encoding="utf-8")


def python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, with the code of the copy."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def described(done: subprocess.CompletedProcess[str], summary: Path) -> str:
    """The outcome of a check in one line."""
    if done.returncode == 0:
        return "green"
    if done.returncode == 1 and summary.is_file():
        lines = [line.split(" | ") for line in summary.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
        red = [cells for cells in lines if cells[-1].startswith(("worse", "missing"))]
        worse = [f"{column} of {arm.removeprefix('| ')}" for arm, column, *_ in red]
        return f"red: {len(worse)} worse ({', '.join(worse[:3])}{', …' if len(worse) > 3 else ''})"
    return f"exit {done.returncode}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"


def table(rows: list[Row]) -> str:
    lines = ["| copy | `harness check` | tests | caught |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.check} | {row.tests} | {'yes' if row.caught else 'no'} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names (or parts of them) of the sabotages to try")
    parser.add_argument("--repeats", type=int, default=10, help="number of clean copies, each with its own seeds")
    parser.add_argument("--tests-only", action="store_true", help="train nothing; only the tests must see the faults")
    parser.add_argument("--markdown", type=Path, default=ROOT / "sabotage.md", help="file of the table")
    chosen = parser.parse_args()
    kept = chosen.markdown.with_suffix(".json")
    rows = [Row(**row) for row in json.loads(kept.read_text())] if kept.is_file() else []
    wanted = [s for s in SABOTAGES if not chosen.only or any(part in s.name for part in chosen.only)]
    jobs: list[tuple[Sabotage | None, str, str | None]] = [(s, s.name, None) for s in wanted]
    jobs += [
        (None, f"clean {i + 1}", f"[{', '.join(str(100 * (i + 1) + s) for s in range(5))}]")
        for i in range(0 if chosen.tests_only else chosen.repeats)
    ]
    store = kept.with_suffix(".store").resolve()
    if any(row.name not in {done.name for done in rows} for row in wanted):
        control(wanted)
    for sabotage, name, seeds in jobs:
        if any(row.name == name for row in rows):
            continue
        only_tests = chosen.tests_only and sabotage is not None
        rows.append(run_tests(sabotage) if only_tests else run(sabotage, name, seeds, store))
        kept.write_text(json.dumps([vars(row) for row in rows], indent=1))
        chosen.markdown.write_text(table(rows), encoding="utf-8")
        print(rows[-1], flush=True)
    wrong = [row.name for row in rows if not row.as_it_should_be]
    if wrong:
        sys.exit(f"not as expected: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

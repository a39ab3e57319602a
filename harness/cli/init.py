"""`harness init`: a first suite of one's own, with comments."""

from __future__ import annotations

import re
from pathlib import Path

from harness.base.errors import HarnessError
from harness.base.validation import shown
from harness.suite.declaration import NAME, RESERVED

TEXT = """\
# A suite: what is compared, on which data, by which metrics. Everything but `base`, `data` and `evaluate` may be left
# out. `harness plan {file}` shows the trials, `harness run {file}` trains them and writes a report.

suite: {name}
question: Does averaging the generator's weights (ema) help a DCGAN?

# `harness list data` lists the data sets. digits comes with the harness: 1 797 real handwritten digits.
data: digits

# How every arm is trained: a fair comparison gives all of them the same.
train: {{steps: 150, batch_size: 64}}

# Every arm is trained with the seeds 0, 1 and 2: one seed is an anecdote. More seeds later train only the new ones.
# `seeds: {{start: 3, most: 20}}` adds seeds until the verdict is settled.
seeds: 3

# What all arms have in common. `harness list models` and `harness explain dcgan` say what there is.
base:
  model: dcgan

# What differs: one arm for each value (with several axes, for each combination of their values). An axis is a path into
# the arm: tricks, model, model.generator_rate, train.steps, data, …
matrix:
  tricks:
    - []       # the plain DCGAN
    - [ema]    # `harness list tricks` lists the tricks

# How every trained generator is measured (`harness list metrics`). More samples measure more exactly.
evaluate:
  samples: 1000
  metrics: [fid, mode_coverage]

# Which arm the others are compared with, on which column. An effect below δ (`delta`; 5 % here) counts as none.
compare:
  baseline: {{tricks: []}}
  metric: fid
"""


def write(path: Path) -> None:
    """Write the suite into a new file; the name of the file becomes that of the suite.

    Raises:
        HarnessError: the file exists, its name is no name of a suite, or it cannot be written.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise HarnessError(f"{path}: a suite file ends in .yaml")
    if not re.fullmatch(NAME, path.stem) or path.stem in RESERVED:
        raise HarnessError(
            f"{path}: {shown(path.stem)} cannot be the name of a suite: use a to z, 0 to 9, - and _, and no name that "
            "the results folder has"
        )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEXT.format(name=path.stem, file=path))
    except FileExistsError:
        raise HarnessError(f"{path} exists already: name another file") from None
    except OSError as error:
        raise HarnessError(f"{path} cannot be written ({error})") from error

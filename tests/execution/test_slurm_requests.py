"""What SLURM is asked for, and what it cannot be asked for. tests/cluster/test_slurm.py asks a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness_cli import Workspace

from harness.base.errors import HarnessError
from harness.execution.engine import Site
from harness.execution.engines.slurm import COMMANDS, SlurmSettings, requested
from harness.suite import Resources, Run
from harness.zoo.registry import ChoiceError, choose


def asked(resources: dict[str, Any], device: str = "auto", threads: int = 1, **settings: Any) -> dict[str, Any]:
    site = Site(Path("results"), Run(), Resources(**resources), threads, device)
    return requested(site, SlurmSettings(**settings))


@pytest.mark.parametrize(
    ("resources", "more", "options"),
    [
        ({}, {"threads": 3}, {"cpus-per-task": 3}),
        ({"cpus": 2, "memory": "8GB", "time": "4h"}, {}, {"cpus-per-task": 2, "mem": "8000M", "time": 240}),
        ({"time": 181}, {}, {"cpus-per-task": 1, "time": 4}),
        ({"gpus": 1}, {}, {"cpus-per-task": 1, "gres": "gpu:1"}),
        ({"gpus": 0}, {"device": "auto"}, {"cpus-per-task": 1}),
        ({}, {"device": "cuda"}, {"cpus-per-task": 1, "gres": "gpu:1"}),
        ({"gpus": 0.3}, {"shards": 4}, {"cpus-per-task": 1, "gres": "shard:2"}),
        ({}, {"slurm": {"gres": "gpu:a100:1", "exclusive": ""}}, {"gres": "gpu:a100:1", "exclusive": True}),
        ({}, {"slurm": {"mail_type": "END"}}, {"mail-type": "END"}),
    ],
)
def test_a_trial_is_asked_for_by_what_the_suite_says(
    resources: dict[str, Any], more: dict[str, Any], options: dict[str, Any]
) -> None:
    assert asked(resources, **more) == {"cpus-per-task": 1} | options


@pytest.mark.parametrize(
    ("resources", "more", "said"),
    [
        ({"gpus": 0.25}, {}, "say how many a GPU has, --engine '{name: slurm, shards: 4}'"),
        ({"gpus": 1}, {"device": "cpu"}, "resources.gpus is 1, but the trials are to run on the CPU"),
        ({"gpus": 1}, {"slurm": {"gpus-per-node": 1}}, "--slurm gpus-per-node=…: resources.gpus of the suite says it"),
        ({}, {"device": "cuda:1"}, "--device cuda:1: SLURM chooses the GPU of a job"),
        ({"time": 60}, {}, "resources.time is 60.* at least 3min"),
    ],
)
def test_what_slurm_cannot_be_asked_for(resources: dict[str, Any], more: dict[str, Any], said: str) -> None:
    with pytest.raises(HarnessError, match=said):
        asked(resources, **more)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time": "4:00:00"}, "time cannot be given: resources.time of the suite says it"),
        ({"cpus_per_task": 2}, "cpus-per-task cannot be given: resources.cpus of the suite says it"),
        ({"array": "0-3"}, "array cannot be given: the engine sets it"),
        ({"p": "gpu"}, "'p' is no long name of an option of sbatch"),
        ({"comment": "a\n#SBATCH --uid=0"}, "the value of comment has characters that no option has"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ChoiceError, match=said):
        choose("engines", {"name": "slurm", "slurm": options})


def test_the_command_line_says_whose_setting_an_option_is(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    suite = workspace.suite()
    output = workspace.run("run", suite, "--slurm", "partition=gpu", code=2)
    assert "--slurm is for engines that have such a setting (`harness docs cluster`); 'local' has none" in output
    output = workspace.run("run", suite, "--engine", "slurm", "--slurm", "time=3", code=2)
    assert "--slurm: time cannot be given: resources.time of the suite says it" in output


def test_where_there_is_no_slurm_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    choice = choose("engines", "slurm")
    with pytest.raises(HarnessError, match=rf"{', '.join(COMMANDS)} not found: run this where you submit jobs"):
        choice.make(Site(tmp_path, Run(), Resources()))
    assert list(tmp_path.iterdir()) == [], "nothing is left of it"
